import { describe, expect, it } from 'vitest'
import { fileOf, imported } from './import-kit.ts'

const typesOf = (found: readonly { type: string }[]) => found.map(({ type }) => type)

describe('a session of Claude Code', () => {
  const from = { from: 'claude-code' } as const
  const session = '0b9a1c52-1111-4222-8333-444455556666'
  let clock = 0
  const line = (type: string, more: object) => ({
    ...{
      parentUuid: null,
      isSidechain: false,
      userType: 'external',
      cwd: '/home/zoe/app',
      sessionId: session,
      version: '2.1.63',
    },
    ...{
      gitBranch: 'main',
      type,
      uuid: `u-${clock}`,
      timestamp: new Date(Date.UTC(2026, 2, 1, 0, 0, clock++)).toISOString(),
    },
    ...more,
  })
  const said = (content: unknown, more: object = {}) => line('user', { message: { role: 'user', content }, ...more })
  const answered = (id: string, block: object, output: number, more: object = {}) =>
    line('assistant', {
      requestId: 'req_1',
      message: {
        ...{ id, type: 'message', role: 'assistant', model: 'claude-opus-4-6', content: [block], stop_reason: null },
        usage: {
          input_tokens: 3,
          output_tokens: output,
          cache_creation: { ephemeral_5m_input_tokens: 9 },
          service_tier: 'standard',
        },
      },
      ...more,
    })
  const result = (id: string, content: unknown, more: object = {}, toolUseResult: unknown = 'raw') =>
    said([{ type: 'tool_result', tool_use_id: id, content, ...more }], { toolUseResult })

  const SESSION = [
    { type: 'file-history-snapshot', messageId: 'm', snapshot: {}, isSnapshotUpdate: false },
    said('fix it'),
    answered('msg_1', { type: 'thinking', thinking: 'hmm', signature: 'xyz' }, 1),
    answered('msg_1', { type: 'text', text: 'I look.' }, 1),
    answered('msg_1', { type: 'tool_use', id: 't1', name: 'Read', input: { file_path: 'a.ts' } }, 80),
    result('t1', 'const a = 1'),
    answered('msg_2', { type: 'tool_use', id: 't2', name: 'mcp__github__list_issues', input: {} }, 7),
    result('t2', 'no network', { is_error: true }),
    said('Caveat: written by the program', { isMeta: true }),
    said('look around', { isSidechain: true, agentId: 'ab12' }),
    answered('msg_3', { type: 'text', text: 'done' }, 5, { isSidechain: true, agentId: 'ab12', cwd: '/home/zoe/else' }),
    line('system', { subtype: 'compact_boundary', level: 'info', content: 'compacted' }),
    answered('msg_4', { type: 'text', text: 'API Error' }, 0, { isApiErrorMessage: true }),
    { type: 'summary', summary: 'Fixed it', leafUuid: 'u-1' },
  ]

  it('becomes a run, and what its subagents do a run below it', async () => {
    const { summary, found } = await imported(fileOf(SESSION), from)
    expect(summary.runs).toBe(2)
    expect(typesOf(found)).toEqual([
      ...['x.claude_code.file_history_snapshot', 'run.start', 'llm.request', 'llm.response', 'llm.response'],
      ...['llm.response', 'tool.start', 'tool.end', 'llm.response', 'tool.start', 'tool.error', 'llm.request'],
      ...['run.start', 'llm.request', 'llm.response', 'x.claude_code.system', 'llm.error', 'x.claude_code.summary'],
      ...['run.end', 'run.end'],
    ])
    const [snapshot, start, request, thinking, text, usage, call, end] = found
    expect(snapshot!.attributes).toMatchObject({ time_source: 'file' })
    expect(start).toMatchObject({
      run: { id: session },
      session,
      actor: { type: 'agent', id: 'claude-code', version: '2.1.63' },
    })
    expect(request).toMatchObject({
      actor: { type: 'user' },
      values: { input: 'fix it', context: { cwd: '/home/zoe/app' } },
    })
    expect(request!.attributes).toMatchObject({ source_line: 2, source_id: expect.stringContaining('u-') })
    expect(thinking!.values).toMatchObject({ thinking: [{ thinking: 'hmm' }] })
    expect(text).toMatchObject({
      values: { output: 'I look.' },
      model: { provider: 'anthropic', name: 'claude-opus-4-6' },
    })
    expect([thinking!.usage, text!.usage]).toEqual([undefined, undefined])
    expect(usage!.usage).toEqual({ input_tokens: 3, output_tokens: 80, cache_creation_ephemeral_5m_input_tokens: 9 })
    expect(call).toMatchObject({ call: 't1', tool: { name: 'Read' }, values: { input: { file_path: 'a.ts' } } })
    expect(end).toMatchObject({ call: 't1', tool: { name: 'Read' }, values: { output: 'const a = 1', result: 'raw' } })
    expect(end!.values).not.toHaveProperty('context')
    expect(found[9]).toMatchObject({ tool: { name: 'mcp__github__list_issues', server: 'github' } })
    expect(found[10]).toMatchObject({ outcome: 'failure', values: { error: { message: 'no network' } } })
    expect(found[11]).toMatchObject({ actor: { type: 'system' } })
    expect(found[13]).toMatchObject({
      run: { id: `${session}/ab12`, parent: session },
      actor: { type: 'agent', name: 'ab12' },
    })
    expect(found[14]!.values).toMatchObject({ context: { cwd: '/home/zoe/else' } })
    expect(found[17]).toMatchObject({ values: { record: { summary: 'Fixed it' } } })
    expect(JSON.stringify(found.map(({ attributes }) => attributes))).not.toContain('zoe')
  })

  it('may hold anything in its messages', async () => {
    const odd = [
      said(null),
      said([5, 'text', { type: 'image', source: {} }]),
      said([{ type: 'tool_result', tool_use_id: 7 }]),
      answered('m', { type: 'tool_use' }, 1),
      line('assistant', { message: { content: 'text', usage: 'none' } }),
      { type: 'user', message: {} },
      { type: '¿?' },
      line('user', { message: { content: 'deep' }, extra: JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) }),
    ]
    const { summary } = await imported(fileOf(odd.map((value) => stringify(value))), from)
    expect(summary).toMatchObject({ skipped: 0, runs: 1 })
  })

  /** `JSON.stringify` nests on the stack, and so needs help. */
  function stringify(value: object): string {
    const { extra, ...rest } = value as { extra?: unknown }
    if (extra === undefined) return JSON.stringify(rest)
    return `${JSON.stringify(rest).slice(0, -1)},"extra":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
  }
})
