// What stands on the page beside the scan.
import type { Item, Session } from './api'
import type { Keys } from './keys'

/** The element with this id, which page.html has. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id)
  if (!found) throw new Error(`page.html has no #${id}`)
  return found as T
}

export function say(id: string, text: string): void {
  const place = element(id)
  if (place.textContent !== text) place.textContent = text
}

/** Text in place of the scan; '' takes it away. */
export function notice(text: string): void {
  say('notice', text)
  element('notice').hidden = text === ''
}

/** A line above the scan; '' takes it away. */
export function message(text: string): void {
  say('message', text)
  element('message').hidden = text === ''
}

/** A button in one of the page's rows: its text, and its key. */
export function button(row: string, text: string, key: string, act: () => void): HTMLButtonElement {
  const made = document.createElement('button')
  made.type = 'button'
  made.append(text)
  if (key) {
    const kbd = document.createElement('kbd')
    kbd.textContent = key
    made.append(' ', kbd)
  }
  made.addEventListener('click', (event) => {
    // After a click the space bar must not press it again, on the next item.
    if (event.detail > 0) made.blur()
    act()
  })
  element(row).append(made)
  return made
}

/** Marks one button of a row as the one that holds. */
export function press(row: string, index: number): void {
  for (const [i, child] of [...element(row).children].entries()) child.setAttribute('aria-pressed', String(i === index))
}

export function nameOf(choice: string): string {
  return choice[0].toUpperCase() + choice.slice(1).replaceAll('_', ' ')
}

export function progress(items: Item[], at: number): void {
  const done = items.filter((item) => item.answer !== null).length
  const bar = element<HTMLProgressElement>('progress')
  bar.max = items.length
  bar.value = done
  const where = at < items.length ? `${at + 1} of ${items.length}` : `${items.length} items`
  say('count', `${where} · ${done} answered`)
}

/** The list of all items, and what is left. */
export function list(session: Session, isSaved: boolean, go: (index: number) => void): void {
  const left = session.items.filter((item) => item.answer === null).length
  const done = isSaved ? 'All items are answered and saved. Thank you.' : 'All items are answered; they are being saved …'
  say('list-title', left === 0 ? done : left === 1 ? 'One item is left' : `${left} items are left`)
  say('list-text', left === 0 ? 'You may close this page, or go back to any item.' : 'Choose an item to go to it.')
  const rows = session.items.map((item, i) => {
    const made = document.createElement('button')
    made.type = 'button'
    made.textContent = String(i + 1)
    made.className = item.answer === null ? 'left' : ''
    made.setAttribute('aria-label', `Item ${i + 1}, ${item.answer === null ? 'not answered' : 'answered'}`)
    made.addEventListener('click', () => go(i))
    return made
  })
  element('list-items').replaceChildren(...rows)
}

/** The keys in a few lines. */
export function help(keys: Keys): void {
  const lines = [
    '↑ ↓  PgUp PgDn  slices (or wheel)',
    keys.planesByDigit ? '1 2 3 or V  plane' : 'V  plane',
    'W  window (or drag with the right button)',
    '+ −  size   Home  back to the lesion',
    '← →  items   E  all items',
  ]
  say('help', lines.join('\n'))
}
