// A reader's study: what is asked, one item after the other, until all are answered.
import './style.css'
import { Refused, patiently, session as fetchSession, volume, type Item, type Session } from './api'
import { Clock } from './clock'
import { keysOf, type Action, type Command, type Keys } from './keys'
import { Memory } from './memory'
import { Outbox } from './outbox'
import { button, element, help, list, message, nameOf, notice, press, progress, say } from './screen'
import type { Scan, Viewer } from './viewer'

/** The larger half of the page. */
type ViewerModule = typeof import('./viewer')

/** Windows beside the study's own: name, centre and width in HU. */
const WINDOWS: [string, [number, number]][] = [
  ['Soft', [40, 400]],
  ['Liver', [80, 160]],
  ['Lung', [-600, 1500]],
  ['Bone', [400, 1800]],
]

/** Without a touch or a key for so long, nobody is reading: the page rests. */
const IDLE_MS = 5 * 60 * 1000

/** Answers are taken from so long after an item is shown: a double click answers one item, not two. */
const SETTLE_MS = 400

const PAGE_SLICES = 5
const ZOOM_STEP = 1.25

class Study {
  /** Index of the item in view; the number of items: the list. */
  private at = 0
  /** Whether the item can be answered. */
  private isShown = false
  /** Counts what was shown. */
  private visit = 0
  private isResting = false
  private isSaved = true
  private lastTouch = performance.now()
  private window = 0
  private readonly windows: [string, [number, number]][]
  private readonly keys: Keys
  private readonly clock: Clock
  private readonly outbox: Outbox
  /** Scans that are here or on their way: that in view and the next. */
  private scans = new Map<string, Promise<Scan>>()

  /** Null until the graphics are ready: the page answers keys before that. */
  private viewer: Viewer | null = null

  constructor(
    private readonly session: Session,
    private readonly module: Promise<ViewerModule>,
    private readonly viewing: Promise<Viewer>,
    private readonly memory: Memory,
  ) {
    this.windows = [['Study', session.window_hu], ...WINDOWS]
    this.keys = keysOf(session)
    this.clock = new Clock(memory)
    const ids = new Set(session.items.map((item) => item.id))
    this.outbox = new Outbox(memory, ids, {
      saved: () => this.saved(true, session.items.some((item) => item.answer) ? 'Saved' : ''),
      saving: () => this.saved(false, 'Saving …'),
      waiting: (seconds) => this.saved(false, `Not saved yet: the server is away. Trying again in ${seconds} s`),
      refused: (message) => this.stop(message),
      stale: (item, answer, revision) => this.stale(item, answer, revision),
    })
    for (const sent of this.outbox.waiting()) this.note(sent.item, sent.answer, sent.expected_revision)
  }

  start(): void {
    this.buttons()
    help(this.keys)
    document.addEventListener('keydown', (event) => this.key(event), { capture: true })
    for (const touch of ['pointerdown', 'pointermove', 'wheel', 'keydown']) {
      addEventListener(touch, () => (this.lastTouch = performance.now()), { capture: true, passive: true })
    }
    setInterval(() => this.isIdle() && this.rest(true), 1000)
    void this.outbox.run()
    void this.go(this.where())
  }

  /** Where the reader was, else the first item that is not answered, else the list. */
  private where(): number {
    const { items } = this.session
    const kept = this.memory.get('at')
    const index = items.findIndex((item) => item.id === kept)
    if (index >= 0) return index
    const first = items.findIndex((item) => item.answer === null)
    return first >= 0 ? first : items.length
  }

  private buttons(): void {
    this.session.choices.forEach((choice, i) =>
      button('answers', nameOf(choice), this.keys.ofChoices[i], () => this.answer(choice)),
    )
    for (const [i, name] of ['Axial', 'Coronal', 'Sagittal'].entries()) {
      button('planes', name, this.keys.planesByDigit ? String(i + 1) : '', () => this.act({ plane: i }))
    }
    for (const [i, [name]] of this.windows.entries()) button('windows', name, '', () => this.setWindow(i))
    const commands: [string, Command][] = [
      ['back', 'back'],
      ['forward', 'forward'],
      ['smaller', 'smaller'],
      ['larger', 'larger'],
      ['centre', 'centre'],
      ['crosshair', 'crosshair'],
      ['all', 'list'],
      ['rest', 'rest'],
      ['resume', 'rest'],
    ]
    for (const [id, command] of commands) element(id).addEventListener('click', () => this.act({ command }))
    const slider = element<HTMLInputElement>('slice')
    slider.addEventListener('input', () => this.viewer?.scroll(Number(slider.value) - this.viewer.slice()[0]))
  }

  /** Shows an item, or the list. */
  private async go(index: number): Promise<void> {
    const { items } = this.session
    this.at = Math.max(0, Math.min(items.length, index))
    this.clock.watch(null)
    this.isShown = false
    const item = items[this.at]
    this.memory.set('at', item?.id ?? '')
    this.refresh()
    if (!item) return
    notice('Loading …')
    try {
      const [viewer, scan] = await Promise.all([this.viewing, this.scan(item.id)])
      if (items[this.at] !== item) return
      this.window = 0
      this.viewer = viewer
      viewer.onChange = () => this.moved(viewer)
      viewer.show(scan, item.centre_vox, this.session.window_hu)
      notice('')
      this.clock.watch(item.id)
      this.settle(item)
      // After the slice is on the screen.
      requestAnimationFrame(() => performance.mark('slice-shown'))
      this.prefetch()
    } catch (error) {
      if (items[this.at] === item) this.stop(error instanceof Refused ? error.message : `The scan cannot be shown: ${error}`)
    }
  }

  private settle(item: Item): void {
    const visit = ++this.visit
    setTimeout(() => {
      if (visit !== this.visit || this.session.items[this.at] !== item) return
      this.isShown = true
      this.refresh()
    }, SETTLE_MS)
  }

  /** Fetches and decodes a scan, once. */
  private scan(id: string): Promise<Scan> {
    const known = this.scans.get(id)
    if (known) return known
    const inView = () => this.session.items[this.at]?.id === id
    const waiting = (seconds: number) =>
      inView() && notice(`The server is away. Trying again in ${seconds} s; answers so far are kept.`)
    const scan = patiently(() => volume(id), waiting).then(async (bytes) => (await this.module).decode(bytes))
    this.scans.set(id, scan)
    // Those who wait for it are told; a later visit asks again.
    scan.catch(() => this.scans.delete(id))
    return scan
  }

  /** Gets the next scan, and lets go of all but it, that in view and the one before. */
  private prefetch(): void {
    const { items } = this.session
    const near = items.slice(Math.max(0, this.at - 1), this.at + 2).map((item) => item.id)
    this.scans = new Map([...this.scans].filter(([id]) => near.includes(id)))
    if (items[this.at + 1]) void this.scan(items[this.at + 1].id).catch(() => {})
  }

  private answer(choice: string): void {
    const item = this.session.items[this.at]
    if (!item || !this.isShown) return
    message('')
    const revision = item.revision + 1
    const reading_ms = this.clock.readingMs(item.id)
    this.note(item.id, choice, revision)
    this.outbox.add({ item: item.id, answer: choice, expected_revision: revision, reading_ms })
    const isDone = this.session.items.every((other) => other.answer !== null)
    void this.go(isDone ? this.session.items.length : this.at + 1)
  }

  private note(id: string, answer: string | null, revision: number): void {
    const item = this.session.items.find((other) => other.id === id)
    if (item) [item.answer, item.revision] = [answer, revision]
  }

  private stale(id: string, answer: string | null, revision: number): void {
    this.note(id, answer, revision)
    const index = this.session.items.findIndex((item) => item.id === id)
    this.refresh()
    message(`Item ${index + 1} was answered in another window in the meantime: that answer holds. Please use one window.`)
  }

  private saved(isSaved: boolean, text: string): void {
    this.isSaved = isSaved
    say('saved', text)
    element('saved').className = isSaved ? 'is-saved' : 'is-not-saved'
    this.refresh()
  }

  /** The study cannot go on. */
  private stop(message: string): void {
    this.isShown = false
    this.clock.watch(null)
    this.refresh()
    notice(message)
    element('list').hidden = true
    say('saved', this.outbox.waiting().length > 0 ? 'Answers that are not saved yet are kept in this browser' : '')
  }

  private refresh(): void {
    const { items, choices } = this.session
    const item = items[this.at]
    progress(items, this.at)
    press('answers', item?.answer ? choices.indexOf(item.answer) : -1)
    for (const child of element('answers').children) (child as HTMLButtonElement).disabled = !this.isShown
    element<HTMLButtonElement>('back').disabled = this.at === 0
    element<HTMLButtonElement>('forward').disabled = this.at === items.length
    element('list').hidden = this.at < items.length
    if (this.at === items.length) {
      notice('')
      list(this.session, this.isSaved, (index) => void this.go(index))
    }
  }

  private moved(viewer: Viewer): void {
    const [at, of] = viewer.slice()
    const slider = element<HTMLInputElement>('slice')
    slider.max = String(of)
    slider.value = String(at)
    const [centre, width] = viewer.windowHu()
    say('slice-text', `Slice ${at} of ${of} · C ${centre} W ${width}`)
    press('planes', viewer.plane)
    const [, [c, w]] = this.windows[this.window]
    press('windows', c === centre && w === width ? this.window : -1)
  }

  private setWindow(index: number): void {
    this.window = index
    this.viewer?.setWindowHu(this.windows[index][1])
  }

  private isIdle(): boolean {
    return this.isShown && !this.isResting && performance.now() - this.lastTouch > IDLE_MS
  }

  private rest(resting: boolean): void {
    this.isResting = resting
    this.clock.rest(resting)
    element('curtain').hidden = !resting
    if (resting) element('resume').focus()
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return
    const action = this.keys.actions.get(event.key.toLowerCase())
    if (!action) return
    // A key that is held scrolls; it does not answer, nor run through the items.
    const mayRepeat = 'command' in action && ['up', 'down', 'page-up', 'page-down', 'larger', 'smaller'].includes(action.command)
    event.preventDefault()
    event.stopPropagation()
    this.lastTouch = performance.now()
    if (!event.repeat || mayRepeat) this.act(action)
  }

  private act(action: Action): void {
    if ('command' in action && action.command === 'rest') return this.rest(!this.isResting)
    if (this.isResting) return
    if ('answer' in action) return this.answer(action.answer)
    const viewer = this.viewer
    if ('plane' in action) return viewer?.setPlane(action.plane)
    const commands: Record<Exclude<Command, 'rest'>, () => void> = {
      up: () => viewer?.scroll(1),
      down: () => viewer?.scroll(-1),
      'page-up': () => viewer?.scroll(PAGE_SLICES),
      'page-down': () => viewer?.scroll(-PAGE_SLICES),
      back: () => void this.go(this.at - 1),
      forward: () => void this.go(this.at + 1),
      centre: () => viewer?.recentre(),
      larger: () => viewer?.zoomBy(ZOOM_STEP),
      smaller: () => viewer?.zoomBy(1 / ZOOM_STEP),
      window: () => this.setWindow((this.window + 1) % this.windows.length),
      plane: () => viewer?.setPlane((viewer.plane + 1) % 3),
      crosshair: () => viewer?.toggleCrosshair(),
      list: () => void this.go(this.session.items.length),
    }
    commands[action.command as Exclude<Command, 'rest'>]()
  }
}

/** Draws what the page has so far, then readies the graphics, which holds the page up for a while. */
async function view(module: Promise<ViewerModule>): Promise<Viewer> {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))
  const { Viewer } = await module
  const canvas = element<HTMLCanvasElement>('scan')
  canvas.addEventListener('webglcontextlost', () => notice('The graphics card has dropped the scan. Please reload the page.'))
  return Viewer.on(canvas)
}

async function main(): Promise<void> {
  // On its way while the session is asked for.
  const module = import('./viewer')
  module.catch(() => {})
  const away = (seconds: number) => notice(`The server is away. Trying again in ${seconds} s.`)
  const session = await patiently(fetchSession, away)
  document.title = session.title
  say('title', session.title)
  say('reader', session.reader)
  const viewing = view(module)
  // Whoever shows the first scan tells what went wrong.
  viewing.catch(() => {})
  new Study(session, module, viewing, new Memory(session.reader)).start()
  performance.mark('interactive')
}

main().catch((error) => notice(error instanceof Refused ? error.message : `The page cannot start: ${error}`))
