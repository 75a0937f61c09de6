/**
 * Two replicas of the server over one Postgres, behind pgbouncer and a proxy, on this machine:
 *
 *     npm run build && npx node examples/replicas/start.mjs [--replicas 2] [--port 8787] [--folder DIR] [--json]
 *
 * Prints the address and, for it makes everything anew, an operator's key. A replica that ends is started again, as a service
 * manager would do. SIGINT or SIGTERM drains and ends all of it. Needs Postgres 15 or newer and pgbouncer.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Pooler, pgbouncer } from '../../packages/indelible/test/postgres/pooler.ts'
import { freePort, localBinaries, TestServer } from '../../packages/indelible/test/postgres/server.ts'
import { startProxy } from './proxy.mjs'
import { Replica } from './replica.mjs'

const { values: flags } = parseArgs({
  options: {
    replicas: { type: 'string', default: '2' },
    port: { type: 'string', default: '8787' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const [newest] = [...localBinaries()].sort(([a], [b]) => b - a)
if (!newest || !pgbouncer) {
  console.error(`${newest ? 'pgbouncer' : 'Postgres'} is not installed`)
  process.exit(3)
}

const folder = flags.folder ? resolve(flags.folder) : mkdtempSync(join(tmpdir(), 'indelible-replicas-'))
const home = join(folder, 'home')
const stops = [() => flags.folder ?? rmSync(folder, { recursive: true, force: true })]
let isStopping = false
let stopped = null
const stop = () => {
  isStopping = true
  stopped ??= (async () => {
    for (const end of stops.reverse()) await end()
  })()
  return stopped
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop())

try {
  const postgres = await TestServer.start(newest[1], { durable: true })
  stops.push(() => postgres.stop())
  const { default: pg } = await import('pg')
  const client = new pg.Client(postgres.url())
  await client.connect()
  await client.query('CREATE ROLE audit LOGIN')
  await client.query('CREATE DATABASE audit OWNER audit')
  await client.end()
  const pooler = await Pooler.start(postgres.url('audit', 'audit'), { poolSize: 10 })
  stops.push(() => pooler.stop())

  // LISTEN needs a session, which a pooler in transaction mode does not give.
  const store = `${pooler.url}?listen=127.0.0.1:${postgres.port}`
  // One after the other: the first makes the home and is the one that shows the keys.
  const replicas = []
  stops.push(() => Promise.all(replicas.map((replica) => replica.stop())))
  let shown = null
  for (let i = 0; i < Number(flags.replicas); i++) {
    const replica = new Replica(await freePort(), {
      INDELIBLE_HOME: home,
      INDELIBLE_SERVER__STORE: store,
      // Longer than the proxy takes to see that a replica is not ready any more.
      INDELIBLE_SERVER__DRAIN_SECONDS: '1',
      XDG_CONFIG_HOME: join(folder, 'config'),
      LOG_LEVEL: 'error',
    })
    replica.onAgain = ({ port, pid }) => flags.json && console.log(JSON.stringify({ port, pid }))
    const said = await replica.start()
    shown ??= said
    replicas.push(replica)
  }
  const proxy = await startProxy(() => replicas, { host: '127.0.0.1', port: Number(flags.port) })
  stops.push(() => proxy.close())
  while (proxy.ready.size < replicas.length && !isStopping) await new Promise((done) => setTimeout(done, 50))
  const facts = {
    url: proxy.url,
    home,
    api_key: shown.api_key,
    mac_keys: shown.mac_keys,
    postgres: postgres.url('audit', 'audit'),
    replicas: replicas.map(({ port, pid }) => ({ port, pid })),
  }
  if (flags.json) console.log(JSON.stringify(facts))
  else {
    console.log(
      `listening at ${facts.url}, replicas ${facts.replicas.map(({ port, pid }) => `${port} (${pid})`).join(', ')}`,
    )
    console.log(`home ${home}\noperator key: ${facts.api_key}`)
  }
} catch (error) {
  await stop()
  throw error
}
