import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../store/memory.ts'
import { buildBatch, numbered } from './batches.ts'
import { type FaultKind, faultyStore } from './faulty-store.ts'
import { assertHolds, collect } from './store-kit.ts'
import { describeStore } from './store-suite.ts'

const { batch } = buildBatch(null, numbered('a', 3, { payload: true }), { publish: true })
const failed = { code: 'ERR_STORE_FAILED' }

// Without faults the wrapper is as good a store as the one inside.
describeStore(
  'faultless',
  async () => {
    const store = faultyStore(new MemoryStore())
    return {
      open: async () => store,
      lacks: {
        reopen: 'wraps memory',
        processes: 'wraps memory',
        ahead: 'wraps memory',
        files: 'wraps memory',
        closed: 'wraps memory',
      },
    }
  },
  { describe, it },
)

describe('a faulty store', () => {
  it.each<{ kind: FaultKind; sealed: number; size: number | undefined }>([
    { kind: 'refused', sealed: 0, size: undefined },
    { kind: 'lost', sealed: 1, size: undefined },
    { kind: 'kept', sealed: 1, size: 3 },
  ])('fails an append that is $kind', async ({ kind, sealed, size }) => {
    const store = faultyStore(new MemoryStore(), [{ method: 'append', kind, call: 1 }])
    let calls = 0
    const seal = () => {
      calls++
      return batch
    }
    await expect(store.append([], seal)).rejects.toMatchObject(failed)
    expect(calls).toBe(sealed)
    expect((await store.head())?.size).toBe(size)
    if (size === undefined) await store.append([], seal)
    await assertHolds(store, [batch])
  })

  it('fails the call it was told to, with the error it was given', async () => {
    const error = new Error('mine')
    const store = faultyStore(new MemoryStore(), [{ method: 'head', kind: 'lost', call: 2, error }])
    await store.findIds([])
    await store.head()
    await expect(store.head()).rejects.toBe(error)
    await store.head()
    expect(store.calls).toEqual(['findIds', 'head', 'head', 'head'])
  })

  it('fails every call until told otherwise', async () => {
    const store = faultyStore(new MemoryStore())
    const restore = store.fail({ method: 'leaves', kind: 'lost' })
    for (let i = 0; i < 3; i++) await expect(store.leaves(0, 0)).rejects.toMatchObject(failed)
    restore()
    expect(await store.leaves(0, 0)).toEqual([])
  })

  it('passes on what seal throws when the batch would have been lost', async () => {
    const store = faultyStore(new MemoryStore(), [{ method: 'append', kind: 'lost' }])
    const error = new Error('mine')
    await expect(store.append([], () => Promise.reject(error))).rejects.toBe(error)
  })

  it('erases, and says that it failed', async () => {
    const store = faultyStore(new MemoryStore(), [{ method: 'erase', kind: 'kept' }])
    await store.append([], () => batch)
    await expect(store.erase([{ index: 1, id: 'a 1', name: 'input' }])).rejects.toMatchObject(failed)
    expect(await store.payload(1, 'input')).toBe(null)
  })

  it('fails a read of chunks before the first or after the last', async () => {
    const store = faultyStore(new MemoryStore(), [
      { method: 'entries', kind: 'lost', call: 1 },
      { method: 'entries', kind: 'kept', call: 2 },
    ])
    await store.append([], () => batch)
    const seen: number[] = []
    const read = async () => {
      for await (const chunk of store.entries(0, 3)) seen.push(...chunk.map(({ index }) => index))
    }
    await expect(read()).rejects.toMatchObject(failed)
    expect(seen).toEqual([])
    await expect(read()).rejects.toMatchObject(failed)
    expect(seen).toEqual([0, 1, 2])
    expect((await collect(store.entries(0, 3))).length).toBe(3)
  })

  it.each<{ kind: FaultKind; size: number | undefined }>([
    { kind: 'held', size: undefined },
    { kind: 'late', size: 3 },
  ])('answers a call that is $kind when it is told to', async ({ kind, size }) => {
    const inner = new MemoryStore()
    const gate = Promise.withResolvers<void>()
    const store = faultyStore(inner, [{ method: 'append', kind, until: gate.promise }])
    let answered = false
    const append = store
      .append([], () => batch)
      .then(() => {
        answered = true
      })
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(answered).toBe(false)
    expect((await inner.head())?.size).toBe(size)
    gate.resolve()
    await append
    await assertHolds(inner, [batch])
  })
})
