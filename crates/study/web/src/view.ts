// The viewer: a dataset's cases, one in view, and verdicts on them.
import './style.css'
import { Refused } from './api'
import { cases as fetchCases, details, image, review, type Details, type Listed, type Tumor } from './cases'
import { button, element, message, notice, press, say } from './screen'
import { PLANES, Viewer, decode, type Colours, type Scan } from './viewer'

/** Name, centre and width in HU. */
const WINDOWS: [string, [number, number]][] = [
  ['Soft', [50, 400]],
  ['Liver', [80, 160]],
  ['Lung', [-600, 1500]],
  ['Bone', [400, 1800]],
]

/** Of label values, over and over; tumors have their own. */
const LABEL_COLOURS = [[90, 140, 190], [120, 165, 110], [165, 120, 175], [95, 165, 165], [180, 160, 100]] as const
const TUMOR_COLOUR = [255, 150, 40] as const

/** A label map has these values at most that are told apart. */
const LABELS = 255

const THUMBNAILS_AT_A_TIME = 2

const HELP = [
  '↑ ↓ PgUp PgDn  slices   1 2 3 V  plane',
  'W  window   + −  size   Home  back   C  cross',
  'M  masks   B  before/after   Tab ↵  tumors',
  'A X  verdict   T  note (Esc leaves)   N P ← →  cases',
].join('\n')

class Cases {
  private at = 0
  private shown: Details | null = null
  private window = 0
  private masks: Scan[] = []
  private healthy: Scan | null = null
  private areMasksSeen = true

  constructor(
    private readonly list: Listed[],
    private readonly canReview: boolean,
    private readonly viewer: Viewer,
  ) {}

  start(): void {
    this.buttons()
    say('help', HELP)
    document.addEventListener('keydown', (event) => this.key(event), { capture: true })
    this.viewer.onChange = () => this.moved()
    void this.go(0).then(() => this.thumbnails())
  }

  private buttons(): void {
    for (const [i, { name }] of PLANES.entries()) button('planes', name, String(i + 1), () => this.viewer.setPlane(i))
    for (const [i, [name]] of WINDOWS.entries()) button('windows', name, '', () => this.setWindow(i))
    this.list.forEach((listed, i) => {
      const made = button('cases', '', '', () => void this.go(i))
      made.append(new Image(), document.createElement('span'))
      made.title = listed.problem ?? listed.name
      this.mark(i)
    })
    const clicks: [string, () => void][] = [
      ['accept', () => void this.judge('accepted')],
      ['reject', () => void this.judge('rejected')],
      ['previous', () => void this.go(this.at - 1)],
      ['next', () => void this.go(this.at + 1)],
      ['mask', () => this.toggleMasks()],
    ]
    for (const [id, act] of clicks) element(id).addEventListener('click', act)
    const slider = element<HTMLInputElement>('slice')
    slider.addEventListener('input', () => this.viewer.scroll(Number(slider.value) - this.viewer.slice()[0]))
    element('opacity').addEventListener('input', () => this.setOpacities())
    element('blend').addEventListener('input', () => this.setOpacities())
    element('note').addEventListener('change', () => {
      const verdict = this.shown?.review?.verdict
      if (verdict && this.shown?.state !== 'outdated') void this.judge(verdict)
    })
    element('review').hidden = !this.canReview
  }

  /** Its state in the list. */
  private mark(index: number): void {
    const { name, state, tumors, warned, problem } = this.list[index]
    const made = element('cases').children[index] as HTMLElement
    made.className = state
    const warnings = warned > 0 ? `, ${warned} warned of` : ''
    const what = problem ?? `${tumors} ${tumors === 1 ? 'tumor' : 'tumors'}${warnings}`
    made.querySelector('span')!.textContent = `${name} · ${state}\n${what}`
  }

  /** A few at a time: a browser has six connections, and the scan in view comes first. */
  private async thumbnails(): Promise<void> {
    const images = [...element('cases').querySelectorAll('img')].entries()
    const one = async () => {
      for (const [i, picture] of images) {
        picture.alt = ''
        picture.src = `thumbnails/${i}.png`
        await picture.decode().catch(() => {})
      }
    }
    await Promise.all(Array.from({ length: THUMBNAILS_AT_A_TIME }, one))
    performance.mark('thumbnails-shown')
  }

  private async go(index: number): Promise<void> {
    if (index < 0 || index >= this.list.length) return
    this.at = index
    const isHere = () => this.at === index
    press('cases', index)
    element('cases').children[index].scrollIntoView({ block: 'nearest' })
    message('')
    notice('Loading …')
    this.shown = null
    this.disable(true)
    try {
      const [found, bytes] = await Promise.all([details(index), image(index, 'ct').catch((error) => error)])
      if (!isHere()) return
      this.tell(found)
      if (bytes instanceof Error) throw new Refused(found.problem ?? 'The scan cannot be read.')
      const scan = await decode(bytes)
      if (!isHere()) return
      this.show(found, scan)
      await this.overlays(index, found, isHere)
      performance.mark('case-shown')
    } catch (error) {
      if (isHere()) notice(error instanceof Refused ? error.message : `The scan cannot be shown: ${error}`)
    }
  }

  private show(found: Details, scan: Scan): void {
    const [, nx, ny, nz] = scan.hdr!.dims
    const middle: [number, number, number] = [(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2]
    ;[this.masks, this.healthy] = [[], null]
    this.viewer.show(scan, largest(found.record?.tumors ?? [])?.centre_vox ?? middle, WINDOWS[this.window][1])
    notice('')
    requestAnimationFrame(() => setTimeout(() => performance.mark('slice-shown')))
  }

  /** What lies over the scan, after it is seen. */
  private async overlays(index: number, found: Details, isHere: () => boolean): Promise<void> {
    const load = async (name: string) => decode(await image(index, name))
    if (found.has_healthy) {
      const scan = await load('healthy')
      if (!isHere()) return
      this.healthy = scan
      this.viewer.overlayScan(scan, 0)
      this.setOpacities()
    }
    const wanted: [boolean, string, Colours][] = [
      [found.has_labels, 'labels', labelColours()],
      [found.has_tumors, 'tumors', tumorColours()],
    ]
    for (const [isThere, name, colours] of wanted) {
      if (!isThere) continue
      const mask = await load(name)
      if (!isHere()) return
      this.viewer.overlayMask(mask, colours, 0)
      this.masks.push(mask)
      this.setOpacities()
    }
  }

  /** What stands beside the scan. */
  private tell(found: Details): void {
    this.shown = found
    say('title', found.name)
    say('count', `${this.at + 1} of ${this.list.length}`)
    const { record } = found
    const about = [
      record?.case && `from ${record.case}`,
      record?.copy != null && `copy ${record.copy}`,
      record?.method,
      record?.seed != null && `seed ${record.seed}`,
      record && Object.entries(record.labels).map(([value, name]) => `${value} ${name}`).join(', '),
    ]
    say('record', about.filter(Boolean).join(' · '))
    element('tumors').replaceChildren()
    for (const tumor of record?.tumors ?? []) {
      const made = button('tumors', lines(tumor), '', () => tumor.centre_vox && this.viewer.goTo(tumor.centre_vox))
      made.className = tumor.grade !== null && tumor.grade !== 'pass' ? 'warn' : ''
    }
    message(found.problem ?? (found.state === 'outdated' ? 'The verdict is on an older version of this case.' : ''))
    element<HTMLTextAreaElement>('note').value = found.review?.note ?? ''
    element('before').hidden = !found.has_healthy
    element<HTMLInputElement>('blend').value = '0'
    this.judged()
    this.disable(found.record_sha256 === null)
  }

  private disable(isDisabled: boolean): void {
    for (const id of ['accept', 'reject', 'note']) element<HTMLButtonElement>(id).disabled = isDisabled
  }

  private judged(): void {
    const state = this.shown?.state
    element('accept').setAttribute('aria-pressed', String(state === 'accepted'))
    element('reject').setAttribute('aria-pressed', String(state === 'rejected'))
  }

  private async judge(verdict: 'accepted' | 'rejected'): Promise<void> {
    const [index, found] = [this.at, this.shown]
    if (!this.canReview || !found?.record_sha256) return
    const note = element<HTMLTextAreaElement>('note').value
    say('saved', 'Saving …')
    try {
      await review(index, verdict, note, found.record_sha256)
    } catch (error) {
      say('saved', 'Not saved')
      return message(error instanceof Refused ? error.message : 'The server is away: this verdict is not saved.')
    }
    say('saved', 'Saved')
    message('')
    ;[found.state, found.review] = [verdict, { verdict, note }]
    this.list[index].state = verdict
    this.mark(index)
    if (this.shown === found) this.judged()
  }

  private setOpacities(): void {
    const percent = (id: string) => Number(element<HTMLInputElement>(id).value) / 100
    const blend = percent('blend')
    const words = blend === 0 ? 'Synthetic (after)' : blend === 1 ? 'Healthy (before)' : `${Math.round(100 * blend)} % healthy`
    say('before-text', `${words} · B`)
    if (this.healthy) this.viewer.setOpacity(this.healthy, blend)
    for (const mask of this.masks) this.viewer.setOpacity(mask, this.areMasksSeen ? percent('opacity') : 0)
  }

  private toggleMasks(): void {
    this.areMasksSeen = !this.areMasksSeen
    element('mask').setAttribute('aria-pressed', String(this.areMasksSeen))
    this.setOpacities()
  }

  private toggleBefore(): void {
    const slider = element<HTMLInputElement>('blend')
    slider.value = Number(slider.value) > 50 ? '0' : '100'
    this.setOpacities()
  }

  private setWindow(index: number): void {
    this.window = index
    this.viewer.setWindowHu(WINDOWS[index][1])
  }

  private moved(): void {
    const [at, of] = this.viewer.slice()
    const slider = element<HTMLInputElement>('slice')
    slider.max = String(of)
    slider.value = String(at)
    const [centre, width] = this.viewer.windowHu()
    say('slice-text', `Slice ${at} of ${of} · C ${centre} W ${width}`)
    press('planes', this.viewer.plane)
    const [, [c, w]] = WINDOWS[this.window]
    press('windows', c === centre && w === width ? this.window : -1)
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return
    const { viewer } = this
    const key = event.key.toLowerCase()
    const { target } = event
    if (target instanceof HTMLTextAreaElement) {
      if (key === 'escape') target.blur()
      // NiiVue listens too.
      return event.stopPropagation()
    }
    // A slider in focus has its own arrows.
    if (target instanceof HTMLInputElement && (/^arrow|^page/.test(key) || key === 'home')) return
    const actions: Record<string, () => void> = {
      arrowup: () => viewer.scroll(1),
      arrowdown: () => viewer.scroll(-1),
      pageup: () => viewer.scroll(5),
      pagedown: () => viewer.scroll(-5),
      home: () => viewer.recentre(),
      '+': () => viewer.zoomBy(1.25),
      '=': () => viewer.zoomBy(1.25),
      '-': () => viewer.zoomBy(1 / 1.25),
      1: () => viewer.setPlane(0),
      2: () => viewer.setPlane(1),
      3: () => viewer.setPlane(2),
      v: () => viewer.setPlane((viewer.plane + 1) % 3),
      w: () => this.setWindow((this.window + 1) % WINDOWS.length),
      c: () => viewer.toggleCrosshair(),
      m: () => this.toggleMasks(),
      b: () => this.toggleBefore(),
      a: () => void this.judge('accepted'),
      x: () => void this.judge('rejected'),
      t: () => element('note').focus(),
      n: () => void this.go(this.at + 1),
      p: () => void this.go(this.at - 1),
      arrowright: () => void this.go(this.at + 1),
      arrowleft: () => void this.go(this.at - 1),
    }
    const act = actions[key]
    if (!act) return
    event.preventDefault()
    event.stopPropagation()
    // A key that is held scrolls; it gives no verdicts, nor runs through the cases.
    if (!event.repeat || /^arrow(up|down)|^page|^[+=-]$/.test(key)) act()
  }
}

function largest(tumors: Tumor[]): Tumor | undefined {
  const size = (tumor: Tumor) => tumor.equivalent_diameter_mm ?? 0
  return tumors.filter((tumor) => tumor.centre_vox).sort((a, b) => size(b) - size(a))[0]
}

/** A tumor's record in a few lines. */
function lines(tumor: Tumor): string {
  const hu = (value: number | null) => (value === null ? '?' : Math.round(value))
  const first = [`Tumor ${tumor.number ?? '?'}`, tumor.organ, tumor.size, tumor.method]
  const second = [
    tumor.equivalent_diameter_mm !== null && `${tumor.equivalent_diameter_mm.toFixed(1)} mm`,
    tumor.inside_hu !== null && `${hu(tumor.inside_hu)} HU in ${hu(tumor.around_hu)} HU`,
    tumor.has_mass_effect && 'mass effect',
  ]
  const rejected = tumor.rejected ? ` (after ${tumor.rejected} rejected)` : ''
  const place = tumor.centre_mm && `at ${tumor.centre_mm.map((mm) => Math.round(mm)).join(', ')} mm RAS`
  const gate = tumor.grade && `gate: ${tumor.grade}${rejected}`
  return [first.filter(Boolean).join(' · '), second.filter(Boolean).join(' · '), place, gate, ...tumor.warnings].filter(Boolean).join('\n')
}

function labelColours(): Colours {
  return Array.from({ length: LABELS }, (_, i) => [i + 1, ...LABEL_COLOURS[i % LABEL_COLOURS.length]])
}

function tumorColours(): Colours {
  return Array.from({ length: LABELS }, (_, i) => [i + 1, ...TUMOR_COLOUR])
}

async function main(): Promise<void> {
  const found = await fetchCases()
  const canvas = element<HTMLCanvasElement>('scan')
  canvas.addEventListener('webglcontextlost', () => notice('The graphics card has dropped the scan. Please reload the page.'))
  new Cases(found.cases, found.can_review, await Viewer.on(canvas)).start()
}

main().catch((error) => notice(error instanceof Refused ? error.message : `The page cannot start: ${error}`))
