/** What the load goes to: `serve` on a folder, or a bare Hono handler. Prints its address as JSON; what it uses when asked by SIGUSR2. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const [, , what, folder] = process.argv
const say = (facts) => console.log(JSON.stringify(facts))
process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage()
  say({ rss_mb: Math.round(process.memoryUsage.rss() / 2 ** 20), cpu_us: user + system })
})

if (what === 'bare') {
  const app = new Hono()
  app.post('/v1/events', async (c) => c.json({ got: (await c.req.text()).length }, 201))
  serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => say({ port, key: 'none' }))
} else {
  const { startServer } = await import('../packages/indelible/dist/server/server.js')
  const silent = { info() {}, warn() {}, error() {} }
  let key = ''
  const server = await startServer({
    home: folder,
    port: 0,
    logger: silent,
    onSecret: (kind, secret) => {
      if (kind === 'api_key') key = secret
    },
  })
  process.on('SIGTERM', () => server.stop().then(() => process.exit(0)))
  say({ port: Number(new URL(server.url).port), key })
}
