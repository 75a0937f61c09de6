/** Cases of the store suite: a purge takes entries and payloads, and leaves what proofs need. */
import assert from 'node:assert/strict'
import type { Batch, LogStore } from '../store/store.ts'
import { BatchWriter, numbered } from './batches.ts'
import {
  assertHolds,
  type Contents,
  collect,
  contentsOf,
  type DefineCase,
  readContents,
  rejects,
  sameContents,
} from './store-kit.ts'

export function purgeCases(define: DefineCase): void {
  define(
    'deletes entries and payloads below an index, and keeps ids, tiles, leaves and checkpoints',
    async ({ open }) => {
      const { store, batches, ids } = await filled(open)
      await store.purge(512)
      for (const reader of [store, await open()]) {
        sameContents(await readContents(reader, ids), purged(batches, 512))
        assert.deepEqual(await collect(reader.entries(0, 512)), [])
        assert.deepEqual(await collect(reader.payloads(0, 512)), [])
        assert.equal(await reader.payload(511, 'input'), null)
        assert.equal(await reader.payload(512, 'input'), 'input a 512')
        const rows = await collect(reader.entries(500, 520))
        assert.deepEqual(
          rows.map(({ index }) => index),
          [512, 513, 514, 515, 516, 517, 518, 519],
        )
      }
    },
  )

  define('refuses an index that is no multiple of 256, above the size or below minIndex', async ({ open }) => {
    const { store, batches, ids } = await filled(open)
    for (const below of [1, 255, 257, 1100, 1280, -256, 256.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      await rejects(store.purge(below), RangeError)
    }
    await assertHolds(store, batches)
    await store.purge(512)
    for (const below of [0, 256, 1280]) await rejects(store.purge(below), RangeError)
    sameContents(await readContents(store, ids), purged(batches, 512))
  })

  define('has nothing to purge in an empty log', async ({ open }) => {
    const store = await open()
    await rejects(store.purge(256), RangeError)
    await store.purge(0)
    await assertHolds(store, [])
    await assertHolds(store, [await new BatchWriter(store).append(numbered('a', 1))])
  })

  define('goes on after a purge, and purges again', async ({ open }) => {
    const { store, batches, ids } = await filled(open)
    await store.purge(256)
    await store.purge(256)
    sameContents(await readContents(store, ids), purged(batches, 256))
    const next = await new BatchWriter(store).append(numbered('b', 500, { payload: true }))
    await store.purge(1024)
    const all = [...batches, next]
    const allIds = [...ids, ...next.ids.map(({ id }) => id)]
    sameContents(await readContents(store, allIds), purged(all, 1024))
  })

  define('purges a log to its very end', async ({ open }) => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 512, { payload: true }))
    await store.purge(512)
    const ids = first.ids.map(({ id }) => id)
    sameContents(await readContents(store, ids), purged([first], 512))
    const next = await new BatchWriter(store).append(numbered('b', 3))
    sameContents(await readContents(store, ids), {
      ...purged([first, next], 512),
      ids: purged([first], 512).ids,
    })
  })

  define('purges while others append and read', async ({ open }) => {
    const { store, batches, ids } = await filled(open)
    const other = await open()
    const writer = new BatchWriter(other)
    let purging = true
    const appends = (async () => {
      for (let i = 0; purging || i < 3; i++) {
        batches.push(await writer.append(numbered(`b${i}`, 10)))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const reads = (async () => {
      while (purging) {
        const before = (await other.head())!
        const rows = await collect(other.entries(0, before.size))
        const { minIndex } = (await other.head())!
        const kept = rows.filter(({ index }) => index >= minIndex)
        assert.equal(kept.length, before.size - minIndex)
        assert.equal((await other.leaves(0, before.size)).length, before.size)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for (const below of [256, 512, 1024]) await store.purge(below)
    purging = false
    await Promise.all([appends, reads])
    sameContents(await readContents(store, ids), {
      ...purged(batches, 1024),
      ids: purged(batches.slice(0, 1), 0).ids,
    })
  })

  define('erases nothing more of what was purged', async ({ open }) => {
    const { store } = await filled(open)
    await store.purge(256)
    assert.equal(await store.erase([{ index: 7, id: 'a 7', name: 'input' }]), 0)
    assert.deepEqual((await store.findIds(['a 7'])).get('a 7'), { id: 'a 7', index: 7, digest: null })
  })

  define(
    'has purged for good once it said so',
    async ({ open }) => {
      const { store, batches, ids } = await filled(open)
      await store.purge(512)
      await store.close()
      const again = await open()
      sameContents(await readContents(again, ids), purged(batches, 512))
      await again.purge(1024)
      sameContents(await readContents(again, ids), purged(batches, 1024))
    },
    'reopen',
  )
}

/** A log of 1,100 entries. */
async function filled(open: () => Promise<LogStore>): Promise<{ store: LogStore; batches: Batch[]; ids: string[] }> {
  const store = await open()
  const batch = await new BatchWriter(store).append(numbered('a', 1100, { payload: true }), { publish: true })
  return { store, batches: [batch], ids: batch.ids.map(({ id }) => id) }
}

/** What is left of `batches` after a purge. */
function purged(batches: readonly Batch[], below: number): Contents {
  const { head, entries, payloads, ...kept } = contentsOf(batches)
  return {
    ...kept,
    head: { ...head, minIndex: below } as Contents['head'],
    entries: entries.filter(({ index }) => index >= below),
    payloads: payloads.filter(({ index }) => index >= below),
  }
}
