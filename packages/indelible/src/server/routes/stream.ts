/** `GET /v1/stream`: the entries of a log as they come, as server-sent events. */
import type { HttpBindings } from '@hono/node-server'
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { HttpProblem } from '../problem.ts'
import { indexParam, problemResponses } from '../schemas.ts'
import { recordRead, type Service, type Variables, withLog } from '../service.ts'
import { Streams } from '../streams.ts'

/** One event of the stream. */
const sentEvent = z.object({ id: z.string().optional(), event: z.string().optional(), data: z.string().optional() })

const route = createRoute({
  method: 'get',
  path: '/v1/stream',
  operationId: 'streamEntries',
  summary: 'Follow the log',
  description:
    'Server-sent events: `entry` with `{index, entry}` and the index as id, in order and without gaps; `end` with `{reason, next}` when the server ends the stream. Go on with `Last-Event-ID`. Without it, and without `from`, the stream begins with what is recorded from now on.',
  security: [{ bearer: [] }],
  request: {
    query: z.strictObject({ from: indexParam.optional().openapi({ description: 'index of the first entry' }) }),
    headers: z.object({
      'last-event-id': z.string().max(32).optional().openapi({ description: 'index of the last entry that was seen' }),
    }),
  },
  responses: {
    200: { description: 'a stream without end', content: { 'text/event-stream': { schema: sentEvent } } },
    ...problemResponses(400, 401, 403, 404, 429, 500, 503),
  },
})

export function addStream(app: OpenAPIHono<{ Variables: Variables }>, service: Service): void {
  const streams = new Streams(service)
  service.onStop(() => streams.close())
  app.openapi(route, async (c) => {
    const { from } = c.req.valid('query')
    const last = c.req.header('last-event-id')
    if (last !== undefined && last !== '' && !/^[0-9]{1,15}$/.test(last)) {
      throw new HttpProblem(400, 'ERR_REQUEST_INVALID', 'last-event-id: expected an index')
    }
    const { id } = c.get('principal')
    return withLog(service, c, 'read', async (tenant) => {
      if (streams.isFull) throw new HttpProblem(503, 'ERR_OVERLOADED', 'too many listeners', 5)
      await recordRead(tenant, c, 'stream')
      const now = (await tenant.log.store.head())?.size ?? 0
      const begin = last ? Number(last) + 1 : (from ?? now)
      const { outgoing } = (c.env ?? {}) as Partial<HttpBindings>
      const cutOff = outgoing && (() => void (outgoing.writableFinished || outgoing.destroy()))
      const isAllowed = () => service.state.isActive(id)
      const body = streams.open(tenant.tenant, Math.min(begin, now), isAllowed, cutOff)
      return c.body(body, 200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        // Some proxies would keep it until they have a page of it.
        'x-accel-buffering': 'no',
      }) as never
    })
  })
}
