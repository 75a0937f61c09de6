/** `/v1/anchors`: who vouches for a tenant's log, and having them do it now. Which there are stands in the configuration. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { readJson } from '../body.ts'
import { HttpProblem } from '../problem.ts'
import { problemResponses } from '../schemas.ts'
import { authorize, recordRead, type Service, type Variables, withLog } from '../service.ts'

const request = z.strictObject({
  /** Default all. */
  names: z.array(z.string().min(1).max(256)).max(100).optional(),
  /** Only those whose turn it is by their schedule. */
  due: z.boolean().optional(),
})

const statusRoute = createRoute({
  method: 'get',
  path: '/v1/anchors',
  operationId: 'anchorStatus',
  summary: 'How far each anchor has come',
  security: [{ bearer: [] }],
  responses: {
    200: {
      description: 'anchors',
      content: { 'application/json': { schema: z.object({ anchors: z.array(z.any()) }) } },
    },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

const runRoute = createRoute({
  method: 'post',
  path: '/v1/anchors/runs',
  operationId: 'runAnchors',
  summary: 'Have anchors vouch for the log as it is',
  security: [{ bearer: [] }],
  request: { body: { required: true, content: { 'application/json': { schema: request } } } },
  responses: {
    200: {
      description: 'what became of each; `busy` if another process is at it',
      content: { 'application/json': { schema: z.object({ busy: z.boolean(), outcomes: z.array(z.any()) }) } },
    },
    ...problemResponses(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
  },
})

export function addAnchors(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  app.openapi(statusRoute, (c) =>
    withLog(service, c, 'read', async (tenant) => {
      const { anchorStatus, behindOf } = await import('../../anchor/state.ts')
      const { anchorsDirectory } = await import('../../anchor/receipts.ts')
      const { loadConfig } = await import('../../config/config.ts')
      const config = loadConfig(tenant.home)
      const size = (await tenant.log.store.head())?.size ?? 0
      const anchors = behindOf(anchorStatus(anchorsDirectory(tenant.home, config), config.anchors), size)
      await recordRead(tenant, c, 'anchors', { anchors: anchors.length })
      return c.json({ anchors: anchors as unknown[] }, 200) as never
    }),
  )
  // Registered, not routed by the framework: it would neither bound nor unpack the body.
  app.openAPIRegistry.registerPath(runRoute)
  app.post(runRoute.path, async (c) => {
    authorize(c, 'administer')
    const parsed = request.safeParse(await readJson(c.req.raw, service.config.max_body_bytes))
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new HttpProblem(
        422,
        'ERR_REQUEST_INVALID',
        `${issue!.path.map(String).join('.') || 'body'}: ${issue!.message}`,
      )
    }
    const { names, due = false } = parsed.data
    return withLog(service, c, 'administer', async ({ home }) => {
      const { AnchorRunner } = await import('../../anchor/runner.ts')
      await using runner = await AnchorRunner.open(home)
      const outcomes = await runner.run({ ...(names && { names }), force: !due })
      const told = (outcomes ?? []).map(({ isNews: _, ...outcome }) => outcome)
      return c.json({ busy: outcomes === null, outcomes: told }, 200)
    })
  })
}
