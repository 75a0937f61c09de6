/**
 * Adapter for Express 5: a middleware, to stand before the routes, and a handler of errors, to stand behind them.
 *
 *     const audit = recordExpress({ recorder: log.recorder, who: (req) => req.user?.id })
 *     app.use(audit)
 *     app.use(audit.errors)   // last
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BodyCollector, HttpExchange, type HttpOptions, REFUSED, unsupported } from './http.ts'
import { checkVersion } from './support.ts'

export type { HttpActor, HttpOptions } from './http.ts'

/** What the framework adds to Node's request. */
export interface ExpressRequest extends IncomingMessage {
  readonly originalUrl: string
  readonly baseUrl: string
  readonly ip?: string
  readonly body?: unknown
  readonly route?: { readonly path?: unknown }
  readonly app?: unknown
}

type Next = (error?: unknown) => void

export interface ExpressRecorder {
  // biome-ignore lint/suspicious/noExplicitAny: hosts hand in the types of their framework
  (request: any, response: any, next: Next): void
  /** Notes what a handler threw, and hands it on. */
  readonly errors: (error: unknown, request: object, response: unknown, next: Next) => void
}

export interface ExpressOptions extends HttpOptions<ExpressRequest> {
  /** Of the package, which does not say it at run time. Without, only its shape is checked. */
  readonly version?: string
}

/** @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`, given to `next` for what is no application of Express 5 */
export function recordExpress(options: ExpressOptions): ExpressRecorder {
  if (options.version !== undefined) checkVersion('express', options.version, [5])
  const exchanges = new WeakMap<object, HttpExchange<ExpressRequest>>()
  const record = (request: ExpressRequest, response: ServerResponse, next: Next) => {
    if (!isExpress5(request.app)) {
      next(unsupported('express', 'expected an application of version 5'))
      return
    }
    if (exchanges.has(request) || options.skip?.(request)) {
      next()
      return
    }
    const exchange = new HttpExchange(options, request, {
      method: request.method ?? 'GET',
      url: request.originalUrl,
      address: request.ip,
      userAgent: request.headers['user-agent'],
      traceparent: textOf(request.headers.traceparent),
    })
    exchanges.set(request, exchange)
    const output = tapResponse(response, options.maxBodyBytes)
    response.once('finish', () => {
      output.type = textOf(response.getHeader('content-type'))
      exchange.respond({
        status: response.statusCode,
        route: routeOf(request),
        input: request.body,
        inputType: request.headers['content-type'],
        output,
      })
    })
    response.once('close', () => {
      if (!response.writableFinished) exchange.abort(routeOf(request))
    })
    const begun = exchange.begin()
    if (!begun) {
      next()
      return
    }
    begun.then(
      () => next(),
      () => {
        response.statusCode = REFUSED.status
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(REFUSED.body))
      },
    )
  }
  return Object.assign(record, {
    errors(error: unknown, request: object, _response: unknown, next: Next) {
      exchanges.get(request)?.fail(error)
      next(error)
    },
  })
}

/** Version 4 makes its router when it needs it, by a method that version 5 no longer has. */
function isExpress5(app: unknown): boolean {
  return typeof app === 'function' && 'set' in app && !('lazyrouter' in app)
}

/** Sees what is written on its way, whoever writes it. */
function tapResponse(response: ServerResponse, maxBytes: number | undefined): BodyCollector {
  const output = new BodyCollector(maxBytes)
  const note = (chunk: unknown, encoding: unknown) => {
    if (typeof chunk === 'string') {
      output.add(Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'))
    } else if (chunk instanceof Uint8Array) output.add(chunk)
  }
  for (const name of ['write', 'end'] as const) {
    const original = response[name].bind(response) as (...args: unknown[]) => unknown
    const tapped = (...args: unknown[]) => {
      note(args[0], args[1])
      return original(...args)
    }
    Object.assign(response, { [name]: tapped })
  }
  return output
}

function routeOf({ route, baseUrl }: ExpressRequest): string | undefined {
  return route?.path === undefined ? undefined : `${baseUrl}${String(route.path)}`
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
