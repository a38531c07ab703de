// What the viewer's server says and takes. Paths are relative: the page lies at /v/TOKEN/.
import { Refused, post, read, words } from './api'

const CONFLICT = 409

export type State = 'open' | 'outdated' | 'accepted' | 'rejected'

export type Verdict = 'accepted' | 'rejected'

/** No: the case's record is not the one that the verdict is on. */
export class Changed extends Refused {}

export interface Listed {
  name: string
  tumors: number
  warned: number
  state: State
  has_healthy: boolean
  problem: string | null
}

export interface Tumor {
  number: number | null
  organ: string | null
  method: string | null
  size: string | null
  centre_vox: [number, number, number] | null
  centre_mm: [number, number, number] | null
  equivalent_diameter_mm: number | null
  inside_hu: number | null
  around_hu: number | null
  grade: string | null
  rejected: number | null
  warnings: string[]
  has_mass_effect: boolean
}

export interface Details {
  name: string
  has_healthy: boolean
  has_labels: boolean
  has_tumors: boolean
  problem: string | null
  record: {
    case: string | null
    copy: number | null
    method: string | null
    seed: number | null
    labels: Record<string, string>
    tumors: Tumor[]
  } | null
  record_sha256: string | null
  state: State
  review: { verdict: Verdict; note: string } | null
}

export async function cases(): Promise<{ can_review: boolean; cases: Listed[] }> {
  return (await read('api/cases')).json()
}

export async function details(index: number): Promise<Details> {
  return (await read(`api/cases/${index}`)).json()
}

/** A scan of hundreds of megabytes takes longer than other requests may. Throws Refused, or another error when the server is away. */
export async function image(index: number, name: string, signal: AbortSignal): Promise<ArrayBuffer> {
  const reply = await fetch(`cases/${index}/${name}.nii.gz`, { cache: 'no-store', signal })
  if (!reply.ok) throw new Refused(await words(reply))
  return reply.arrayBuffer()
}

/** Throws Changed, Refused, or another error when the server is away. */
export async function review(index: number, verdict: Verdict, note: string, record_sha256: string): Promise<void> {
  const reply = await post('api/review', { case: String(index), verdict, note, record_sha256 })
  if (reply.status === CONFLICT) throw new Changed(await words(reply))
  if (!reply.ok) throw new Refused(await words(reply))
}
