import { describe, expect, it } from 'vitest'
import { lines, memoryLog, partOf } from '../../test/capture-kit.ts'

async function* streamOf<T>(...chunks: T[]): AsyncGenerator<T> {
  yield* chunks
}

async function read<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const chunk of stream) all.push(chunk)
  return all
}

const RUN = { run: { agent: 'watched' } }

describe('observe', () => {
  it('passes every chunk on as it is, and records those that mean something', async () => {
    const { log, records } = await memoryLog()
    const chunks = [
      { type: 'text-delta', text: 'a' },
      { type: 'tool-call', toolCallId: 'c1', toolName: 'find', input: { id: 1 } },
      { type: 'tool-result', toolCallId: 'c1', toolName: 'find', output: 'found', preliminary: true },
      { type: 'tool-result', toolCallId: 'c1', toolName: 'find', output: 'found' },
      { type: 'tool-call', toolCallId: 'c2', toolName: 'pay', input: {} },
      { type: 'tool-error', toolCallId: 'c2', toolName: 'pay', error: new RangeError('no') },
      { type: 'finish-step', usage: { inputTokens: 3, outputTokens: 4 }, response: { id: 'm1', modelId: 'large' } },
      null,
      7,
      'text',
    ]
    const seen = await read(log.observe(streamOf(...chunks), RUN))
    expect(seen).toHaveLength(chunks.length)
    for (const [i, chunk] of seen.entries()) expect(chunk).toBe(chunks[i])
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual([
      'run.start pending',
      'tool.start find pending',
      'tool.end find success',
      'tool.start pay pending',
      'tool.error pay failure',
      'llm.response success',
      'run.end success',
    ])
    // What is read off a stream may have happened before.
    expect(new Set(all.map(({ assurance }) => assurance))).toEqual(new Set(['reported']))
    expect(all[5]).toMatchObject({ model: { name: 'large' }, usage: { input_tokens: 3, output_tokens: 4 } })
    expect(await partOf(log, all[1]!.id, 'input')).toEqual({ id: 1 })
  })

  it('knows messages of Claude, events of LangChain and events of our own', async () => {
    const { log, records } = await memoryLog()
    const call = { type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'ls' } }
    const chunks = [
      { type: 'assistant', message: { id: 'm1', model: 'claude', content: [call], usage: { input_tokens: 1 } } },
      {
        type: 'user',
        message: { content: [{ type: 'tool_result', tool_use_id: 't1', content: 'a', is_error: false }] },
      },
      { event: 'on_tool_start', run_id: 'r1', name: 'search', data: { input: 'q' } },
      { event: 'on_tool_end', run_id: 'r1', name: 'search', data: { output: 'x' } },
      { type: 'handoff', outcome: 'success', resource: { type: 'agent', id: 'writer' } },
      { type: 'audit.gap' },
    ]
    await read(log.observe(streamOf<unknown>(...chunks), RUN))
    await log.flush()
    expect(lines(await records())).toEqual([
      'run.start pending',
      'llm.response success',
      'tool.start Bash pending',
      'tool.end Bash success',
      'tool.start search pending',
      'tool.end search success',
      'handoff success',
      'run.end success',
    ])
  })

  it('takes a mapping for any other stream, and the run whose code reads it', async () => {
    const { log, records } = await memoryLog()
    await log.run({ agent: 'reader', id: 'r' }, async () => {
      const map = (n: number) => (n % 2 ? { type: 'x.odd', attributes: { n } } : null)
      expect(await read(log.observe(streamOf(1, 2, 3), { map }))).toEqual([1, 2, 3])
    })
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual(['run.start pending', 'x.odd unknown', 'x.odd unknown', 'run.end success'])
    expect(all.every(({ run }) => run?.id === 'r')).toBe(true)
  })

  it('does not break a stream because of a mapping that throws or a chunk that cannot be read', async () => {
    const { log, records } = await memoryLog()
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('secret')
        },
      },
    )
    const promise = Promise.resolve(7)
    const values: unknown[] = [hostile, promise]
    const source = {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: values.length === 0, value: values.shift() }) }),
    }
    const observed = log.observe<unknown>(source as AsyncIterable<unknown>, RUN)
    expect((await observed[Symbol.asyncIterator]().next()).value).toBe(hostile)
    // Not even waited for.
    expect((await observed[Symbol.asyncIterator]().next()).value).toBe(promise)
    await observed[Symbol.asyncIterator]().next()
    const map = () => {
      throw new TypeError('secret')
    }
    expect(await read(log.observe(streamOf(1), { ...RUN, map }))).toEqual([1])
    await log.flush()
    const failed = (await records()).filter(({ type }) => type === 'x.observe.failed')
    expect(failed.map(({ error }) => error?.type)).toEqual(['Error', 'TypeError'])
  })

  it('hands on what a stream throws, and says how a run ended that was left or failed', async () => {
    const { log, records } = await memoryLog()
    async function* failing() {
      yield 1
      throw new RangeError('x')
    }
    await expect(read(log.observe(failing(), RUN))).rejects.toThrow(RangeError)
    for await (const _ of log.observe(streamOf(1, 2), RUN)) break
    await log.flush()
    const ends = (await records()).filter(({ type }) => /^run\.(end|error|abort)$/.test(type))
    expect(lines(ends)).toEqual(['run.error failure', 'run.abort unknown'])
  })
})
