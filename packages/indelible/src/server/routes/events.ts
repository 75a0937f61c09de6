/** `POST /v1/events`: one event, an array, or NDJSON. Answers per item; what it acknowledges is durable. */

import type { HttpBindings } from '@hono/node-server'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { eventSchema } from '../../record/schema.ts'
import { readBody } from '../body.ts'
import { badRequest, problemResponses } from '../schemas.ts'
import { type Service, TENANT_HEADER, type Variables } from '../service.ts'

/** The log's promise that an entry is durable. */
export const receiptSchema = z
  .object({
    origin: z.string(),
    index: z.number().int(),
    id: z.string(),
    leaf: z.string(),
    checkpoint: z.string(),
    duplicate: z.literal(true).optional(),
    uncompared: z.literal(true).optional(),
  })
  .openapi('Receipt')

const item = z
  .union([receiptSchema, z.object({ error: z.object({ code: z.string(), message: z.string() }) })])
  .openapi('ItemResult')

/** As JSON Schema: the record's schemas are the library's own, and know nothing of OpenAPI. */
const { $schema, ...event } = z.toJSONSchema(eventSchema, { io: 'input', unrepresentable: 'any' })
const oneOrMany = { anyOf: [event, { type: 'array', items: event }] } as object

const query = z.strictObject({
  atomic: z
    .enum(['true', 'false'])
    .optional()
    .openapi({ description: '`true`: all events in consecutive entries, or none' }),
})

const route = createRoute({
  method: 'post',
  path: '/v1/events',
  operationId: 'recordEvents',
  summary: 'Record events',
  description:
    'One event as JSON, an array of events, or NDJSON (`application/x-ndjson`). An event with an `id` that the log has already gets its first receipt. One event: its receipt, or a problem. Several: one result for each, in their order.',
  security: [{ bearer: [] }],
  request: {
    query,
    body: {
      required: true,
      content: {
        'application/json': {
          schema: oneOrMany,
        },
        'application/x-ndjson': { schema: z.string() },
      },
    },
  },
  responses: {
    201: {
      description: 'durable, and under a signed checkpoint',
      content: { 'application/json': { schema: receiptSchema } },
    },
    200: {
      description: 'results in the order of the events',
      content: { 'application/json': { schema: z.object({ results: z.array(item) }) } },
    },
    ...problemResponses(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
  },
})

export function addEvents(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  // The body is read once, by us: bounded, unpacked, and refused where JSON.parse would shrug.
  app.openAPIRegistry.registerPath(route)
  app.post(route.path, async (c) => {
    const { incoming } = (c.env ?? {}) as Partial<HttpBindings>
    const asked = query.safeParse(c.req.query())
    if (!asked.success) throw badRequest(asked.error)
    const { status, text } = await service.ingest.take({
      body: (grow) => readBody(c.req.raw, service.config.max_body_bytes, incoming, grow),
      contentType: c.req.header('content-type'),
      principal: c.get('principal'),
      tenant: c.req.header(TENANT_HEADER),
      isAtomic: asked.data.atomic === 'true',
    })
    return c.body(text, status, { 'content-type': 'application/json' })
  })
}
