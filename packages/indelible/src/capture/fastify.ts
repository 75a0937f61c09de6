/**
 * Adapter for Fastify 5: a plugin, to be registered before the routes.
 *
 *     await app.register(recordFastify({ recorder: log.recorder, who: (request) => request.user?.id }))
 */
import { BodyCollector, HttpExchange, type HttpOptions, REFUSED } from './http.ts'
import { checkVersion } from './support.ts'

export type { HttpActor, HttpOptions } from './http.ts'

export interface FastifyRequest {
  readonly method: string
  readonly url: string
  readonly ip?: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body?: unknown
  readonly routeOptions?: { readonly url?: string | undefined }
}

interface FastifyReply {
  readonly statusCode: number
  code(status: number): FastifyReply
  send(body: unknown): FastifyReply
  getHeader(name: string): unknown
}

interface FastifyInstance {
  readonly version: string
  addHook(name: string, hook: (...args: never[]) => unknown): unknown
}

/** A request under way. */
interface Entry {
  readonly exchange: HttpExchange<FastifyRequest>
  readonly output: BodyCollector
  isRefused: boolean
}

/**
 * Hooks go to the instance that registers the plugin, and not only to one of its own.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` when it is registered with a version that it does not know
 */
// biome-ignore lint/suspicious/noExplicitAny: hosts hand in the types of their framework
export function recordFastify(options: HttpOptions<any>): (instance: any, pluginOptions?: unknown) => Promise<void> {
  const entries = new WeakMap<object, Entry>()
  const plugin = async (instance: FastifyInstance) => {
    checkVersion('fastify', instance.version, [5])
    instance.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
      if (options.skip?.(request)) return undefined
      const exchange = new HttpExchange(options, request, {
        method: request.method,
        url: request.url,
        address: request.ip,
        userAgent: textOf(request.headers['user-agent']),
        traceparent: textOf(request.headers.traceparent),
      })
      const entry = { exchange, output: new BodyCollector(options.maxBodyBytes), isRefused: false }
      entries.set(request, entry)
      try {
        await exchange.begin()
      } catch {
        entry.isRefused = true
        return reply.code(REFUSED.status).send(REFUSED.body)
      }
      return undefined
    })
    instance.addHook('onSend', async (request: FastifyRequest, reply: FastifyReply, payload: unknown) => {
      const entry = entries.get(request)
      if (!entry || entry.isRefused) return payload
      entry.output.type = textOf(reply.getHeader('content-type'))
      return tap(payload, entry.output)
    })
    instance.addHook('onError', async (request: FastifyRequest, _reply: FastifyReply, error: unknown) => {
      entries.get(request)?.exchange.fail(error)
    })
    instance.addHook('onResponse', async (request: FastifyRequest, reply: FastifyReply) => {
      const entry = entries.get(request)
      entry?.exchange.respond({
        status: reply.statusCode,
        route: request.routeOptions?.url,
        input: request.body,
        inputType: textOf(request.headers['content-type']),
        output: entry.output,
      })
    })
    instance.addHook('onRequestAbort', async (request: FastifyRequest) => {
      entries.get(request)?.exchange.abort(request.routeOptions?.url)
    })
  }
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'indelible',
  })
}

interface NodeStream {
  on(event: 'data', listener: (chunk: unknown) => void): unknown
  pipe: unknown
  pause(): unknown
}

/** Streams are counted as they go by. */
function tap(payload: unknown, output: BodyCollector): unknown {
  if (typeof payload === 'string') output.add(Buffer.from(payload))
  else if (payload instanceof Uint8Array) output.add(payload)
  else if (payload instanceof ReadableStream) {
    return payload.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          note(chunk, output)
          controller.enqueue(chunk)
        },
      }),
    )
  } else if (isNodeStream(payload)) {
    payload.on('data', (chunk) => note(chunk, output))
    // Listening has set it flowing; whoever pipes it does so again.
    payload.pause()
  }
  return payload
}

function isNodeStream(payload: unknown): payload is NodeStream {
  return typeof payload === 'object' && payload !== null && typeof (payload as NodeStream).pipe === 'function'
}

function note(chunk: unknown, output: BodyCollector): void {
  if (typeof chunk === 'string') output.add(Buffer.from(chunk))
  else if (chunk instanceof Uint8Array) output.add(chunk)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
