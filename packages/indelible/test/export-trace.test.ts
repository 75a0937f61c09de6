import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, utf8 } from '../src/bytes.ts'
import { EXPORTERS } from '../src/export/formats.ts'
import { type Trace, traceJsonSchema, traceSchema } from '../src/export/trace-schema.ts'
import { formatTlogProof } from '../src/note/tlog-proof.ts'
import { commitTo } from '../src/record/disclosure.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { agent, logOf, runEvents, type TestLog, write } from './export-kit.ts'

async function traceOf(log: TestLog, run: string, disclose: string[] = []): Promise<Trace> {
  const { text } = await write(EXPORTERS.trace, log.source({ run, disclose }))
  return traceSchema.parse(JSON.parse(text))
}

const minute = (n: number) => `2026-03-01T09:0${n}:00.000Z`

const rich: AgentEvent[] = [
  {
    type: 'run.start',
    time: minute(0),
    actor: { ...agent, name: 'Triage', version: '1.2', on_behalf_of: 'dr.k' },
    run: { id: 'r', parent: 'p' },
    session: 's',
    outcome: 'pending',
    modes: { agent: 'auto', access: 'read-only', phi: 'masked' },
    source: { adapter: 'test', sdk: 'sdk@3', host: 'db-host-7' },
    parts: { prompt: { value: 'You triage.' } },
  },
  {
    type: 'llm.request',
    time: minute(1),
    actor: agent,
    run: { id: 'r' },
    call: 'm',
    outcome: 'pending',
    model: { provider: 'acme', name: 'large', version: '7', reasoning_effort: 'high' },
    parts: { input: { value: 'hello' } },
  },
  {
    type: 'llm.response',
    time: minute(2),
    actor: agent,
    run: { id: 'r' },
    call: 'm',
    outcome: 'success',
    model: { provider: 'acme', name: 'large' },
    usage: { input_tokens: 10, output_tokens: 4 },
    parts: { output: { value: 'call the tool' } },
  },
  {
    type: 'tool.start',
    time: minute(3),
    actor: agent,
    run: { id: 'r' },
    call: 'c',
    tool: { name: 'lookup' },
    outcome: 'pending',
    parts: { input: { value: 1 } },
  },
  {
    type: 'tool.error',
    time: minute(4),
    actor: agent,
    run: { id: 'r' },
    call: 'c',
    tool: { name: 'lookup' },
    outcome: 'failure',
    duration_ms: 31,
    error: { type: 'Timeout', code: '504', message: 'too late' },
  },
  {
    type: 'policy.evaluated',
    time: minute(5),
    actor: agent,
    run: { id: 'r' },
    tool: { name: 'refund' },
    outcome: 'denied',
    policy: { id: 'limits', version: '1', decision: 'deny' },
  },
  {
    type: 'tool.start',
    time: minute(6),
    actor: agent,
    run: { id: 'r' },
    call: 'c',
    tool: { name: 'lookup' },
    outcome: 'pending',
  },
  {
    type: 'run.end',
    time: minute(7),
    actor: agent,
    run: { id: 'r' },
    outcome: 'success',
    attributes: { iterations: 3 },
  },
]

describe('the trace of a run', () => {
  it('tells who did what, with what, and how it went', async () => {
    const trace = await traceOf(await logOf(rich), 'r')
    expect(trace).toMatchObject({
      format: 'indelible/trace@1',
      versions: { entry: 'indelible/entry@1', agent: '1.2', model: '7', sdk: 'sdk@3' },
      run: { id: 'r', parent: 'p', session: 's', tenant: null },
      status: 'success',
      complete: true,
      time: { start: minute(0), end: minute(7), duration_ms: 420_000 },
      agent: { id: 'triage', name: 'Triage', on_behalf_of: 'dr.k' },
      modes: { agent: 'auto', access: 'read-only', phi: 'masked' },
      model: { provider: 'acme', name: 'large', reasoning_effort: 'high' },
      prompt: { name: 'prompt', index: 1, state: 'available' },
      usage: { input_tokens: 10, output_tokens: 4 },
      summary: { entries: 8, actions: 4, tools: 2, model_calls: 1, errors: 1, denied: 1, unfinished: 1, iterations: 3 },
    })
    expect(trace.prompt!.fingerprint).toMatch(/^hmac-sha256:/)
    expect(trace.host!.fingerprint).toMatch(/^sha256:[A-Za-z0-9_-]{43}$/)
    expect(trace.actions).toMatchObject([
      { kind: 'llm', name: 'large', start_index: 2, end_index: 3, latency_ms: 60_000, status: 'success' },
      {
        kind: 'tool',
        name: 'lookup',
        start_index: 4,
        end_index: 5,
        latency_ms: 31,
        status: 'failure',
        error: { type: 'Timeout', code: '504', detail: { name: 'error', fingerprint: expect.stringMatching(/^hmac/) } },
      },
      { kind: 'policy', name: 'refund', status: 'denied', decision: 'deny', latency_ms: null },
      { kind: 'tool', start_index: 7, end_index: null, status: 'pending' },
    ])
  })

  it('carries the proof that each of its entries is in the log', async () => {
    const log = await logOf(rich)
    const { proof } = await traceOf(log, 'r')
    expect(proof.entries.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    for (const { index, hashes, entry } of proof.entries) {
      const text = formatTlogProof({ index, proof: hashes.map(fromBase64), checkpoint: proof.checkpoint })
      expect(checkProof(text, utf8(entry), log.policy).record.run?.id).toBe('r')
    }
  })

  it('shows values only of parts that were asked for', async () => {
    const log = await logOf(rich)
    expect(JSON.stringify(await traceOf(log, 'r'))).not.toContain('You triage.')
    const { prompt, actions } = await traceOf(log, 'r', ['prompt'])
    expect(commitTo(prompt!.disclosure!)).toBe(prompt!.commit)
    expect(actions[0]!.input!.disclosure).toBeUndefined()
  })

  it('marks a part that was erased', async () => {
    const log = await logOf(rich)
    await log.store.erase([{ index: 1, id: (await log.log.read(1)).record.id, name: 'prompt' }])
    expect((await traceOf(log, 'r', ['prompt'])).prompt).toMatchObject({ state: 'gone', fingerprint: null })
  })

  it('pairs an end with the latest open call of its id, because ids repeat', async () => {
    const call = (type: 'tool.start' | 'tool.end', n: number): AgentEvent => ({
      type,
      time: minute(n),
      actor: agent,
      run: { id: 'r' },
      call: 'same',
      tool: { name: 'lookup' },
    })
    const log = await logOf([
      call('tool.start', 0),
      call('tool.start', 1),
      call('tool.end', 2),
      call('tool.end', 4),
      call('tool.end', 5),
    ])
    const { actions } = await traceOf(log, 'r')
    expect(actions).toMatchObject([
      { start_index: 1, end_index: 4, latency_ms: 240_000 },
      { start_index: 2, end_index: 3, latency_ms: 60_000 },
      { start_index: null, end_index: 5, latency_ms: null },
    ])
  })

  it('of a run that never ended says so', async () => {
    const log = await logOf(runEvents('r1').slice(0, 2))
    expect(await traceOf(log, 'r1')).toMatchObject({ status: null, complete: false, summary: { unfinished: 1 } })
  })

  it('fits its schema, whatever happened in the run', async () => {
    const types = [
      'run.start',
      'run.end',
      'tool.start',
      'tool.end',
      'tool.error',
      'llm.request',
      'llm.error',
      'handoff',
      'x.constructor',
      'step.start',
    ]
    const event = fc.record(
      {
        type: fc.constantFrom(...types),
        actor: fc.constantFrom(agent, { type: 'user', id: 'u' }),
        run: fc.constant({ id: 'r' }),
        call: fc.constantFrom('a', 'b'),
        tool: fc.record({ name: fc.constantFrom('t', '__proto__') }),
        usage: fc.constant({ input_tokens: 1 }),
        error: fc.constant({ type: 'E' }),
        parts: fc.constant({ input: { value: null }, output: { value: 'x' } }),
      },
      { requiredKeys: ['type', 'actor', 'run'] },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12 }), async (events) => {
        await traceOf(await logOf(events as AgentEvent[]), 'r')
      }),
      { numRuns: 50 },
    )
  })

  it('needs a run, one that is there, and no other filter', async () => {
    const { source } = await logOf(runEvents('r1'))
    await expect(write(EXPORTERS.trace, source())).rejects.toMatchObject({ code: 'ERR_EXPORT_INVALID' })
    await expect(write(EXPORTERS.trace, source({ run: 'r9' }))).rejects.toMatchObject({ code: 'ERR_ENTRY_NOT_FOUND' })
    const filtered = source({ run: 'r1', filter: { tool: 'lookup' } })
    await expect(write(EXPORTERS.trace, filtered)).rejects.toMatchObject({ code: 'ERR_EXPORT_INVALID' })
  })

  it('has a published schema, which is up to date', () => {
    const published = readFileSync(new URL('../schemas/trace.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(published), 'run npx node scripts/write-schemas.mjs').toEqual(
      JSON.parse(JSON.stringify(traceJsonSchema())),
    )
    expect(traceJsonSchema()).toMatchObject({
      $id: 'indelible/trace@1',
      type: 'object',
      properties: { proof: { type: 'object' } },
    })
  })
})
