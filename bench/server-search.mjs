/** `GET /v1/audit` over a large log, as an auditor asks: one filter after the other, each kind by itself, and pages far down. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { child, percentile, seconds } from './lib.mjs'
import { askJson, start } from './server-kit.mjs'

/** Requests of each kind. */
const ASKED = 100

/** Kinds of filter that auditors ask with; `n` counts up, `at(share)` is a time so far into the log. */
const KINDS = [
  ['type, every entry', () => 'type=tool.end'],
  ['type, a few entries', () => 'type=audit.opened'],
  ['actor', (n) => `actor=agent-${n % 20}`],
  ['tool and outcome', (n) => `tool=${n % 2 ? 'send_refund' : 'book_seat'}&outcome=failure`],
  ['time range', (n, at) => `since=${at(n / ASKED)}&until=${at((n + 1) / ASKED)}`],
  ['time range and outcome', (n, at) => `since=${at(n / ASKED)}&until=${at((n + 5) / ASKED)}&outcome=failure`],
  ['text, one entry', (n, _, total) => `text=result+${Math.floor((total / ASKED) * n)}`],
  ['text, every entry', () => 'text=items+note'],
  ['text and actor', (n, _, total) => `text=result+${Math.floor((total / ASKED) * n)}&actor=agent-${n % 20}`],
  ['run', (n, _, total) => `run=run-${Math.floor((total / 60 / ASKED) * n)}`],
  ['for whom', (n) => `on_behalf_of=customer-${(n * 37) % 1000}`],
  ['nothing there', (n) => `tool=send_refund&actor=agent-${n % 20}&outcome=denied`],
]

export async function searchRows(rows, home, entries) {
  // Made where the server will look for it: its default tenant's home. Parts are kept, so that there is text to find.
  await (await start('serve', home)).stop()
  const path = join(home, 'config.json')
  const config = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...config, privacy: { mode: 'full' } }))
  const again = await start('serve', home)
  await askJson(again, '/v1/whoami')
  await askJson(again, '/v1/audit?limit=1')
  await again.stop()
  const tenant = join(home, 'tenants', readdirSync(join(home, 'tenants'))[0])
  const filled = await child('record.mjs', tenant, entries, 1000)
  const indexed = await child('read.mjs', 'index', tenant)
  const many = entries.toLocaleString('en')
  rows.push({ what: `search: ${many} entries recorded, parts kept`, found: filled.rate, unit: 'entries/s' })
  rows.push({ what: '  indexed, with text', found: indexed.rate, unit: 'entries/s' })

  const server = await start('serve', home)
  const auditor = { port: server.port, key: await server.keyFor('auditor') }
  const get = (query) => askJson(auditor, `/v1/audit?${query}`)
  const edge = async (order) => Date.parse((await get(`type=tool.end&limit=1&order=${order}`)).hits[0].entry.time)
  const [from, to] = [await edge('ascending'), await edge('descending')]
  const at = (share) => new Date(from + (to - from) * share).toISOString()
  const all = []
  for (const [kind, queryOf] of KINDS) {
    const times = []
    let hits = 0
    for (let n = 0; n < ASKED; n++) {
      const query = `${queryOf(n, at, entries)}&limit=50`
      const ms = 1000 * (await seconds(async () => (hits += (await get(query)).hits.length)))
      times.push(ms)
    }
    if (hits === 0 && kind !== 'nothing there') throw new Error(`nothing found by ${kind}`)
    all.push(...times)
    rows.push(...timeRows(`  GET audit, ${kind}`, times))
  }
  const deep = await deepPages(get)
  all.push(...deep)
  rows.push(...timeRows('  GET audit, pages half-way down', deep))
  rows.push({ what: '  GET audit, all of these, p95', found: percentile(all, 0.95), unit: 'ms', target: '< 60' })
  await server.stop()
}

/** Pages of 50 by cursor, from the middle of what an actor did on. */
async function deepPages(get) {
  const query = 'actor=agent-7&outcome=success'
  const { size } = await get(`${query}&limit=1`)
  let cursor = ''
  for (let at = size; at > size / 2; ) {
    const page = await get(`${query}&limit=5000${cursor}`)
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
    at = page.hits.at(-1).index
  }
  const times = []
  for (let n = 0; n < ASKED; n++) {
    let page
    times.push(
      1000 *
        (await seconds(async () => {
          page = await get(`${query}&limit=50${cursor}`)
        })),
    )
    if (page.hits.length === 0) throw new Error('a page far down is empty')
    if (page.next !== null) cursor = `&cursor=${page.next}`
  }
  return times
}

const timeRows = (what, times) => [
  { what: `${what}, p50`, found: percentile(times, 0.5), unit: 'ms' },
  { what: `${what}, p95`, found: percentile(times, 0.95), unit: 'ms', target: '< 60' },
]
