import { describe, expect, it } from 'vitest'
import { KeptSink } from '../../test/kept-sink.ts'
import { type ClaudeAgentOptions, recordClaudeAgent } from './claude-agent.ts'
import { Recorder } from './recorder.ts'

type Hook = (input: object, id: string) => Promise<{ hookSpecificOutput?: { permissionDecision?: string } }>

/** What a session does with the options that it is given, and then says. */
interface Given {
  readonly hooks: Readonly<Record<string, readonly { hooks: readonly Hook[]; onFailure?: string }[]>>
  readonly canUseTool: (tool: string, args: object, context: object) => Promise<object>
}

async function session(
  script: (given: Given) => AsyncGenerator<unknown>,
  options: Partial<ClaudeAgentOptions> = {},
  given: object = {},
) {
  const sink = new KeptSink()
  const recorder = new Recorder(sink)
  const query = (parameters: { prompt: string; options: Given }) => script(parameters.options)
  const recorded = recordClaudeAgent(query, { recorder, version: '0.3.329', ...options })
  for await (const message of recorded({ prompt: 'go', options: given as Given })) if (message === 'leave') break
  await recorder.flush()
  return sink.events
}

const use = (id: string) => ({ tool_name: 'Bash', tool_input: { command: 'ls' }, tool_use_id: id })
const result = (more: object = {}) => ({ type: 'result', subtype: 'success', is_error: false, num_turns: 1, ...more })
const lines = (events: Awaited<ReturnType<typeof session>>) => events.map(({ type, outcome }) => `${type} ${outcome}`)

describe('recordClaudeAgent', () => {
  it('ends a tool that the caller did not permit, once', async () => {
    const events = await session(
      async function* ({ hooks, canUseTool }) {
        await hooks.PreToolUse![0]!.hooks[0]!(use('t1'), 't1')
        await canUseTool('Bash', { command: 'ls' }, { toolUseID: 't1' })
        yield result({ permission_denials: [{ tool_name: 'Bash', tool_use_id: 't1' }] })
      },
      {},
      { canUseTool: async () => ({ behavior: 'deny', message: 'no' }) },
    )
    expect(lines(events)).toEqual([
      'run.start pending',
      'tool.start pending',
      'policy.evaluated denied',
      'tool.error failure',
      'run.end success',
    ])
  })

  it('records the answer of a person who is named as a decision of theirs', async () => {
    const events = await session(
      async function* ({ canUseTool }) {
        await canUseTool('Bash', {}, { toolUseID: 't1' })
        yield result()
      },
      { approver: 'alice' },
      { canUseTool: async () => ({ behavior: 'allow' }) },
    )
    expect(lines(events)).toContain('approval.decided approved')
    expect(events.find(({ type }) => type === 'approval.decided')?.actor).toEqual({ type: 'user', id: 'alice' })
  })

  it('records what the agent refused by itself, told by the hook or at the end', async () => {
    const events = await session(async function* ({ hooks }) {
      await hooks.PermissionDenied![0]!.hooks[0]!({ ...use('t1'), reason: 'a rule' }, 't1')
      yield result({ permission_denials: [use('t1'), use('t2'), { tool_use_id: 7 }, null] })
    })
    expect(lines(events).filter((line) => line === 'policy.evaluated denied')).toHaveLength(2)
  })

  it("keeps the caller's hooks before its own, and has a failing one block where something is to be held back", async () => {
    const mine = { hooks: [async () => ({})] }
    const seen: (string | undefined)[] = []
    const script = async function* ({ hooks }: Given) {
      expect(hooks.PreToolUse![0]).toBe(mine)
      seen.push(hooks.PreToolUse![1]!.onFailure)
      yield result()
    }
    await session(script, {}, { hooks: { PreToolUse: [mine] } })
    await session(script, { onFailure: 'block' }, { hooks: { PreToolUse: [mine] } })
    await session(script, { run: { policy: () => 'allow' } }, { hooks: { PreToolUse: [mine] } })
    expect(seen).toEqual([undefined, 'block', 'block'])
  })

  it('makes one entry of an answer that comes in several messages, and ends a session that is left as such', async () => {
    const part = (id: string, text: string) => ({
      type: 'assistant',
      message: {
        id,
        model: 'claude-x',
        content: [{ type: 'text', text }],
        usage: { input_tokens: 3, output_tokens: 5 },
      },
    })
    const events = await session(async function* () {
      yield part('m1', 'a')
      yield { type: 'stream_event' }
      yield part('m1', 'b')
      yield part('m2', 'c')
      yield 'leave'
    })
    expect(lines(events)).toEqual([
      'run.start pending',
      'llm.response success',
      'llm.response success',
      'run.abort failure',
    ])
    expect(events[1]!.parts!.output).toEqual({
      value: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    })
    expect(events[1]!.usage).toEqual({ input_tokens: 3, output_tokens: 5 })
  })

  it('takes messages and hooks with nothing in them', async () => {
    const events = await session(async function* ({ hooks }) {
      await hooks.PostToolUse![0]!.hooks[0]!(null as never, undefined as never)
      await hooks.PostToolUseFailure![0]!.hooks[0]!({}, 'never-began')
      yield null
      yield { type: 'assistant' }
      yield result({ is_error: true, subtype: 'error_max_turns', permission_denials: 'none', usage: 'none' })
    })
    expect(lines(events)).toEqual([
      'run.start pending',
      'tool.error failure',
      'llm.response success',
      'run.end failure',
    ])
  })

  it('says so where it does not know the version', () => {
    for (const version of ['0.2.9', '0.30.1', '1.0.0']) {
      expect(() => recordClaudeAgent(async function* () {}, { recorder: new Recorder(null), version })).toThrow(
        expect.objectContaining({ code: 'ERR_CAPTURE_UNSUPPORTED' }),
      )
    }
  })
})
