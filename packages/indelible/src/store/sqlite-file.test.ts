import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { behindItsBack, filled, folder, inFolder, open, path, turnTo } from '../../test/sqlite-kit.ts'
import { BatchWriter, numbered } from '../testing/batches.ts'
import { assertHolds, collect, readContents } from '../testing/store-kit.ts'
import type { Batch, LogStore } from './store.ts'

inFolder()

/** One call of each method that writes. */
function writes(store: LogStore): Promise<unknown>[] {
  return [
    new BatchWriter(store).append(numbered('b', 1)),
    store.publish({ size: 1, note: 'note' }),
    store.purge(256),
    store.erase([{ index: 1, id: 'a 1', name: 'input' }]),
    store.forgetSubject(new Uint8Array(16), 1),
  ]
}

const idsOf = (batch: Batch) => batch.ids.map(({ id }) => id)
const refused = (code: string) => expect.objectContaining({ code })

describe('the file of a sqlite store', () => {
  it('is readable by its owner alone, with all that SQLite puts beside it', async () => {
    await new BatchWriter(open()).append(numbered('a', 1))
    const modes = readdirSync(folder).map((name) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)])
    expect(modes.sort()).toEqual([
      ['log.db', '600'],
      ['log.db-shm', '600'],
      ['log.db-wal', '600'],
    ])
  })

  it('stands alone once every handle is closed', async () => {
    const batch = await filled()
    expect(readdirSync(folder)).toEqual(['log.db'])
    await assertHolds(open({ readOnly: true }), [batch])
  })

  it('may be there already, empty', async () => {
    writeFileSync(path, '')
    await assertHolds(open(), [])
  })

  it.each([
    ['of a newer version', 'PRAGMA user_version = 3'],
    ['of another application', 'PRAGMA application_id = 1'],
    ['without its marks', 'PRAGMA application_id = 0; PRAGMA user_version = 0'],
  ])('is refused if it is %s', async (_, sql) => {
    const batch = await filled()
    behindItsBack((db) => db.exec(sql))
    const bytes = readFileSync(path)
    expect(() => open()).toThrow(refused('ERR_STORE_VERSION'))
    expect(() => open({ readOnly: true })).toThrow(refused('ERR_STORE_VERSION'))
    expect(readFileSync(path).equals(bytes)).toBe(true)
    behindItsBack((db) => db.exec(`PRAGMA application_id = ${0x494c4f47}; PRAGMA user_version = 2`))
    await assertHolds(open(), [batch])
  })

  it.each([
    ['a table', 'CREATE TABLE entries (idx INTEGER PRIMARY KEY, entry BLOB)'],
    ['nothing but its mark', 'PRAGMA application_id = 77'],
  ])('is left as it is if it is somebody else’s, with %s', (_, sql) => {
    behindItsBack((db) => db.exec(sql))
    const bytes = readFileSync(path)
    expect(() => open()).toThrow(refused('ERR_STORE_VERSION'))
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  it.each([
    ['text', 'no database\n'.repeat(1000)],
    ['a short text', 'no'],
    ['zeros with a wrong header', `SQLite format 4\0${'\0'.repeat(4080)}`],
  ])('is corrupt if it is no database: %s', (_, content) => {
    writeFileSync(path, content)
    for (const readOnly of [false, true]) expect(() => open({ readOnly })).toThrow(refused('ERR_STORE_CORRUPT'))
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  it('is corrupt if its end is cut off', async () => {
    const batch = await filled()
    const whole = readFileSync(path)
    for (const length of [whole.length - 4096, whole.length - 4000, 40_000, 8192, 4096, 4095, 1000, 100]) {
      writeFileSync(path, whole)
      truncateSync(path, length)
      const read = async () => {
        const store = open()
        try {
          await readContents(store, idsOf(batch))
        } finally {
          await store.close()
        }
      }
      await expect(read(), `cut to ${length} bytes`).rejects.toThrow(refused('ERR_STORE_CORRUPT'))
    }
  })

  it('needs a folder that is there', () => {
    turnTo(join(folder, 'nowhere', 'log.db'))
    expect(() => open()).toThrow(refused('ERR_STORE_FAILED'))
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })

  it('is made once a process that has it locked lets go', async () => {
    writeFileSync(path, '')
    const locker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
      const { DatabaseSync } = require('node:sqlite')
      const db = new DatabaseSync(workerData)
      db.exec('BEGIN IMMEDIATE')
      parentPort.postMessage('locked')
      setTimeout(() => db.close(), 100)`,
      { eval: true, workerData: path },
    )
    await once(locker, 'message')
    await assertHolds(open(), [])
    await once(locker, 'exit')
  })

  it('is made once by several processes that open it at the same moment', async () => {
    const [processes, logs] = [4, 20]
    const atMs = Date.now() + 500
    const outcomes = await Promise.all(Array.from({ length: processes }, (_, i) => openElsewhere(`p${i}`, logs, atMs)))
    expect(outcomes).toEqual(Array(processes).fill('done'))
    for (let i = 0; i < logs; i++) {
      turnTo(join(folder, `${i}.db`))
      const rows = await collect(open().entries(0, 100))
      expect(rows.length).toBe(processes)
    }
  })
})

/** In another process, opens one log after the other, each at a given moment, and then appends an entry to each. */
async function openElsewhere(label: string, logs: number, atMs: number): Promise<string> {
  const source = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  const script = `
    const { openSqliteStore } = await import(${source('./sqlite.ts')})
    const { BatchWriter, numbered } = await import(${source('../testing/batches.ts')})
    try {
      const stores = []
      for (let i = 0; i < ${logs}; i++) {
        while (Date.now() < ${atMs} + i * 20);
        stores.push(openSqliteStore(${JSON.stringify(folder)} + '/' + i + '.db'))
      }
      for (const store of stores) {
        await new BatchWriter(store).append(numbered('${label}', 1))
        await store.close()
      }
      process.stdout.write('done')
    } catch (error) {
      process.stdout.write(error.code + ': ' + error.message)
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')])
  return output
}

describe('a sqlite log of version 1', () => {
  const makeOld = () =>
    behindItsBack((db) => db.exec('DROP TABLE subjects; DROP TABLE deletions; PRAGMA user_version = 1'))

  it('is read as it is, and gets what it lacks when it is opened for writing', async () => {
    const batch = await filled()
    makeOld()
    const ann = new Uint8Array(16).fill(1)
    const reader = open({ readOnly: true })
    await assertHolds(reader, [batch])
    expect(await collect(reader.subjectEntries(ann))).toEqual([])
    await new BatchWriter(open()).append(numbered('b', 1).map((spec) => ({ ...spec, concerns: [ann] })))
    expect(await collect(reader.subjectEntries(ann))).toEqual([300])
    await expect(open({ readOnly: true }).head()).resolves.toMatchObject({ size: 301 })
  })
})

describe('a sqlite store without the right to write', () => {
  it('reads, also what others write meanwhile, and writes nothing', async () => {
    const first = await filled()
    const store = open({ readOnly: true })
    for (const write of [...writes(store), store.scrub()]) {
      await expect(write).rejects.toThrow(refused('ERR_STORE_READONLY'))
    }
    await assertHolds(store, [first])
    const next = await new BatchWriter(open()).append(numbered('b', 1))
    await assertHolds(store, [first, next])
  })

  it('does not make a log', () => {
    expect(() => open({ readOnly: true })).toThrow(refused('ERR_STORE_FAILED'))
    expect(readdirSync(folder)).toEqual([])
  })

  it.each([
    { what: 'file', modes: [0o400, 0o700] },
    { what: 'folder', modes: [0o600, 0o500] },
    { what: 'file and folder', modes: [0o400, 0o500] },
  ])('reads, and refuses to write, where the $what forbids it', async ({ modes }) => {
    const batch = await filled()
    await asNobody(modes, async () => {
      const reader = open({ readOnly: true })
      await assertHolds(reader, [batch])
      await reader.close()
      const attempts = async () => Promise.all(writes(open()))
      await expect(attempts()).rejects.toThrow(refused('ERR_STORE_READONLY'))
    })
  })

  it('does not read past a WAL that it cannot apply', async () => {
    const store = open()
    const writer = new BatchWriter(store)
    await writer.append(numbered('a', 3))
    const [database, wal] = [readFileSync(path), readFileSync(`${path}-wal`)]
    await store.close()
    writeFileSync(path, database)
    writeFileSync(`${path}-wal`, wal)
    await asNobody([0o400, 0o500], async () => {
      expect(() => open({ readOnly: true })).toThrow(refused('ERR_STORE_FAILED'))
    })
    expect((await open({ readOnly: true }).head())?.size).toBe(3)
  })

  it('says so where it may not make the file', async () => {
    await asNobody([0, 0o500], async () => {
      expect(() => open()).toThrow(refused('ERR_STORE_READONLY'))
    })
  })
})

/** Runs `work` with these modes of the files and their folder, and without root's right to ignore them. */
async function asNobody([fileMode, folderMode]: number[], work: () => Promise<void>): Promise<void> {
  const NOBODY = 65_534
  const isRoot = process.geteuid?.() === 0
  for (const file of readdirSync(folder).map((name) => join(folder, name))) {
    chmodSync(file, fileMode!)
    if (isRoot) chownSync(file, NOBODY, NOBODY)
  }
  chmodSync(folder, folderMode!)
  if (isRoot) {
    chownSync(folder, NOBODY, NOBODY)
    process.seteuid!(NOBODY)
  }
  try {
    await work()
  } finally {
    if (isRoot) process.seteuid!(0)
    chmodSync(folder, 0o700)
  }
}

describe('a sqlite store that is full', () => {
  it('says so, keeps what it has, and goes on once there is room', async () => {
    const first = await filled(1000)
    const pages = statSync(path).size / 4096
    const store = open({ maxPages: pages + 10 })
    const writer = new BatchWriter(store)
    const batches = [first]
    const fill = async () => {
      for (let i = 0; i < 1000; i++) batches.push(await writer.append(numbered(`b${i}`, 20, { payload: true })))
    }
    await expect(fill()).rejects.toThrow(refused('ERR_STORE_FULL'))
    await expect(writer.append(numbered('too much', 1000))).rejects.toThrow(refused('ERR_STORE_FULL'))
    await assertHolds(store, batches)
    expect((await store.findIds(['too much 0'])).size).toBe(0)
    expect(batches.length).toBeGreaterThan(1)

    await assertHolds(open(), batches)
    const roomier = new BatchWriter(open({ maxPages: pages + 1000 }))
    batches.push(await roomier.append(numbered('c', 300, { payload: true })))
    await assertHolds(store, batches)

    await store.purge(512)
    const { from } = await writer.append(numbered('d', 20, { payload: true }))
    expect((await store.head())?.size).toBe(from + 20)
  })
})

describe('the triggers of a sqlite store', () => {
  it.each([
    "UPDATE entries SET entry = x'00' WHERE idx = 300",
    'UPDATE entries SET epoch = 9',
    'DELETE FROM entries WHERE idx = 299',
    'DELETE FROM entries WHERE idx >= 0',
    "UPDATE tiles SET hashes = x'00'",
    'DELETE FROM tiles',
    "UPDATE checkpoints SET note = 'another'",
    'DELETE FROM checkpoints',
    'DELETE FROM ids',
    'DELETE FROM head',
    'UPDATE head SET min_index = min_index - 1',
    "UPDATE ids SET id = id || 'x'",
    'UPDATE ids SET idx = idx + 1',
    "UPDATE ids SET digest = x'00'",
    'INSERT INTO head SELECT 2, size, frontier, mac, epoch, observed, checkpoint, published, min_index FROM head',
  ])('refuse %s', async (sql) => {
    const batch = await filled(600)
    const store = open()
    await store.purge(256)
    const before = await readContents(store, idsOf(batch))
    behindItsBack((db) => expect(() => db.exec(sql)).toThrow(/append-only|only rises|constraint/))
    expect(await readContents(store, idsOf(batch))).toEqual(before)
  })

  it('allow what lies below min_index to go', async () => {
    await filled(600)
    behindItsBack((db) => db.exec('UPDATE head SET min_index = 256; DELETE FROM entries WHERE idx < 256'))
    expect(() => behindItsBack((db) => db.exec('DELETE FROM entries WHERE idx < 257'))).toThrow(/append-only/)
  })
})

describe('a sqlite store whose rows are gone', () => {
  it('leaves them out, and finds their leaf hashes in full tiles', async () => {
    const batch = await filled(600)
    behindItsBack((db) => {
      db.exec('DROP TRIGGER entries_no_delete; DELETE FROM entries WHERE idx IN (7, 299, 580)')
      db.exec('DROP TRIGGER tiles_no_delete; DELETE FROM tiles WHERE tile = 1')
    })
    const store = open()
    const rows = await collect(store.entries(0, 600))
    expect(rows.length).toBe(597)
    expect(rows.map(({ index }) => index)).toEqual(rows.map(({ index }) => index).toSorted((a, b) => a - b))
    expect(await store.leaves(0, 256)).toEqual(batch.leaves.slice(0, 256).map((leaf) => new Uint8Array(leaf)))
    await expect(store.leaves(256, 300)).rejects.toThrow(RangeError)
    await expect(store.leaves(512, 600)).rejects.toThrow(RangeError)
    await expect(store.tileRoots(0, 0, 2)).rejects.toThrow(RangeError)
    expect(await store.tile(0, 1)).toBe(null)
  })
})

describe('a sqlite store that somebody else has locked', () => {
  it('gives up in time, and never stops the event loop', async () => {
    const batch = await filled()
    const store = open({ lockTimeoutMs: 100 })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    let turns = 0
    let waiting = true
    const turn = () => {
      turns++
      if (waiting) setImmediate(turn)
    }
    turn()
    for (const outcome of await Promise.allSettled(writes(store))) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_STORE_BUSY' } })
    }
    waiting = false
    expect(turns).toBeGreaterThan(10)
    await assertHolds(store, [batch])
    other.close()
    await assertHolds(store, [batch, await new BatchWriter(store).append(numbered('c', 1))])
  })
})
