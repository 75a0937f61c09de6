/** `POST /v1/traces` and `/v1/logs`: OTLP/HTTP. What an agent's own instrumentation says, as events that are `reported`. */
import { create } from '@bufbuild/protobuf'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { readBody } from '../body.ts'
import { decodeMessage, type Encoding, encodeMessage, encodeProblem, encodingOf } from '../otlp/decode.ts'
import { eventsOfLog } from '../otlp/logs.ts'
import { inOrder, type Told } from '../otlp/order.ts'
import {
  ExportLogsServiceRequestSchema,
  ExportLogsServiceResponseSchema,
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from '../otlp/otlp_pb.ts'
import { eventsOfSpan, type SpanOptions, type SpanResult, senderOf } from '../otlp/spans.ts'
import { HttpProblem, problemOf } from '../problem.ts'
import { problemResponses } from '../schemas.ts'
import { authorize, type ServerContext, type Service, type Variables, withLog } from '../service.ts'
import type { TenantLog } from '../tenants.ts'

/** Spans or log records of one request, and what they become. */
type Items = readonly SpanResult[]

interface Signal {
  readonly path: '/v1/traces' | '/v1/logs'
  readonly id: string
  readonly summary: string
  read(encoding: Encoding, body: Uint8Array, options: SpanOptions): Items
  answer(encoding: Encoding, rejected: number, errorMessage: string): Response
}

const traces: Signal = {
  path: '/v1/traces',
  id: 'exportTraces',
  summary: 'Take spans, as OTLP/HTTP sends them',
  read(encoding, body, options) {
    const { resourceSpans } = decodeMessage(ExportTraceServiceRequestSchema, encoding, body)
    return resourceSpans.flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ scope, spans }) => {
        const sender = senderOf(resource, scope)
        return spans.map((span) => eventsOfSpan(span, sender, options))
      }),
    )
  },
  answer(encoding, rejected, errorMessage) {
    const partialSuccess = { rejectedSpans: BigInt(rejected), errorMessage }
    const message = create(ExportTraceServiceResponseSchema, rejected === 0 ? {} : { partialSuccess })
    return encodeMessage(ExportTraceServiceResponseSchema, encoding, message)
  },
}

const logs: Signal = {
  path: '/v1/logs',
  id: 'exportLogs',
  summary: 'Take log records, as OTLP/HTTP sends them',
  read(encoding, body, options) {
    const { resourceLogs } = decodeMessage(ExportLogsServiceRequestSchema, encoding, body)
    return resourceLogs.flatMap(({ resource, scopeLogs }) =>
      scopeLogs.flatMap(({ scope, logRecords }) => {
        const sender = senderOf(resource, scope)
        return logRecords.map((record) => eventsOfLog(record, sender, options))
      }),
    )
  },
  answer(encoding, rejected, errorMessage) {
    const partialSuccess = { rejectedLogRecords: BigInt(rejected), errorMessage }
    const message = create(ExportLogsServiceResponseSchema, rejected === 0 ? {} : { partialSuccess })
    return encodeMessage(ExportLogsServiceResponseSchema, encoding, message)
  },
}

export function addOtlp(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  for (const signal of [traces, logs]) {
    app.openAPIRegistry.registerPath(describe(signal))
    app.post(signal.path, (c) => take(signal, service, c))
  }
}

function describe({ path, id, summary }: Signal) {
  const body = { 'application/json': { schema: z.any() }, 'application/x-protobuf': { schema: z.any() } }
  return createRoute({
    method: 'post',
    path,
    operationId: id,
    summary,
    description:
      'GenAI spans and log records become events; others are taken and not recorded, unless `server.otlp_unknown` says so. Sent again, they are the same events.',
    security: [{ bearer: [] }],
    request: { body: { required: true, content: body } },
    responses: {
      200: { description: 'taken; `partial_success` says how many were refused, and why', content: body },
      ...withStatusMessage(problemResponses(400, 403, 404, 413)),
      ...problemResponses(401, 415, 429, 503),
    },
  })
}

/** Refusals of a request whose encoding is known are a status message in it, as OTLP/HTTP has it. */
function withStatusMessage<R extends Readonly<Record<number, { content: object }>>>(responses: R) {
  const status = { 'application/json': { schema: z.any() }, 'application/x-protobuf': { schema: z.any() } }
  const entries = Object.entries(responses).map(([code, response]) => [
    code,
    { ...response, content: { ...response.content, ...status } },
  ])
  return Object.fromEntries(entries) as R
}

async function take(signal: Signal, service: Service, c: ServerContext): Promise<Response> {
  const encoding = encodingOf(c.req.header('content-type'))
  const { max_body_bytes: most, max_batch: maxBatch, otlp_unknown: unknown } = service.config
  try {
    authorize(c, 'append')
    return await service.ingest.waiting.hold(async (grow) => {
      const body = await readBody(c.req.raw, most, undefined, grow)
      const items = signal.read(encoding, body, { recordUnknown: unknown === 'record' })
      return withLog(service, c, 'append', async (tenant) => {
        if (items.length > maxBatch) {
          throw new HttpProblem(413, 'ERR_BODY_TOO_LARGE', `${items.length} items, at most ${maxBatch} in one request`)
        }
        const { rejected, reason } = await record(tenant, items, service)
        return signal.answer(encoding, rejected, reason)
      })
    })
  } catch (error) {
    const problem = problemOf(error)
    if (!problem || problem.status >= 500) throw error
    return encodeProblem(encoding, problem)
  }
}

async function record(
  { log }: TenantLog,
  items: Items,
  service: Service,
): Promise<{ rejected: number; reason: string }> {
  const reasons: string[] = []
  const rejected = new Set<number>()
  const refuse = (item: number, reason: string) => {
    rejected.add(item)
    reasons.push(reason)
  }
  const told: Told[] = []
  for (const [item, result] of items.entries()) {
    if ('error' in result) refuse(item, result.error)
    else if (result.events)
      told.push({ item, events: result.events, ...(result.span ?? { key: null, parentKey: null }) })
  }
  const events = inOrder(told)
  const settled = await Promise.allSettled(
    events.map(async ({ event }) => log.record(event, { assurance: 'reported' })),
  )
  for (const [i, outcome] of settled.entries()) {
    if (outcome.status === 'fulfilled') {
      service.metrics.count(outcome.value.duplicate ? 'duplicates' : 'events', {})
      continue
    }
    const problem = problemOf(outcome.reason)
    // All of it is sent again, and what is durable by now is known by its id.
    if (!problem || problem.status >= 500) throw outcome.reason
    service.metrics.count('refused', {})
    refuse(events[i]!.item, `${problem.code}: ${problem.message}`)
  }
  return { rejected: rejected.size, reason: [...new Set(reasons)].slice(0, 3).join('; ') }
}
