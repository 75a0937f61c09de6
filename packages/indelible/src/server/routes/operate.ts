/** Health, readiness, metrics. Without a key; they tell nothing of what is logged. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { isIndelibleError } from '../../errors.ts'
import type { Service, Variables } from '../service.ts'

const state = z.object({ status: z.enum(['ok', 'unavailable']), reason: z.string().optional() })

const health = createRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'health',
  summary: 'Whether the process is alive',
  responses: { 200: { description: 'it is', content: { 'application/json': { schema: state } } } },
})

const ready = createRoute({
  method: 'get',
  path: '/readyz',
  operationId: 'ready',
  summary: 'Whether events would be taken',
  responses: {
    200: { description: 'they would', content: { 'application/json': { schema: state } } },
    503: { description: 'they would not', content: { 'application/json': { schema: state } } },
  },
})

const metrics = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'metrics',
  summary: 'Counters in the text format of Prometheus',
  responses: { 200: { description: 'counters', content: { 'text/plain': { schema: z.string() } } } },
})

/** @param probe whether the store can be written; throws if not */
export function addOperation(
  app: OpenAPIHono<{ Variables: Variables }>,
  service: Service,
  probe: () => Promise<void>,
): void {
  app.openapi(health, (c) => c.json({ status: 'ok' as const }, 200))
  app.openapi(ready, async (c) => {
    if (service.isDraining()) return c.json({ status: 'unavailable' as const, reason: 'shutting down' }, 503)
    try {
      await probe()
      return c.json({ status: 'ok' as const }, 200)
    } catch (error) {
      const reason = isIndelibleError(error) ? error.code : 'store'
      return c.json({ status: 'unavailable' as const, reason }, 503)
    }
  })
  app.openapi(metrics, async (c) => c.text(await service.metrics.text(), 200))
}
