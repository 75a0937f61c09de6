/** A Fastify application whose requests are recorded, and refused while they cannot be. Over loopback. */
import Fastify from 'fastify'
import { recordFastify } from 'indelible/capture/fastify'
import { withLog } from '../lib.mjs'

await withLog('fastify', async (log) => {
  const app = Fastify()
  const who = (request) => request.headers['x-user']
  await app.register(recordFastify({ recorder: log.recorder, who, onFailure: 'block' }))
  app.get('/patients/:id', async ({ params }) => ({ id: params.id, name: 'Ann' }))
  app.delete('/patients/:id', async (_request, reply) => reply.code(403).send({}))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  await fetch(`${url}/patients/12`, { headers: { 'x-user': 'dr-7' } })
  await fetch(`${url}/patients/12`, { headers: { 'x-user': 'dr-7' }, method: 'DELETE' })
  await app.close()
})
