// What the server says and takes. Paths are relative: the page lies at /r/TOKEN/.

export interface Item {
  id: string
  centre_vox: [number, number, number]
  answer: string | null
  revision: number
}

export interface Session {
  reader: string
  title: string
  kind: 'visual_turing' | 'organ_recognition'
  choices: string[]
  window_hu: [number, number]
  items: Item[]
}

/** An answer on its way; `client_id` makes it the same answer however often it is sent. */
export interface Sent {
  item: string
  answer: string
  client_id: string
  expected_revision: number
  reading_ms: number
}

/** What became of an answer. */
export type Outcome =
  | { is: 'kept' }
  | { is: 'stale'; answer: string | null; revision: number }
  | { is: 'refused'; message: string }

/** No, in words for the reader; asking again is of no use. */
export class Refused extends Error {}

const PATIENCE_MS = 15_000

async function ask(path: string, options: RequestInit = {}): Promise<Response> {
  return fetch(path, { ...options, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) })
}

/** Whether the same request may succeed later. */
function passes(status: number): boolean {
  return status >= 500 || status === 408 || status === 429
}

export async function words(reply: Response): Promise<string> {
  const body = await reply.json().catch(() => ({}))
  return typeof body.message === 'string' ? body.message : `The server answered ${reply.status}.`
}

export async function read(path: string): Promise<Response> {
  const reply = await ask(path)
  if (reply.ok) return reply
  if (passes(reply.status)) throw new Error(`status ${reply.status}`)
  throw new Refused(await words(reply))
}

/** Throws Refused, or another error when the server is away. */
export async function session(): Promise<Session> {
  return (await read('api/session')).json()
}

/** Throws Refused, or another error when the server is away. */
export async function volume(id: string): Promise<ArrayBuffer> {
  return (await read(`volumes/${id}.nii.gz`)).arrayBuffer()
}

/** As the servers take it from their own pages alone. Throws when the server is away, or slow. */
export async function post(path: string, value: unknown): Promise<Response> {
  const headers = { 'Content-Type': 'application/json', 'X-Difftumor-Study': '1' }
  return ask(path, { method: 'POST', headers, body: JSON.stringify(value) })
}

/** Throws when the server is away. */
export async function send(answer: Sent): Promise<Outcome> {
  const reply = await post('api/answers', answer)
  if (reply.ok) return { is: 'kept' }
  if (passes(reply.status)) throw new Error(`status ${reply.status}`)
  const body = await reply.clone().json().catch(() => ({}))
  if (body.error === 'stale') return { is: 'stale', answer: body.answer, revision: body.revision }
  return { is: 'refused', message: await words(reply) }
}

/** Asks until the server is there: after 1 s, 2 s, 4 s, at most 15 s. Refusals are thrown. */
export async function patiently<T>(request: () => Promise<T>, onWait: (seconds: number) => void): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await request()
    } catch (error) {
      if (error instanceof Refused) throw error
      const seconds = Math.min(15, 2 ** attempt)
      onWait(seconds)
      await new Promise((resume) => setTimeout(resume, 1000 * seconds))
    }
  }
}
