/** Cases of the store suite: batches that were sealed before the lock was had. */
import assert from 'node:assert/strict'
import type { Batch, LogStore } from '../store/store.ts'
import {
  allBytes,
  type BatchOptions,
  BatchWriter,
  buildBatch,
  type EntrySpec,
  numbered,
  positionAt,
} from './batches.ts'
import { assertHolds, type DefineCase, rejects } from './store-kit.ts'

export function aheadCases(define: DefineCase): void {
  const defineAhead: DefineCase = (title, body) => define(title, body, 'ahead')

  defineAhead(
    'keeps what was sealed before the lock was had, byte for byte, and others go on from it',
    async ({ open }) => {
      const store = await open()
      const writer = new BatchWriter(store)
      const batches = [await writer.append(numbered('a', 3))]
      for (const [label, count] of [
        ['b', 700],
        ['c', 1],
      ] as const) {
        const specs = numbered(label, count, { payload: true })
        const concerned = specs.map((spec) => ({ ...spec, concerns: [new Uint8Array(16).fill(count % 251)] }))
        const batch = await ahead(store, concerned, { publish: true })
        assert.equal(await written(store, batch), true)
        batches.push(batch)
      }
      const batch = await ahead(store, [
        { id: 'o\'clock — 漢 "', entry: allBytes(60_000), digest: null, payloads: { a: 'é\u{10ffff}', b: '' } },
        {
          id: 'empty',
          entry: Uint8Array.of(0),
          digest: Uint8Array.of(0),
          payloads: { 'a b': 'x'.repeat(1024 * 1024) },
        },
      ])
      assert.equal(await written(store, batch), true)
      batches.push(batch, await writer.append(numbered('d', 300)))
      for (const reader of [store, await open()]) await assertHolds(reader, batches)
    },
  )

  defineAhead('copies such a batch before the call returns', async ({ open }) => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const [batch, same] = [await ahead(store, numbered('b', 300)), await ahead(store, numbered('b', 300))]
    const writing = store.appendAfter!((await store.head())!, batch)
    for (const bytes of [...batch.entries, ...batch.leaves, ...batch.macs, batch.head.mac]) bytes.fill(0xee)
    assert.equal(await writing, true)
    await assertHolds(store, [first, same])
  })

  defineAhead('writes nothing of it if somebody else went on from the head', async ({ open }) => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const head = (await store.head())!
    const batch = await ahead(store, numbered('b', 300, { payload: true }))
    const second = await new BatchWriter(await open()).append(numbered('c', 1))
    assert.equal(await store.appendAfter!(head, batch), false)
    await assertHolds(store, [first, second])
  })

  defineAhead('writes nothing of it on a head of which any member is another', async ({ open }) => {
    const store = await open()
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
    for (const change of changes) assert.equal(await store.appendAfter!({ ...head, ...change }, batch), false)
    await assertHolds(store, [first])
    // Purges raise minIndex and leave the rest.
    assert.equal(await store.appendAfter!({ ...head, minIndex: 256 }, batch), true)
    await assertHolds(store, [first, batch])
  })

  defineAhead('writes nothing of it if the log has one of its ids', async ({ open }) => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const specs = numbered('b', 300, { payload: true }).with(299, numbered('a', 1)[0]!)
    assert.equal(await written(store, await ahead(store, specs)), false)
    const fits = await ahead(store, numbered('b', 3))
    assert.equal(await written(store, fits), true)
    await assertHolds(store, [first, fits])
  })

  defineAhead('keeps its turn between the calls around it', async ({ open }) => {
    const store = await open()
    const writer = new BatchWriter(store)
    const first = await writer.append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 300))
    const writing = store.appendAfter!((await store.head())!, batch)
    const erasing = store.erase([{ index: 0, id: 'a 0', name: 'input' }])
    const third = writer.append(numbered('c', 3))
    assert.equal(await writing, true)
    await erasing
    const erased = { ...first, ids: first.ids.with(0, { ...first.ids[0]!, digest: null }) }
    await assertHolds(store, [erased, batch, await third])
  })

  defineAhead('goes on from batches that two handles write in turn', async ({ open }) => {
    const [store, other] = [await open(), await open()]
    const batches = [await new BatchWriter(store).append(numbered('a', 3))]
    for (let round = 0; round < 6; round++) {
      const writer = round % 2 === 0 ? other : store
      const batch = await ahead(writer, numbered(`round ${round}`, 200, { payload: true }), { publish: round === 3 })
      assert.equal(await written(writer, batch), true)
      batches.push(batch)
      if (round === 2) batches.push(await new BatchWriter(store).append(numbered('between', 100)))
    }
    for (const reader of [store, other]) await assertHolds(reader, batches)
  })

  defineAhead('writes it before the store closes, and nothing afterwards', async ({ open }) => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3000))
    const head = (await store.head())!
    const writing = store.appendAfter!(head, batch)
    await new Promise((resolve) => setImmediate(resolve))
    await store.close()
    assert.equal(await writing, true)
    await rejects(store.appendAfter!(head, batch), 'ERR_CLOSED')
    await assertHolds(await open(), [first, batch])
  })
}

/** The batch of `specs` that goes on from the head as it is. */
async function ahead(store: LogStore, specs: readonly EntrySpec[], options: BatchOptions = {}): Promise<Batch> {
  return buildBatch(await positionAt(store, await store.head()), specs, options).batch
}

async function written(store: LogStore, batch: Batch): Promise<boolean> {
  return store.appendAfter!((await store.head())!, batch)
}
