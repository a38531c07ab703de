// The viewer: a dataset's cases, one in view.
import './style.css'
import { Refused } from './api'
import { cases as fetchCases, details, image, type Details, type Listed } from './cases'
import { Column } from './column'
import { HELP, about, isWarnedOf, largest, lines } from './describe'
import { COLOURS, combine } from './masks'
import { button, element, message, notice, press, say } from './screen'
import { Verdicts } from './verdict'
import { PLANES, Viewer, decode, type Scan } from './viewer'

/** Name, centre and width in HU. */
const WINDOWS: [string, [number, number]][] = [
  ['Soft', [50, 400]],
  ['Liver', [80, 160]],
  ['Lung', [-600, 1500]],
  ['Bone', [400, 1800]],
]

const AWAY = 'The server is away.\nStart it again, and open the link that it prints. Verdicts that were saved are kept.'
const NO_SCAN = 'The scan cannot be read: it is damaged, or no NIfTI file.'
const PAGE_SLICES = 5
const ZOOM_STEP = 1.25

/** Keys that act again while they are held: they scroll and enlarge; they give no verdicts, nor run through the cases. */
const MAY_REPEAT = /^arrow(up|down)$|^page|^[+=-]$/

/** Keys that a slider in focus has for itself. */
const OF_SLIDERS = /^arrow|^page|^home$/

class Cases {
  private at = 0
  /** The visit to the case in view: a scan that comes later than the next visit is not shown. */
  private visit = new AbortController()
  private areMasksSeen = true
  private readonly column: Column
  private readonly verdicts: Verdicts

  constructor(
    private readonly list: Listed[],
    canReview: boolean,
    private readonly viewer: Viewer,
    /** The first case's scan, on its way before the graphics are ready. */
    private first: Promise<Scan> | null,
  ) {
    this.column = new Column(list, canReview, (index) => void this.go(index))
    this.verdicts = new Verdicts(canReview, {
      kept: (index, verdict) => {
        list[index].state = verdict
        this.column.mark(index)
      },
      changed: (index) => void this.changed(index),
    })
  }

  start(): void {
    this.controls()
    say('help', HELP)
    this.viewer.blendLayers(COLOURS)
    this.viewer.onChange = () => this.moved()
    document.addEventListener('keydown', (event) => this.key(event), { capture: true })
    void this.go(0).then(() => this.column.open())
  }

  private controls(): void {
    for (const [i, { name }] of PLANES.entries()) button('planes', name, String(i + 1), () => this.viewer.setPlane(i))
    for (const [name, window] of WINDOWS) button('windows', name, '', () => this.viewer.setWindowHu(window))
    const clicks: [string, () => void][] = [
      ['previous', () => void this.go(this.at - 1)],
      ['next', () => void this.go(this.at + 1)],
      ['mask', () => this.toggleMasks()],
    ]
    for (const [id, act] of clicks) element(id).addEventListener('click', act)
    const slider = element<HTMLInputElement>('slice')
    slider.addEventListener('input', () => this.viewer.scroll(Number(slider.value) - this.viewer.slice()[0]))
    element('opacity').addEventListener('input', () => this.setOpacities())
    element('blend').addEventListener('input', () => this.setOpacities())
    // After a touch keys are the page's again.
    for (const control of document.querySelectorAll<HTMLElement>('aside button, aside input')) {
      control.addEventListener('pointerup', () => setTimeout(() => control.blur()))
    }
  }

  /** Shows a case. */
  private async go(index: number): Promise<void> {
    if (index < 0 || index >= this.list.length) return
    this.at = index
    this.visit.abort()
    const { signal } = (this.visit = new AbortController())
    this.column.at(index)
    message('')
    notice('Loading …')
    say('title', this.list[index].name)
    say('count', `${index + 1} of ${this.list.length}`)
    this.verdicts.show(index, null)
    try {
      const ct = this.first ?? scanOf(index, signal)
      this.first = null
      const [found, scan] = await Promise.all([details(index), ct.catch(refusal)])
      if (signal.aborted) return
      this.tell(found)
      if (scan instanceof Refused) throw new Refused(found.problem ?? NO_SCAN)
      this.show(found, scan)
      await this.overlays(index, found, signal)
      if (!signal.aborted) performance.mark('case-shown')
    } catch (error) {
      if (!signal.aborted) notice(error instanceof Refused ? error.message : error instanceof TypeError ? AWAY : String(error))
    }
  }

  private show(found: Details, scan: Scan): void {
    const [, nx, ny, nz] = scan.hdr!.dims
    const middle: [number, number, number] = [(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2]
    const window = this.viewer.isEmpty() ? WINDOWS[0][1] : this.viewer.windowHu()
    this.viewer.show(scan, largest(found.record?.tumors ?? [])?.centre_vox ?? middle, window)
    notice('')
    message(found.problem ?? (found.state === 'outdated' ? 'The verdict is on an older version of this case.' : ''))
    this.verdicts.seen()
    requestAnimationFrame(() => setTimeout(() => performance.mark('slice-shown')))
  }

  /** What lies over the scan, after it is seen. What cannot be read is told of, and the rest is shown. */
  private async overlays(index: number, found: Details, signal: AbortSignal): Promise<void> {
    const load = async (name: string, isThere: boolean) => (isThere ? decode(await image(index, name, signal)) : null)
    const told = (what: string) => (error: unknown) => {
      if (!signal.aborted) message(error instanceof Refused ? error.message : `The ${what} cannot be read.`)
      return null
    }
    const masks = Promise.all([load('labels', found.has_labels), load('tumors', found.has_tumors)])
    const mask = await masks.then(([labels, tumors]) => combine(labels, tumors)).catch(told('masks'))
    if (signal.aborted) return
    if (mask && !this.viewer.overlayMask(mask.like, mask.values)) message('The masks are on another grid than the scan.')
    this.setOpacities()
    const healthy = await load('healthy', found.has_healthy).catch(told('healthy scan'))
    if (signal.aborted || !healthy) return
    this.viewer.overlayScan(healthy)
    element('before').hidden = false
  }

  /** What stands beside the scan. */
  private tell(found: Details): void {
    this.list[this.at].state = found.state
    this.column.mark(this.at)
    this.verdicts.show(this.at, found)
    say('record', about(found))
    element('tumors').replaceChildren()
    for (const tumor of found.record?.tumors ?? []) {
      const made = button('tumors', lines(tumor), '', () => tumor.centre_vox && this.viewer.goTo(tumor.centre_vox))
      made.className = isWarnedOf(tumor) ? 'warn' : ''
    }
    element('before').hidden = true
    element<HTMLInputElement>('blend').value = '0'
    this.setOpacities()
  }

  /** The case is not what the page shows: it is shown anew. */
  private async changed(index: number): Promise<void> {
    if (this.at === index) await this.go(index)
    message(`${this.list[index].name} has changed since it was shown. Look at it as it is now, and give the verdict again.`)
  }

  private setOpacities(): void {
    const share = (id: string) => Number(element<HTMLInputElement>(id).value) / 100
    const blend = share('blend')
    const mixed = `${Math.round(100 * blend)} % healthy`
    say('before-text', blend === 0 ? 'After (synthetic)' : blend === 1 ? 'Before (healthy)' : mixed)
    this.viewer.setBlend(blend)
    this.viewer.setMaskOpacity(this.areMasksSeen ? share('opacity') : 0)
  }

  private toggleMasks(): void {
    this.areMasksSeen = !this.areMasksSeen
    element('mask').setAttribute('aria-pressed', String(this.areMasksSeen))
    this.setOpacities()
  }

  private toggleBefore(): void {
    if (element('before').hidden) return
    const slider = element<HTMLInputElement>('blend')
    slider.value = Number(slider.value) > 50 ? '0' : '100'
    this.setOpacities()
  }

  /** The preset that is set, -1 for none. */
  private window(): number {
    const [centre, width] = this.viewer.windowHu()
    return WINDOWS.findIndex(([, [c, w]]) => c === centre && w === width)
  }

  private moved(): void {
    const [at, of] = this.viewer.slice()
    const slider = element<HTMLInputElement>('slice')
    slider.max = String(of)
    slider.value = String(at)
    const [centre, width] = this.viewer.windowHu()
    say('slice-text', `Slice ${at} of ${of} · C ${centre} W ${width}`)
    press('planes', this.viewer.plane)
    press('windows', this.window())
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return
    const key = event.key.toLowerCase()
    const { target } = event
    if (target instanceof HTMLTextAreaElement) {
      if (key === 'escape') target.blur()
      // NiiVue listens too.
      return event.stopPropagation()
    }
    if (target instanceof HTMLInputElement && OF_SLIDERS.test(key)) return
    const act = key === 'tab' ? this.tab(event) : this.actions[key]
    if (!act) return
    event.preventDefault()
    event.stopPropagation()
    if (!event.repeat || MAY_REPEAT.test(key)) act()
  }

  /** From the page itself to the first tumor. */
  private tab(event: KeyboardEvent): (() => void) | null {
    const first = element('tumors').querySelector('button')
    const isFromPage = document.activeElement === document.body || document.activeElement === element('scan')
    return isFromPage && first && !event.shiftKey ? () => first.focus() : null
  }

  private readonly actions: Record<string, () => void> = {
    arrowup: () => this.viewer.scroll(1),
    arrowdown: () => this.viewer.scroll(-1),
    pageup: () => this.viewer.scroll(PAGE_SLICES),
    pagedown: () => this.viewer.scroll(-PAGE_SLICES),
    home: () => this.viewer.recentre(),
    '+': () => this.viewer.zoomBy(ZOOM_STEP),
    '=': () => this.viewer.zoomBy(ZOOM_STEP),
    '-': () => this.viewer.zoomBy(1 / ZOOM_STEP),
    1: () => this.viewer.setPlane(0),
    2: () => this.viewer.setPlane(1),
    3: () => this.viewer.setPlane(2),
    v: () => this.viewer.setPlane((this.viewer.plane + 1) % PLANES.length),
    w: () => this.viewer.setWindowHu(WINDOWS[(this.window() + 1) % WINDOWS.length][1]),
    c: () => this.viewer.toggleCrosshair(),
    m: () => this.toggleMasks(),
    b: () => this.toggleBefore(),
    a: () => this.verdicts.judge('accepted'),
    x: () => this.verdicts.judge('rejected'),
    t: () => element('note').focus(),
    n: () => void this.go(this.at + 1),
    p: () => void this.go(this.at - 1),
    arrowright: () => void this.go(this.at + 1),
    arrowleft: () => void this.go(this.at - 1),
  }
}

/** Fetches and decodes a case's scan. */
async function scanOf(index: number, signal: AbortSignal): Promise<Scan> {
  const bytes = await image(index, 'ct', signal)
  return decode(bytes).catch(() => Promise.reject(new Refused(NO_SCAN)))
}

/** A refusal as a value; other errors are thrown on. */
function refusal(error: unknown): Refused {
  if (error instanceof Refused) return error
  throw error
}

async function main(): Promise<void> {
  const first = scanOf(0, new AbortController().signal)
  // The case that is shown tells.
  first.catch(() => {})
  const found = await fetchCases()
  const canvas = element<HTMLCanvasElement>('scan')
  canvas.addEventListener('webglcontextlost', () => notice('The graphics card has dropped the scan. Please reload the page.'))
  new Cases(found.cases, found.can_review, await Viewer.on(canvas), first).start()
}

main().catch((error) => notice(error instanceof Refused ? error.message : `The page cannot start: ${error}`))
