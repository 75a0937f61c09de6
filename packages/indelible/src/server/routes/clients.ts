/** What a client of the library needs beside events: which log its key is for, and a way to say what it lost. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { isId } from '../../record/id.ts'
import { readJson } from '../body.ts'
import { HttpProblem } from '../problem.ts'
import { problemResponses } from '../schemas.ts'
import { type Service, tenantOf, type Variables, withLog } from '../service.ts'
import { receiptSchema } from './events.ts'

const whoami = createRoute({
  method: 'get',
  path: '/v1/whoami',
  operationId: 'whoami',
  summary: 'What this key is, and which log it is for',
  security: [{ bearer: [] }],
  responses: {
    200: {
      description: 'the key',
      content: {
        'application/json': {
          schema: z.object({ id: z.string(), role: z.string(), tenant: z.string(), origin: z.string() }),
        },
      },
    },
    ...problemResponses(400, 401, 403, 404, 429, 503),
  },
})

/** Causes, counts and times: nothing in which contents would fit. */
const gapRequest = z.strictObject({
  id: z.string().refine(isId, 'expected a UUIDv7 in lower case').optional(),
  audit: z
    .record(
      z.string().regex(/^[a-z][a-z_]{0,31}$/),
      z.union([
        z
          .string()
          .max(64)
          .regex(/^[\w.:+-]*$/),
        z.number().nonnegative(),
        z.boolean(),
        z.null(),
      ]),
    )
    .refine((audit) => typeof audit.cause === 'string', 'expected a cause')
    .refine((audit) => Object.keys(audit).length <= 16, 'more than 16 members'),
})

const gap = createRoute({
  method: 'post',
  path: '/v1/gaps',
  operationId: 'recordGap',
  summary: 'State that events are missing: how many, and why',
  description:
    'What a client could not keep while the log took nothing. With an `id` that the log has, it is not stated again.',
  security: [{ bearer: [] }],
  request: { body: { required: true, content: { 'application/json': { schema: gapRequest } } } },
  responses: {
    201: { description: 'its receipt', content: { 'application/json': { schema: receiptSchema } } },
    ...problemResponses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
  },
})

export function addClients(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  app.openapi(whoami, async (c) => {
    const tenant = tenantOf(c)
    const row = service.state.tenant(tenant)
    if (!row) throw new HttpProblem(404, 'ERR_TENANT_NOT_FOUND', 'no such tenant')
    const { id, role } = c.get('principal')
    return c.json({ id, role, tenant, origin: `indelible.invalid/${row.folder}` }, 200)
  })
  // Registered, not routed by the framework: it would neither bound nor unpack the body.
  app.openAPIRegistry.registerPath(gap)
  app.post(gap.path, async (c) => {
    const parsed = gapRequest.safeParse(await readJson(c.req.raw, service.config.max_body_bytes))
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new HttpProblem(422, 'ERR_REQUEST_INVALID', `${issue!.path.map(String).join('.')}: ${issue!.message}`)
    }
    const { audit, id } = parsed.data
    return withLog(service, c, 'append', async ({ log }) =>
      c.json(await log.recordGap({ ...audit, told: 'client' }, id), 201),
    )
  })
}
