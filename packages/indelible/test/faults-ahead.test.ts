/** Many callers at once: batches that are sealed ahead of the lock and written in the background. */
import { describe, expect, it } from 'vitest'
import type { Log } from '../src/log/log.ts'
import { MAX_EPOCHS_AHEAD, MAX_SEALED } from '../src/log/sealer.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import { type FaultKind, type FaultyStore, faultyStore } from '../src/testing/faulty-store.ts'
import { EVENT, entriesOf, expectVerified, numbered, opened, testHome, testLog } from './faults-kit.ts'

/** A store in memory that takes batches which were sealed ahead; counts those that it took and those that it did not. */
function aheadStore(inner: LogStore): LogStore & { taken: number; refused: number } {
  const store = Object.assign(Object.create(inner) as LogStore, { taken: 0, refused: 0 })
  for (const name of Object.getOwnPropertyNames(MemoryStore.prototype) as (keyof LogStore)[]) {
    const method = inner[name] as (...parameters: unknown[]) => unknown
    Object.assign(store, { [name]: (...parameters: unknown[]) => method.apply(inner, parameters) })
  }
  store.appendAfter = async (head, batch) => {
    await new Promise((resolve) => setTimeout(resolve, 1))
    let isWritten = false
    await inner.append(
      batch.ids.map(({ id }) => id),
      (locked) => {
        isWritten = locked.head?.checkpoint === head.checkpoint && locked.known.size === 0
        return isWritten ? batch : null
      },
    )
    store[isWritten ? 'taken' : 'refused']++
    return isWritten
  }
  return store
}

/** Each of `callers` records `times` events one after the other; returns the receipts. */
async function recordAll(log: Log, callers: number, times: number, name = '') {
  const all = await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      const receipts = []
      for (let n = 0; n < times; n++) {
        receipts.push({ ...(await log.record(numbered(`${name} ${caller} ${n}`))), run: `${name} ${caller} ${n}` })
      }
      return receipts
    }),
  )
  return all.flat()
}

async function expectAll(log: Log, receipts: readonly { index: number; id: string; run: string }[]): Promise<void> {
  const entries = new Map((await entriesOf(log)).map((entry) => [entry.index, entry.record]))
  expect(new Set(receipts.map(({ index }) => index)).size).toBe(receipts.length)
  for (const { index, id, run } of receipts) expect(entries.get(index)).toMatchObject({ id, run: { id: run } })
}

describe('many callers', () => {
  it('are answered with their own places, under a checkpoint that covers them', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    const receipts = await recordAll(log, 400, 8)
    await expectAll(log, receipts)
    for (const { index, checkpoint } of receipts) expect(Number(checkpoint.split('\n')[1])).toBeGreaterThan(index)
    await log.close()
    await expectVerified(made)
  })

  it('of two writers at once lose nothing', async () => {
    const made = await testHome({ epochSeconds: 1 })
    const [one, other] = [await opened(made.home), await opened(made.home)]
    const both = await Promise.all([recordAll(one, 300, 8, 'one'), recordAll(other, 300, 8, 'other')])
    await expectAll(one, both.flat())
    await Promise.all([one.close(), other.close()])
    await expectVerified(made)
  })

  it('who repeat their events get the first receipts, and conflicts are found', async () => {
    let store: ReturnType<typeof aheadStore> | null = null
    const made = await testLog({
      wrap: (inner) => {
        store = aheadStore(inner)
        return store
      },
    })
    await recordAll(made.log, 100, 6)
    expect(store!.taken).toBeGreaterThan(0)
    const events = Array.from({ length: 100 }, (_, n) => numbered(`again ${n}`))
    const first = await Promise.all(events.map((event) => made.log.record(event)))
    const again = await Promise.all([
      ...events.map((event) => made.log.record(event)),
      ...events.map((event) => made.log.record({ ...event, outcome: 'failure' }).catch(({ code }) => code as string)),
    ])
    expect(again.slice(0, 100)).toEqual(
      first.map((receipt) => expect.objectContaining({ index: receipt.index, duplicate: true })),
    )
    expect(again.slice(100)).toEqual(Array(100).fill('ERR_ID_CONFLICT'))
    await made.verify()
  })

  it.each<FaultKind>(['refused', 'lost', 'kept', 'late'])(
    'are told the truth when a batch in the background fails: %s',
    async (kind) => {
      let faulty: FaultyStore | null = null
      const made = await testLog({
        wrap: (inner) => {
          faulty = faultyStore(aheadStore(inner))
          return faulty
        },
      })
      await recordAll(made.log, 100, 4)
      faulty!.fail({ method: 'appendAfter', kind, call: 1, until: new Promise((resolve) => setTimeout(resolve, 20)) })
      const before = faulty!.calls.filter((method) => method === 'appendAfter').length
      const events = Array.from({ length: 600 }, (_, n) => numbered(`${n}`))
      const outcomes = await Promise.allSettled(events.map((event) => made.log.record(event)))
      expect(faulty!.calls.filter((method) => method === 'appendAfter').length).toBeGreaterThan(before)
      const there = new Set((await entriesOf(made.log)).map(({ record }) => record.id))
      for (const [n, { status }] of outcomes.entries()) expect(there.has(events[n]!.id)).toBe(status === 'fulfilled')
      expect(outcomes.some(({ status }) => status === 'rejected')).toBe(kind === 'refused' || kind === 'lost')
      await recordAll(made.log, 100, 4, 'after')
      await made.verify()
    },
  )

  it('go over to a new key while they record', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    const recording = recordAll(log, 200, 12)
    for (let n = 0; n < 3; n++) await log.rotateKey()
    await expectAll(log, await recording)
    await log.close()
    await expectVerified(made)
  })
})

describe('epochs that ended while nobody wrote', () => {
  it('are sealed in several batches where they are many', async () => {
    let nowMs = Date.now()
    const made = await testLog({ seconds: 1, sequencer: { clock: () => nowMs } })
    await made.log.record(EVENT)
    const before = await made.store.head()
    nowMs += 1000 * (2 * MAX_SEALED + 100)
    const receipts = await Promise.all([1, 2].map(() => made.log.record(EVENT)))
    const entries = await entriesOf(made.log)
    const sealed = entries.filter(({ record, index }) => record.type === 'audit.epoch.sealed' && index >= before!.size)
    const times = new Set(sealed.map(({ record }) => record.observed))
    expect(times.size).toBe(3)
    expect(sealed.flatMap(({ record }) => record.audit!.seals as string[]).length).toBeGreaterThan(2 * MAX_SEALED)
    expect(receipts[1]!.index).toBe(receipts[0]!.index + 1)
    await made.verify()
  })

  it('cannot be more than a clock that is right lets end: nothing is written until it is set right', async () => {
    let nowMs = Date.now()
    const made = await testLog({ seconds: 60, sequencer: { clock: () => nowMs } })
    await made.log.record(EVENT)
    const before = await made.store.head()
    nowMs = Date.UTC(9999, 0, 1)
    expect((nowMs - Date.now()) / 60_000).toBeGreaterThan(MAX_EPOCHS_AHEAD)
    await expect(made.log.record(EVENT)).rejects.toThrow(expect.objectContaining({ code: 'ERR_CLOCK_AHEAD' }))
    expect(await made.store.head()).toEqual(before)
    nowMs = Date.now()
    await made.log.record(EVENT)
    await made.verify()
  })
})
