/** The HTTP API: from Request to Response. What listens is in `listen.ts`. */
import { randomUUID } from 'node:crypto'
import { OpenAPIHono } from '@hono/zod-openapi'
import { cors } from 'hono/cors'
import { routePath } from 'hono/route'
import { TrieRouter } from 'hono/router/trie-router'
import { VERSION } from '../version.ts'
import { problemToTell } from './failure.ts'
import type { Gate } from './gate.ts'
import { answerOf, HttpProblem } from './problem.ts'
import { ROUTES } from './routes/index.ts'
import { addOperation } from './routes/operate.ts'
import { addReference, type OpenApiDocument } from './routes/reference.ts'
import { badRequest } from './schemas.ts'
import { SECURE_HEADERS } from './secure-headers.ts'
import type { ServerContext, Service, Variables } from './service.ts'

export interface AppParts {
  readonly service: Service
  readonly gate: Gate
  /** Whether events would be taken; throws if not. */
  readonly probe: () => Promise<void>
}

export type App = OpenAPIHono<{ Variables: Variables }>

/** Paths that need no key. */
const OPEN = new Set(['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs'])

const DESCRIPTION =
  'Tamper-evident audit trail for AI agents. Every request but those for health, metrics and this description carries ' +
  '`Authorization: Bearer`, with an API key or a token. Operators name the tenant that it is about in the header ' +
  '`Indelible-Tenant`; keys of a tenant need not.'

export function createApp({ service, gate, probe }: AppParts): App {
  const app: App = new OpenAPIHono<{ Variables: Variables }>({
    defaultHook: (result) => {
      if (result.success) return
      throw badRequest(result.error)
    },
  })
  app.use(SECURE_HEADERS)
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
    c.set('principal', await gate.admit(c.req.header('authorization')))
    return next()
  })
  addOperation(app, service, probe)
  for (const add of ROUTES) add(app, service)
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  const info = { title: 'indelible', version: VERSION, description: DESCRIPTION }
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
    const facts = { requestId: c.get('requestId'), route: routeOf(c) }
    return respond(c, problemToTell(service, error, facts))
  })
  return app
}

function respond(c: ServerContext, problem: HttpProblem): Response {
  const { status, headers, text } = answerOf(problem, c.get('requestId') ?? '')
  return c.body(text, status as 400, headers)
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

/** The route's pattern, so that metrics have a bounded number of labels. */
function routeOf(c: ServerContext): string {
  return routePath(c, -1)
}
