// A case's record in words.
import type { Details, Tumor } from './cases'

const rounded = (value: number | null) => (value === null ? '?' : String(Math.round(value)))

const joined = (parts: (string | false | null | undefined | 0)[], by: string) => parts.filter(Boolean).join(by)

/** What is known of the whole case, in a line. */
export function about({ record }: Details): string {
  if (!record) return ''
  const labels = Object.entries(record.labels).map(([value, name]) => `${value} ${name}`)
  return joined(
    [
      record.case && `from ${record.case}`,
      record.copy !== null && `copy ${record.copy}`,
      record.method,
      record.seed !== null && `seed ${record.seed}`,
      labels.join(', '),
    ],
    ' · ',
  )
}

/** A tumor in a few lines: what, how large, where, and what the gate says. */
export function lines(tumor: Tumor): string {
  const rejected = tumor.rejected ? ` (after ${tumor.rejected} rejected)` : ''
  const what = [`Tumor ${tumor.number ?? '?'}`, tumor.organ, tumor.size, tumor.method]
  const how = [
    tumor.equivalent_diameter_mm !== null && `${tumor.equivalent_diameter_mm.toFixed(1)} mm`,
    tumor.inside_hu !== null && `${rounded(tumor.inside_hu)} HU in ${rounded(tumor.around_hu)} HU`,
    tumor.has_mass_effect && 'mass effect',
  ]
  const place = tumor.centre_mm && `at ${tumor.centre_mm.map(Math.round).join(', ')} mm RAS`
  const gate = tumor.grade && `gate: ${tumor.grade}${rejected}`
  return joined([joined(what, ' · '), joined(how, ' · '), place, gate, ...tumor.warnings], '\n')
}

/** Whether the gate warns of it. */
export function isWarnedOf(tumor: Tumor): boolean {
  return tumor.grade !== null && tumor.grade !== 'pass'
}

/** The largest tumor whose place is known. */
export function largest(tumors: Tumor[]): Tumor | undefined {
  const size = (tumor: Tumor) => tumor.equivalent_diameter_mm ?? 0
  return tumors.filter((tumor) => tumor.centre_vox).sort((a, b) => size(b) - size(a))[0]
}

/** The keys. */
export const HELP = [
  '↑ ↓ PgUp PgDn  slices   1 2 3 V  plane',
  'W  window   + −  size   Home  back   C  cross',
  'M  masks   B  before/after   Tab ↵  tumors',
  'A X  verdict   T  note (Esc leaves it)',
  'N P or ← →  cases',
].join('\n')
