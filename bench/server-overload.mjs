/** Twice what the server takes, for a while; then each acknowledged entry is looked up in the log, and the log verified. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { child } from './lib.mjs'
import { memoryWhile, start } from './server-kit.mjs'

/** @param rate events a second that the server took in this run, at 64 connections */
export async function overloadRows(rows, home, rate, seconds) {
  const server = await start('serve', home, { INDELIBLE_SERVER__MAX_WAITING: '1024' })
  const file = join(home, 'acknowledged')
  const options = { port: server.port, key: server.key, seconds, connections: 3000, rate: 2 * rate, file }
  const { before, result, firstHalf, highest } = await memoryWhile(server, () =>
    child('server-overload-load.mjs', JSON.stringify(options)),
  )
  const { offered, accepted, statuses, unannounced, p50_ms, p99_ms } = result
  const unit = 'events/s'
  rows.push({
    what: `overload for ${seconds} s: sent`,
    found: offered,
    unit,
    limit: rate,
    ratio: offered / rate,
    target: '2 ×',
  })
  rows.push({ what: '  acknowledged', found: accepted, unit, limit: rate, ratio: accepted / rate })
  rows.push({ what: '  acknowledged, p50', found: p50_ms, unit: 'ms' })
  rows.push({ what: '  acknowledged, p99', found: p99_ms, unit: 'ms' })
  const refused = (statuses[503] ?? 0) + (statuses[429] ?? 0)
  rows.push({ what: '  refused with 503 or 429', found: refused, unit: 'requests' })
  rows.push({ what: '  of these without Retry-After', found: unannounced, unit: 'requests', target: '0' })
  rows.push({ what: '  memory, highest of the first half', found: firstHalf, unit: 'MB', limit: before })
  rows.push({ what: '  memory, highest of all', found: highest, unit: 'MB', limit: before, target: 'as before' })
  await server.stop()
  const others = Object.keys(statuses).filter((status) => !['201', '503', '429'].includes(status))
  if (others.length > 0) throw new Error(`unexpected answers: ${JSON.stringify(statuses)}`)
  const tenant = join(home, 'tenants', readdirSync(join(home, 'tenants'))[0])
  const { acknowledged, lost, verdict } = await check(tenant, file)
  rows.push({
    what: `  of ${acknowledged.toLocaleString('en')} acknowledged, lost`,
    found: lost,
    unit: 'entries',
    target: '0',
  })
  rows.push({ what: '  the log afterwards', found: verdict, unit: '', target: 'verified' })
}

/** Each acknowledgement names an index: there the entry with its id must be. */
async function check(home, file) {
  const { openLog, verifyHome } = await import('indelible')
  const log = await openLog({ home })
  const { size } = await log.store.head()
  const ids = Buffer.alloc(16 * size)
  const rows = readFileSync(file)
  const acknowledged = rows.length / 24
  let lost = 0
  for (let at = 0; at < rows.length; at += 24) {
    const index = rows.readDoubleLE(at)
    if (index < size) rows.copy(ids, 16 * index, at + 8, at + 24)
    else lost++
  }
  const none = Buffer.alloc(16)
  for await (const batch of log.store.entries(0, size)) {
    for (const { index, entry } of batch) {
      const expected = ids.subarray(16 * index, 16 * index + 16)
      if (expected.equals(none)) continue
      const found = JSON.parse(Buffer.from(entry)).id.replaceAll('-', '')
      if (found !== expected.toString('hex')) lost++
    }
  }
  await log.close()
  const { verdict } = await verifyHome({ home, pins: null })
  return { acknowledged, lost, verdict }
}
