/** Each call of the store failing, in each way: what was acknowledged is there, what was refused can be tried again. */
import { describe, expect, it } from 'vitest'
import { IndelibleError, isIndelibleError, type OutcomeUnknownError } from '../src/errors.ts'
import type { Log, Receipt } from '../src/log/log.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { type Fault, type FaultyStore, faultyStore, type StoreMethod } from '../src/testing/faulty-store.ts'
import {
  EVENT,
  entriesOf,
  numbered,
  recoveredIn,
  rejection,
  sizeOf,
  type TestLog,
  testLog,
  until,
} from './faults-kit.ts'

type Events = readonly (AgentEvent & { id: string })[]

/** A log whose store fails as told; nothing has failed yet. */
async function faultyLog(options: Parameters<typeof testLog>[0] = {}): Promise<TestLog & { faulty: FaultyStore }> {
  const wrapped: FaultyStore[] = []
  const made = await testLog({
    ...options,
    wrap: (store) => {
      wrapped.push(faultyStore(store))
      return wrapped[0]!
    },
  })
  return { ...made, faulty: wrapped[0]! }
}

/** Hands in `events` until they are acknowledged; every refusal must be one that a program can act on. */
async function insist(log: Log, events: Events): Promise<Receipt[]> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await log.recordMany(events)
    } catch (error) {
      if (!isIndelibleError(error) || attempt > 3) throw error
    }
  }
}

async function expectOnce(made: TestLog, events: Events, receipts: readonly Receipt[]): Promise<void> {
  const log = await made.reopen({ store: made.store })
  const entries = await entriesOf(log)
  const ids = entries.map(({ record }) => record.id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [i, { id, index }] of receipts.entries()) {
    expect(id).toBe(events[i]!.id)
    expect(ids[index]).toBe(id)
  }
  await log.record(EVENT)
  await made.verify()
}

/** All that a log does with its store, with another writer in between. */
async function scenario(made: TestLog & { faulty: FaultyStore }): Promise<void> {
  const events: (AgentEvent & { id: string })[] = []
  const receipts: Receipt[] = []
  const log = await made.reopen().catch(async (error) => {
    expect(error).toBeInstanceOf(IndelibleError)
    return made.reopen()
  })
  const rival = await made.reopen({ store: made.store })
  const record = async (more: Events) => {
    receipts.push(...(await insist(log, more)))
    events.push(...more)
  }
  await record([numbered('first')])
  await record(['a', 'b', 'c'].map(numbered))
  await rival.record(EVENT)
  await record(Array.from({ length: 300 }, (_, n) => numbered(`${n}`)))
  // Once more, as after an answer that got lost.
  const again = await insist(log, events.slice(0, 2))
  expect(again.map(({ index, duplicate }) => [index, duplicate])).toEqual(
    receipts.slice(0, 2).map(({ index }) => [index, true]),
  )
  await rival.record(EVENT)
  await Promise.all(['x', 'y', 'z'].map((name) => record([numbered(name)])))
  await log.close().catch((error) => expect(error).toBeInstanceOf(IndelibleError))
  await rival.close()
  await expectOnce(made, events, receipts)
}

/** The calls that {@link scenario} makes after the log was first opened. */
async function callsOf(): Promise<Map<StoreMethod, number>> {
  const made = await faultyLog()
  const before = made.faulty.calls.length
  await scenario(made)
  const calls = new Map<StoreMethod, number>()
  for (const method of made.faulty.calls.slice(before)) calls.set(method, (calls.get(method) ?? 0) + 1)
  return calls
}

describe('a store call that fails', () => {
  it('loses nothing that was acknowledged, whichever call it is', async () => {
    const calls = await callsOf()
    expect([...calls.keys()].sort()).toEqual(
      expect.arrayContaining(['append', 'checkpoints', 'close', 'entries', 'head', 'leaves', 'publish']),
    )
    for (const [method, count] of calls) {
      for (let call = 1; call <= count; call++) {
        for (const kind of ['refused', 'lost', 'kept'] as const) {
          const made = await faultyLog()
          made.faulty.fail({ method, kind, call })
          await scenario(made).catch((cause) => {
            throw new Error(`${method}, call ${call}, ${kind}`, { cause })
          })
        }
      }
    }
  })

  it('is refused with the code of the store, and the next entry goes on', async () => {
    for (const code of ['ERR_STORE_FULL', 'ERR_STORE_BUSY', 'ERR_STORE_READONLY'] as const) {
      const made = await faultyLog()
      const size = await sizeOf(made.log)
      const stop = made.faulty.fail({ method: 'append', kind: 'lost', error: new IndelibleError(code, 'made up') })
      expect(await rejection(made.log.record(EVENT))).toMatchObject({ code })
      expect(await sizeOf(made.log)).toBe(size)
      stop()
      expect((await made.log.record(EVENT)).index).toBe(size)
      await made.verify()
    }
  })
})

describe('an outcome that is not known', () => {
  const unanswered: Fault = { method: 'head', kind: 'refused' }

  for (const kind of ['lost', 'kept'] as const) {
    it(`is settled once the store answers again (${kind})`, async () => {
      const made = await faultyLog()
      const stop = made.faulty.fail(unanswered)
      made.faulty.fail({ method: 'append', kind, call: 1 })
      setTimeout(stop, 100)
      const event = numbered('asked')
      const asked = made.log.record(event)
      if (kind === 'kept') expect((await asked).duplicate).toBeUndefined()
      else expect(await rejection(asked)).toMatchObject({ code: 'ERR_STORE_FAILED' })
      await expectOnce(made, [event], await insist(made.log, [event]))
    })

    it(`is ERR_OUTCOME_UNKNOWN while it does not, and a retry makes no duplicate (${kind})`, async () => {
      const made = await faultyLog()
      const stop = made.faulty.fail(unanswered)
      made.faulty.fail({ method: 'append', kind, call: 1 })
      const events = ['p', 'q'].map(numbered)
      expect(await rejection(made.log.recordMany(events))).toMatchObject({ code: 'ERR_OUTCOME_UNKNOWN' })
      stop()
      const receipts = await insist(made.log, events)
      expect(receipts.map(({ duplicate }) => duplicate ?? false)).toEqual([kind === 'kept', kind === 'kept'])
      await expectOnce(made, events, receipts)
    })
  }

  for (const kind of ['lost', 'kept'] as const) {
    it(`has the ids that the log made, so that nobody records anything twice (${kind})`, async () => {
      const made = await faultyLog()
      const stop = made.faulty.fail(unanswered)
      made.faulty.fail({ method: 'append', kind, call: 1 })
      const failed = await Promise.all([
        rejection(made.log.recordMany([EVENT, EVENT])),
        rejection(made.log.record(EVENT)),
      ])
      expect(failed).toMatchObject([{ code: 'ERR_OUTCOME_UNKNOWN' }, { code: 'ERR_OUTCOME_UNKNOWN' }])
      const [many, one] = failed.map((error) => (error as OutcomeUnknownError).ids)
      expect([many, one].map((ids) => ids!.length)).toEqual([2, 1])
      stop()
      const before = await sizeOf(made.log)
      const again = many!.map((id) => ({ ...EVENT, id }))
      if (kind === 'kept') {
        expect(await rejection(made.log.recordMany(again))).toMatchObject({ code: 'ERR_ID_CONFLICT' })
        for (const id of [...many!, ...one!]) expect((await made.log.read(id)).record.id).toBe(id)
        expect(await sizeOf(made.log)).toBe(before)
      } else {
        expect((await made.log.recordMany(again)).map(({ id }) => id)).toEqual(many)
        expect(await sizeOf(made.log)).toBe(before + 2)
      }
    })
  }

  it('is not taken for done because another writer has recorded the same event there', async () => {
    const made = await faultyLog()
    const rival = await made.reopen({ store: made.store })
    const [shared, own] = [numbered('shared'), numbered('own')]
    let rivalDone = () => {}
    const until = new Promise<void>((resolve) => {
      rivalDone = resolve
    })
    made.faulty.fail({ method: 'append', kind: 'lost', call: 1 })
    made.faulty.fail({ method: 'head', kind: 'held', until })
    const refused = rejection(made.log.recordMany([shared, own]))
    await new Promise((resolve) => setTimeout(resolve, 20))
    const { index } = await rival.record(shared)
    rivalDone()
    expect(await refused).toMatchObject({ code: 'ERR_STORE_FAILED' })
    const receipts = await made.log.recordMany([shared, own])
    expect(receipts).toMatchObject([{ index, duplicate: true }, { index: index + 1 }])
    await expectOnce(made, [shared, own], receipts)
  })

  it('is told as done when others have gone on from it already', async () => {
    const made = await faultyLog()
    const rival = await made.reopen({ store: made.store })
    let rivalDone = () => {}
    const until = new Promise<void>((resolve) => {
      rivalDone = resolve
    })
    made.faulty.fail({ method: 'append', kind: 'kept', call: 1 })
    made.faulty.fail({ method: 'head', kind: 'held', until, call: 1 })
    const event = numbered('kept')
    const recorded = made.log.record(event)
    await new Promise((resolve) => setTimeout(resolve, 20))
    await rival.record(EVENT)
    rivalDone()
    const receipt = await recorded
    expect(receipt.duplicate).toBeUndefined()
    await expectOnce(made, [event], [receipt])
  })
})

describe('a rotation', () => {
  for (const kind of ['refused', 'lost', 'kept'] as const) {
    for (const answers of [true, false]) {
      it(`goes on or is undone when its append fails (${kind}, ${answers ? 'outcome known' : 'outcome unknown'})`, async () => {
        const made = await faultyLog()
        const first = made.keys.signer
        made.faulty.fail({ method: 'append', kind, call: 1 })
        const stop = answers ? () => {} : made.faulty.fail({ method: 'head', kind: 'refused' })
        const code = await made.log.rotateKey().then(
          () => 'done',
          (error) => error.code,
        )
        stop()
        expect(code).toBe(
          kind === 'refused'
            ? 'ERR_STORE_FAILED'
            : !answers
              ? 'ERR_OUTCOME_UNKNOWN'
              : kind === 'kept'
                ? 'done'
                : 'ERR_STORE_FAILED',
        )
        await made.log.record(EVENT)
        expect(made.keys.signer !== first).toBe(kind === 'kept')
        await made.verify()
        await made.log.rotateKey()
        await made.log.record(EVENT)
        await made.verify()
      })
    }
  }

  it('signs nothing more with the old key, however many wait', async () => {
    const made = await testLog({ sequencer: { maxBatch: 2 } })
    const recorded = []
    for (let n = 0; n < 5; n++) {
      for (let i = 0; i < 10; i++) recorded.push(made.log.record(EVENT))
      recorded.push(made.log.rotateKey())
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(recorded)
    await made.verify()
  })
})

describe('a statement of the log about itself', () => {
  it('is written without waiting for an entry', async () => {
    const made = await testLog()
    const size = await sizeOf(made.log)
    await made.log.notice('made_up', { n: 1 })
    expect(await recoveredIn(made.log, size)).toEqual(['made_up'])
  })

  for (const kind of ['refused', 'lost', 'kept'] as const) {
    for (const answers of [true, false]) {
      it(`is written once although its append fails (${kind}, ${answers ? 'outcome known' : 'outcome unknown'})`, async () => {
        const made = await faultyLog()
        const stop = answers ? () => {} : made.faulty.fail({ method: 'head', kind: 'refused' })
        made.faulty.fail({ method: 'append', kind, call: 1 })
        await made.log.notice('made_up').catch(() => {})
        stop()
        // One that comes while a batch with the first is on its way is not lost either.
        const recorded = made.log.record(EVENT)
        await made.log.notice('another')
        await recorded
        expect((await recoveredIn(made.log)).sort()).toEqual(['another', 'made_up'])
        await made.verify()
      })
    }
  }

  it('is written by close at the latest', async () => {
    const made = await faultyLog()
    await made.log.record(EVENT)
    made.faulty.fail({ method: 'append', kind: 'refused', error: new IndelibleError('ERR_STORE_BUSY', 'x'), call: 1 })
    await made.log.notice('made_up').catch(() => {})
    await made.log.record(EVENT)
    await made.log.close()
    expect(await recoveredIn(await made.reopen())).toEqual(['made_up'])
  })
})

describe('seals', () => {
  it('come although the store failed when the epoch ended, and nothing crashes meanwhile', async () => {
    const made = await faultyLog({ seconds: 1 })
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    made.faulty.fail({ method: 'append', kind: 'refused', call: 1 })
    made.faulty.fail({ method: 'append', kind: 'held', call: 2, until })
    const first = rejection(made.log.record(EVENT))
    await first
    // Waits for the store while the epoch ends.
    const second = made.log.record(EVENT)
    await new Promise((resolve) => setTimeout(resolve, 1300))
    release()
    await second
    await made.verify()
  })

  it('come on time for a log in which nothing happens, even after a failure', async () => {
    const made = await faultyLog({ seconds: 1 })
    made.faulty.fail({ method: 'append', kind: 'refused', call: 1 })
    await made.log.record(EVENT).catch(() => {})
    const epoch = async () => (await made.store.head())!.epoch
    await untilEpoch(epoch, (await epoch()) + 2)
    await made.verify()
  })
})

async function untilEpoch(epoch: () => Promise<number>, wanted: number): Promise<void> {
  await until(async () => (await epoch()) >= wanted, `epoch ${wanted - 1} is sealed`)
}

describe('a purge by somebody else', () => {
  it('is not undone by the next batch', async () => {
    const made = await testLog()
    await made.log.recordMany(Array.from({ length: 600 }, () => EVENT))
    await made.store.purge(256)
    await made.log.record(EVENT)
    expect((await made.store.head())!.minIndex).toBe(256)
    expect(made.store).toBeInstanceOf(MemoryStore)
  })
})
