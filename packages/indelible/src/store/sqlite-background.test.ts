import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { inFolder, open, path } from '../../test/sqlite-kit.ts'
import { allBytes, BatchWriter, buildBatch, numbered, positionAt } from '../testing/batches.ts'
import { assertHolds } from '../testing/store-kit.ts'
import type { Batch, LogStore } from './store.ts'

inFolder()

/** The batch of `specs` that goes on from the head as it is. */
async function ahead(store: LogStore, specs: Parameters<typeof buildBatch>[1], options = {}): Promise<Batch> {
  return buildBatch(await positionAt(store, await store.head()), specs, options).batch
}

async function written(store: LogStore, batch: Batch): Promise<boolean> {
  return store.appendAfter!((await store.head())!, batch)
}

const refused = (code: string) => expect.objectContaining({ code })

describe('a batch that SQLite writes in the background', () => {
  it('is there byte for byte, with all that belongs to it, and others go on from it', async () => {
    const store = open()
    const writer = new BatchWriter(store)
    const batches = [await writer.append(numbered('a', 3))]
    for (const [label, count] of [
      ['b', 700],
      ['c', 1],
    ] as const) {
      const batch = await ahead(
        store,
        numbered(label, count, { payload: true }).map((spec) => ({
          ...spec,
          concerns: [new Uint8Array(16).fill(count % 251)],
        })),
        { publish: true },
      )
      expect(await written(store, batch)).toBe(true)
      batches.push(batch)
    }
    const awkward = [
      { id: 'o\'clock — 漢 "', entry: allBytes(60_000), digest: null, payloads: { a: 'é\u{10ffff}', b: '' } },
      { id: 'empty', entry: Uint8Array.of(0), digest: Uint8Array.of(0), payloads: { 'a b': 'x'.repeat(1024 * 1024) } },
    ]
    const batch = await ahead(store, awkward)
    expect(await written(store, batch)).toBe(true)
    batches.push(batch, await writer.append(numbered('d', 300)))
    await assertHolds(open(), batches)
  })

  it('is copied before the call returns', async () => {
    const store = open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const [batch, same] = [await ahead(store, numbered('b', 300)), await ahead(store, numbered('b', 300))]
    const writing = store.appendAfter!((await store.head())!, batch)
    for (const bytes of [...batch.entries, ...batch.leaves, ...batch.macs, batch.head.mac]) bytes.fill(0xee)
    expect(await writing).toBe(true)
    await assertHolds(store, [first, same])
  })

  it('is not written if somebody else went on from the head', async () => {
    const store = open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const head = (await store.head())!
    const batch = await ahead(store, numbered('b', 300, { payload: true }))
    const second = await new BatchWriter(open()).append(numbered('c', 1))
    expect(await store.appendAfter!(head, batch)).toBe(false)
    await assertHolds(store, [first, second])
  })

  it('is not written on a head of which any member is another', async () => {
    const store = open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const head = (await store.head())!
    const batch = await ahead(store, numbered('b', 3))
    const changes = [
      { size: 2 },
      { checkpoint: 'x' },
      { epoch: 7 },
      { observed: 'x' },
      { published: 'x' },
      { mac: new Uint8Array(32) },
      { frontier: [] },
    ]
    for (const change of changes) expect(await store.appendAfter!({ ...head, ...change }, batch)).toBe(false)
    await assertHolds(store, [first])
    // Purges raise minIndex and leave the rest.
    expect(await store.appendAfter!({ ...head, minIndex: 256 }, batch)).toBe(true)
    await assertHolds(store, [first, batch])
  })

  it('is not written if the log has one of its ids', async () => {
    const store = open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const specs = numbered('b', 300, { payload: true }).with(299, numbered('a', 1)[0]!)
    expect(await written(store, await ahead(store, specs))).toBe(false)
    await assertHolds(store, [first])
  })

  it('keeps its turn between the appends around it', async () => {
    const store = open()
    const writer = new BatchWriter(store)
    const first = await writer.append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 300))
    const writing = store.appendAfter!((await store.head())!, batch)
    const erasing = store.erase([{ index: 0, id: 'a 0', name: 'input' }])
    const third = writer.append(numbered('c', 3))
    expect(await writing).toBe(true)
    await erasing
    const erased = { ...first, ids: first.ids.with(0, { ...first.ids[0]!, digest: null }) }
    await assertHolds(store, [erased, batch, await third])
  })

  it('waits for the lock, and gives up in time', async () => {
    const store = open({ lockTimeoutMs: 100 })
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3))
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    await expect(written(store, batch)).rejects.toThrow(refused('ERR_STORE_BUSY'))
    const writing = written(store, batch)
    other.exec('ROLLBACK')
    expect(await writing).toBe(true)
    other.close()
    await assertHolds(store, [first, batch])
  })

  it('says that the store is full, corrupt or closed by the same codes, and goes on afterwards', async () => {
    const small = open({ maxPages: 60 })
    const first = await new BatchWriter(small).append(numbered('a', 3))
    const batch = await ahead(small, numbered('b', 2000, { payload: true }))
    await expect(written(small, batch)).rejects.toThrow(refused('ERR_STORE_FULL'))
    await assertHolds(small, [first])
    const fits = await ahead(small, numbered('c', 3))
    expect(await written(small, fits)).toBe(true)
    await assertHolds(small, [first, fits])
    const head = (await small.head())!
    await small.close()
    await expect(small.appendAfter!(head, batch)).rejects.toThrow(refused('ERR_CLOSED'))
    const reader = open({ readOnly: true })
    await expect(reader.appendAfter!(head, batch)).rejects.toThrow(refused('ERR_STORE_READONLY'))
  })

  it('is written before the store closes', async () => {
    const store = open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3000))
    const writing = written(store, batch)
    await new Promise((resolve) => setImmediate(resolve))
    await store.close()
    expect(await writing).toBe(true)
    await assertHolds(open(), [first, batch])
  })
})
