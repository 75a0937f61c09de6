import { Readable } from 'node:stream'
import Fastify from 'fastify'
import { recordFastify } from 'indelible/capture/fastify'
import { describeHttpAdapter, ROUTES } from '../http-scenes.mjs'
import { versionOf } from '../lib.mjs'

describeHttpAdapter({
  name: 'fastify',
  framework: `fastify ${versionOf('fastify')}`,
  async start({ recorder, onFailure }, options) {
    const app = Fastify({ forceCloseConnections: true })
    let ran = 0
    const who = (request) => request.headers['x-user']
    await app.register(recordFastify({ recorder, onFailure, who, skip: ({ url }) => url === '/health', ...options }))
    app.get('/patients/:id', async ({ params }) => {
      ran++
      return { id: Number(params.id) }
    })
    app.post('/echo', async ({ body }) => ({ got: body }))
    app.get('/fail', async () => {
      throw ROUTES.boom()
    })
    app.get('/secret', async (_request, reply) => reply.code(403).send({}))
    app.get('/text', async (_request, reply) => reply.type('text/plain').send(ROUTES.long))
    app.get('/stream', async (_request, reply) => reply.type('text/plain').send(Readable.from(ROUTES.chunks())))
    app.get('/wait', async (_request, reply) => reply.type('text/plain').send(Readable.from(ROUTES.endless())))
    app.get('/health', async () => 'ok')
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { url, ran: () => ran, close: () => app.close() }
  },
  unknownVersion: ({ recorder }) => recordFastify({ recorder })({ version: '4.29.0', addHook() {} }),
  bypasses: [
    'routes of an instance that does not register it, and hooks of `onRequest` that stand before it',
    '`reply.hijack()`: the answer is the handler’s own, and the request stays without its end',
    'what goes over a connection after it was upgraded, such as WebSocket',
  ],
})
