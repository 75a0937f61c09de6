/**
 * What the adapters for HTTP frameworks share: a request is `http.request` when it comes, before its handler runs, and
 * `http.response` when it has been answered, or `http.abort` when whoever asked has left before. Both have the same `call`.
 * Attributes hold what is small and says nothing of persons (method, route, status); path, bodies and address are parts, on
 * which the privacy policy decides. Of the headers, none is kept but `user-agent`.
 */
import { IndelibleError } from '../errors.ts'
import { newId } from '../record/id.ts'
import type { AgentEvent } from '../record/schema.ts'
import { errorFacts, fitText } from './fit.ts'
import type { Recorder } from './recorder.ts'
import type { FailureMode } from './sink.ts'
import { parseTraceparent } from './trace-context.ts'

/** Who asks. A text is the id of a user. */
export type HttpActor =
  | string
  | {
      readonly type: 'user' | 'service' | 'agent'
      readonly id: string
      readonly name?: string
      readonly on_behalf_of?: string
    }

export interface HttpOptions<Request> {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Default: the recorder's. In mode `block`, no handler runs before `http.request` is durable; the answer is 503. */
  readonly onFailure?: FailureMode
  /** Asked when a request comes, and again when it is answered: authentication may come in between. Default: `anonymous`. */
  readonly who?: (request: Request) => HttpActor | undefined
  /** Requests that leave no entry, such as those of health checks. */
  readonly skip?: (request: Request) => boolean
  /** Whether JSON and text bodies are parts `input` and `output`. Default true. */
  readonly bodies?: boolean
  /** Most that is kept of a body. Default 64 KiB. */
  readonly maxBodyBytes?: number
  readonly tenant?: string
}

export interface HttpRequestFacts {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
  readonly traceparent?: string | undefined
}

export interface HttpResponseFacts {
  readonly status: number
  /** The pattern that matched, such as `/patients/:id`. */
  readonly route?: string | undefined
  /** The request's body, if it was parsed. */
  readonly input?: unknown
  readonly inputType?: string | undefined
  readonly output?: BodyCollector
}

/** What is answered where nothing may happen unrecorded, and nothing can be recorded. */
export const REFUSED = {
  status: 503,
  body: { error: { code: 'ERR_CAPTURE_BLOCKED', message: 'the request could not be recorded' } },
} as const

const DEFAULT_MAX_BODY = 64 * 1024

export class HttpExchange<Request> {
  readonly #options: HttpOptions<Request>
  readonly #request: Request
  readonly #facts: HttpRequestFacts
  readonly #call = newId(Date.now())
  readonly #startedAt = performance.now()
  #error: unknown
  #hasFailed = false
  #isOver = false

  constructor(options: HttpOptions<Request>, request: Request, facts: HttpRequestFacts) {
    this.#options = options
    this.#request = request
    this.#facts = facts
  }

  /** `null` if the handler may run at once; else it may when this resolves, and must not if it rejects. */
  begin(): Promise<void> | null {
    const { recorder, onFailure = recorder.onFailure } = this.#options
    const { url, address, userAgent, method } = this.#facts
    const client = { ...(address && { address }), ...(userAgent && { user_agent: userAgent }) }
    const event: AgentEvent = {
      ...this.#common('http.request'),
      outcome: 'pending',
      attributes: { method },
      parts: { path: { value: url }, ...(Object.keys(client).length > 0 && { client: { value: client } }) },
    }
    if (onFailure !== 'block') {
      void recorder.emit(event, false)
      return null
    }
    return recorder.emit({ ...event, assurance: 'enforced' }, true).then(
      () => {},
      (error) => {
        this.#isOver = true
        const policy = { id: 'indelible.capture', decision: 'block' }
        void recorder.emit({ ...this.#common('policy.evaluated'), outcome: 'denied', policy }, false)
        throw error
      },
    )
  }

  /** What the handler threw; the answer says the rest. */
  fail(error: unknown): void {
    this.#hasFailed = true
    this.#error = error
  }

  respond({ status, route, input, inputType, output }: HttpResponseFacts): void {
    const { bodies = true, maxBodyBytes = DEFAULT_MAX_BODY } = this.#options
    const kept = bodies ? keptBody(input, inputType, maxBodyBytes) : undefined
    const answered = bodies ? output?.value() : undefined
    this.#end('http.response', {
      outcome: outcomeOf(status),
      attributes: {
        ...this.#routed(route),
        status,
        ...(output && { bytes: output.bytes }),
        ...((kept?.isClipped || (answered !== undefined && output?.isClipped)) && { clipped: true }),
      },
      parts: {
        ...(kept && { input: { value: kept.value } }),
        ...(answered !== undefined && { output: { value: answered } }),
      },
    })
  }

  /** Whoever asked has left. */
  abort(route?: string): void {
    this.#end('http.abort', { outcome: 'failure', attributes: this.#routed(route) })
  }

  #routed(route: string | undefined): Record<string, unknown> {
    const { method } = this.#facts
    return { method, ...(fitText(route) !== undefined && { route: fitText(route) }) }
  }

  #end(type: string, facts: Partial<AgentEvent>): void {
    if (this.#isOver) return
    this.#isOver = true
    const error = this.#hasFailed && { error: errorFacts(this.#error) }
    const ms = Math.round((performance.now() - this.#startedAt) * 1000) / 1000
    void this.#options.recorder.emit(
      { ...this.#common(type), duration_ms: ms, ...error, ...facts } as AgentEvent,
      false,
    )
  }

  #common(type: string) {
    const { tenant } = this.#options
    const trace = this.#facts.traceparent === undefined ? undefined : parseTraceparent(this.#facts.traceparent)
    return { type, call: this.#call, actor: this.#actor(), ...(tenant && { tenant }), ...(trace && { trace }) }
  }

  /** A host's function that throws must not break the host's requests. */
  #actor(): NonNullable<AgentEvent['actor']> {
    let who: HttpActor | undefined
    try {
      who = this.#options.who?.(this.#request)
    } catch {
      who = undefined
    }
    if (typeof who === 'object' && fitText(who?.id) !== undefined) {
      const { type, name, on_behalf_of: behalf } = who
      const more = { ...(name && { name }), ...(behalf && { on_behalf_of: behalf }) }
      return { type, id: fitText(who.id)!, ...more }
    }
    return { type: 'user', id: fitText(who) ?? 'anonymous' }
  }
}

/** Collects an answer as it goes by: its length, and its beginning if it is text. */
export class BodyCollector {
  bytes = 0
  isClipped = false
  readonly #maxBytes: number
  readonly #chunks: Uint8Array[] = []
  #kept = 0
  #type: string | undefined

  constructor(maxBytes: number = DEFAULT_MAX_BODY) {
    this.#maxBytes = maxBytes
  }

  /** @param type as in `content-type`; what is neither JSON nor text is counted only */
  set type(type: string | undefined) {
    this.#type = type
  }

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length
    const room = this.#maxBytes - this.#kept
    if (chunk.length > room) this.isClipped = true
    if (room <= 0) return
    // A copy, which `slice` of a Buffer is not: frameworks use theirs again.
    const piece = new Uint8Array(chunk.subarray(0, room))
    this.#chunks.push(piece)
    this.#kept += piece.length
  }

  value(): unknown {
    if (this.#kept === 0 || !isText(this.#type)) return undefined
    const text = Buffer.concat(this.#chunks).toString()
    return this.isClipped ? text : parsed(text, this.#type)
  }
}

const BODY_TYPE = /^(text\/|application\/(.+\+)?(json|xml)|application\/(x-ndjson|x-www-form-urlencoded))/i

function isText(type: string | undefined): boolean {
  return type !== undefined && BODY_TYPE.test(type)
}

function parsed(text: string, type: string | undefined): unknown {
  if (!/json/i.test(type ?? '')) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** What of a request's parsed body is kept. Bytes, streams and files of a form are not. */
function keptBody(body: unknown, type: string | undefined, maxBytes: number) {
  if (body === undefined || body === null || body === '') return undefined
  if (typeof body === 'string') {
    const isClipped = body.length > maxBytes
    return { value: isClipped ? body.slice(0, maxBytes) : parsed(body, type), isClipped }
  }
  if (typeof body === 'object' && !isText(type)) return undefined
  if (!ArrayBuffer.isView(body)) return { value: body, isClipped: false }
  const bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
  const text = Buffer.from(bytes.subarray(0, maxBytes)).toString()
  return { value: bytes.length > maxBytes ? text : parsed(text, type), isClipped: bytes.length > maxBytes }
}

function outcomeOf(status: number): NonNullable<AgentEvent['outcome']> {
  if (status === 401 || status === 403) return 'denied'
  return status < 400 ? 'success' : 'failure'
}

export function unsupported(framework: string, what: string): IndelibleError {
  return new IndelibleError('ERR_CAPTURE_UNSUPPORTED', `${framework}: ${what}`)
}
