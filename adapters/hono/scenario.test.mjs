import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { recordHono } from 'indelible/capture/hono'
import { describeHttpAdapter, listening, ROUTES } from '../http-scenes.mjs'
import { versionOf } from '../lib.mjs'

const version = versionOf('hono')
const text = { 'content-type': 'text/plain' }
const streamOf = (chunks) => ReadableStream.from(chunks).pipeThrough(new TextEncoderStream())

describeHttpAdapter({
  name: 'hono',
  framework: `hono ${version}`,
  async start({ recorder, onFailure }, options) {
    const app = new Hono()
    let ran = 0
    const who = (c) => c.req.header('x-user')
    app.use(recordHono({ recorder, onFailure, version, who, skip: (c) => c.req.path === '/health', ...options }))
    app.get('/patients/:id', (c) => {
      ran++
      return c.json({ id: Number(c.req.param('id')) })
    })
    app.post('/echo', async (c) => c.json({ got: await c.req.json() }))
    app.get('/fail', () => {
      throw ROUTES.boom()
    })
    app.onError((_error, c) => c.json({}, 500))
    app.get('/secret', (c) => c.text('no', 403))
    app.get('/text', (c) => c.text(ROUTES.long))
    app.get('/stream', () => new Response(streamOf(ROUTES.chunks()), { headers: text }))
    app.get('/wait', () => new Response(streamOf(ROUTES.endless()), { headers: text }))
    app.get('/health', (c) => c.text('ok'))
    return { ...(await listening(createAdaptorServer({ fetch: app.fetch }))), ran: () => ran }
  },
  unknownVersion: ({ recorder }) => recordHono({ recorder, version: '3.12.0' }),
  bypasses: [
    'middleware and routes that stand before it',
    'a request’s body that the handler has not read as JSON, text or a form',
    'an answer longer than 64 KiB that nobody reads to its end: its end is recorded when it comes',
    'what goes over a connection after it was upgraded, such as WebSocket',
  ],
})
