/** What each store takes and answers, beside the same bytes through its bare driver, and beside peers from PyPI. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLog } from 'indelible'
import { child, rateOf, table, withFolder } from './lib.mjs'

export const describe = 'append and query by store, raw drivers, peers'

export async function run({ entries = 1_000_000 }) {
  await withFolder(async (folder) => {
    const total = Math.min(200_000, entries)
    const make = async (name, store) => {
      const home = join(folder, name)
      await createLog({ home, pins: null, ...(store && { store }) })
      return home
    }
    const rows = []
    const server = await startPostgres()
    try {
      await appendRows({ rows, folder, total, make, server })
      await queryRows({ rows, entries, make, server })
    } finally {
      await server?.stop()
    }
    await peerRows({ rows, folder, total: Math.min(20_000, entries) })
    table(rows)
    console.log(`
selectools: no chain, no fsync, argument and result values left out. What is altered or removed is not noticed.
llm-audit-trail: a chain under one key that never changes, its key on the host; nothing erasable, no proof of a part, each event reads the
last line and, with fsync, waits for the disk alone. Without fsync a power cut loses what was acknowledged.`)
  })
}

async function appendRows({ rows, folder, total, make, server }) {
  const limits = await child('limits.mjs', folder)
  const record = (home, count = total, first = 0) => child('record.mjs', home, count, 1000, first)
  const add = (what, { rate }, limit, target) =>
    rows.push({ what, found: rate, unit: 'entries/s', ...(limit && { limit, ratio: rate / limit }), target })
  add('sqlite, 1000 callers', await record(await make('sqlite')), limits.raw_batch, '≥ 60,000')
  const rawFile = await child('stores-raw.mjs', 'file', folder, total)
  add('file, 1000 callers', await record(await make('file', 'file:log')), rawFile.rate, '≥ 80,000')
  if (!server) return
  const raw = await child('stores-raw.mjs', 'postgres', server.url(), total)
  process.env.INDELIBLE_PRIVACY__ENCRYPT = 'false'
  add('postgres, 1000 callers', await record(await make('pg', server.url())), raw.rate, '≥ 30,000')
  for (const writers of [2, 4]) {
    const homes = await Promise.all(Array.from({ length: writers }, (_, i) => make(`pg${writers}-${i}`, server.url())))
    const ran = await Promise.all(homes.map((home) => record(home, total / writers)))
    const rate = rateOf(ran)
    add(`postgres, ${writers} processes, a log each`, { rate }, raw.rate, 'rising')
  }
  delete process.env.INDELIBLE_PRIVACY__ENCRYPT
  add('postgres, payloads encrypted (default)', await record(await make('pgx', server.url())), raw.rate)
}

async function queryRows({ rows, entries, make, server }) {
  for (const [name, url] of [['sqlite'], ...(server ? [['postgres', server.url()]] : [])]) {
    const home = await make(`large-${name}`, url)
    await child('record.mjs', home, entries, 1000)
    const index = await child('read.mjs', 'index', home)
    rows.push({ what: `${name}, index`, found: index.rate, unit: 'entries/s' })
    rows.push({ what: `${name}, index, peak memory`, found: index.peak_mb, unit: 'MB', target: '< 300' })
    const pages = await child('read.mjs', 'pages', home)
    const what = `${name}, filtered page of ${entries.toLocaleString('en')}, p95`
    rows.push({ what, found: pages.p95_ms, unit: 'ms', target: '< 50' })
    const exported = await child('read.mjs', 'export', home)
    rows.push({ what: `${name}, all entries, peak memory`, found: exported.peak_mb, unit: 'MB', target: '< 300' })
  }
}

export async function startPostgres() {
  const { localBinaries, TestServer } = await import('../packages/indelible/test/postgres/server.ts')
  const given = process.env.INDELIBLE_TEST_POSTGRES
  if (given) return { url: () => given, stop: async () => {} }
  const [newest] = [...localBinaries()].sort(([a], [b]) => b - a)
  if (!newest) {
    console.log('skipped: no Postgres on this machine, and INDELIBLE_TEST_POSTGRES is not set\n')
    return null
  }
  const settings = ['shared_buffers=256MB', 'max_wal_size=4GB']
  const server = await TestServer.start(newest[1], { durable: true, settings })
  console.log(`Postgres ${newest[0]}, fsync on, ${settings.join(', ')}\n`)
  return server
}

const PEERS = [
  ['selectools', 'selectools', 'no fsync, no chain'],
  ['llm-audit-trail', 'llm_audit_trail', 'no fsync (its default)'],
  ['llm-audit-trail', 'llm_audit_trail-fsync', 'fsync=True'],
]

async function peerRows({ rows, folder, total }) {
  const packages = join(folder, 'peers')
  try {
    const names = [...new Set(PEERS.map(([name]) => name))]
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', packages]
    execFileSync('python3', [...install, ...names], { stdio: 'pipe' })
  } catch {
    console.log('skipped: peers cannot be installed with pip\n')
    return
  }
  for (const [name, what, note] of PEERS) {
    for (const processes of [1, 4]) {
      const place = join(folder, `${what}-${processes}`)
      mkdirSync(place)
      const each = total / processes
      try {
        const ran = await Promise.all(
          Array.from({ length: processes }, (_, i) => peer(packages, what, place, each, i * each)),
        )
        const rate = total / Math.max(...ran.map(({ elapsed }) => elapsed))
        const { lines, verified } = await peer(packages, what, place, 0, 0)
        const found = lines === total ? 'all lines there' : `${total - lines} of ${total} lines lost or torn`
        const chain = verified === null ? 'nothing to verify' : verified ? 'chain verifies' : 'CHAIN BROKEN'
        const of = processes === 1 ? '' : `, ${processes} processes, one log`
        rows.push({ what: `${name}${of}: ${note}`, found: rate, unit: 'entries/s', target: `${found}; ${chain}` })
      } catch (error) {
        const first = String(error.message).split('\n')[0]
        console.log(`skipped: ${what}, ${processes} processes: ${first}\n`)
      }
    }
  }
}

function peer(packages, ...args) {
  const script = fileURLToPath(new URL('peers.py', import.meta.url))
  const env = { ...process.env, PYTHONPATH: packages }
  return new Promise((resolve, reject) => {
    const run = spawn('python3', [script, ...args.map(String)], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, errors] = ['', '']
    run.stdout.on('data', (data) => {
      out += data
    })
    run.stderr.on('data', (data) => {
      errors += data
    })
    run.on('close', (code) =>
      code === 0 ? resolve(JSON.parse(out)) : reject(new Error(errors.trim().split('\n').at(-1))),
    )
  })
}
