import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Recorder } from '../src/capture/recorder.ts'
import { Spool } from '../src/capture/spool.ts'
import { EXPORTERS } from '../src/export/formats.ts'
import { traceSchema } from '../src/export/trace-schema.ts'
import { openLog } from '../src/log/home.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { openQuery } from '../src/query/home-query.ts'
import { newId } from '../src/record/id.ts'
import { folder, homeLog, lines, memoryLog, ORIGIN } from './capture-kit.ts'
import { AGENT, event, FAILS, KEY, numbersOf, range, recorderOn, TIME } from './spool-kit.ts'

describe('mode continue', () => {
  it('lets the agent go on, spools, and appends in order once the log takes entries; the log says so', async () => {
    const { log, store, records, gaps } = await memoryLog()
    const directory = folder()
    const recorder = recorderOn(log, directory)
    const recover = store.fail(FAILS)
    const acks = [recorder.record(event(0)), recorder.record(event(1))]
    expect((await Promise.all(acks)).map(({ state }) => state)).toEqual(['spooled', 'spooled'])
    expect(await recorder.run(AGENT, (run) => run.tool('t', {}, () => 7))).toBe(7)
    await recorder.flush()
    expect(await records()).toEqual([])
    expect(recorder.state).toMatchObject({ isDown: true, pending: 0, lastError: 'ERR_STORE_FAILED' })
    recover()
    expect(await recorder.record(event(2))).toMatchObject({ state: expect.stringMatching(/recorded|spooled/) })
    await recorder.flush()
    const all = await records()
    expect(lines(all)).toEqual([
      'x.test unknown',
      'x.test unknown',
      'run.start pending',
      'tool.start t pending',
      'tool.end t success',
      'run.end success',
      'x.test unknown',
    ])
    expect(numbersOf(all).filter((n) => n !== undefined)).toEqual([0, 1, 2])
    const stated = await gaps()
    expect(stated.every(({ cause }) => cause === 'spooled')).toBe(true)
    expect(stated.reduce((sum, { events }) => sum + (events as number), 0)).toBeGreaterThanOrEqual(6)
    expect(readdirSync(directory)).toEqual([])
    expect(recorder.state).toMatchObject({ isDown: false, spoolBytes: 0, dropped: 0 })
  })

  it('appends nothing twice whose outcome was not known', async () => {
    const { log, store, records } = await memoryLog()
    const recorder = recorderOn(log, folder())
    // Kept, but reported as failed; and the head cannot be read, so that nobody knows.
    const recover = [store.fail({ method: 'append', kind: 'kept' }), store.fail({ method: 'head', kind: 'refused' })]
    await Promise.all(range(5).map((n) => recorder.record(event(n))))
    for (const undo of recover) undo()
    await recorder.flush()
    expect(numbersOf(await records())).toEqual(range(5))
  })

  it('keeps the order of what comes while the spool is replayed', async () => {
    const { log, store, records } = await memoryLog()
    const recorder = recorderOn(log, folder())
    const recover = store.fail(FAILS)
    await Promise.all(range(2500).map((n) => recorder.record(event(n))))
    recover()
    const later = range(50).map(async (i) => {
      await sleep(i % 7)
      return recorder.record(event(2500 + i))
    })
    await Promise.all(later)
    await recorder.flush()
    const numbers = numbersOf(await records())
    expect(numbers.slice(0, 2500)).toEqual(range(2500))
    expect(new Set(numbers).size).toBe(2550)
  })

  it('writes nothing raw, and nothing that can be read, to the disk', async () => {
    const directory = folder()
    const { log, store } = await memoryLog({}, { mode: 'fingerprint' })
    const recorder = recorderOn(log, directory)
    const recover = store.fail(FAILS)
    await recorder.record(event(1))
    const [name] = readdirSync(directory)
    const file = readFileSync(join(directory, name!))
    for (const text of ['secret', 'planner', 'x.test', 'attributes']) expect(file.includes(text)).toBe(false)
    const spool = new Spool({ directory, key: KEY, origin: ORIGIN, maxBytes: 1e9 })
    const reader = spool.read({ id: name!.slice(0, 36), path: join(directory, name!) })!
    const [frame] = [...reader.frames()]
    expect(JSON.stringify(frame)).not.toContain('secret')
    expect(frame).toMatchObject({ events: [{ type: 'x.test', parts: { output: { mode: 'fingerprint' } } }] })
    spool.close()
    recover()
  })

  it('counts what finds room nowhere, and the log says how many', async () => {
    const { log, store, records, gaps } = await memoryLog()
    const recorder = recorderOn(log, folder(), { maxSpoolBytes: 3000, maxPendingBytes: 10_000 })
    const recover = store.fail(FAILS)
    const acks: Promise<{ state: string }>[] = []
    for (let n = 0; n < 100; n++) {
      acks.push(recorder.record(event(n)))
      if (n % 10 === 9) await sleep(2)
      expect(recorder.state!.pendingBytes).toBeLessThanOrEqual(10_000)
    }
    recover()
    await recorder.flush()
    const states = (await Promise.all(acks)).map(({ state }) => state)
    const dropped = states.filter((state) => state === 'dropped').length
    expect(dropped).toBeGreaterThan(0)
    const numbers = numbersOf(await records())
    expect(numbers).toEqual(range(100).filter((n) => states[n] !== 'dropped'))
    const stated = (await gaps()).filter(({ cause }) => cause === 'dropped')
    expect(stated.reduce((sum, { events }) => sum + (events as number), 0)).toBe(dropped)
  })

  it('without a spool keeps in memory what it can', async () => {
    const { log, store, records, gaps } = await memoryLog()
    const recorder = new Recorder(log, { retryMs: 20, maxPendingBytes: 20_000 })
    onTestFinished(() => recorder.close())
    const recover = store.fail(FAILS)
    for (let n = 0; n < 100; n++) void recorder.record(event(n))
    await sleep(5)
    const { dropped, pending } = recorder.state!
    expect(dropped + pending).toBe(100)
    recover()
    await sleep(60)
    await recorder.flush()
    expect(numbersOf(await records())).toEqual(range(pending))
    expect(await gaps()).toMatchObject([{ cause: 'dropped', events: dropped }])
  })

  it('spools what waits for a store that hangs, and what is on its way to it', async () => {
    const { log, store, records } = await memoryLog()
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    const directory = folder()
    const recorder = recorderOn(log, directory, { maxPendingBytes: 20_000, timeoutMs: 50 })
    store.fail({ method: 'append', kind: 'held', call: 1, until })
    const acks = range(40).map((n) => recorder.record(event(n)))
    await sleep(5)
    await recorder.flush()
    expect(recorder.state!.dropped).toBe(0)
    expect((await Promise.all(acks)).every(({ state }) => state === 'spooled')).toBe(true)
    release()
    await recorder.flush(5000)
    expect(numbersOf(await records())).toEqual(range(40))
  })

  it('states what the log will never take, instead of trying for ever', async () => {
    const { log, records, gaps } = await memoryLog()
    const recorder = recorderOn(log, folder())
    const id = '01a1fc48-8b94-7581-a134-000000000001'
    expect(await recorder.record({ ...event(1), id })).toMatchObject({ state: 'recorded' })
    const [conflict, next] = [recorder.record({ ...event(2), id }), recorder.record(event(3))]
    expect(await conflict).toEqual({ state: 'refused', id, code: 'ERR_ID_CONFLICT' })
    expect(await next).toMatchObject({ state: 'recorded' })
    await recorder.flush()
    expect(numbersOf(await records())).toEqual([1, 3])
    expect(await gaps()).toMatchObject([{ cause: 'refused', code: 'ERR_ID_CONFLICT', events: 1 }])
  })
})

describe('mode block', () => {
  it('runs nothing that is not durable first, and records the refusal', async () => {
    const { log, store, records } = await memoryLog({ onFailure: 'block' })
    const recover = store.fail(FAILS)
    let ran = 0
    const run = log.run(AGENT)
    const count = () => ran++
    await expect(run.tool('t', {}, count)).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    await expect(run.llm({ model: 'm' }, count)).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    await expect(run.handoff('other')).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    expect(ran).toBe(0)
    recover()
    expect(await run.tool('t', {}, count)).toBe(0)
    await log.flush()
    const all = await records()
    const refused = all.filter(({ policy }) => policy?.id === 'indelible.capture')
    expect(refused.map(({ outcome }) => outcome)).toEqual(['denied', 'denied', 'denied'])
    expect(all.find(({ type }) => type === 'tool.start')).toMatchObject({ assurance: 'enforced' })
    expect(all.filter(({ type }) => type === 'tool.start')).toHaveLength(1)
  })

  it('waits for a store that hangs no longer than it may, and does not record later what it refused', async () => {
    const { log, store, records } = await memoryLog({ onFailure: 'block', timeoutMs: 40 })
    const run = log.run(AGENT)
    await run.started
    let release = () => {}
    const until = new Promise<void>((resolve) => {
      release = resolve
    })
    store.fail({ method: 'append', kind: 'held', call: 1, until })
    void run.record({ type: 'x.first' })
    await sleep(5)
    let ran = 0
    await expect(run.tool('t', {}, () => ran++)).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    release()
    await log.flush()
    expect(ran).toBe(0)
    expect((await records()).some(({ type }) => type === 'tool.start')).toBe(false)
  })

  it('holds for one call that asks for it', async () => {
    const { log, store } = await memoryLog()
    const recover = store.fail(FAILS)
    const run = log.run(AGENT)
    expect(await run.tool('free', {}, () => 1)).toBe(1)
    const blocked = run.tool('held', {}, () => 1, { onFailure: 'block' })
    await expect(blocked).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    recover()
  })

  it('tells the agent when what happened could be kept nowhere', async () => {
    const { log, store } = await memoryLog({ onFailure: 'block', timeoutMs: 50 })
    const run = log.run(AGENT)
    let recover = () => {}
    const tool = run.tool('t', {}, () => {
      recover = store.fail(FAILS)
    })
    await expect(tool).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    recover()
  })
})

describe('a home', () => {
  it('replays at the next opening what its spool holds, and verifies', async () => {
    const { home, log } = await homeLog()
    const real = log.append.bind(log)
    log.append = () => Promise.reject(Object.assign(new Error('unplugged'), { code: 'EIO' }))
    await log.run(AGENT, (run) => run.tool('t', { a: 1 }, () => 'x'))
    await log.recorder.flush()
    expect(readdirSync(join(home, 'spool'))).toHaveLength(1)
    log.append = real
    await log.close()
    const again = await openLog({ home })
    await again.flush()
    expect(readdirSync(join(home, 'spool'))).toEqual([])
    expect(await again.recorder.state).toMatchObject({ isDown: false, spoolBytes: 0 })
    await again.close()
    expect((await verifyHome({ home, pins: null })).verdict).toBe('verified')
  })

  it('that embeds us records nothing until it is told to', async () => {
    const { home, log } = await homeLog()
    await log.close()
    const embedded = await openLog({ home, embedded: true })
    expect(await embedded.run(AGENT).end()).toEqual({ state: 'off' })
    await embedded.close()
    process.env.INDELIBLE_CAPTURE__ENABLED = 'true'
    onTestFinished(() => void delete process.env.INDELIBLE_CAPTURE__ENABLED)
    const told = await openLog({ home, embedded: true })
    expect(await told.run(AGENT).end()).toMatchObject({ state: 'recorded' })
    await told.close()
    process.env.INDELIBLE_CAPTURE__ENABLED = 'false'
    const off = await openLog({ home })
    expect(off.recorder.isEnabled).toBe(false)
    await off.close()
  })
})

describe('a draft that went through the spool', () => {
  const values = [
    'call +1 415 555 0100 or mail jane.doe@example.com',
    { name: 'Jane', list: [1, { deep: 'x'.repeat(500) }], none: null },
    'x'.repeat(5000),
    new Error('boom'),
    new Uint8Array(64),
    undefined,
  ]
  for (const mode of ['none', 'fingerprint', 'keys', 'preview', 'full'] as const) {
    it(`is the same event in mode ${mode}: the log knows it, and its disclosures are those that were spooled`, async () => {
      const { log, records } = await memoryLog({}, { mode })
      for (const value of values) {
        const given = { ...event(1), id: newId(Date.now()), time: TIME, parts: { input: { value }, output: { value } } }
        const first = log.draft(given)
        const spooled = JSON.parse(JSON.stringify(first.toEvent()))
        const again = log.draft(spooled, { assurance: 'enforced' })
        expect(again.toEvent()).toEqual(spooled)
        const restored = log.restore(spooled)
        expect(restored.item).toEqual({ ...again.item, payloads: restored.item.payloads })
        expect(restored.toEvent()).toEqual(spooled)
        await log.append([first])
        expect(await log.append([again])).toMatchObject([{ duplicate: true }])
      }
      expect(await records()).toHaveLength(values.length)
    })
  }
})

describe('a recorded run', () => {
  it('is a trace with everything in it, and the proof that its entries are in the log', async () => {
    const { home, log } = await homeLog()
    const options = {
      agent: { id: 'triage', version: '2.1' },
      id: 'r1',
      user: 'dr-7',
      model: { provider: 'acme', name: 'large', reasoning_effort: 'high' },
      modes: { agent: 'auto', access: 'read-only', phi: 'masked' },
      source: { sdk: 'acme/1.0' },
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      prompt: 'You triage.',
      policy: ({ tool }: { tool: string }) => (tool === 'book' ? ('review' as const) : ('allow' as const)),
      approve: async () => ({ approved: true, by: 'alice' }),
    }
    await log.run(options, async (run) => {
      await run.step('turn 1', async () => {
        await run.llm({ input: 'who?' }, () => ({ usage: { input_tokens: 10, output_tokens: 2, cost_usd: 0.01 } }))
        await run.tool('find', { id: 1 }, () => 'found')
        await run.tool('book', { id: 1 }, () => 'booked')
        await run.tool('fail', {}, () => Promise.reject(new TypeError('x'))).catch(() => {})
        await run.handoff('scheduler')
      })
    })
    await log.close()
    const query = await openQuery({ home })
    let text = ''
    const { store, origin } = query
    const vkey = readFileSync(join(home, 'log.vkey'), 'utf8').trim()
    const source = { store, engine: query, origin, vkey, filter: {}, run: 'r1', disclose: [] }
    await EXPORTERS.trace!.write(source, (chunk) => {
      text += chunk
    })
    await query.close()
    const trace = traceSchema.parse(JSON.parse(text))
    expect(trace).toMatchObject({
      status: 'success',
      complete: true,
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      agent: { id: 'triage', version: '2.1', on_behalf_of: 'dr-7' },
      model: { provider: 'acme', name: 'large', reasoning_effort: 'high' },
      modes: { agent: 'auto', access: 'read-only', phi: 'masked' },
      host: { fingerprint: expect.stringMatching(/^hmac-sha256:/) },
      prompt: { name: 'prompt', fingerprint: expect.stringMatching(/^hmac-sha256:/) },
      usage: { input_tokens: 10, output_tokens: 2, cost_usd: 0.01 },
      summary: { tools: 3, model_calls: 1, errors: 1, handoffs: 1, unfinished: 0, iterations: 1 },
    })
    expect(
      trace.actions.map(({ kind, name, status, by }) => [kind, name, status, by].filter(Boolean).join(' ')),
    ).toEqual([
      'step turn 1 success',
      'llm large success',
      'policy find approved',
      'tool find success',
      'policy book pending',
      'approval book pending',
      'approval book approved alice',
      'tool book success',
      'policy fail approved',
      'tool fail failure',
      'handoff scheduler success',
    ])
    const failed = trace.actions.find(({ name, kind }) => name === 'fail' && kind === 'tool')!
    expect(failed.error).toMatchObject({ type: 'TypeError', detail: { fingerprint: expect.any(String) } })
    expect(failed.latency_ms).toBeGreaterThanOrEqual(0)
    expect(trace.proof.entries).toHaveLength(trace.summary.entries)
  })
})
