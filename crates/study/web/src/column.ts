// The column of cases: a thumbnail of each, its state, and what is wrong with it.
import type { Listed, State } from './cases'
import { button, element, press } from './screen'

/** A browser has six connections, and the scan in view comes first. */
const THUMBNAILS_AT_A_TIME = 2

/** Fetched so far outside what is seen. */
const MARGIN = '300px'

const STATES: Record<State, string> = { open: '○ open', outdated: '! outdated', accepted: '✓ accepted', rejected: '✗ rejected' }

export class Column {
  private readonly waiting: number[] = []
  private running = 0
  private isOpen = false

  constructor(
    private readonly list: Listed[],
    /** Not a scan alone, which has no record. */
    private readonly canReview: boolean,
    go: (index: number) => void,
  ) {
    const seen = new IntersectionObserver((entries) => this.seen(entries, seen), { root: element('cases'), rootMargin: MARGIN })
    list.forEach((_, i) => {
      const made = button('cases', '', '', () => go(i))
      const picture = document.createElement('div')
      const image = new Image()
      image.alt = ''
      picture.append(image)
      made.append(picture, ...['name', 'state', 'what'].map(span))
      seen.observe(made)
      this.mark(i)
    })
  }

  /** The case in view. N and P go through the cases; Tab does not. */
  at(index: number): void {
    press('cases', index)
    const { children } = element('cases')
    for (const [i, child] of [...children].entries()) (child as HTMLElement).tabIndex = i === index ? 0 : -1
    children[index].scrollIntoView({ block: 'nearest' })
  }

  /** Its state and its problem as they are now. */
  mark(index: number): void {
    const { name, state, tumors, warned, problem } = this.list[index]
    const made = element('cases').children[index] as HTMLElement
    const warnings = warned > 0 ? `, ${warned} with warnings` : ''
    const found = this.canReview ? `${tumors} ${tumors === 1 ? 'tumor' : 'tumors'}${warnings}` : ''
    const what = problem ?? found
    made.className = state + (problem ? ' problem' : '')
    made.title = `${name}\n${what}`
    for (const [part, text] of Object.entries({ name, state: this.canReview ? STATES[state] : '', what })) {
      made.querySelector(`.${part}`)!.textContent = text
    }
  }

  /** From now on pictures are fetched. */
  open(): void {
    this.isOpen = true
    this.fetch()
  }

  private seen(entries: IntersectionObserverEntry[], observer: IntersectionObserver): void {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(entry.target)
      this.waiting.push([...element('cases').children].indexOf(entry.target))
    }
    this.fetch()
  }

  private fetch(): void {
    while (this.isOpen && this.running < THUMBNAILS_AT_A_TIME && this.waiting.length > 0) {
      this.running++
      void this.one(this.waiting.shift()!).finally(() => {
        this.running--
        this.fetch()
      })
    }
  }

  private async one(index: number): Promise<void> {
    const image = element('cases').children[index].querySelector('img')!
    image.src = `thumbnails/${index}.png`
    try {
      await image.decode()
      image.classList.add('is-drawn')
    } catch {
      // The server draws it of the scan: it could not be read.
      this.list[index].problem ??= 'The scan cannot be read.'
      this.mark(index)
    }
  }
}

function span(name: string): HTMLElement {
  const made = document.createElement('span')
  made.className = name
  return made
}
