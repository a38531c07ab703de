// Reading time: how long an item has been in view, over all visits to it. It stands while the page is hidden or the reader rests.
import type { Memory } from './memory'

/** How often the time is put into the browser's memory, in ms: what a crash of the browser may lose. */
const KEEP_MS = 1000

/** Longest time that the server takes, in ms. */
const LONGEST_MS = 24 * 60 * 60 * 1000

export class Clock {
  private item: string | null = null
  private resting = false
  private since: number | null = null

  constructor(private readonly memory: Memory) {
    document.addEventListener('visibilitychange', () => this.update())
    addEventListener('pagehide', () => this.keep())
    setInterval(() => this.keep(), KEEP_MS)
  }

  /** An item is in view from now on; null: none is. */
  watch(item: string | null): void {
    this.keep()
    this.since = null
    this.item = item
    this.update()
  }

  rest(resting: boolean): void {
    this.resting = resting
    this.update()
  }

  /** Time that an item has been in view, in ms. */
  readingMs(item: string): number {
    this.keep()
    return Math.min(LONGEST_MS, Math.round(Number(this.memory.get('reading/' + item) ?? 0)))
  }

  private update(): void {
    this.keep()
    const runs = this.item !== null && !this.resting && document.visibilityState === 'visible'
    this.since = runs ? performance.now() : null
  }

  private keep(): void {
    if (this.item === null || this.since === null) return
    const now = performance.now()
    const before = Number(this.memory.get('reading/' + this.item) ?? 0)
    this.memory.set('reading/' + this.item, String(before + now - this.since))
    this.since = now
  }
}
