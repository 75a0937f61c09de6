import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import express from 'express'
import { recordExpress } from 'indelible/capture/express'
import { describeHttpAdapter, listening, ROUTES } from '../http-scenes.mjs'
import { versionOf } from '../lib.mjs'

const version = versionOf('express')

describeHttpAdapter({
  name: 'express',
  framework: `express ${version}`,
  async start({ recorder, onFailure }, options) {
    const app = express()
    let ran = 0
    const who = (request) => request.get('x-user')
    const audit = recordExpress({
      recorder,
      onFailure,
      version,
      who,
      skip: ({ path }) => path === '/health',
      ...options,
    })
    app.use(audit)
    app.use(express.json())
    app.get('/patients/:id', (request, response) => {
      ran++
      response.json({ id: Number(request.params.id) })
    })
    app.post('/echo', (request, response) => response.json({ got: request.body }))
    app.get('/fail', async () => {
      throw ROUTES.boom()
    })
    app.get('/secret', (_request, response) => response.sendStatus(403))
    app.get('/text', (_request, response) => response.type('text').send(ROUTES.long))
    app.get('/stream', (_request, response) => Readable.from(ROUTES.chunks()).pipe(response.type('text')))
    app.get('/wait', (_request, response) => Readable.from(ROUTES.endless()).pipe(response.type('text')))
    app.get('/health', (_request, response) => response.send('ok'))
    app.use(audit.errors)
    app.use((_error, _request, response, _next) => response.status(500).json({}))
    return { ...(await listening(createServer(app))), ran: () => ran }
  },
  unknownVersion: ({ recorder }) => recordExpress({ recorder, version: '4.21.0' }),
  bypasses: [
    'middleware and routes that stand before it',
    'what an error is, without `audit.errors` behind the routes; the answer’s status is recorded all the same',
    'what goes over a connection after it was upgraded, such as WebSocket',
  ],
})
