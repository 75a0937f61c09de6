/** `POST /v1/events`: one event, an array, or NDJSON. Answers per item; what it acknowledges is durable. */

import type { HttpBindings } from '@hono/node-server'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { isIndelibleError, OutcomeUnknownError } from '../../errors.ts'
import type { Receipt } from '../../log/log.ts'
import { parseJson } from '../../record/jcs.ts'
import { type AgentEvent, eventSchema } from '../../record/schema.ts'
import { readBody, textOf } from '../body.ts'
import { HttpProblem, problemOf } from '../problem.ts'
import { problemResponses } from '../schemas.ts'
import { type Service, type Variables, withLog } from '../service.ts'
import type { TenantLog } from '../tenants.ts'

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

const route = createRoute({
  method: 'post',
  path: '/v1/events',
  operationId: 'recordEvents',
  summary: 'Record events',
  description:
    'One event as JSON, an array of events, or NDJSON (`application/x-ndjson`). An event with an `id` that the log has already gets its first receipt. One event: its receipt, or a problem. Several: one result for each, in their order.',
  security: [{ bearer: [] }],
  request: {
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
  let waiting = 0
  // The body is read once, by us: bounded, unpacked, and refused where JSON.parse would shrug.
  app.openAPIRegistry.registerPath(route)
  app.post(route.path, async (c) => {
    const { max_body_bytes: most, max_batch: maxBatch, max_waiting: maxWaiting } = service.config
    if (waiting >= maxWaiting) throw new HttpProblem(503, 'ERR_OVERLOADED', 'too many requests wait for the log', 1)
    waiting++
    try {
      const text = textOf(await readBody(c.req.raw, most, (c.env as Partial<HttpBindings> | undefined)?.incoming))
      const isNdjson = (c.req.header('content-type') ?? '').startsWith('application/x-ndjson')
      const events = isNdjson ? parseLines(text) : parseJson(text)
      return await withLog(service, c, 'append', async (tenant) => {
        if (!Array.isArray(events)) {
          const made = await tenant.log.record(events as unknown as AgentEvent, { assurance: 'reported' })
          service.metrics.count(made.duplicate ? 'duplicates' : 'events', {})
          return c.json(made, 201)
        }
        if (events.length > maxBatch) {
          throw new HttpProblem(
            413,
            'ERR_BODY_TOO_LARGE',
            `${events.length} events, at most ${maxBatch} in one request`,
          )
        }
        if (c.req.query('atomic') === 'true') {
          const results = await tenant.log.recordMany(events as unknown as AgentEvent[], { assurance: 'reported' })
          for (const { duplicate } of results) service.metrics.count(duplicate ? 'duplicates' : 'events', {})
          return c.json({ results }, 200)
        }
        return c.json({ results: await recordEach(tenant, events as unknown as AgentEvent[], service) }, 200)
      })
    } finally {
      waiting--
    }
  })
}

type ItemResult = z.infer<typeof item>

/** All of them in one commit where all are good; otherwise each by itself, in the same order, so that none is lost for another. */
async function recordEach({ log }: TenantLog, events: readonly AgentEvent[], service: Service): Promise<ItemResult[]> {
  const settled = await Promise.allSettled(events.map((event) => record(log, event)))
  refuseUnknown(settled)
  return settled.map((outcome) => {
    if (outcome.status === 'fulfilled') {
      service.metrics.count(outcome.value.duplicate ? 'duplicates' : 'events', {})
      return outcome.value
    }
    const problem = problemOf(outcome.reason)
    // A bug of ours, or a log that takes nothing: the caller must not take it for a fault of one event.
    if (!problem || problem.status >= 500) throw outcome.reason
    service.metrics.count('refused', {})
    const message = isIndelibleError(outcome.reason) ? outcome.reason.message : problem.message
    return { error: { code: problem.code, message } }
  })
}

/** Whoever repeats the request needs the ids of all of it: also of what is durable, since this answer has no receipts. */
function refuseUnknown(settled: readonly PromiseSettledResult<Receipt>[]): void {
  const unknown = settled.find((one) => one.status === 'rejected' && one.reason instanceof OutcomeUnknownError)
  if (!unknown) return
  const ids = settled.map((one) => {
    if (one.status === 'fulfilled') return one.value.id
    return one.reason instanceof OutcomeUnknownError ? one.reason.ids[0]! : null
  })
  const { code, message } = (unknown as PromiseRejectedResult).reason as OutcomeUnknownError
  throw new HttpProblem(503, code, message, 1, ids)
}

/** What `record` throws at once is a rejection like any other. */
async function record(log: TenantLog['log'], event: AgentEvent): Promise<Receipt> {
  return log.record(event, { assurance: 'reported' })
}

function parseLines(text: string): unknown[] {
  const events: unknown[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    try {
      events.push(parseJson(line))
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      throw new HttpProblem(400, error.code, `line ${i + 1}: ${error.message}`)
    }
  }
  return events
}
