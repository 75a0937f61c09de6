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

export async function run({ entries = 200_000 }) {
  await withFolder(async (folder) => {
    const rows = []
    const server = await startPostgres()
    try {
      const stores = [['sqlite'], ['file', 'file:log'], ...(server ? [['postgres', server.url()]] : [])]
      for (const [name, store] of stores) rows.push(...(await purgeRows({ name, store, folder, entries, server })))
    } finally {
      await server?.stop()
    }
    table(rows)
  })
}

async function purgeRows({ name, store, folder, entries, server }) {
  const below = Math.floor(entries / 2 / 256) * 256
  const made = await makeLog({ name, store, folder, entries })
  const { home } = made
  const verified = await child('read.mjs', 'verify', home, made.macVerificationKey)
  const [proof, entry] = [join(folder, `${name}.tlog-proof`), join(folder, `${name}.json`)]
  cli(home, 'prove', String(entries - 1), '--out', proof, '--entry-out', entry)
  const sizeOf = () => bytesOf(home) + (server && name === 'postgres' ? databaseBytes(home) : 0)
  const before = sizeOf()
  const elapsed = await seconds(() => purge(home, below))
  const after = sizeOf()
  const { verdict, ranges } = JSON.parse(cli(home, 'verify', '--json'))
  const purged = ranges.find(({ state, start }) => state === 'purged' && start === 0)
  if (verdict !== 'verified' || purged?.end !== below) throw new Error(`${name}: ${verdict}, ${JSON.stringify(ranges)}`)
  cli(home, 'check', proof, '--entry', entry, '--vkey', made.vkey)

  const busy = await makeLog({ name: `${name}-busy`, store, folder, entries })
  const alone = await appendWhile(busy.home, () => sleep(ALONE_MS))
  const beside = await appendWhile(busy.home, () => purge(busy.home, below))
  return [
    {
      what: `${name}: purge ${below.toLocaleString('en')}, cleaned`,
      found: below / elapsed,
      unit: 'entries/s',
      limit: verified.rate,
      ratio: below / elapsed / verified.rate,
      target: '≥ 0.2 of verify',
    },
    { what: `${name}: on disk after it`, found: after / 1e6, unit: 'MB', limit: before / 1e6, ratio: after / before },
    {
      what: `${name}: appends beside it`,
      found: beside.rate,
      unit: 'entries/s',
      limit: alone.rate,
      ratio: beside.rate / alone.rate,
      target: '≥ 0.2 of alone',
    },
    { what: `${name}: longest wait of an append`, found: beside.longest, unit: 'ms', limit: alone.longest },
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
  return { home, ...made }
}

/** Commands of their own, as an operator would run them. What they cannot do ends the benchmark. */
function cli(home, ...args) {
  return execFileSync(process.execPath, [CLI, '--home', home, ...args], { encoding: 'utf8', maxBuffer: 1e8 })
}

async function purge(home, below) {
  const args = [CLI, '--home', home, 'retention', 'run', '--by', 'bench', '--below', String(below), '--json']
  const { code, out } = await finished(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
  if (code !== 0 || !out.includes('"below"')) throw new Error(`purge of ${home} ended with ${code}`)
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
    let out = ''
    process_.stdout.on('data', (data) => {
      out += data
    })
    process_.once('error', reject)
    process_.once('close', (code) => resolve({ code, out }))
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
