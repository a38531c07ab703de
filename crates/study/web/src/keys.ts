// Which key does what.
import type { Session } from './api'

/** Keys of commands, by `KeyboardEvent.key` in lower case. Digits select planes where they are not answers. */
const COMMANDS: Record<string, Command> = {
  arrowup: 'up',
  arrowdown: 'down',
  pageup: 'page-up',
  pagedown: 'page-down',
  arrowleft: 'back',
  backspace: 'back',
  arrowright: 'forward',
  home: 'centre',
  '+': 'larger',
  '=': 'larger',
  '-': 'smaller',
  w: 'window',
  v: 'plane',
  x: 'crosshair',
  p: 'rest',
  e: 'list',
}

export type Command =
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'back'
  | 'forward'
  | 'centre'
  | 'larger'
  | 'smaller'
  | 'window'
  | 'plane'
  | 'crosshair'
  | 'rest'
  | 'list'

export type Action = { command: Command } | { answer: string } | { plane: number }

export interface Keys {
  /** What a key does, by its lower-case name. */
  actions: Map<string, Action>
  /** The key written on each choice's button, in the order of choices. */
  ofChoices: string[]
  /** Whether digits select planes. */
  planesByDigit: boolean
}

/** Real or synthetic: first letters, and digits select planes. Organs: digits, and first letters that nothing else has. */
export function keysOf({ kind, choices }: Session): Keys {
  const actions = new Map<string, Action>(Object.entries(COMMANDS).map(([key, command]) => [key, { command }]))
  const initials = choices.map((choice) => choice[0].toLowerCase())
  const byLetter = kind === 'visual_turing'
  const ofChoices = choices.map((answer, i) => {
    const letter = initials[i]
    const isFree = !actions.has(letter) && initials.filter((other) => other === letter).length === 1
    if (isFree) actions.set(letter, { answer })
    if (!byLetter && i < 9) actions.set(String(i + 1), { answer })
    return byLetter || i >= 9 ? letter.toUpperCase() : isFree ? `${i + 1}/${letter.toUpperCase()}` : String(i + 1)
  })
  if (byLetter) for (const plane of [0, 1, 2]) actions.set(String(plane + 1), { plane })
  return { actions, ofChoices, planesByDigit: byLetter }
}
