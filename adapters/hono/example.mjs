/** A Hono application whose requests are recorded, and an agent that works within one of them. Offline. */
import { Hono } from 'hono'
import { recordHono } from 'indelible/capture/hono'
import { withLog } from '../lib.mjs'

await withLog('hono', async (log) => {
  const app = new Hono()
  app.use(recordHono({ recorder: log.recorder, who: (c) => c.req.header('x-user') }))
  app.get('/patients/:id', async (c) => {
    const answer = await log.run({ agent: 'triage', user: c.req.header('x-user') }, (run) =>
      run.tool('find_patient', { id: c.req.param('id') }, () => ({ name: 'Ann' })),
    )
    return c.json(answer)
  })
  app.delete('/patients/:id', (c) => c.json({}, 403))
  const headers = { 'x-user': 'dr-7' }
  await app.request('/patients/12', { headers })
  await app.request('/patients/12', { headers, method: 'DELETE' })
})
