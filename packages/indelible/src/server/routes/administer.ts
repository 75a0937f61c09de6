/** Keys, tenants, holds, erasures, retention, anchors, approvals: each route does what its command does. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { ROLES } from '../access.ts'
import { readJson } from '../body.ts'
import { HttpProblem } from '../problem.ts'
import { problemResponses } from '../schemas.ts'
import {
  authorize,
  recordRead,
  type ServerContext,
  type Service,
  tenantFor,
  type Variables,
  withLog,
} from '../service.ts'
import { Tenants } from '../tenants.ts'

const security = [{ bearer: [] }]
const json = (schema: z.ZodType) => ({ 'application/json': { schema } })
const name = z.string().min(1).max(256)

export const keyRequest = z.strictObject({
  role: z.enum(ROLES),
  label: name,
  disclose: z.boolean().optional(),
  /** `actor.id` of the runs that a reader may see. */
  actor: name.optional(),
  expires: z.iso.datetime().optional(),
})
export const holdRequest = z.strictObject({
  scope: z.strictObject({
    tenant: name.optional(),
    run: name.optional(),
    subject: name.optional(),
    type: name.optional(),
    since: z.string().optional(),
    until: z.string().optional(),
  }),
  matter: name.optional(),
})
export const eraseRequest = z.strictObject({
  subject: name.optional(),
  wholeRuns: z.boolean().optional(),
  index: z.number().int().nonnegative().optional(),
  run: name.optional(),
  part: z.union([name, z.array(name)]).optional(),
  reason: name,
  approvedBy: z.array(name).optional(),
})
export const retentionRequest = z.strictObject({
  below: z.number().int().positive().multipleOf(256).optional(),
  trustClock: z.boolean().optional(),
  approvals: z.array(z.string().max(4096)).max(32).optional(),
})
const decisionRequest = z.strictObject({
  decision: z.enum(['approved', 'rejected']),
  /** The person's own token: whose key asks is not who decides. */
  token: z.string().min(1).max(256),
  reason: z.string().max(4096).optional(),
})
const tenantRequest = z.strictObject({ tenant: z.string().min(1).max(64) })

export function addAdministration(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  addKeys(app, service)
  addTenants(app, service)
  addHolds(app, service)
  addErasures(app, service)
  addRetention(app, service)
  addApprovals(app, service)
}

type App = OpenAPIHono<{ Variables: Variables }>

/** Reads and judges a body that the framework must not read: it would neither bound nor unpack it. */
async function bodyOf<T extends z.ZodType>(service: Service, c: ServerContext, schema: T): Promise<z.output<T>> {
  const parsed = schema.safeParse(await readJson(c.req.raw, service.config.max_body_bytes))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new HttpProblem(422, 'ERR_REQUEST_INVALID', `${issue!.path.map(String).join('.') || 'body'}: ${issue!.message}`)
}

function describe(
  app: App,
  method: 'post' | 'delete',
  path: string,
  operationId: string,
  summary: string,
  body: z.ZodType | null,
  status = 200,
): void {
  const params = [...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key!)
  app.openAPIRegistry.registerPath({
    method,
    path,
    operationId,
    summary,
    security,
    request: {
      ...(params.length > 0 && { params: z.object(Object.fromEntries(params.map((key) => [key, z.string()]))) }),
      ...(body && { body: { required: true, content: json(body) } }),
    },
    responses: {
      [status]: { description: 'done', content: json(z.any()) },
      ...problemResponses(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
    },
  })
}

function read(
  app: App,
  path: string,
  operationId: string,
  summary: string,
  answer: (c: ServerContext) => Promise<unknown>,
): void {
  const params = [...path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key!)
  const route = createRoute({
    method: 'get',
    path,
    operationId,
    summary,
    security,
    ...(params.length > 0 && {
      request: { params: z.object(Object.fromEntries(params.map((key) => [key, z.string()]))) },
    }),
    responses: {
      200: { description: 'the answer', content: json(z.any()) },
      ...problemResponses(400, 401, 403, 404, 409, 429, 500, 503),
    },
  })
  app.openapi(route, async (c) => c.json((await answer(c as ServerContext)) as never, 200) as never)
}

function addKeys(app: App, service: Service): void {
  read(app, '/v1/keys', 'listKeys', 'Keys of the tenant; never their text', async (c) => {
    const tenant = tenantFor(c, 'administer')
    await service.registry.refresh()
    return { keys: service.state.keys(tenant) }
  })
  describe(app, 'post', '/v1/keys', 'createKey', 'Make a key; its text is shown this once', keyRequest, 201)
  app.post('/v1/keys', async (c) => {
    const asked = await bodyOf(service, c, keyRequest)
    // Nobody hands out more than he has.
    if (asked.role === 'operator') authorize(c, 'operate')
    return withLog(service, c, 'administer', async ({ tenant, log }) => {
      const { key, row } = await service.registry.createKey({
        role: asked.role,
        label: asked.label,
        tenant: asked.role === 'operator' ? null : tenant,
        ...(asked.disclose !== undefined && { disclose: asked.disclose }),
        ...(asked.actor !== undefined && { actor: asked.actor }),
        ...(asked.expires !== undefined && { expires: asked.expires }),
      })
      const changed = [{ key: 'server.api_keys', from: null, to: `${row.prefix} ${row.role}` }]
      await log.recordAudit('audit.config.changed', { changed, by: c.get('principal').id })
      return c.json({ key, ...row }, 201)
    })
  })
  describe(app, 'delete', '/v1/keys/{prefix}', 'revokeKey', 'Revoke a key', null)
  app.delete('/v1/keys/:prefix', (c) =>
    withLog(service, c, 'administer', async ({ tenant, log }) => {
      const prefix = c.req.param('prefix')
      await service.registry.refresh()
      const isTheirs = service.state.keys(tenant).some((key) => key.prefix === prefix)
      if (!isTheirs) throw new HttpProblem(404, 'ERR_KEY_NOT_FOUND', 'no such key')
      await service.registry.revokeKey(prefix)
      const changed = [{ key: 'server.api_keys', from: prefix, to: null }]
      await log.recordAudit('audit.config.changed', { changed, by: c.get('principal').id })
      return c.json({ revoked: prefix }, 200)
    }),
  )
}

function addTenants(app: App, service: Service): void {
  read(app, '/v1/tenants', 'listTenants', 'Tenants, and the origins of their logs', async (c) => {
    authorize(c, 'operate')
    await service.registry.refresh()
    const tenants = service.state.tenants()
    return {
      tenants: tenants.map(({ tenant, folder, created }) => ({
        tenant,
        origin: `indelible.invalid/${folder}`,
        created,
      })),
    }
  })
  describe(app, 'post', '/v1/tenants', 'createTenant', 'Make a tenant with a log of its own', tenantRequest, 201)
  app.post('/v1/tenants', async (c) => {
    authorize(c, 'operate')
    const { tenant } = await bodyOf(service, c, tenantRequest)
    Tenants.checkName(tenant)
    await service.tenants.create(tenant)
    const { folder } = service.state.tenant(tenant)!
    return c.json({ tenant, origin: `indelible.invalid/${folder}` }, 201)
  })
}

function addHolds(app: App, service: Service): void {
  read(app, '/v1/holds', 'listHolds', 'Holds that are active', (c) =>
    withLog(service, c, 'administer', async (tenant) => {
      const holds = await (await tenant.retention()).holds.active()
      await recordRead(tenant, c, 'holds', { holds: holds.length })
      return { holds }
    }),
  )
  describe(app, 'post', '/v1/holds', 'placeHold', 'Place a legal hold', holdRequest, 201)
  app.post('/v1/holds', async (c) => {
    const { scope, matter } = await bodyOf(service, c, holdRequest)
    return withLog(service, c, 'administer', async (tenant) => {
      const retention = await tenant.retention()
      const by = c.get('principal').id
      const given = JSON.parse(JSON.stringify(scope)) as Parameters<typeof retention.placeHold>[0]
      return c.json(await retention.placeHold(given, { by, ...(matter !== undefined && { matter }) }), 201)
    })
  })
  describe(app, 'delete', '/v1/holds/{hold}', 'releaseHold', 'Release a legal hold', null)
  app.delete('/v1/holds/:hold', (c) =>
    withLog(service, c, 'administer', async (tenant) => {
      const retention = await tenant.retention()
      return c.json(await retention.holds.release(c.req.param('hold'), c.get('principal').id), 200)
    }),
  )
}

function addErasures(app: App, service: Service): void {
  describe(app, 'post', '/v1/erasures', 'erase', 'Erase parts for good; every proof stays valid', eraseRequest)
  app.post('/v1/erasures', async (c) => {
    const asked = await bodyOf(service, c, eraseRequest)
    return withLog(service, c, 'administer', async ({ log }) => {
      const request = { ...JSON.parse(JSON.stringify(asked)), by: c.get('principal').id }
      return c.json(await log.erase(request), 200)
    })
  })
}

function addRetention(app: App, service: Service): void {
  read(app, '/v1/retention', 'retentionPlan', 'What would go now, and what stands in the way', (c) =>
    withLog(service, c, 'administer', async (tenant) => {
      const retention = await tenant.retention()
      return { status: await retention.status(), plan: await retention.plan() }
    }),
  )
  describe(app, 'post', '/v1/retention/runs', 'runRetention', 'Purge and erase what is over age', retentionRequest)
  app.post('/v1/retention/runs', async (c) => {
    const asked = JSON.parse(JSON.stringify(await bodyOf(service, c, retentionRequest))) as object
    return withLog(service, c, 'administer', async (tenant) => {
      const retention = await tenant.retention()
      try {
        return c.json(await retention.run({ ...asked, by: c.get('principal').id }), 200)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        throw new HttpProblem(422, 'ERR_RANGE_INVALID', error.message)
      }
    })
  })
}

function addApprovals(app: App, service: Service): void {
  read(app, '/v1/approvals', 'listApprovals', 'What waits for a decision', (c) =>
    withLog(service, c, 'decide', async (tenant) => {
      const approvals = await (await tenant.approvals()).list()
      await recordRead(tenant, c, 'approvals', { approvals: approvals.length })
      return { approvals }
    }),
  )
  describe(
    app,
    'post',
    '/v1/approvals/{id}/decisions',
    'decideApproval',
    "Decide, with the person's own token",
    decisionRequest,
  )
  app.post('/v1/approvals/:id/decisions', async (c) => {
    const { decision, token, reason } = await bodyOf(service, c, decisionRequest)
    return withLog(service, c, 'decide', async (tenant) => {
      const approvals = await tenant.approvals()
      const ruling = await approvals.decide(
        c.req.param('id'),
        decision,
        { token },
        reason === undefined ? {} : { reason },
      )
      return c.json({ decision, ruling }, 200)
    })
  })
}
