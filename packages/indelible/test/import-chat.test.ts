import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fileOf, ImportLog, imported } from './import-kit.ts'

const from = { from: 'chat' } as const
const user = { role: 'user', content: 'hi' }
const assistant = { role: 'assistant', content: 'hello' }
const callOf = (id: string, name = 'look', given: unknown = '{"n":1}') => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name, arguments: given } }],
})
const resultOf = (id: string, content: unknown, name?: string) => ({ role: 'tool', tool_call_id: id, content, name })
const typesOf = (found: readonly { type: string }[]) => found.map(({ type }) => type)

describe('a chat', () => {
  it('becomes one run of model and tool events', async () => {
    const messages = [
      { role: 'system', content: 'be kind' },
      user,
      { ...callOf('c1'), content: 'I look' },
      resultOf('c1', 'seen', 'look'),
      assistant,
    ]
    const { summary, found } = await imported(fileOf(JSON.stringify(messages)), from)
    expect(summary).toMatchObject({ events: 8, appended: 8, duplicates: 0, runs: 1, skipped: 0, chain: null })
    const [start, system, , response, call, result, , end] = found
    expect(typesOf(found)).toEqual([
      ...[
        'run.start',
        'llm.request',
        'llm.request',
        'llm.response',
        'tool.start',
        'tool.end',
        'llm.response',
        'run.end',
      ],
    ])
    expect(new Set(found.map(({ run }) => run?.id)).size).toBe(1)
    expect(found.every(({ assurance }) => assurance === 'imported')).toBe(true)
    expect(system).toMatchObject({ actor: { type: 'system' }, values: { prompt: 'be kind' } })
    expect(found[2]).toMatchObject({ actor: { type: 'user' }, values: { input: 'hi' } })
    expect(response).toMatchObject({ actor: { type: 'agent' }, values: { output: 'I look' } })
    expect(call).toMatchObject({ call: 'c1', tool: { name: 'look' }, values: { input: { n: 1 } } })
    expect(result).toMatchObject({ call: 'c1', outcome: 'success', values: { output: 'seen' } })
    expect(result).not.toHaveProperty('duration_ms')
    expect(start!.actor).not.toHaveProperty('on_behalf_of')
    expect(end!.attributes).toMatchObject({ messages: 5 })
  })

  it('says where each event comes from, and that the time is the file’s', async () => {
    const { summary, found } = await imported(fileOf([user, assistant]), from)
    expect(found[1]).toMatchObject({ source: { adapter: 'import:chat' } })
    const [first, second] = [found[1]!.attributes!, found[2]!.attributes!]
    expect(first).toMatchObject({ source_sha256: summary.sha256, source_line: 1, time_source: 'file' })
    expect(second).toMatchObject({ source_line: 2 })
    const inDocument = await imported(fileOf(JSON.stringify([user], null, 2)), from)
    expect(inDocument.found[1]!.attributes).toMatchObject({ source_pointer: '/0' })
  })

  it('is found in every usual shape', async () => {
    const wrapped = { task_id: 7, reward: 1, trial: 0, info: { secret: 'x' }, traj: [user, assistant] }
    const shapes: [runs: number, content: string][] = [
      [1, JSON.stringify([user, assistant])],
      [1, JSON.stringify([user, assistant], null, 2)],
      [1, `${JSON.stringify(user)}\n\n${JSON.stringify(assistant)}`],
      [1, `\ufeff${JSON.stringify(user)}\r\n${JSON.stringify(assistant)}\r\n`],
      [2, JSON.stringify([[user], [assistant]])],
      [1, JSON.stringify(wrapped, null, 1)],
      [2, JSON.stringify([{ messages: [user] }, { conversation: [assistant] }])],
      [2, `${JSON.stringify({ messages: [user] })}\n${JSON.stringify([assistant])}`],
      [
        2,
        `${JSON.stringify(user)}\n${JSON.stringify(wrapped).replace(/"traj".*/, '"traj":[')}${JSON.stringify(assistant)}]}`,
      ],
      [1, JSON.stringify(user).concat(' ', '\n', JSON.stringify(assistant), '   ')],
    ]
    for (const [runs, content] of shapes) {
      const { summary, found } = await imported(fileOf(content), from)
      expect([summary.runs, typesOf(found).filter((type) => type.startsWith('llm.'))]).toEqual([
        runs,
        ['llm.request', 'llm.response'],
      ])
    }
  })

  it('keeps facts about a run that are small as attributes and all others as parts', async () => {
    const run = { task_id: 7, trial: 2, reward: 0.5, info: { name: 'Mia' }, more: [1], messages: [user] }
    const { found } = await imported(fileOf([run]), from)
    expect(found[0]!.attributes).toMatchObject({ task_id: 7, trial: 2 })
    expect(found[0]!.values).toEqual({ info: { name: 'Mia' }, facts: { more: [1] } })
    expect(found.at(-1)!.attributes).toMatchObject({ reward: 0.5 })
    const odd = await imported(fileOf([{ ...run, task_id: 'the one of Mia Li' }]), from)
    expect(odd.found[0]!.attributes).not.toHaveProperty('task_id')
    expect(odd.found[0]!.values.facts).toMatchObject({ task_id: 'the one of Mia Li' })
  })

  it('pairs a result with the latest open call of its id, and tells calls of one id apart', async () => {
    const messages = [
      callOf('c', 'a'),
      callOf('c', 'b'),
      resultOf('c', 'of b'),
      resultOf('c', 'of a'),
      resultOf('c', 'of none'),
    ]
    const { found } = await imported(fileOf(messages), from)
    const tools = found.filter(({ type }) => type.startsWith('tool.'))
    expect(tools.map(({ call, tool }) => [call, tool?.name])).toEqual([
      ['c', 'a'],
      ['c#2', 'b'],
      ['c#2', 'b'],
      ['c', 'a'],
      ['c', undefined],
    ])
    expect(tools[2]!.attributes).toMatchObject({ source_call: 'c' })
    expect(tools[4]!.attributes).toMatchObject({ unpaired: true })
    expect(found.at(-1)!.attributes).not.toHaveProperty('open_calls')
  })

  it('takes a result that begins with Error for a failure', async () => {
    const messages = [
      callOf('c'),
      resultOf('c', 'Error: no such user'),
      callOf('d'),
      resultOf('d', [{ type: 'text', text: 'Error!' }]),
    ]
    const { found } = await imported(fileOf(messages), from)
    const errors = found.filter(({ type }) => type === 'tool.error')
    expect(errors).toMatchObject([
      { outcome: 'failure', call: 'c', tool: { name: 'look' }, values: { error: { message: 'Error: no such user' } } },
      { outcome: 'failure', call: 'd' },
    ])
  })

  it('keeps what agents write, whatever it is', async () => {
    const text = `${JSON.stringify(callOf('x'.repeat(400), 'n'.repeat(300), 'no json {'))}
{"role":"assistant","content":"\\ud800 lone","tool_calls":[{"id":5,"function":{"name":"","arguments":"{\\"n\\":12345678901234567890}"}}]}
{"role":"assistant","content":[{"type":"text","text":"t","n":9007199254740993}],"__proto__":{"a":1},"refusal":"no"}
{"role":"narrator","content":"once"}
{"role":"assistant","tool_calls":{"not":"a list"}}
{"role":"function","name":"look","content":"legacy"}
`
    const { summary, found } = await imported(fileOf(text), from)
    expect(summary).toMatchObject({ skipped: 0, events: 6 + 2 + 2 })
    expect(found[2]).toMatchObject({ type: 'tool.start', values: { input: 'no json {', call: 'x'.repeat(400) } })
    expect(found[3]!.values.output).toMatchObject({ $type: 'string' })
    expect(found[4]!.values.input).toEqual({ n: { $type: 'bigint', value: '12345678901234567890' } })
    expect(JSON.stringify(found[5]!.values)).toContain('9007199254740993')
    expect(Object.keys(found[5]!.values.extra as object)).toEqual(['__proto__', 'refusal'])
    expect(found[6]).toMatchObject({ type: 'x.chat.message' })
    expect(found[7]!.values.extra).toEqual({ tool_calls: { not: 'a list' } })
    expect(found[8]).toMatchObject({ type: 'tool.end', tool: { name: 'look' }, attributes: { unpaired: true } })
  })

  it('never loses a message or a call', async () => {
    const content = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constant(null),
      fc.array(fc.constant({ type: 'text', text: 'Error' })),
    )
    const id = fc.constantFrom('a', 'b', 'a#2', '__proto__')
    const call = fc.record({ id, function: fc.record({ name: id, arguments: fc.oneof(fc.json(), fc.string()) }) })
    const message = fc.oneof(
      fc.record({ role: fc.constantFrom('system', 'user', 'developer'), content }),
      fc.record({ role: fc.constant('assistant'), content, tool_calls: fc.array(call, { maxLength: 3 }) }),
      fc.record({ role: fc.constant('tool'), tool_call_id: id, content }),
    )
    const shape = fc.constantFrom<(runs: unknown[][]) => string>(
      (runs) => JSON.stringify(runs.map((traj) => ({ traj }))),
      (runs) => runs.map((messages) => JSON.stringify({ messages })).join('\n'),
      (runs) =>
        runs
          .flat()
          .map((line) => JSON.stringify(line))
          .join('\n'),
    )
    const log = await ImportLog.open()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(message, { minLength: 1 }), { minLength: 1, maxLength: 4 }),
        shape,
        async (runs, write) => {
          const path = fileOf(write(runs))
          const before = await log.size()
          const summary = await log.import(path, from)
          const messages = runs.flat()
          const calls = messages.flatMap((one) => ('tool_calls' in one ? one.tool_calls : []))
          expect(summary.events).toBe(messages.length + calls.length + 2 * summary.runs)
          expect(summary.appended + summary.duplicates).toBe(summary.events)
          expect((await log.size()) - before).toBe(summary.appended)
          const added = (await log.found()).slice(before - 1)
          const starts = added.filter(({ type }) => type === 'tool.start')
          expect(new Set(starts.map(({ run, call }) => `${run?.id} ${call}`)).size).toBe(starts.length)
        },
      ),
      { numRuns: 60 },
    )
  })
})

const airline = fileURLToPath(new URL('../../../../shared/data/airline-trajectories.json', import.meta.url))

describe('the airline agent’s 150 runs', () => {
  it('are imported whole, once, packed or not', async ({ skip }) => {
    skip(!existsSync(airline), `${airline} is not here`)
    const log = await ImportLog.open()
    const summary = await log.import(airline, from)
    expect(summary).toMatchObject({ runs: 150, events: 2 * 150 + 3916 + 862, appended: 5078, duplicates: 0 })
    const found = await log.found()
    const count = (wanted: string) => found.filter(({ type }) => type === wanted).length
    expect([count('run.start'), count('run.end'), count('tool.start')]).toEqual([150, 150, 862])
    expect([count('tool.end'), count('tool.error')]).toEqual([862 - 54, 54])
    expect(found.filter(({ attributes }) => attributes?.unpaired !== undefined)).toEqual([])
    const again = await log.import(airline, from)
    expect(again).toMatchObject({ events: 5078, appended: 0, duplicates: 5078 })
    expect(await log.size()).toBe(5079)
  })
})

describe('a packed chat', () => {
  it('is unpacked', async () => {
    const { summary } = await imported(fileOf(gzipSync(JSON.stringify([user, assistant]))), from)
    expect(summary).toMatchObject({ events: 4 })
  })
})
