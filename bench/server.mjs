/** What a server takes and answers, with the load from a second process, beside a bare handler of the same framework. */
import { join } from 'node:path'
import { child, table, withFolder } from './lib.mjs'
import { start } from './server-kit.mjs'
import { overloadRows } from './server-overload.mjs'
import { searchRows } from './server-search.mjs'
import { streamRows } from './server-streams.mjs'
import { startPostgres } from './stores.mjs'

export const describe = 'ingest and search over HTTP, listeners, overload, a bare Hono handler'

const SECONDS = 5

/**
 * @param only `ingest`, `postgres`, `streams`, `overload` or `search`: this part alone
 * @param overloadSeconds how long twice the rate lasts
 */
export async function run({ entries = 1_000_000, only, listeners = 1000, overloadSeconds = 60 }) {
  const wants = (part) => only === undefined || only === part
  await withFolder(async (folder) => {
    const rows = []
    let rate = 0
    if (wants('ingest') || wants('overload')) rate = await ingestRows(rows, join(folder, 'sqlite'))
    if (wants('overload')) await overloadRows(rows, join(folder, 'overload'), rate, overloadSeconds)
    if (wants('postgres')) await postgresRows(rows, join(folder, 'postgres'))
    if (wants('streams')) await streamRows(rows, join(folder, 'streams'), listeners)
    if (wants('search')) await searchRows(rows, join(folder, 'search'), entries)
    table(rows)
  })
}

const batches = { path: '/v1/events', batch: 500, connections: 8 }

/** What was found, and the processor time of server and generator for it: the two share the machine. */
const rateRows = (what, { rate, serverUs, generatorUs }, target, limit) => [
  { what, found: rate, unit: 'events/s', ...(limit && { limit: limit.rate, ratio: rate / limit.rate }), target },
  { what: '  processor time of the server', found: serverUs, unit: 'µs/event', limit: limit?.serverUs },
  { what: '  processor time of the generator', found: generatorUs, unit: 'µs/event', limit: limit?.generatorUs },
]

/** Returns how many single events a second it took. */
async function ingestRows(rows, home) {
  const bare = await start('bare')
  const limit = await load(bare, { path: '/v1/events' })
  await bare.stop()
  const sqlite = await start('serve', home)
  const single = await load(sqlite, { path: '/v1/events' })
  rows.push(...rateRows('single events, 64 connections', single, '≥ 15,000', limit))
  rows.push({ what: '  p99', found: single.p99_ms, unit: 'ms', limit: limit.p99_ms, target: '< 25' })
  rows.push(...rateRows('batches of 500, 8 connections', await load(sqlite, batches), '≥ 40,000'))
  await sqlite.stop()
  return single.rate
}

async function postgresRows(rows, home) {
  const postgres = await startPostgres()
  if (!postgres) return
  const server = await start('serve', home, { INDELIBLE_SERVER__STORE: postgres.url() })
  rows.push(...rateRows('Postgres, single events', await load(server, { path: '/v1/events' })))
  rows.push(...rateRows('Postgres, batches of 500', await load(server, batches), '≥ 20,000'))
  await server.stop()
  await postgres.stop()
}

async function load(server, options) {
  const { port, key } = server
  const before = await server.cpuUs()
  const done = await child('server-load.mjs', JSON.stringify({ port, key, seconds: SECONDS, ...options }))
  const serverUs = ((await server.cpuUs()) - before) / done.events
  return { ...done, serverUs, generatorUs: done.cpu_us / done.events }
}
