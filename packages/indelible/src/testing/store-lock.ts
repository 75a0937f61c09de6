/** Cases of the store suite: writers take turns, and nobody sees half of what one writes. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { toHex } from '../bytes.ts'
import type { Batch, LogStore } from '../store/store.ts'
import { BatchWriter, buildBatch, numbered, positionAt } from './batches.ts'
import { assertHolds, collect, type DefineCase, readContents } from './store-kit.ts'

export function lockCases(define: DefineCase): void {
  define('shows seal the head and those of the ids that the log has', async ({ open }) => {
    const store = await open()
    const written = await new BatchWriter(store).append(numbered('a', 2000))
    const asked = [...numbered('a', 1500, { start: 1000 }), ...numbered('b', 3)].map(({ id }) => id)
    for (const handle of [store, await open()]) {
      await handle.append([...asked, asked[0]!, ''], ({ head, known }) => {
        assert.equal(head?.checkpoint, written.head.checkpoint)
        assert.deepEqual([...known.keys()].sort(), asked.slice(0, 1000).sort())
        const row = known.get('a 1234')!
        assert.deepEqual([row.id, row.index, toHex(row.digest!)], ['a 1234', 1234, toHex(written.ids[1234]!.digest!)])
        return null
      })
    }
  })

  define('lets seal read the log', async ({ open }) => {
    const store = await open()
    const writer = new BatchWriter(store)
    const first = await writer.append(numbered('a', 300))
    const underLock = async () => assertHolds(store, [first])
    await assertHolds(store, [first, await writer.append(numbered('b', 300), { underLock })])
  })

  for (const handles of [1, 2]) {
    define(
      `takes racing appends one after the other, on ${handles === 1 ? 'one handle' : 'two handles'}`,
      async (log) => {
        const writers: BatchWriter[] = []
        for (let i = 0; i < handles; i++) writers.push(new BatchWriter(await log.open()))
        let inside = 0
        const underLock = async () => {
          assert.equal(++inside, 1)
          await new Promise((resolve) => setImmediate(resolve))
          inside--
        }
        const race = Array.from({ length: 60 }, (_, i) =>
          writers[i % handles]!.append(numbered(`${i}`, 1 + (i % 7), { payload: true }), { underLock }),
        )
        const batches = (await Promise.all(race)).toSorted((a, b) => a.from - b.from)
        await assertHolds(await log.open(), batches)
      },
    )
  }

  define('lets exactly one of several batches for the same size win', async ({ open }) => {
    const stores = [await open(), await open()]
    const first = await new BatchWriter(stores[0]!).append(numbered('a', 3))
    const position = await positionAt(stores[0]!, await stores[0]!.head())
    const rivals = Array.from({ length: 8 }, (_, i) => buildBatch(position, numbered(`b${i}`, 300)).batch)
    const outcomes = await Promise.allSettled(rivals.map((batch, i) => stores[i % 2]!.append([], () => batch)))
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.deepEqual(
      lost.map(({ reason }) => reason.code),
      Array(7).fill('ERR_STORE_CONFLICT'),
    )
    await assertHolds(stores[1]!, [first, rivals[outcomes.findIndex(({ status }) => status === 'fulfilled')]!])
  })

  define('frees the lock however an append ends', async ({ open }) => {
    const [store, other] = [await open(), await open()]
    const batches: Batch[] = []
    const endings: (() => Promise<unknown>)[] = [
      () => store.append([], () => null),
      () => store.append([], () => Promise.reject(new Error('no'))),
      () => store.append([], () => buildBatch(null, numbered('conflict', 1)).batch),
    ]
    batches.push(await new BatchWriter(store).append(numbered('a', 3)))
    for (const [i, ending] of endings.entries()) {
      const ended = ending().catch(() => {})
      const [own, others] = [new BatchWriter(store), new BatchWriter(other)]
      const next = await Promise.all([
        own.append(numbered(`own ${i}`, 3)),
        others.append(numbered(`other ${i}`, 3)),
        ended,
      ])
      batches.push(
        ...next
          .slice(0, 2)
          .map((batch) => batch as Batch)
          .sort((a, b) => a.from - b.from),
      )
    }
    await assertHolds(store, batches)
  })

  define('while seal takes its time, blocks writers and not readers', async ({ open }) => {
    const [store, other] = [await open(), await open()]
    const first = await new BatchWriter(store).append(numbered('a', 300, { payload: true }), { publish: true })
    const slow = slowAppend(store, numbered('slow', 300, { payload: true }))
    await slow.entered
    const landed: string[] = []
    const blocked = [store, other].map(async (handle, i) => {
      const batch = await new BatchWriter(handle).append(numbered(`blocked ${i}`, 1))
      landed.push('blocked')
      return batch
    })
    for (let round = 0; round < 3; round++) {
      for (const reader of [store, other]) await assertHolds(reader, [first])
      await sleep(10)
    }
    assert.equal(landed.length, 0)
    landed.push('slow')
    slow.goOn()
    const batches = [await slow.done, ...(await Promise.all(blocked))].sort((a, b) => a.from - b.from)
    assert.deepEqual(landed, ['slow', 'blocked', 'blocked'])
    await assertHolds(other, [first, ...batches])
  })

  define('shows readers a batch whole or not at all', async ({ open }) => {
    const [store, other] = [await open(), await open()]
    const writer = new BatchWriter(store)
    const batches: Batch[] = []
    let writing = true
    const read = async (reader: LogStore) => {
      for (let seen = 0; writing; ) {
        const head = await reader.head()
        const size = head?.size ?? 0
        assert.ok(size >= seen && size % 50 === 0, `size ${size} after ${seen}`)
        seen = size
        const { entries, payloads, leaves, ids } = await readContents(
          reader,
          numbered('a', size).map(({ id }) => id),
        )
        for (const rows of [entries, payloads, leaves]) {
          assert.ok(rows.length >= size && rows.length % 50 === 0, `${rows.length} rows of ${size}`)
        }
        assert.equal(ids.size, size)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const readers = [read(store), read(other)]
    for (let i = 0; i < 20; i++) {
      const underLock = () => new Promise((resolve) => setImmediate(resolve))
      batches.push(await writer.append(numbered('a', 50, { start: i * 50, payload: true }), { underLock }))
    }
    writing = false
    await Promise.all(readers)
    assert.equal((await collect(store.entries(0, 2000))).length, 1000)
    await assertHolds(other, batches)
  })
}

/** An append that stays under the lock until told to go on. */
function slowAppend(store: LogStore, specs: ReturnType<typeof numbered>) {
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const underLock = () => {
    entered.resolve()
    return gate.promise
  }
  const done = new BatchWriter(store).append(specs, { underLock })
  return { entered: entered.promise, goOn: gate.resolve, done }
}
