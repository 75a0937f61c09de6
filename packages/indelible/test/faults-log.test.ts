/** Retries, clocks, pressure and endings. */
import { describe, expect, it, vi } from 'vitest'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { auditEntry } from '../src/log/batch.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import type { Log } from '../src/log/log.ts'
import { Sequencer } from '../src/log/sequencer.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { newId } from '../src/record/id.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import { type FaultyStore, faultyStore } from '../src/testing/faulty-store.ts'
import {
  Child,
  EVENT,
  entriesOf,
  expectVerified,
  numbered,
  opened,
  recoveredIn,
  rejection,
  sizeOf,
  testHome,
  testLog,
  until,
} from './faults-kit.ts'

const HOUR_MS = 3_600_000

describe('an id that comes again', () => {
  it('with the same event gets the first receipt, in one batch, later, and after a reopen', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    const event = { ...numbered('once'), parts: { output: { value: { b: 1, a: [2] } } } }
    const [first, second] = await Promise.all([log.record(event), log.record(event)])
    expect(second).toEqual({ ...first, duplicate: true })
    expect(await log.record(event)).toMatchObject({ index: first.index, leaf: first.leaf, duplicate: true })
    const other = await opened(made.home)
    expect(await other.record(event)).toMatchObject({ index: first.index, leaf: first.leaf, duplicate: true })
    await other.close()
    await log.close()
    const again = await opened(made.home)
    expect(await again.record(event)).toMatchObject({ index: first.index, leaf: first.leaf, duplicate: true })
    expect(await sizeOf(again)).toBe(first.index + 1)
    await again.close()
    await expectVerified(made)
  })

  it('without a time of its own is the same event later', async () => {
    let now = Date.now()
    const { log } = await testLog({ sequencer: { clock: () => now } })
    const event = { ...EVENT, id: newId(now), parts: { input: { value: 'x' } } }
    const { index } = await log.record(event)
    now += 60_000
    expect(await log.record(event)).toMatchObject({ index, duplicate: true })
  })

  it('with another event is ERR_ID_CONFLICT, and nothing is written', async () => {
    const { log, reopen, verify } = await testLog()
    const event = { ...numbered('mine'), parts: { output: { value: 1 } } }
    await log.record(event)
    const size = await sizeOf(log)
    const others = [
      { ...event, run: { id: 'another' } },
      { ...event, parts: { output: { value: 2 } } },
      { ...event, parts: {} },
      { ...event, time: '2026-01-02T03:04:05.679Z' },
      { ...event, outcome: 'failure' as const },
    ]
    for (const writer of [log, await reopen()]) {
      for (const other of others)
        expect(await rejection(writer.record(other))).toMatchObject({ code: 'ERR_ID_CONFLICT' })
    }
    expect(await sizeOf(log)).toBe(size)
    const fresh = numbered('fresh')
    const raced = await Promise.allSettled([log.record(fresh), log.record({ ...fresh, outcome: 'failure' })])
    expect(raced).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'ERR_ID_CONFLICT' } }])
    expect(await sizeOf(log)).toBe(size + 1)
    await verify()
  })

  it('in the middle of a call refuses the whole call, and nobody else', async () => {
    const { log, verify } = await testLog()
    const used = numbered('used')
    await log.record(used)
    const size = await sizeOf(log)
    const conflict = [numbered('a'), { ...used, outcome: 'failure' as const }, numbered('b')]
    const twice = numbered('twice')
    const outcomes = await Promise.allSettled([
      log.record(EVENT),
      log.recordMany(conflict),
      log.recordMany([numbered('c'), twice, twice]),
      log.recordMany([numbered('d'), used, numbered('e')]),
    ])
    expect(outcomes).toMatchObject([
      { value: { index: size } },
      { reason: { code: 'ERR_ID_CONFLICT' } },
      { reason: { code: 'ERR_ID_CONFLICT' } },
      { value: [{ index: size + 1 }, { index: size - 1, duplicate: true }, { index: size + 2 }] },
    ])
    expect(await sizeOf(log)).toBe(size + 3)
    const ids = (await entriesOf(log)).map(({ record }) => record.id)
    for (const { id } of [conflict[0]!, conflict[2]!, twice]) expect(ids).not.toContain(id)
    await verify()
  })

  it('in the first call of a log is a conflict too', async () => {
    const keys = new MemoryKeys('faults.example/log', { clock: { startMs: Date.now() - 5, seconds: 3600 } })
    const sequencer = new Sequencer(new MemoryStore(), keys)
    const item = { ...auditEntry('audit.verified', Date.now(), {}), idGiven: true }
    expect(await rejection(sequencer.append([item, item]))).toMatchObject({ code: 'ERR_ID_CONFLICT' })
    expect(await sequencer.append([])).toEqual([])
  })

  it('is uncompared once a part was erased, or under other privacy rules', async () => {
    const { log, store, reopen } = await testLog()
    const event = { ...numbered('erased'), parts: { output: { value: 'secret' } } }
    const { index, id } = await log.record(event)
    const strict = await reopen({ privacy: { mode: 'none' } })
    expect(await strict.record(event)).toMatchObject({ index, duplicate: true, uncompared: true })
    expect(await store.erase([{ index, id, name: 'output' }])).toBe(1)
    expect(await log.record({ ...event, parts: {} })).toMatchObject({ index, duplicate: true, uncompared: true })
  })

  it('comes from several processes at once and stands in the log once', async () => {
    const made = await testHome()
    const logs = await Promise.all([1, 2, 3].map(() => opened(made.home)))
    const events = Array.from({ length: 50 }, (_, n) => numbered(`${n}`))
    const receipts = await Promise.all(logs.flatMap((log) => events.map((event) => log.record(event))))
    for (const [i, { index }] of receipts.entries()) expect(index).toBe(receipts[i % 50]!.index)
    expect(receipts.filter(({ duplicate }) => !duplicate)).toHaveLength(50)
    await Promise.all(logs.map((log) => log.close()))
    await expectVerified(made)
  })
})

describe('a clock that', () => {
  const observedIn = async (log: Log) => (await entriesOf(log)).map(({ record }) => record.observed)

  it('goes back by an hour while running is recorded once, and time does not go back with it', async () => {
    let now = Date.now()
    const made = await testLog({ sequencer: { clock: () => now } })
    await made.log.record(EVENT)
    now -= HOUR_MS
    for (let n = 0; n < 3; n++) await made.log.record(EVENT)
    now += HOUR_MS
    for (let n = 0; n < 3; n++) await made.log.record(EVENT)
    expect(await recoveredIn(made.log)).toEqual(['clock_jump', 'clock_jump'])
    const jumps = (await entriesOf(made.log)).filter(({ record }) => record.type === 'audit.recovered')
    expect(jumps.map(({ record }) => Math.round((record.audit!.by_ms as number) / 1000))).toEqual([-3600, 3600])
    const observed = await observedIn(made.log)
    expect(observed).toEqual([...observed].sort())
    await made.verify()
  })

  it('went back while nobody ran is recorded once for each who finds it', async () => {
    let now = Date.now() + HOUR_MS
    const made = await testLog({ sequencer: { clock: () => now } })
    await made.log.record(EVENT)
    await made.log.close()
    now -= HOUR_MS
    const log = await made.reopen()
    const size = await sizeOf(log)
    for (let n = 0; n < 3; n++) await log.record(EVENT)
    expect(await recoveredIn(log, size)).toEqual(['clock_behind_log'])
    const observed = await observedIn(log)
    expect(observed).toEqual([...observed].sort())
    await made.verify()
  })

  it('stands before the deployment began stops nothing', async () => {
    let offset = 0
    const made = await testLog({ seconds: 1, sequencer: { clock: () => (offset === 0 ? Date.now() : offset) } })
    await made.log.record(EVENT)
    offset = 1000
    // The timer of the epoch's end goes off meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1200))
    await made.log.record(EVENT)
    offset = 0
    await made.log.record(EVENT)
    await made.verify()
  })

  it('leaps over 700 epochs has each of them sealed', async () => {
    let now = Date.now()
    const made = await testLog({ seconds: 1, sequencer: { clock: () => now } })
    await made.log.record(EVENT)
    const size = await sizeOf(made.log)
    now += 700_000
    await made.log.record(EVENT)
    const seals = (await entriesOf(made.log, size)).filter(({ record }) => record.type === 'audit.epoch.sealed')
    expect(seals.map(({ record }) => (record.audit!.seals as string[]).length)).toEqual([512, expect.any(Number)])
    now += 3_000
    await made.log.record(EVENT)
    await made.verify()
  })

  it('stands still is no reason to keep checkpoints unpublished', async () => {
    let now = Date.now()
    const made = await testLog({ sequencer: { clock: () => now } })
    await made.log.record(EVENT)
    now -= HOUR_MS
    for (let n = 0; n < 3; n++) await made.log.record(EVENT)
    await made.log.close()
    const { size } = (await made.store.head())!
    const published: number[] = []
    for await (const chunk of made.store.checkpoints(0, size)) published.push(...chunk.map((one) => one.size))
    expect(published.at(-1)).toBe(size)
  })

  it('goes on seals epochs on time although nothing happens, and once among several writers', async () => {
    const made = await testHome({ epochSeconds: 1 })
    const logs = await Promise.all([1, 2, 3].map(() => opened(made.home)))
    const sealed = async () =>
      (await entriesOf(logs[0]!)).filter(({ record }) => record.type === 'audit.epoch.sealed').length
    await until(async () => (await sealed()) >= 2, 'two epochs are sealed')
    await Promise.all(logs.map((log) => log.close()))
    await expectVerified(made)
  })
})

/** A log whose store stands still until `release` is called. */
async function heldLog(maxPendingBytes?: number) {
  const wrapped: FaultyStore[] = []
  const made = await testLog({
    ...(maxPendingBytes && { sequencer: { maxPendingBytes } }),
    wrap: (store) => {
      wrapped.push(faultyStore(store))
      return wrapped[0]!
    },
  })
  let release = () => {}
  const until = new Promise<void>((resolve) => {
    release = resolve
  })
  wrapped[0]!.fail({ method: 'append', kind: 'held', until })
  return { ...made, release }
}

describe('under pressure', () => {
  it('what does not fit is refused, what was taken is written, and recording goes on', async () => {
    const made = await heldLog(1_048_576)
    const outcomes = Array.from({ length: 1000 }, (_, n) =>
      made.log.record({ ...numbered(`${n}`), parts: { output: { value: n } } }),
    )
    const settled = Promise.allSettled(outcomes)
    expect(await rejection(outcomes.at(-1)!)).toMatchObject({ code: 'ERR_OVERLOADED' })
    made.release()
    const results = await settled
    const taken = results.filter(({ status }) => status === 'fulfilled')
    const refused = results.filter(({ status }) => status === 'rejected')
    expect(refused.every((result) => (result as PromiseRejectedResult).reason.code === 'ERR_OVERLOADED')).toBe(true)
    // Each takes between 2 and 8 KiB.
    expect(taken.length).toBeGreaterThan(128)
    expect(taken.length).toBeLessThan(512)
    for (const result of taken) {
      const { index, id } = (result as PromiseFulfilledResult<{ index: number; id: string }>).value
      expect((await made.log.read(index)).record.id).toBe(id)
    }
    await made.log.record(EVENT)
    await made.verify()
  })

  it('one call that is larger than all room is taken when nothing else waits', async () => {
    const { log, verify } = await testLog({ sequencer: { maxPendingBytes: 1000, maxBatch: 10 } })
    const receipts = await log.recordMany(Array.from({ length: 50 }, () => EVENT))
    expect(receipts.map(({ index }) => index)).toEqual(receipts.map((_, i) => receipts[0]!.index + i))
    expect(new Set(receipts.map(({ checkpoint }) => checkpoint)).size).toBe(1)
    await verify()
  })

  it('timers and I/O get their turn, and flush ends, although callers never pause', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    let isOver = false
    let recorded = 0
    const callers = Array.from({ length: 20 }, async () => {
      for (; !isOver; recorded++) await log.record(EVENT)
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    await log.flush()
    const before = recorded
    await new Promise((resolve) => setTimeout(resolve, 20))
    isOver = true
    await Promise.all(callers)
    expect(recorded).toBeGreaterThan(before)
  })

  it('flush waits for what was recorded before it', async () => {
    const { log, release } = await heldLog()
    const order: string[] = []
    const recorded = log.record(EVENT).then(() => order.push('recorded'))
    const flushed = log.flush().then(() => order.push('flushed'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(order).toEqual([])
    release()
    await Promise.all([recorded, flushed])
    expect(order).toEqual(['recorded', 'flushed'])
    await log.flush()
  })
})

describe('close', () => {
  it('answers everybody, and everything acknowledged is there', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    const outcomes: Promise<unknown>[] = []
    const callers = Array.from({ length: 10 }, async () => {
      for (let refused = false; !refused; ) {
        const recorded = log.record(EVENT)
        outcomes.push(recorded)
        await recorded.catch((error) => {
          expect(error).toMatchObject({ code: 'ERR_CLOSED' })
          refused = true
        })
      }
    })
    await new Promise((resolve) => setTimeout(resolve, 30))
    await log.close()
    await Promise.all(callers)
    const taken = (await Promise.allSettled(outcomes)).filter(({ status }) => status === 'fulfilled').length
    const report = await expectVerified(made)
    expect(report.size).toBe(taken + 1)
  })

  it('comes twice, and at once, without harm', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    await log.record(EVENT)
    await Promise.all([log.close(), log.close()])
    await log.close()
    expect(await rejection(log.record(EVENT))).toMatchObject({ code: 'ERR_CLOSED' })
    await log.flush()
  })

  it('waits for a store that hangs, while everybody else is told', async () => {
    const made = await heldLog()
    const recorded = made.log.record(EVENT)
    const closed = vi.fn()
    const closing = made.log.close().then(closed)
    expect(await rejection(made.log.record(EVENT))).toMatchObject({ code: 'ERR_CLOSED' })
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(closed).not.toHaveBeenCalled()
    made.release()
    await Promise.all([recorded, closing])
    await made.verify()
  })

  it('lets go of the store although the store fails', async () => {
    const wrapped: FaultyStore[] = []
    const { log } = await testLog({
      wrap: (store) => {
        wrapped.push(faultyStore(store, [{ method: 'head', kind: 'refused', error: new TypeError('broken') }]))
        wrapped[0]!.fail({ method: 'append', kind: 'refused', error: new TypeError('broken') })
        return faultyStore(store)
      },
    })
    await log.close()
    const failing = wrapped[0]!
    const keys = new MemoryKeys('faults.example/log', { clock: { startMs: Date.now(), seconds: 3600 } })
    const sequencer = new Sequencer(failing, keys)
    await expect(sequencer.close()).rejects.toThrow('broken')
    await expect(sequencer.close()).rejects.toThrow('broken')
  })

  it('lets the process end: no timer keeps it alive', async () => {
    const made = await testHome({ epochSeconds: 1 })
    const child = new Child('openOnly', { home: made.home })
    await child.done()
    expect(child.lines).toEqual(['opened'])
  })
})

describe('open', () => {
  it('reads the right edge and never the log', { timeout: 60_000 }, async () => {
    const SIZE = 200_000
    const startMs = Math.floor(Date.now() / 1000) * 1000
    const keys = new MemoryKeys('faults.example/log', { clock: { startMs, seconds: 3600 } })
    const inner = new MemoryStore()
    await writeFirstEntry(inner, keys, formatVkey(keys.signer.key), 'default')
    const sequencer = new Sequencer(inner, keys)
    const half: Record<string, unknown> = {}
    for (let size = 1; size < SIZE; ) {
      const items = Array.from({ length: Math.min(9973, SIZE - size) }, () => ({
        ...auditEntry('audit.verified', startMs, {}),
        idGiven: false,
      }))
      await sequencer.append(items)
      size += items.length
      if (!half.remembered && size > SIZE / 3) half.remembered = keys.remembered()
    }
    await sequencer.close()
    const sizes = [half.remembered as ReturnType<typeof keys.remembered>, keys.remembered()]
    for (const remembered of sizes) {
      const { store, read } = counting(inner)
      class Forgetful extends MemoryKeys {
        override remembered() {
          return remembered
        }
      }
      const again = new Forgetful(keys.origin, { clock: keys.clock, firstKey: keys.firstKey })
      again.signer = keys.signer
      again.trusted = keys.trusted
      const opening = new Sequencer(store, again)
      await opening.open()
      expect(read.rows).toBeGreaterThan(0)
      expect(read.rows).toBeLessThan(1500)
      expect(read.calls).toBeLessThan(50)
    }
  })
})

/** A store that counts the rows and hashes that are read from it. */
function counting(inner: LogStore): { store: LogStore; read: { rows: number; calls: number } } {
  const read = { rows: 0, calls: 0 }
  const count = (result: unknown) => {
    if (result instanceof Uint8Array) read.rows += result.length / 32
    else if (Array.isArray(result)) read.rows += result.length
    else if (result instanceof Map) read.rows += result.size
    else if (result !== null) read.rows++
  }
  const store = new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        read.calls++
        const result = value.apply(target, args)
        if (Symbol.asyncIterator in result) {
          return (async function* () {
            for await (const chunk of result) {
              count(chunk)
              yield chunk
            }
          })()
        }
        return result.then((got: unknown) => {
          count(got)
          return got
        })
      }
    },
  })
  return { store, read }
}
