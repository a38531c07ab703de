// Answers that the server has not confirmed. Each lies in the browser's memory under a key of its own until then, so that neither a reload,
// nor a server that is away, nor a second window loses one.
import { patiently, send, type Outcome, type Sent } from './api'
import type { Memory } from './memory'

export interface Listener {
  /** Every answer is confirmed. */
  saved(): void
  /** Being sent. */
  saving(): void
  /** The server is away; tried again after so many seconds. */
  waiting(seconds: number): void
  /** The item was answered elsewhere: what is true of it now. */
  stale(item: string, answer: string | null, revision: number): void
  /** The server refuses for a reason that waiting does not change. */
  refused(message: string): void
}

interface Entry {
  /** Order in which answers were given. */
  made: number
  sent: Sent
}

/** 32 hexadecimal digits. (crypto.randomUUID is missing on pages without TLS.) */
function newClientId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

export class Outbox {
  private sending = false

  constructor(
    private readonly memory: Memory,
    private readonly items: Set<string>,
    private readonly listener: Listener,
  ) {}

  /** Answers that wait, in the order in which they were given. */
  waiting(): Sent[] {
    return this.entries().map(([, entry]) => entry.sent)
  }

  /** Takes an answer and sends it. */
  add(answer: Omit<Sent, 'client_id'>): void {
    const sent = { ...answer, client_id: newClientId() }
    const made = Math.max(Date.now(), ...this.entries().map(([, entry]) => entry.made + 1))
    this.memory.set('outbox/' + sent.client_id, JSON.stringify({ made, sent }))
    void this.run()
  }

  /** Sends what waits, one after the other. */
  async run(): Promise<void> {
    if (this.sending) return
    this.sending = true
    try {
      for (let next = this.entries()[0]; next; next = this.entries()[0]) {
        this.listener.saving()
        const [key, { sent }] = next
        const outcome = await patiently(() => send(sent), (seconds) => this.listener.waiting(seconds))
        if (!this.settle(key, sent, outcome)) return
      }
      this.listener.saved()
    } finally {
      this.sending = false
    }
  }

  /** Whether to go on. */
  private settle(key: string, sent: Sent, outcome: Outcome): boolean {
    if (outcome.is === 'refused') {
      this.listener.refused(outcome.message)
      return false
    }
    this.memory.remove(key)
    if (outcome.is === 'stale') {
      // Answers to the same item that follow build on one that does not count.
      for (const [other, entry] of this.entries()) if (entry.sent.item === sent.item) this.memory.remove(other)
      this.listener.stale(sent.item, outcome.answer, outcome.revision)
    }
    return true
  }

  private entries(): [string, Entry][] {
    const entries: [string, Entry][] = []
    for (const key of this.memory.keys('outbox/')) {
      const text = this.memory.get(key)
      if (!text) continue
      const entry = JSON.parse(text) as Entry
      // Another study's, read with the same browser under the same name: its own page sends it.
      if (this.items.has(entry.sent.item)) entries.push([key, entry])
    }
    return entries.sort(([, a], [, b]) => a.made - b.made)
  }
}
