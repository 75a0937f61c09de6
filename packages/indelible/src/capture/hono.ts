/**
 * Adapter for Hono 4, on any runtime: a middleware, to stand before the routes.
 *
 *     app.use(recordHono({ recorder: log.recorder, who: (c) => c.get('user') }))
 */
import { BodyCollector, HttpExchange, type HttpOptions, REFUSED, unsupported } from './http.ts'
import { checkVersion } from './support.ts'

export type { HttpActor, HttpOptions } from './http.ts'

export interface HonoContext {
  readonly req: {
    readonly raw: Request
    readonly method: string
    readonly url: string
    header(name: string): string | undefined
    text(): Promise<string>
    readonly bodyCache?: object
    readonly matchedRoutes?: readonly { readonly method: string; readonly path: string }[]
  }
  res: Response
  readonly error?: Error | undefined
  json(body: object, status: 503): Response
}

export interface HonoOptions extends HttpOptions<HonoContext> {
  /** Of the package, which does not say it at run time. Without, only its shape is checked. */
  readonly version?: string
  /** Where the request came from, which only the runtime knows. */
  readonly address?: (context: HonoContext) => string | undefined
}

// biome-ignore lint/suspicious/noExplicitAny: hosts hand in the types of their framework
type HonoMiddleware = (context: any, next: () => Promise<void>) => Promise<Response | undefined>

/** @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`, from the middleware for what is no context of Hono 4 */
export function recordHono(options: HonoOptions): HonoMiddleware {
  if (options.version !== undefined) checkVersion('hono', options.version, [4])
  return async (context: HonoContext, next) => {
    const { req } = context
    if (typeof req?.bodyCache !== 'object' || !(req.raw instanceof Request)) {
      throw unsupported('hono', 'expected a context of version 4')
    }
    if (options.skip?.(context)) {
      await next()
      return undefined
    }
    const { pathname, search } = new URL(req.url)
    const exchange = new HttpExchange(options, context, {
      method: req.method,
      url: pathname + search,
      address: options.address?.(context),
      userAgent: req.header('user-agent'),
      traceparent: req.header('traceparent'),
    })
    try {
      await exchange.begin()
    } catch {
      return context.json(REFUSED.body, REFUSED.status)
    }
    const left = () => exchange.abort(routeOf(context))
    const { signal } = req.raw
    signal.addEventListener('abort', left, { once: true })
    await next()
    if (context.error) exchange.fail(context.error)
    const { res } = context
    const output = new BodyCollector(options.maxBodyBytes)
    output.type = res.headers.get('content-type') ?? undefined
    const input = await parsedBody(context)
    const respond = () => {
      signal.removeEventListener('abort', left)
      const inputType = req.header('content-type')
      exchange.respond({ status: res.status, route: routeOf(context), input, inputType, output })
    }
    if (res.body === null || req.method === 'HEAD') respond()
    else context.res = new Response(tap(res.body, output, respond, left, options.maxBodyBytes), res)
    return undefined
  }
}

/** The body as text, if the handler has read it: nobody else may take it from the stream. */
async function parsedBody({ req }: HonoContext): Promise<string | undefined> {
  const cached = Object.keys(req.bodyCache ?? {})
  if (!cached.some((kind) => kind === 'json' || kind === 'text' || kind === 'parsedBody')) return undefined
  try {
    return await req.text()
  } catch {
    return undefined
  }
}

/** The last route that is no middleware. */
function routeOf({ req }: HonoContext): string | undefined {
  return req.matchedRoutes?.findLast(({ method }) => method !== 'ALL')?.path
}

const DEFAULT_AHEAD = 64 * 1024

/** Reads ahead a little, so that short answers are recorded though nobody reads them; not more, whatever the length. */
function tap(
  source: ReadableStream<Uint8Array>,
  output: BodyCollector,
  ended: () => void,
  left: () => void,
  aheadBytes: number = DEFAULT_AHEAD,
): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            ended()
            controller.close()
            return
          }
          output.add(value)
          controller.enqueue(value)
        } catch (error) {
          left()
          controller.error(error)
        }
      },
      async cancel(reason) {
        left()
        await reader.cancel(reason)
      },
    },
    { highWaterMark: aheadBytes, size: (chunk) => chunk?.byteLength ?? 1 },
  )
}
