/** An Express application whose requests are recorded: who asked what, and how it went. Over loopback. */
import { createServer } from 'node:http'
import express from 'express'
import { recordExpress } from 'indelible/capture/express'
import { listening } from '../http-scenes.mjs'
import { withLog } from '../lib.mjs'

await withLog('express', async (log) => {
  const app = express()
  const audit = recordExpress({ recorder: log.recorder, who: (request) => request.get('x-user') })
  app.use(audit, express.json())
  app.get('/patients/:id', ({ params }, response) => response.json({ id: params.id, name: 'Ann' }))
  app.delete('/patients/:id', (_request, response) => response.status(403).json({}))
  app.use(audit.errors)
  const { url, close } = await listening(createServer(app))
  await fetch(`${url}/patients/12`, { headers: { 'x-user': 'dr-7' } })
  await fetch(`${url}/patients/12`, { headers: { 'x-user': 'dr-7' }, method: 'DELETE' })
  await close()
})
