/** What a purge of the older half of a log takes, gives back, and costs those who append meanwhile. */
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createLog } from 'indelible'
import { child, seconds, table, withFolder } from './lib.mjs'

export const describe = 'purge of the older half of a log, by store, with and without appends beside it'

const CLI = fileURLToPath(new URL('../packages/indelible/bin/indelible.js', import.meta.url))

/** How long appends alone are measured, ms. */
const ALONE_MS = 5000

/** Prints at its end what memory it took at most, kB, where {@link finished} reads it. */
const MEASURED = `data:text/javascript,import { writeSync } from 'node:fs';
process.on('exit', () => writeSync(3, String(process.resourceUsage().maxRSS)))`

export async function run({ entries = 200_000, only }) {
  await withFolder(async (folder) => {
    const server = only === undefined || only === 'postgres' ? await startPostgres() : null
    try {
      const stores = [
        ['sqlite'],
        ['file', 'file:log'],
        ...(server ? [['postgres', ofPartitions(server.url(), entries)]] : []),
      ]
      for (const [name, store] of stores) {
        if (only !== undefined && only !== name) continue
        table(await purgeRows({ name, store, folder, entries, server }))
        console.log()
      }
    } finally {
      await server?.stop()
    }
  })
}

/** As docs/postgres.md asks for where there is retention: a purge drops some of them. */
function ofPartitions(url, entries) {
  const made = new URL(url)
  made.searchParams.set('partition', String(Math.max(1, Math.round(entries / 8 / 256)) * 256))
  return made.href
}

async function purgeRows({ name, store, folder, entries, server }) {
  const below = Math.floor(entries / 2 / 256) * 256
  const made = await makeLog({ name, store, folder, entries })
  const { home } = made
  const verified = await child('read.mjs', 'verify', home, made.macVerificationKey)
  const [proof, entry] = [join(folder, `${name}.tlog-proof`), join(folder, `${name}.json`)]
  cli(home, 'prove', String(entries - 1), '--out', proof, '--entry-out', entry)
  const sizeOf = () => bytesOf(home) + (server ? databaseBytes(home) : 0)
  const before = sizeOf()
  let peakMb = 0
  const elapsed = await seconds(async () => {
    peakMb = await purge(home, below)
  })
  const after = sizeOf()
  // Also holds the log against the checkpoint that was pinned before the purge.
  const { verdict, ranges } = JSON.parse(cli(home, 'verify', '--json'))
  const purged = ranges.find(({ state, start }) => state === 'purged' && start === 0)
  if (verdict !== 'verified' || purged?.end !== below) throw new Error(`${name}: ${verdict}, ${JSON.stringify(ranges)}`)
  cli(home, 'check', proof, '--entry', entry, '--vkey', made.vkey)
  console.log(
    `${name}: verified, consistent with the checkpoint of before, purged [0, ${below}), a proof of before checks`,
  )

  const busy = await makeLog({ name: `${name}-busy`, store, folder, entries })
  const alone = await appendWhile(busy.home, () => sleep(ALONE_MS))
  const beside = await appendWhile(busy.home, () => purge(busy.home, below))
  const { verdict: besideVerdict } = JSON.parse(cli(busy.home, 'verify', '--json'))
  if (besideVerdict !== 'verified') throw new Error(`${name}: ${besideVerdict} after appends beside a purge`)
  const waits = (what, share, target) => ({
    what: `${name}: ${what} of an append beside it`,
    found: beside[share],
    unit: 'ms',
    limit: alone[share],
    ratio: beside[share] / alone[share],
    target,
  })
  return [
    {
      what: `${name}: purge ${below.toLocaleString('en')}, cleaned`,
      found: below / elapsed,
      unit: 'entries/s',
      limit: verified.rate,
      ratio: below / elapsed / verified.rate,
      target: '≥ 0.2 of verify',
    },
    { what: `${name}: that takes`, found: elapsed, unit: 's' },
    { what: `${name}: peak memory`, found: peakMb, unit: 'MB', target: '< 300' },
    { what: `${name}: on disk after it`, found: after / 1e6, unit: 'MB', limit: before / 1e6, ratio: after / before },
    {
      what: `${name}: appends beside it`,
      found: beside.rate,
      unit: 'entries/s',
      limit: alone.rate,
      ratio: beside.rate / alone.rate,
      target: '≥ 0.2 of alone',
    },
    waits('median wait', 'p50'),
    waits('p99 wait', 'p99', 'some tens of ms more'),
    waits('longest wait', 'longest'),
  ]
}

async function makeLog({ name, store, folder, entries }) {
  const home = join(folder, name)
  const made = await createLog({ home, origin: `example.com/bench-${name}`, ...(store && { store }) })
  const path = join(home, 'config.json')
  // Everything is over age at once; --below says how much of it goes.
  const retention = { default: { ceiling_days: 1e-9 } }
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), retention }))
  await child('record.mjs', home, entries, 1000)
  cli(home, 'verify')
  // What is done before a purge, and brings the index of queries up to date, as it is where a log is in use.
  cli(home, 'retention', 'plan')
  return { home, ...made }
}

/** Commands of their own, as an operator would run them. What they cannot do ends the benchmark. */
function cli(home, ...args) {
  return execFileSync(process.execPath, [CLI, '--home', home, ...args], { encoding: 'utf8', maxBuffer: 1e8 })
}

/** @returns its peak memory, MB */
async function purge(home, below) {
  const args = [
    '--import',
    MEASURED,
    CLI,
    '--home',
    home,
    'retention',
    'run',
    '--by',
    'bench',
    '--below',
    String(below),
    '--json',
  ]
  const { code, out, measured } = await finished(
    spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] }),
  )
  if (code !== 0 || !out.includes('"below"')) throw new Error(`purge of ${home} ended with ${code}`)
  const { pending } = JSON.parse(out.trim().split('\n').at(-1))
  if (pending.length > 0) console.log(`not clean yet: ${pending.join('; ')}`)
  return Number(measured) / 1024
}

/** Appends as long as `work` goes on. */
async function appendWhile(home, work) {
  const path = fileURLToPath(new URL('retention-appends.mjs', import.meta.url))
  const process_ = spawn(process.execPath, [path, home], { stdio: ['pipe', 'pipe', 'inherit'] })
  const end = finished(process_)
  await new Promise((resolve) => process_.stdout.once('data', resolve))
  try {
    await work()
  } finally {
    process_.stdin.end()
  }
  const { code, out } = await end
  if (code !== 0) throw new Error(`appends to ${home} ended with ${code}`)
  return JSON.parse(out.trim().split('\n').at(-1))
}

function finished(process_) {
  return new Promise((resolve, reject) => {
    let [out, measured] = ['', '']
    process_.stdout.on('data', (data) => {
      out += data
    })
    process_.stdio[3]?.on('data', (data) => {
      measured += data
    })
    process_.once('error', reject)
    process_.once('close', (code) => resolve({ code, out, measured }))
  })
}

function bytesOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}

/** What the server says that the log takes. */
function databaseBytes(home) {
  return JSON.parse(cli(home, 'status', '--json')).store.bytes
}

async function startPostgres() {
  const { localBinaries, TestServer } = await import('../packages/indelible/test/postgres/server.ts')
  const [newest] = [...localBinaries()].sort(([a], [b]) => b - a)
  if (!newest) {
    console.log('skipped: no Postgres on this machine\n')
    return null
  }
  const server = await TestServer.start(newest[1], { durable: true, settings: ['wal_recycle=off'] })
  console.log(`Postgres ${newest[0]}, fsync on\n`)
  return server
}
