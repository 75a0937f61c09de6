/** What this machine can do without us: the same rows into bare SQLite, hashes, fsync. Prints JSON. */
import { createHmac, createSecretKey, hash, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { seconds } from './lib.mjs'

const [, , folder, only] = process.argv

function open(name) {
  const db = new DatabaseSync(join(folder, name))
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON')
  db.exec(`
    CREATE TABLE entries (idx INTEGER PRIMARY KEY, entry BLOB, leaf BLOB, mac BLOB, epoch INTEGER) STRICT;
    CREATE TABLE payloads (idx INTEGER, name TEXT, disclosure TEXT, PRIMARY KEY (idx, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE ids (id TEXT PRIMARY KEY, idx INTEGER, digest BLOB) STRICT, WITHOUT ROWID;
  `)
  return db
}

const entry = randomBytes(590)
const hash32 = randomBytes(32)
const disclosure = 'x'.repeat(330)

/** Rows per second, the same bytes in the same batches as a log would write. */
async function rawInserts(name, total, batch) {
  const db = open(name)
  const entries = db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?, ?)')
  const payloads = db.prepare('INSERT INTO payloads VALUES (?, ?, ?)')
  const ids = db.prepare('INSERT INTO ids VALUES (?, ?, ?)')
  const elapsed = await seconds(() => {
    for (let start = 0; start < total; start += batch) {
      db.exec('BEGIN IMMEDIATE')
      for (let i = start; i < start + batch; i++) {
        entries.run(i, entry, hash32, hash32, 0)
        payloads.run(i, 'output', disclosure)
        ids.run(`01a1fc48-8b94-7581-a134-${i.toString(16).padStart(12, '0')}`, i, hash32)
      }
      db.exec('COMMIT')
    }
  })
  db.close()
  return total / elapsed
}

async function rate(times, work) {
  return (
    times /
    (await seconds(() => {
      for (let i = 0; i < times; i++) work()
    }))
  )
}

if (only === 'single') {
  await rawInserts(`warm-${process.pid}.db`, 500, 1)
  console.log(JSON.stringify({ raw_single: await rawInserts(`single-${process.pid}.db`, 3000, 1) }))
  process.exit(0)
}

const key = createSecretKey(randomBytes(32))
const file = openSync(join(folder, 'fsync'), 'w')
const block = randomBytes(4096)
const result = {
  raw_batch: await rawInserts('raw.db', 200_000, 1000),
  sha256_500: await rate(300_000, () => hash('sha256', entry, 'hex')),
  hmac_500: await rate(200_000, () => createHmac('sha256', key).update(entry).digest('hex')),
  fsync_4k: await rate(1000, () => {
    writeSync(file, block)
    fsyncSync(file)
  }),
}
closeSync(file)
console.log(JSON.stringify(result))
