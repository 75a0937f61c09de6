/** What a server takes and answers, with the load from a second process, beside a bare handler of the same framework. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { child, table, withFolder } from './lib.mjs'
import { startPostgres } from './stores.mjs'

export const describe = 'ingest and search over HTTP, overload, a bare Hono handler'

const SECONDS = 5

export async function run({ entries = 1_000_000 }) {
  await withFolder(async (folder) => {
    const rows = []
    const bare = await start('bare')
    const limit = await load(bare, { path: '/v1/events' })
    await bare.stop()

    const sqlite = await start('serve', join(folder, 'sqlite'), { INDELIBLE_SERVER__MAX_WAITING: '256' })
    const single = await load(sqlite, { path: '/v1/events' })
    rows.push(rateRow('single events, 64 connections', single, '≥ 15,000', limit.rate))
    rows.push({ what: '  p99', found: single.p99_ms, unit: 'ms', limit: limit.p99_ms, target: '< 25' })
    rows.push(rateRow('batches of 500, 8 connections', await load(sqlite, batches), '≥ 40,000'))
    await overloadRows(rows, sqlite, single.rate)
    await sqlite.stop()

    const postgres = await startPostgres()
    if (postgres) {
      const server = await start('serve', join(folder, 'postgres'), { INDELIBLE_SERVER__STORE: postgres.url() })
      rows.push(rateRow('Postgres, single events', await load(server, { path: '/v1/events' })))
      rows.push(rateRow('Postgres, batches of 500', await load(server, batches), '≥ 20,000'))
      await server.stop()
      await postgres.stop()
    }
    await searchRows(rows, join(folder, 'search'), entries)
    table(rows)
  })
}

const batches = { path: '/v1/events', batch: 500, connections: 8 }

const rateRow = (what, { rate }, target, limit) => ({
  what,
  found: rate,
  unit: 'events/s',
  ...(limit && { limit, ratio: rate / limit }),
  ...(target && { target }),
})

async function overloadRows(rows, server, rate) {
  const seconds = Number(process.env.INDELIBLE_SOAK_SECONDS ?? 10)
  const before = await server.rssMb()
  const over = await load(server, { path: '/v1/events', rate: 2 * rate, connections: 1500, seconds })
  rows.push({ what: `twice that rate, ${seconds} s, acknowledged`, found: over.rate, unit: 'events/s', limit: rate })
  const refused = (over.statuses[503] ?? 0) + (over.statuses[429] ?? 0)
  rows.push({
    what: '  refused',
    found: refused,
    unit: 'requests',
    limit: over.retry_after,
    target: 'all with Retry-After',
  })
  rows.push({ what: '  memory', found: await server.rssMb(), unit: 'MB', limit: before, target: 'bounded' })
  const others = Object.keys(over.statuses).filter((status) => !['201', '503', '429'].includes(status))
  if (others.length > 0) throw new Error(`unexpected answers: ${JSON.stringify(over.statuses)}`)
}

async function searchRows(rows, home, entries) {
  // Made where the server will look for it: its default tenant's home.
  await (await start('serve', home)).stop()
  const tenant = join(home, 'tenants', readdirSync(join(home, 'tenants'))[0])
  await child('record.mjs', tenant, entries, 1000)
  await child('read.mjs', 'index', tenant)
  const server = await start('serve', home)
  const queries = []
  for (let i = 0; i < 200; i++) {
    queries.push(`/v1/audit?tool=send_refund&outcome=failure&limit=50&actor=agent-${i % 20}`)
    queries.push(`/v1/audit?on_behalf_of=customer-${(i * 37) % 1000}&limit=50`)
    queries.push(`/v1/audit?session=session-${(i * 91) % 2000}&type=tool.end&limit=50`)
  }
  const found = await load(server, { queries, connections: 1, seconds: SECONDS })
  const what = `GET audit, filters, ${entries.toLocaleString('en')} entries, p95`
  rows.push({ what, found: found.p95_ms, unit: 'ms', target: '< 60' })
  await server.stop()
}

function load({ port, key }, options) {
  return child('server-load.mjs', JSON.stringify({ port, key, seconds: SECONDS, ...options }))
}

/** Keys are shown once; of a home that is started again, the key of the first start counts. */
const keys = new Map()

async function start(what, folder = '', env = {}) {
  const script = fileURLToPath(new URL('server-child.mjs', import.meta.url))
  const process_ = spawn(process.execPath, [script, what, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  process.on('exit', () => process_.kill('SIGKILL'))
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value)
  const { port, key } = await next()
  if (key) keys.set(folder, key)
  return {
    port,
    key: keys.get(folder),
    async rssMb() {
      process_.kill('SIGUSR2')
      return (await next()).rss_mb
    },
    async stop() {
      const ended = once(process_, 'exit')
      process_.kill('SIGTERM')
      await ended
    },
  }
}
