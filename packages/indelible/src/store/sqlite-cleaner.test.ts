import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { behindItsBack, folder, inFolder, open, path } from '../../test/sqlite-kit.ts'
import { BatchWriter, numbered } from '../testing/batches.ts'
import { assertHolds, readContents } from '../testing/store-kit.ts'
import { dirtyRanges, isPointerMap, readHeader } from './sqlite-pages.ts'

inFolder()

const PAGE = 4096

/** Bytes that mean nothing and are not zero, in the whole file. */
function dirtyBytes(): number {
  const file = readFileSync(path)
  let sum = 0
  for (let at = 0; at < file.length; at += PAGE) {
    const ranges = dirtyRanges(file.subarray(at, at + PAGE), at / PAGE + 1)
    for (const [start, end] of ranges!) sum += end - start
  }
  return sum
}

const integrity = () => behindItsBack((db) => db.prepare('PRAGMA integrity_check').get()!.integrity_check)

/** Rows of mixed lengths, whose pages are balanced often. */
const specs = (label: string, count: number) =>
  numbered(label, count).map((spec, i) => ({
    ...spec,
    payloads: { output: `secret ${label} ${i} ${'x'.repeat((i * 37) % 900)}`, input: `secret ${label} ${i} short` },
    concerns: [new Uint8Array(16).fill((i * 7) % 251)],
  }))

describe('bytes of a page that mean nothing', () => {
  it('are those that SQLite counts, and none else', async () => {
    const store = open()
    await new BatchWriter(store).append(specs('a', 2000))
    await store.erase(Array.from({ length: 500 }, (_, i) => ({ index: i * 3, id: `a ${i * 3}`, name: 'output' })))
    await store.close()
    const rows = behindItsBack((db) =>
      db.prepare("SELECT pageno, unused, pagetype FROM dbstat WHERE pagetype <> 'overflow'").all(),
    )
    const file = readFileSync(path)
    let seen = 0
    for (const { pageno, unused } of rows as { pageno: number; unused: number }[]) {
      if (pageno === 1) continue
      // Filled in a copy of the page: then every byte that means nothing is one that is not zero.
      const page = Buffer.from(file.subarray((pageno - 1) * PAGE, pageno * PAGE))
      const start = (page[0] === 10 || page[0] === 13 ? 8 : 12) + 2 * page.readUInt16BE(3)
      page.fill(1, start, page.readUInt16BE(5) || 65_536)
      let blocks = 0
      for (let at = page.readUInt16BE(1); at !== 0; at = page.readUInt16BE(at)) {
        page.fill(1, at + 4, at + page.readUInt16BE(at + 2))
        blocks += 4
      }
      const found = dirtyRanges(page, pageno)!.reduce((sum, [from, to]) => sum + to - from, 0)
      expect(found + blocks + page[7]!).toBe(unused)
      seen++
    }
    expect(seen).toBeGreaterThan(100)
  })

  it('may be anything: the database stays what it is when they are overwritten', async () => {
    const store = open()
    const batch = await new BatchWriter(store).append(specs('a', 3000))
    await store.close()
    behindItsBack((db) => {
      db.exec('PRAGMA secure_delete = OFF; CREATE TABLE other (a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID')
      const insert = db.prepare('INSERT INTO other VALUES (?, ?)')
      for (let i = 0; i < 3000; i++) insert.run(`${(i * 7919) % 3001} key`, 'y'.repeat((i * 31) % 2000))
      db.exec('DELETE FROM other WHERE length(b) % 3 = 0; PRAGMA wal_checkpoint(TRUNCATE)')
    })
    const sum = () => behindItsBack((db) => db.prepare('SELECT count(*) AS n, sum(length(b)) AS m FROM other').get())
    const before = sum()
    const file = readFileSync(path)
    expect(readHeader(file)).toEqual({ pageSize: PAGE })
    let overwritten = 0
    for (let at = 0; at < file.length; at += PAGE) {
      const page = file.subarray(at, at + PAGE)
      for (const [start, end] of dirtyRanges(page, at / PAGE + 1)!)
        overwritten += page.fill(0, start, end) && end - start
    }
    expect(overwritten).toBeGreaterThan(10_000)
    writeFileSync(path, file)
    expect(sum()).toEqual(before)
    expect(integrity()).toBe('ok')
    expect(dirtyBytes()).toBe(0)
    behindItsBack((db) => db.exec('DROP TABLE other'))
    await assertHolds(open(), [batch])
  })

  it('are not looked for in maps, nor in a page that contradicts itself', () => {
    expect([1, 2, 3, 821, 822, 823].filter((number) => isPointerMap(number, PAGE))).toEqual([2, 822])
    const page = Buffer.alloc(PAGE, 1)
    page[0] = 13
    page.writeUInt16BE(0, 1)
    page.writeUInt16BE(1, 3)
    page.writeUInt16BE(4000, 5)
    page.writeUInt16BE(100, 8)
    expect(dirtyRanges(page, 5)).toBeNull()
    page.writeUInt16BE(4000, 8)
    expect(dirtyRanges(page, 5)).toEqual([[10, 4000]])
    expect(dirtyRanges(page, 822)).toEqual([])
    page.writeUInt16BE(5000, 5)
    expect(dirtyRanges(page, 5)).toBeNull()
  })
})

describe('a sqlite store that is cleaned', () => {
  it('gives pages back and leaves nothing in what is unused', async () => {
    const store = open()
    await new BatchWriter(store).append(specs('a', 5000))
    await store.purge(2560)
    const before = statSync(path).size
    expect(await store.scrub()).toEqual([])
    expect(statSync(path).size).toBeLessThan(before * 0.7)
    expect(dirtyBytes()).toBe(0)
    expect(integrity()).toBe('ok')
    expect(behindItsBack((db) => db.prepare('PRAGMA freelist_count').get())).toEqual({ freelist_count: 0 })
    const kept = await readContents(store, ['a 0', 'a 2560', 'a 4999'])
    expect(JSON.stringify(kept)).toContain('secret a 2560 short')
    expect(JSON.stringify(kept)).not.toContain('secret a 2559 short')
  })

  it('of before this version is written anew once, and cleaned in steps from then on', async () => {
    const store = open()
    await new BatchWriter(store).append(specs('a', 1000))
    await store.close()
    behindItsBack((db) =>
      db.exec('PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL'),
    )
    const mode = () => behindItsBack((db) => db.prepare('PRAGMA auto_vacuum').get()!.auto_vacuum)
    expect(mode()).toBe(0)
    const old = open()
    for (const index of [3, 4]) {
      await old.erase([{ index, id: `a ${index}`, name: 'input' }])
      expect(await old.scrub()).toEqual([])
      expect(mode()).toBe(2)
      expect(readFileSync(path, 'latin1')).not.toContain(`secret a ${index} short`)
    }
    expect(integrity()).toBe('ok')
  })

  it('is whole and clean beside those who append meanwhile, in this thread and elsewhere', async () => {
    const store = open()
    const writer = new BatchWriter(store)
    const batches = [await writer.append(specs('a', 3000))]
    // Keeps pages in a cache of its own, and changes rows that stand among those that are erased.
    const other = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
      const { DatabaseSync } = require('node:sqlite')
      const db = new DatabaseSync(workerData, { timeout: 20000 })
      db.exec('PRAGMA secure_delete = ON')
      const put = db.prepare('INSERT INTO subjects VALUES (?, ?)')
      const take = db.prepare('DELETE FROM subjects WHERE subject = ?')
      let isOver = false
      parentPort.once('message', () => { isOver = true })
      let i = 0
      function turn() {
        const subject = Buffer.alloc(200, i++ % 256)
        db.prepare('SELECT count(*), sum(length(disclosure)) FROM payloads').get()
        for (let k = 0; k < 20; k++) put.run(Buffer.concat([subject, Buffer.from([k])]), 1e9 + i)
        for (let k = 0; k < 20; k++) take.run(Buffer.concat([subject, Buffer.from([k])]))
        if (!isOver) return setTimeout(turn, 10)
        db.close()
        parentPort.postMessage(i)
      }
      turn()
      parentPort.postMessage('ready')`,
      { eval: true, workerData: path },
    )
    await once(other, 'message')
    const erased: number[] = []
    for (let round = 0; round < 2; round++) {
      const parts = Array.from({ length: 100 }, (_, i) => (i * 29 + round) % 3000)
      await store.erase(
        parts.flatMap((index) => ['input', 'output'].map((name) => ({ index, id: `a ${index}`, name }))),
      )
      erased.push(...parts)
      const cleaning = store.scrub()
      let isClean = false
      void cleaning.then(() => {
        isClean = true
      })
      for (let i = 0; !isClean; i++) batches.push(await writer.append(specs(`b${round}-${i}`, 20)))
      expect(await cleaning).toEqual([])
    }
    const turns = once(other, 'message')
    other.postMessage('end')
    expect((await turns)[0]).toBeGreaterThan(0)
    expect(batches.length).toBeGreaterThan(2)
    expect(integrity()).toBe('ok')
    const size = (await store.head())!.size
    expect(size).toBe(3000 + 20 * (batches.length - 1))
    let rows = 0
    for await (const chunk of store.entries(0, size)) rows += chunk.length
    expect(rows).toBe(size)
    expect(await store.payload(size - 1, 'input')).toContain('short')
    await store.close()
    const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
    for (const index of erased) {
      expect(
        files.some((content) => content.includes(`secret a ${index} short`)),
        `${index}`,
      ).toBe(false)
      expect(
        files.some((content) => content.includes(`secret a ${index} x`)),
        `${index}`,
      ).toBe(false)
    }
  })

  it('finishes what was interrupted', async () => {
    const store = open()
    await new BatchWriter(store).append(specs('a', 1000))
    await store.erase([{ index: 7, id: 'a 7', name: 'input' }])
    // As a process that is killed in the middle of it leaves it.
    behindItsBack((db) => db.exec('UPDATE deletions SET scrubbed = -3'))
    expect(await store.scrub()).toEqual([])
    expect(dirtyBytes()).toBe(0)
    expect(behindItsBack((db) => db.prepare('SELECT made = scrubbed AS clean FROM deletions').get())).toEqual({
      clean: 1,
    })
  })
})
