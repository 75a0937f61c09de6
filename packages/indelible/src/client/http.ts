/** Requests of the client: retried where that is safe, and refusals as errors with stable codes. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { ERROR_CODES, IndelibleError, type IndelibleErrorCode } from '../errors.ts'

export interface HttpOptions {
  /** Where the server is, such as `https://audit.example`. */
  readonly url: string
  /** API key, or a token of the identity provider. A function is asked for each request: tokens expire. */
  readonly key: string | (() => string | Promise<string>)
  /** For operators: the tenant that everything is about. */
  readonly tenant?: string
  /** How often a request is made again. Default 3. */
  readonly retries?: number
  /** How long one attempt may take, ms. Default 10 s. */
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

/** A server that answered, and refused. `code` is that of the library where it has it, else `ERR_SERVER_REFUSED`. */
export class ServerError extends IndelibleError {
  override readonly name = 'ServerError'
  readonly status: number
  /** As the server gave it, such as `ERR_FORBIDDEN`. */
  readonly serverCode: string
  /** Names the request in the server's own log. */
  readonly requestId: string | undefined
  /** When to ask again, ms. */
  readonly retryAfterMs: number | undefined
  /** With `ERR_OUTCOME_UNKNOWN`: for each event the id to repeat it with, `null` for one that was refused. */
  readonly ids: readonly (string | null)[] | undefined

  constructor(
    code: IndelibleErrorCode,
    message: string,
    answer: Pick<ServerError, 'status' | 'serverCode' | 'requestId' | 'retryAfterMs' | 'ids'>,
  ) {
    super(code, message)
    this.status = answer.status
    this.serverCode = answer.serverCode
    this.requestId = answer.requestId
    this.retryAfterMs = answer.retryAfterMs
    this.ids = answer.ids
  }
}

export interface Asked {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** `null`: not about a tenant, whatever the options name. */
  readonly tenant?: null
  /** Whether doing it twice is as doing it once. Default: of `GET`. */
  readonly isIdempotent?: boolean
  readonly retries?: number
  /** `null`: as long as it takes. */
  readonly timeoutMs?: number | null
  readonly signal?: AbortSignal
}

const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 5000
/** Shorter bodies are not worth packing, bytes. */
const PACK_BYTES = 16_384
const pack = promisify(gzip)
const known = new Set<string>(ERROR_CODES)

export class Http {
  readonly #options: HttpOptions
  readonly #base: string

  constructor(options: HttpOptions) {
    this.#options = options
    const { protocol, href } = new URL(options.url)
    if (protocol !== 'http:' && protocol !== 'https:') throw new TypeError('url: expected http or https')
    this.#base = href.replace(/\/+$/, '')
  }

  async json<T>(path: string, asked: Asked = {}): Promise<T> {
    return (await (await this.send(path, asked)).json()) as T
  }

  /**
   * @throws IndelibleError `ERR_SERVER_UNREACHABLE` if no answer came; what was asked may have been done. {@link ServerError} for a
   * refusal
   */
  async send(path: string, asked: Asked = {}): Promise<Response> {
    const { method = 'GET', isIdempotent = method === 'GET', retries = this.#options.retries ?? 3 } = asked
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(path, method, asked)
      } catch (error) {
        if (asked.signal?.aborted || attempt >= retries || !mayRepeat(error, isIdempotent)) throw error
        // Not all at once: whoever was refused together would come back together.
        const pause = Math.min(FIRST_PAUSE_MS * 2 ** attempt, MAX_PAUSE_MS) * (0.5 + Math.random() / 2)
        const asks = error instanceof ServerError ? (error.retryAfterMs ?? 0) : 0
        if (asks > 60_000) throw error
        await new Promise((resolve) => setTimeout(resolve, Math.max(pause, asks)))
      }
    }
  }

  async #attempt(path: string, method: string, asked: Asked): Promise<Response> {
    const { key, tenant, fetch: request = fetch, timeoutMs: usual = 10_000 } = this.#options
    const timeoutMs = asked.timeoutMs === undefined ? usual : asked.timeoutMs
    const signals = [asked.signal, timeoutMs === null ? undefined : AbortSignal.timeout(timeoutMs)]
    const text = asked.body === undefined ? undefined : JSON.stringify(asked.body)
    const isLong = text !== undefined && text.length > PACK_BYTES
    let response: Response
    try {
      response = await request(`${this.#base}${path}${queryText(asked.query)}`, {
        method,
        headers: {
          authorization: `Bearer ${typeof key === 'string' ? key : await key()}`,
          ...(tenant !== undefined && asked.tenant !== null && { 'indelible-tenant': tenant }),
          ...(text !== undefined && { 'content-type': 'application/json' }),
          ...(isLong && { 'content-encoding': 'gzip' }),
          ...asked.headers,
        },
        ...(text !== undefined && { body: isLong ? new Uint8Array(await pack(text)) : text }),
        signal: AbortSignal.any(signals.filter((signal) => signal !== undefined)),
        // A redirect could take the key elsewhere.
        redirect: 'error',
      })
    } catch (cause) {
      throw new IndelibleError('ERR_SERVER_UNREACHABLE', 'the server cannot be reached, or did not answer in time', {
        cause,
      })
    }
    if (response.ok) return response
    throw await refusal(response)
  }
}

async function refusal(response: Response): Promise<IndelibleError> {
  const { status } = response
  let problem: { code?: unknown; detail?: unknown; request_id?: unknown; ids?: unknown } = {}
  try {
    problem = (await response.json()) as typeof problem
  } catch {
    // Of a proxy, or cut off.
  }
  const isOurs = typeof problem?.code === 'string'
  if (!isOurs && status >= 500) {
    return new IndelibleError('ERR_SERVER_UNREACHABLE', `what is before the server answers ${status}`)
  }
  const serverCode = isOurs ? (problem.code as string) : String(status)
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  const code = known.has(serverCode)
    ? (serverCode as IndelibleErrorCode)
    : status === 429 || status === 503
      ? 'ERR_OVERLOADED'
      : 'ERR_SERVER_REFUSED'
  const detail = typeof problem?.detail === 'string' ? problem.detail : 'no reason given'
  return new ServerError(code, `server refuses (${status} ${serverCode}): ${detail}`, {
    status,
    serverCode,
    requestId: typeof problem?.request_id === 'string' ? problem.request_id : undefined,
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined,
    ids: Array.isArray(problem?.ids) ? problem.ids.map((id) => (typeof id === 'string' ? id : null)) : undefined,
  })
}

/** Of what is not idempotent: only if it is certain that nothing was done. */
function mayRepeat(error: unknown, isIdempotent: boolean): boolean {
  if (error instanceof ServerError) return error.status === 429 || (isIdempotent && error.status === 503)
  return isIdempotent
}

function queryText(query: Asked['query'] = {}): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one))
  }
  const text = parameters.toString()
  return text === '' ? '' : `?${text}`
}
