import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { lines, memoryLog, partOf } from '../../test/capture-kit.ts'
import { currentRun } from './context.ts'

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const chunk of stream) all.push(chunk)
  return all
}

const AGENT = { agent: 'planner' }

describe('a run', () => {
  it('begins, calls tools and ends, and its end says what it adds up to', async () => {
    const { log, records } = await memoryLog()
    const options = { agent: { id: 'planner', version: '2' }, user: 'u1', model: 'm1', session: 's1', tenant: 't1' }
    const result = await log.run(options, async (run) => {
      await run.step('turn', async () => {
        const answer = await run.llm({ input: 'hi' }, () => ({
          text: 'yo',
          usage: { prompt_tokens: 3, completion_tokens: 4 },
        }))
        expect(answer.text).toBe('yo')
        expect(await run.tool('add', { a: 1 }, ({ a }) => a + 1)).toBe(2)
      })
      return 'done'
    })
    expect(result).toBe('done')
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual([
      'run.start pending',
      'step.start pending',
      'llm.request pending',
      'llm.response success',
      'tool.start add pending',
      'tool.end add success',
      'step.end success',
      'run.end success',
    ])
    expect(all.every(({ actor }) => actor.on_behalf_of === 'u1' && actor.version === '2')).toBe(true)
    expect(
      all.every(({ run, session, tenant }) => run?.id === all[0]?.run?.id && session === 's1' && tenant === 't1'),
    ).toBe(true)
    expect(all.at(-1)).toMatchObject({
      usage: { input_tokens: 3, output_tokens: 4 },
      attributes: { actions: 2, tools: 1, model_calls: 1, errors: 0, iterations: 1 },
    })
    expect(await partOf(log, all[4]!.id, 'input')).toEqual({ a: 1 })
    expect(await partOf(log, all[5]!.id, 'output')).toBe(2)
  })

  it('is known to the code that it calls, across awaits, and to runs that begin there', async () => {
    const { log, records } = await memoryLog()
    await log.run({ ...AGENT, id: 'outer' }, async (outer) => {
      await sleep(1)
      expect(currentRun()).toBe(outer)
      await outer.tool('delegate', {}, async () => {
        await sleep(1)
        await log.run({ agent: 'inner', id: 'inner' }, async () => expect(currentRun()?.id).toBe('inner'))
      })
    })
    expect(currentRun()).toBeUndefined()
    await log.flush()
    expect((await records()).filter(({ run }) => run?.id === 'inner').map(({ run }) => run?.parent)).toEqual([
      'outer',
      'outer',
    ])
  })

  it('pairs tools that run at once by their calls', async () => {
    const { log, records } = await memoryLog()
    await log.run(AGENT, (run) =>
      Promise.all([run.tool('slow', 1, () => sleep(10, 'a')), run.tool('fast', 2, () => 'b')]),
    )
    await log.flush()
    const all = (await records()).filter(({ tool }) => tool)
    expect(lines(all)).toEqual([
      'tool.start slow pending',
      'tool.start fast pending',
      'tool.end fast success',
      'tool.end slow success',
    ])
    expect(all[0]!.call).toBe(all[3]!.call)
    expect(all[0]!.call).not.toBe(all[1]!.call)
  })

  it('ends with the error that its code throws, and hands it on', async () => {
    const { log, records } = await memoryLog()
    const failure = Object.assign(new RangeError('secret'), { code: 'E_X' })
    const work = log.run(AGENT, (run) => run.tool('bad', {}, () => Promise.reject(failure)))
    await expect(work).rejects.toBe(failure)
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual([
      'run.start pending',
      'tool.start bad pending',
      'tool.error bad failure',
      'run.error failure',
    ])
    expect(all[2]!.error).toEqual({ type: 'RangeError', code: 'E_X' })
    expect(all[3]!.attributes).toMatchObject({ errors: 2 })
  })

  it('is recorded as aborted when its signal is', async () => {
    const { log, records } = await memoryLog()
    const controller = new AbortController()
    const work = log.run({ ...AGENT, signal: controller.signal }, (run) =>
      run.tool('wait', {}, (_, { signal }) => sleep(10_000, null, { signal: signal! })),
    )
    await sleep(5)
    controller.abort()
    await expect(work).rejects.toMatchObject({ name: 'AbortError' })
    await log.flush()
    const all = await records()
    expect(all.filter(({ type }) => type === 'run.abort')).toHaveLength(1)
    expect(lines(all)).toContain('tool.error wait failure')
  })

  it('that is left without an end is unknown with `await using`, and has none otherwise', async () => {
    const { log, records } = await memoryLog()
    {
      await using run = log.run({ ...AGENT, id: 'used' })
      await run.tool('x', 1, () => 1)
    }
    log.run({ ...AGENT, id: 'left' })
    await log.flush()
    const all = await records()
    expect(all.find(({ run, type }) => run?.id === 'used' && type === 'run.end')?.outcome).toBe('unknown')
    expect(all.filter(({ run }) => run?.id === 'left').map(({ type }) => type)).toEqual(['run.start'])
  })

  it('ends once', async () => {
    const { log, records } = await memoryLog()
    const run = log.run(AGENT)
    await Promise.all([run.end(), run.end(), run.error(new Error('late')), run.abort()])
    await run.tool('late', 1, () => 1)
    const all = await records()
    expect(all.filter(({ type }) => /^run\.(end|error|abort)$/.test(type))).toHaveLength(1)
    await log.flush()
    expect((await records()).filter(({ attributes }) => attributes?.after_end === true)).toHaveLength(2)
  })

  it('refuses options that no event can hold, at once', async () => {
    const { log } = await memoryLog()
    expect(() => log.run({ agent: 'x'.repeat(300) })).toThrow(expect.objectContaining({ code: 'ERR_EVENT_INVALID' }))
    expect(() => log.run({} as never)).toThrow(expect.objectContaining({ code: 'ERR_EVENT_INVALID' }))
  })
})

describe('policy and approval', () => {
  it('keep a tool from running, and say so', async () => {
    const { log, records } = await memoryLog()
    let calls = 0
    await log.run(
      { ...AGENT, policy: () => ({ decision: 'deny', id: 'p1', rule: 'r1', reason: 'no' }) },
      async (run) => {
        await expect(run.tool('rm', { path: '/' }, () => calls++)).rejects.toMatchObject({ code: 'ERR_ACTION_DENIED' })
      },
    )
    await log.flush()
    expect(calls).toBe(0)
    expect(lines(await records())).toEqual(['run.start pending', 'policy.evaluated rm denied', 'run.end success'])
  })

  it('that throw have denied', async () => {
    const { log } = await memoryLog()
    const policy = () => {
      throw new Error('down')
    }
    const run = log.run({ ...AGENT, policy })
    await expect(run.tool('rm', {}, () => 1)).rejects.toMatchObject({ code: 'ERR_ACTION_DENIED' })
    const asking = log.run({ ...AGENT, approve: () => Promise.reject(new Error('down')) })
    await expect(asking.tool('rm', {}, () => 1, { needsApproval: true })).rejects.toMatchObject({
      code: 'ERR_ACTION_DENIED',
    })
    const alone = log.run(AGENT)
    await expect(alone.tool('rm', {}, () => 1, { needsApproval: true })).rejects.toMatchObject({
      code: 'ERR_ACTION_DENIED',
    })
  })

  it('ask a person, wait, and go on as they say', async () => {
    const { log, records } = await memoryLog()
    const approve = () => sleep(2, { approved: true, by: 'alice' })
    await log.run({ ...AGENT, policy: () => 'review', approve }, async (run) => {
      expect(await run.tool('mail', { to: 'bob' }, () => 'sent')).toBe('sent')
    })
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual([
      'run.start pending',
      'policy.evaluated mail pending',
      'approval.requested mail pending',
      'approval.decided mail approved',
      'tool.start mail pending',
      'tool.end mail success',
      'run.end success',
    ])
    expect(all[3]!.actor).toEqual({ type: 'user', id: 'alice' })
  })
})

describe('a stream', () => {
  async function* count() {
    for (let i = 0; i < 3; i++) yield `${i}`
  }

  it('from a tool or a model is passed on, and recorded when it ends', async () => {
    const { log, records } = await memoryLog()
    await log.run(AGENT, async (run) => {
      const seen: string[] = []
      for await (const chunk of await run.tool('count', {}, count)) seen.push(chunk)
      expect(seen).toEqual(['0', '1', '2'])
      const text: string[] = []
      const answer = await run.llm({ model: 'm' }, () => ReadableStream.from(['a', 'b']))
      for await (const chunk of answer) text.push(chunk)
      expect(text.join('')).toBe('ab')
    })
    await log.flush()
    const all = await records()
    const [tool, llm] = [all.find(({ type }) => type === 'tool.end')!, all.find(({ type }) => type === 'llm.response')!]
    expect(await partOf(log, tool.id, 'output')).toBe('012')
    expect(await partOf(log, llm.id, 'output')).toBe('ab')
  })

  it('that is left early, or fails, says so', async () => {
    const { log, records } = await memoryLog()
    const run = log.run(AGENT)
    for await (const _ of await run.tool('left', {}, count)) break
    const failing = await run.tool('fails', {}, async function* () {
      yield 1
      throw new TypeError('x')
    })
    await expect(collect(failing)).rejects.toThrow(TypeError)
    await log.flush()
    const all = await records()
    expect(all.find(({ type, tool }) => type === 'tool.end' && tool?.name === 'left')?.attributes).toMatchObject({
      left: true,
    })
    expect(lines(all)).toContain('tool.error fails failure')
  })

  it('of Node stays what it is', async () => {
    const { log, records } = await memoryLog()
    const run = log.run(AGENT)
    const stream = await run.tool('read', {}, () => Readable.from(['a', 'b']))
    expect(stream).toBeInstanceOf(Readable)
    expect((await stream.toArray()).join('')).toBe('ab')
    await sleep(5)
    await log.flush()
    expect(lines(await records())).toContain('tool.end read success')
  })

  it('keeps the members that its framework gave it', async () => {
    const { log } = await memoryLog()
    class Framework {
      #secret = 42
      async *[Symbol.asyncIterator]() {
        yield 1
      }
      reveal() {
        return this.#secret
      }
    }
    const stream = await log.run(AGENT).tool('x', {}, () => new Framework())
    expect(stream.reveal()).toBe(42)
    expect(await collect(stream)).toEqual([1])
  })
})

describe('bad input', () => {
  it('of every kind is recorded, and reaches the tool as it is', async () => {
    const { log, records } = await memoryLog()
    class Account {
      balance = 1n
    }
    const circular: Record<string, unknown> = {}
    circular.self = circular
    const values = [
      circular,
      'x'.repeat(20_000_000),
      new Uint8Array(1000),
      10n ** 50n,
      new Error('x'),
      new Account(),
      () => 1,
      Symbol('s'),
      Readable.from([]),
    ]
    const run = log.run(AGENT)
    for (const value of values) expect(await run.tool('echo', value, (given) => given === value)).toBe(true)
    for (const thrown of [null, undefined, 'text', 7, { message: 1 }, Object.create(null)]) {
      const outcome = await run
        .tool('throws', {}, () => Promise.reject(thrown))
        .then(
          () => 'resolved',
          (error) => error,
        )
      expect(outcome).toBe(thrown)
    }
    await run.end()
    await log.flush()
    const all = await records()
    expect(all.filter(({ type }) => type === 'tool.end')).toHaveLength(values.length)
    expect(all.filter(({ type }) => type === 'tool.error')).toHaveLength(6)
    expect(log.recorder.state?.dropped).toBe(0)
  })

  it('in names does not break the agent', async () => {
    const { log, records } = await memoryLog()
    const run = log.run(AGENT)
    for (const name of ['', 'x'.repeat(1000), '\ud800', 7 as never]) expect(await run.tool(name, {}, () => 1)).toBe(1)
    await run.llmResponse({ call: 'c', model: 'x'.repeat(999), usage: { input_tokens: Number.NaN, output_tokens: -1 } })
    await run.policy({ id: '', decision: '\udc00', reason: Symbol('r') })
    await run.memory('NO SUCH OP')
    await log.flush()
    expect((await records()).filter(({ type }) => type === 'tool.end')).toHaveLength(4)
  })

  it('from hooks that come twice, never or in another order is counted, not guessed at', async () => {
    const { log, records } = await memoryLog()
    const run = log.run(AGENT)
    void run.toolStart({ call: 'a', name: 't' })
    void run.toolStart({ call: 'a', name: 't' })
    void run.toolEnd({ call: 'a' })
    void run.toolEnd({ call: 'a' })
    void run.toolEnd({ call: 'unseen', name: 't' })
    void run.toolStart({ call: 'never-ends', name: 't' })
    await run.end()
    await log.flush()
    const all = await records()
    expect(lines(all).filter((line) => line.startsWith('tool'))).toEqual([
      'tool.start t pending',
      'tool.end t success',
      'tool.end t success',
      'tool.start t pending',
    ])
    expect(all[3]!.attributes).toEqual({ unpaired: true })
    expect(all.at(-1)!.attributes).toMatchObject({ duplicates: 2, unfinished: 1 })
  })

  it('from a clock that is set back leaves durations true', async () => {
    let now = Date.parse('2026-01-01T00:00:10Z')
    const { log, records } = await memoryLog({ clock: () => now })
    const run = log.run(AGENT)
    await run.tool('t', {}, () => {
      now -= 5000
    })
    await run.end()
    await log.flush()
    const end = (await records()).find(({ type }) => type === 'tool.end')!
    expect(end.duration_ms).toBeGreaterThanOrEqual(0)
    expect(end.duration_ms).toBeLessThan(5000)
  })
})

describe('cost and traces', () => {
  it('are taken from the answer, from prices, and from the host', async () => {
    const { log, records } = await memoryLog({ prices: { m1: { input: 2, output: 10 } } })
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    await log.run({ ...AGENT, traceparent, model: 'm1' }, async (run) => {
      await run.llm({}, () => ({ usage: { inputTokens: { total: 1000 }, outputTokens: { total: 100 } } }))
      await run.llm({}, () => ({ usage: { input_tokens: 1, output_tokens: 1, cost_usd: 0.5 } }))
    })
    await log.flush()
    const all = await records()
    expect(all.every(({ trace }) => trace?.trace_id === '0af7651916cd43dd8448eb211c80319c')).toBe(true)
    expect(all.at(-1)!.usage).toMatchObject({ input_tokens: 1001, output_tokens: 101, cost_usd: 0.503 })
  })
})

describe('switched off', () => {
  it('records nothing, and tools run', async () => {
    const { log, records } = await memoryLog({ enabled: false })
    expect(await log.run(AGENT, (run) => run.tool('t', {}, () => 7))).toBe(7)
    expect(await log.run(AGENT).end()).toEqual({ state: 'off' })
    expect(await records()).toEqual([])
  })
})
