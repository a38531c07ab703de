// Verdicts on cases, and the notes to them.
import { Refused } from './api'
import { Changed, review, type Details, type Verdict } from './cases'
import { element, message, say } from './screen'

const AWAY = 'The server is away: this verdict is not saved. The note stays; give the verdict again when the server is back.'

export interface Judged {
  /** A verdict is kept. */
  kept: (index: number, verdict: Verdict) => void
  /** The record is another one than the page shows. */
  changed: (index: number) => void
}

export class Verdicts {
  private at = 0
  private shown: Details | null = null
  /** Who has not seen a scan does not accept it. */
  private isSeen = false
  /** Notes that are not saved, by case. */
  private readonly drafts = new Map<number, string>()
  /** One after the other: the last one given holds. */
  private sending: Promise<void> = Promise.resolve()

  constructor(
    private readonly canReview: boolean,
    private readonly told: Judged,
  ) {
    element('review').hidden = !canReview
    element('accept').addEventListener('click', () => this.judge('accepted'))
    element('reject').addEventListener('click', () => this.judge('rejected'))
    const note = this.note()
    note.addEventListener('input', () => this.drafts.set(this.at, note.value))
    // A note to a verdict that is given already.
    note.addEventListener('change', () => {
      const { state, review } = this.shown ?? {}
      if (review && state !== 'outdated') this.judge(review.verdict)
    })
  }

  /** The case that verdicts are on from now on; null while it is not known. */
  show(index: number, found: Details | null): void {
    this.at = index
    this.shown = found
    this.isSeen = false
    this.note().value = this.drafts.get(index) ?? found?.review?.note ?? ''
    this.enable()
    this.press()
  }

  /** The scan is on the screen. */
  seen(): void {
    this.isSeen = true
    this.enable()
  }

  judge(verdict: Verdict): void {
    const [index, found, note] = [this.at, this.shown, this.note().value]
    if (!this.canReview || !found?.record_sha256 || (verdict === 'accepted' && !this.isSeen)) return
    this.drafts.set(index, note)
    this.saved('Saving …', true)
    this.sending = this.sending.then(() => this.send(index, found, verdict, note))
  }

  private async send(index: number, found: Details, verdict: Verdict, note: string): Promise<void> {
    try {
      await review(index, verdict, note, found.record_sha256!)
    } catch (error) {
      this.saved(`Not saved: ${found.name}`, false)
      if (error instanceof Changed) return this.told.changed(index)
      return message(error instanceof Refused ? error.message : AWAY)
    }
    if (this.drafts.get(index) === note) this.drafts.delete(index)
    this.saved(`Saved: ${found.name} ${verdict}`, true)
    message('')
    ;[found.state, found.review] = [verdict, { verdict, note }]
    this.told.kept(index, verdict)
    this.press()
  }

  private note(): HTMLTextAreaElement {
    return element<HTMLTextAreaElement>('note')
  }

  private enable(): void {
    const hasRecord = !!this.shown?.record_sha256
    for (const id of ['reject', 'note']) element<HTMLButtonElement>(id).disabled = !hasRecord
    element<HTMLButtonElement>('accept').disabled = !hasRecord || !this.isSeen
  }

  private press(): void {
    for (const [id, state] of [['accept', 'accepted'], ['reject', 'rejected']]) {
      element(id).setAttribute('aria-pressed', String(this.shown?.state === state))
    }
  }

  private saved(text: string, isSaved: boolean): void {
    say('saved', text)
    element('saved').className = isSaved ? 'is-saved' : 'is-not-saved'
  }
}
