/** Cases of the store suite: handles come and go, the log stays. */
import type { Batch, LogStore } from '../store/store.ts'
import { BatchWriter, buildBatch, numbered } from './batches.ts'
import { assertHolds, collect, type DefineCase, rejects } from './store-kit.ts'

export function openCases(define: DefineCase): void {
  define('shows each handle what the other wrote', async ({ open }) => {
    const handles = [await open(), await open()]
    const batches: Batch[] = []
    for (let i = 0; i < 6; i++) {
      batches.push(await new BatchWriter(handles[i % 2]!).append(numbered(`${i}`, 100, { payload: true })))
      for (const handle of handles) await assertHolds(handle, batches)
    }
  })

  define(
    'keeps what it acknowledged across a reopen',
    async ({ open }) => {
      const batches: Batch[] = []
      for (let i = 0; i < 4; i++) {
        const store = await open()
        await assertHolds(store, batches)
        const writer = new BatchWriter(store)
        batches.push(await writer.append(numbered(`${i}`, 200, { payload: true }), { publish: i % 2 === 0 }))
        batches.push(await writer.append(numbered(`${i} again`, 1)))
        await store.close()
      }
      await assertHolds(await open(), batches)
    },
    'reopen',
  )

  define(
    'is empty after a reopen if nothing was appended',
    async ({ open }) => {
      await (await open()).close()
      await assertHolds(await open(), [])
    },
    'reopen',
  )

  define('closes twice, also at once', async ({ open }) => {
    const store = await open()
    await new BatchWriter(store).append(numbered('a', 1))
    await Promise.all([store.close(), store.close()])
    await store.close()
  })

  define(
    'refuses every call once closed',
    async ({ open }) => {
      const store = await open()
      await new BatchWriter(store).append(numbered('a', 300, { payload: true }))
      const paused = store.entries(0, 300)
      await store.close()
      for (const call of everyCall(store)) await rejects(call(), 'ERR_CLOSED')
      await rejects(collect(paused), 'ERR_CLOSED')
    },
    'closed',
  )

  define(
    'closes after the append that is under way',
    async ({ open }) => {
      const store = await open()
      const entered = Promise.withResolvers<void>()
      const gate = Promise.withResolvers<void>()
      const underLock = () => {
        entered.resolve()
        return gate.promise
      }
      const append = new BatchWriter(store).append(numbered('a', 3), { underLock })
      await entered.promise
      const closed = store.close()
      gate.resolve()
      const written = await append
      await closed
      await assertHolds(await open(), [written])
    },
    'reopen',
  )
}

function everyCall(store: LogStore): (() => Promise<unknown>)[] {
  return [
    () => store.append([], () => null),
    () => store.append([], () => buildBatch(null, numbered('late', 1)).batch),
    () => store.head(),
    () => collect(store.entries(0, 1)),
    () => store.tile(0, 0),
    () => store.tileRoots(0, 0, 1),
    () => store.leaves(0, 1),
    () => store.findIds(['a 1']),
    () => collect(store.ids(0, 1)),
    () => collect(store.checkpoints(0, 300)),
    () => store.publish({ size: 300, note: 'late' }),
    () => store.purge(256),
    () => store.payload(0, 'input'),
    () => collect(store.payloads(0, 1)),
    () => store.erase([{ index: 0, id: 'a 0', name: 'input' }]),
  ]
}
