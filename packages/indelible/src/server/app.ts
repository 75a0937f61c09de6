/** The HTTP API: from Request to Response. What listens is in `listen.ts`. */
import { randomUUID } from 'node:crypto'
import { OpenAPIHono } from '@hono/zod-openapi'
import { cors } from 'hono/cors'
import { routePath } from 'hono/route'
import { TrieRouter } from 'hono/router/trie-router'
import { secureHeaders } from 'hono/secure-headers'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { VERSION } from '../version.ts'
import type { Authenticator } from './auth.ts'
import { HttpProblem, type ProblemBody, problemOf } from './problem.ts'
import { ROUTES } from './routes/index.ts'
import { addOperation } from './routes/operate.ts'
import { addReference, type OpenApiDocument, REFERENCE_STYLE } from './routes/reference.ts'
import type { ServerContext, Service, Variables } from './service.ts'

export interface AppParts {
  readonly service: Service
  readonly auth: Authenticator
  /** Told of each sign-in that failed. */
  readonly onSignInFailure: () => void
  /** Whether events would be taken; throws if not. */
  readonly probe: () => Promise<void>
}

export type App = OpenAPIHono<{ Variables: Variables }>

/** Paths that need no key. */
const OPEN = new Set(['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs'])

export function createApp({ service, auth, onSignInFailure, probe }: AppParts): App {
  const app: App = new OpenAPIHono<{ Variables: Variables }>({
    defaultHook: (result) => {
      if (result.success) return
      const [issue] = result.error.issues
      const where = issue!.path.map(String).join('.')
      throw new HttpProblem(400, 'ERR_REQUEST_INVALID', `${where === '' ? 'request' : where}: ${issue!.message}`)
    },
  })
  const limiter = limiterOf(service.config.rate_limit)
  const policy = { defaultSrc: ["'none'"], styleSrc: [REFERENCE_STYLE] }
  app.use(secureHeaders({ contentSecurityPolicy: policy, xFrameOptions: 'DENY' }))
  const { cors: origins } = service.config
  if (origins.length > 0) app.use(cors({ origin: origins.includes('*') ? '*' : [...origins], maxAge: 600 }))
  app.use(async (c, next) => {
    const begun = performance.now()
    c.set('requestId', randomUUID())
    c.header('x-request-id', c.get('requestId'))
    await next()
    const route = routeOf(c)
    service.metrics.count('requests', { route, status: String(c.res.status) })
    service.metrics.observe('request_seconds', { route }, (performance.now() - begun) / 1000)
  })
  app.use(async (c, next) => {
    const { path } = c.req
    const isOpen = OPEN.has(path) || (service.config.public_tiles && path.startsWith('/v1/logs/'))
    if (isOpen) return next()
    if (service.isDraining()) {
      // What still comes over open connections is answered, and told to come elsewhere. A stream would never end.
      if (path === '/v1/stream') throw new HttpProblem(503, 'ERR_CLOSED', 'the server is shutting down', 1)
      c.header('connection', 'close')
    }
    try {
      c.set('principal', await auth.authenticate(c.req.header('authorization')))
    } catch (error) {
      if (error instanceof HttpProblem && error.status === 401) onSignInFailure()
      throw error
    }
    await limit(limiter, c.get('principal').id)
    return next()
  })
  addOperation(app, service, probe)
  for (const add of ROUTES) add(app, service)
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  const info = { title: 'indelible', version: VERSION, description: 'Tamper-evident audit trail for AI agents.' }
  app.doc31('/openapi.json', { openapi: '3.1.0', info })
  addReference(app, () => app.getOpenAPI31Document({ openapi: '3.1.0', info }) as unknown as OpenApiDocument)
  const methods = methodsOf(app)
  app.notFound((c) => {
    const allowed = methods(c.req.path)
    if (allowed.length === 0) return respond(c, new HttpProblem(404, 'ERR_NOT_FOUND', 'there is no such path'))
    c.header('allow', allowed.join(', '))
    return respond(c, new HttpProblem(405, 'ERR_METHOD_NOT_ALLOWED', `this path takes ${allowed.join(' and ')}`))
  })
  app.onError((error, c) => {
    const problem = problemOf(error)
    if (problem === null || problem.status >= 500) {
      const { name, code } = error as Error & { code?: string }
      if (problem?.status === 503) service.metrics.count('write_failures', {})
      if (problem && /^ERR_(STORE_|OUTCOME_UNKNOWN|HEAD_FORGED|ROLLED_BACK)/.test(problem.code)) {
        service.alerts.raise('write_failed', { code: problem.code, route: routeOf(c) })
      }
      // No message: it may quote what the request held.
      service.logger.error({ request_id: c.get('requestId'), route: routeOf(c), error: code ?? name }, 'request failed')
    }
    return respond(c, problem ?? new HttpProblem(500, 'ERR_UNEXPECTED', 'a bug of this server; please report it'))
  })
  return app
}

function respond(c: ServerContext, problem: HttpProblem): Response {
  const { status, code, message: detail, retryAfterSeconds, ids } = problem
  const request_id = c.get('requestId') ?? ''
  const body: ProblemBody = { type: 'about:blank', status, code, detail, request_id, ...(ids && { ids }) }
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' }
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds)
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  return c.body(JSON.stringify(body), status as 400, headers)
}

/** Which methods a path takes, of all routes that there are now. */
function methodsOf(app: App): (path: string) => string[] {
  const router = new TrieRouter<string>()
  for (const { method, path } of app.routes) if (method !== 'ALL') router.add('ANY', path, method)
  return (path) => {
    const found = new Set(router.match('ANY', path)[0].map(([method]) => method as string))
    if (found.has('GET')) found.add('HEAD')
    return [...found].sort()
  }
}

function limiterOf(perSecond: number): RateLimiterMemory | null {
  return perSecond === 0 ? null : new RateLimiterMemory({ points: perSecond, duration: 1 })
}

async function limit(limiter: RateLimiterMemory | null, key: string): Promise<void> {
  try {
    await limiter?.consume(key)
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error
    throw new HttpProblem(
      429,
      'ERR_RATE_LIMITED',
      'too many requests',
      Math.max(1, Math.ceil(error.msBeforeNext / 1000)),
    )
  }
}

/** The route's pattern, so that metrics have a bounded number of labels. */
function routeOf(c: ServerContext): string {
  return routePath(c, -1)
}
