/**
 * Adapter for `@anthropic-ai/sdk` 1: records what a client asks models, and what they answer. Tools are run by the caller's
 * own code, which records them with `run.tool`.
 *
 * It is the client's innermost middleware: it sees each attempt as it leaves, in the provider's own shape on every backend,
 * and what it throws stops the request. Nothing is imported from the package.
 */
import { MessageParts } from './anthropic-message.ts'
import { fields, text } from './fields.ts'
import { type ClientOptions, type ModelAnswer, ModelCall } from './model-call.ts'
import { ServerSentEvents } from './server-sent.ts'
import { tapStream } from './stream.ts'
import { checkVersion } from './support.ts'

export interface AnthropicOptions extends ClientOptions {
  /** Default: what the client says of itself. */
  readonly version?: string
}

type Body = Readonly<Record<string, unknown>>
type ApiRequest = { readonly url: string; readonly method?: string; readonly headers?: unknown }
type Next = (request: ApiRequest) => Promise<Response>

interface MiddlewareContext {
  readonly options?: { readonly method?: string; readonly path?: string; readonly body?: unknown }
  parse(response: Response): Promise<unknown>
}

type Middleware = (request: ApiRequest, next: Next, context: MiddlewareContext) => Promise<Response>

const MAJORS = [1]

/** Requests that a model answers at once. */
const ANSWERED = /^\/v1\/(messages|complete)(\?|$)/

const RECORDED = Symbol('recorded')

/**
 * Has a client's calls recorded from now on, also those of clients that `withOptions` makes of it. Returns the client.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordAnthropic<Client extends object>(client: Client, options: AnthropicOptions): Client {
  const version = options.version ?? versionOf(client)
  checkVersion('@anthropic-ai/sdk', version, MAJORS)
  const { middleware } = client as { middleware?: unknown }
  // Of version 1 each has it; what has none is some other client.
  if (!Array.isArray(middleware)) checkVersion('a client without middleware', undefined, MAJORS)
  const chain = middleware as (Middleware & { [RECORDED]?: true })[]
  if (chain.some((one) => one[RECORDED])) return client
  const sdk = `@anthropic-ai/sdk/${version}`
  const record: Middleware = (request, next, context) => recordRequest(request, next, context, options, sdk)
  chain.push(Object.assign(record, { [RECORDED]: true as const }))
  return client
}

/** `Anthropic/JS 1.11.0`. */
function versionOf(client: object): string | undefined {
  const { getUserAgent } = client as { getUserAgent?: () => unknown }
  const agent = typeof getUserAgent === 'function' ? getUserAgent.call(client) : undefined
  return typeof agent === 'string' ? /\/JS (\S+)/.exec(agent)?.[1] : undefined
}

async function recordRequest(
  request: ApiRequest,
  next: Next,
  context: MiddlewareContext,
  options: AnthropicOptions,
  sdk: string,
): Promise<Response> {
  const asked = askedOf(context)
  if (!asked) return next(request)
  const { model, ...input } = asked
  const attempt = attemptOf(request.headers)
  const call = await ModelCall.begin(options, {
    adapter: 'anthropic',
    sdk,
    model: { name: typeof model === 'string' ? model : 'unknown', provider: 'anthropic' },
    input,
    ...(attempt > 0 && { attributes: { attempt } }),
  })
  let response: Response
  try {
    response = await next(request)
  } catch (error) {
    call.failed(error)
    throw error
  }
  if (!response.ok) call.failed(await refusalOf(response, context))
  else if (asked.stream === true) return recordStream(response, call)
  else await call.answered(await answerOf(response, context))
  return response
}

/** The body of a request to a model; `null` for all others. */
function askedOf({ options }: MiddlewareContext): Body | null {
  if (options?.method?.toLowerCase() !== 'post' || !ANSWERED.test(options.path ?? '')) return null
  const { body } = options
  return typeof body === 'object' && body !== null ? (body as Body) : {}
}

function attemptOf(headers: unknown): number {
  const count = headers instanceof Headers ? Number(headers.get('x-stainless-retry-count')) : 0
  return Number.isSafeInteger(count) ? count : 0
}

async function answerOf(response: Response, context: MiddlewareContext): Promise<ModelAnswer> {
  let answer: unknown
  try {
    answer = await context.parse(response)
  } catch {
    // The client will say what it makes of it.
    return { attributes: { unreadable: true } }
  }
  const { content, completion, stop_reason, model, usage } = fields(answer)
  return { output: { content: content ?? completion ?? answer, stop_reason }, usage, model: text(model) }
}

/** What the provider refused a request with, as an error that can be recorded. */
async function refusalOf(response: Response, context: MiddlewareContext): Promise<unknown> {
  let body: unknown
  try {
    body = await context.parse(response)
  } catch {
    body = undefined
  }
  const { error } = (body ?? {}) as { error?: { type?: unknown; message?: unknown } }
  return { name: error?.type ?? 'APIError', code: response.status, message: error?.message ?? body ?? '' }
}

/** The answer passes as bytes, at the pace of who reads it. */
function recordStream(response: Response, call: ModelCall): Response {
  if (!response.body) {
    void call.answered({ attributes: { streamed: true } }).catch(() => {})
    return response
  }
  const message = new MessageParts()
  const answered = (more: object = {}) => {
    const attributes = { streamed: true, ...(message.isClipped && { clipped: true }), ...more }
    // In mode block too: what has gone by cannot be taken back, and the spool or the gap will say so.
    void call.answered({ ...message.answer(), attributes }).catch(() => {})
  }
  const events = new ServerSentEvents((event) => {
    message.add(event)
    if (message.error) call.failed(message.error)
    else if (message.isComplete) answered()
  })
  const tapped = tapStream(
    response.body,
    (end) => {
      if (end.how === 'failed') call.failed(end.error)
      else answered(end.how === 'left' ? { left: true } : {})
    },
    (bytes) => events.push(bytes as Uint8Array),
  )
  if (!tapped) return response
  const { status, statusText, headers } = response
  return new Response(tapped.stream as ReadableStream, { status, statusText, headers })
}
