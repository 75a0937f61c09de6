import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { IMPORTERS } from '../src/import/formats.ts'
import { LLM_AUDIT_TRAIL_EVENTS, mappingOf } from '../src/import/llm-audit-trail.ts'
import { fileOf, fixture, imported } from './import-kit.ts'

const typesOf = (found: readonly { type: string }[]) => found.map(({ type }) => type)

describe('every format', () => {
  it('is known by its name, and says what it is', () => {
    expect(Object.keys(IMPORTERS)).toEqual(['chat', 'claude-code', 'selectools', 'llm-audit-trail', 'events'])
    for (const [name, importer] of Object.entries(IMPORTERS)) {
      expect(importer.name).toBe(name)
      expect(importer.describe).not.toBe('')
    }
  })

  it('keeps no texts of its records in attributes', async () => {
    const files = [
      ['selectools', 'selectools.jsonl'],
      ['llm-audit-trail', 'llm-audit-trail-2.jsonl'],
    ] as const
    for (const [from, name] of files) {
      const { found } = await imported(fixture(name), { from, key: '' })
      for (const { attributes } of found)
        expect(JSON.stringify(attributes)).not.toMatch(/o-7|o-404|pilot|licensed|the bar/)
    }
  })
})

describe('a log of selectools', () => {
  const from = { from: 'selectools' } as const

  it('as the real package writes it is imported, each event as what it is', async () => {
    const { summary, found } = await imported(fixture('selectools.jsonl'), from)
    const events = readFileSync(fixture('selectools.jsonl'), 'utf8').trimEnd().split('\n')
    expect(summary).toMatchObject({ events: events.length, runs: 4, chain: null })
    const mapped = events.map((line) => /"event": "(\w+)"/.exec(line)![1]!)
    expect(new Set(mapped.map((event, i) => `${event} ${found[i]!.type}`))).toEqual(
      new Set([
        'run_start run.start',
        'run_end run.end',
        'tool_start tool.start',
        'tool_end tool.end',
        'tool_error tool.error',
        'llm_end llm.response',
        'policy_decision policy.evaluated',
        'guardrail_triggered guardrail.evaluated',
        'error run.error',
      ]),
    )
    const first = (type: string) => found.find((one) => one.type === type)
    expect(first('run.start')).toMatchObject({ attributes: { message_count: 1, source_line: 1 } })
    expect(first('run.end')).toMatchObject({ usage: { cost_usd: 0.00084 }, attributes: { iterations: 2 } })
    expect(first('llm.response')).toMatchObject({
      model: { name: 'invented-1' },
      usage: { input_tokens: 120, output_tokens: 30, cost_usd: 0.00042 },
    })
    expect(first('tool.start')).toMatchObject({
      call: 'call-1',
      tool: { name: 'get_order' },
      values: { input: { order: 'o-7' } },
    })
    expect(first('tool.end')!.duration_ms).toBeGreaterThanOrEqual(0)
    expect(first('tool.error')).toMatchObject({ outcome: 'failure', error: { type: 'ToolExecutionError' } })
    expect(first('tool.error')!.values.error).toMatchObject({ message: expect.stringContaining('no order o-404') })
    const policies = found.filter(({ type }) => type === 'policy.evaluated')
    expect(policies.map(({ outcome, policy }) => [outcome, policy!.decision])).toEqual([
      ['approved', 'allow'],
      ['approved', 'allow'],
      ['denied', 'deny'],
    ])
    expect(policies[2]!.values.reason).toContain("deny pattern 'delete_*'")
    expect(first('guardrail.evaluated')).toMatchObject({
      guardrail: { name: 'no_swearing', stage: 'input', action: 'rewrite' },
    })
    expect(first('run.error')).toMatchObject({ outcome: 'failure', error: { type: 'RuntimeError' } })
    expect(found[0]!.time).toMatch(/^\d{4}-.*\d{6}Z$/)
    expect(found.every(({ attributes }) => attributes!.time_source === undefined)).toBe(true)
  })

  it('may hold NaN and integers of any length, as Python writes them', async () => {
    const { found } = await imported(fixture('selectools.jsonl'), from)
    expect(found.at(-1)!.values.input).toEqual({
      weight: { $type: 'number', value: 'NaN' },
      n: { $type: 'bigint', value: '9007199254740993' },
    })
  })

  it('may hold what no place fits, and events of later versions', async () => {
    const ts = '2026-01-02T03:04:05+02:00'
    const { summary, found } = await imported(
      fileOf([
        { event: 'tool_end', run_id: 'r'.repeat(300), call_id: 5, tool_name: null, duration_ms: -1, ts },
        { event: 'llm_end', run_id: 'r', model: 'm'.repeat(300), prompt_tokens: 'many', note: 'a person', ts },
        { event: 'Cache-Hit', run_id: 'r', key: 'a person', ts },
        { event: 'policy_decision', decision: 'toString', ts },
        { event: 'constructor', ts },
      ]),
      from,
    )
    expect(summary).toMatchObject({ skipped: 0, events: 5 })
    expect(found[0]!.values).toMatchObject({ call: 5, record: { run_id: 'r'.repeat(300), duration_ms: -1 } })
    expect(found[1]!.values.record).toMatchObject({ prompt_tokens: 'many', note: 'a person' })
    expect(found[2]).toMatchObject({
      type: 'x.selectools.cache_hit',
      run: { id: 'r' },
      values: { record: { key: 'a person' } },
    })
    expect(found[3]).toMatchObject({ outcome: 'unknown' })
    expect(found[4]!.type).toBe('x.selectools.constructor')
    expect(found[0]!.time).toBe('2026-01-02T01:04:05.000Z')
  })
})

describe('a ledger of llm-audit-trail', () => {
  const from = { from: 'llm-audit-trail', key: '' } as const

  it.each(['llm-audit-trail-1.jsonl', 'llm-audit-trail-2.jsonl'])(
    'becomes events of the life cycle: %s',
    async (name) => {
      const { found } = await imported(fixture(name), from)
      expect(typesOf(found)).toEqual([
        ...[
          'run.start',
          'dataset.registered',
          'train.start',
          'train.epoch',
          'eval.result',
          'train.checkpoint',
          'train.end',
        ],
        ...[
          'decision.approval',
          'decision.waiver',
          'decision.attestation',
          'dataset.attested',
          'inference',
          'inference',
        ],
        ...['x.llm_audit_trail.model_promoted', 'run.end'],
      ])
      const [, dataset, start, epoch, evaluation, , , approval, waiver, , , request, response, promoted] = found
      expect(dataset).toMatchObject({
        actor: { type: 'user', id: 'Ada Beispiel' },
        dataset: { id: 'tickets', version: '3', digest: `sha256:${'ab'.repeat(32)}` },
        values: { details: { rows: 1200, license: 'CC-BY-4.0' } },
      })
      expect(start).toMatchObject({
        actor: { type: 'service', id: 'hf_trainer' },
        model: { name: 'triage-2' },
        outcome: 'pending',
      })
      expect(epoch!.attributes).toMatchObject({
        epoch: 1,
        global_step: 150,
        learning_rate: 1e-16,
        event_type: 'EpochEnd',
      })
      expect(evaluation!.values.details).toMatchObject({
        eval_tokens: { $type: 'bigint', value: '12345678901234567890' },
      })
      expect(approval).toMatchObject({
        outcome: 'approved',
        actor: { id: 'Zoë Muster' },
        values: { details: { rationale: expect.stringContaining('meets') } },
      })
      expect(waiver).toMatchObject({ deployment: { id: 'eu-1' }, attributes: { time_bound_until: '2026-12-31' } })
      expect([request, response]).toMatchObject([
        { call: 'r1', outcome: 'pending', attributes: { phase: 'request' } },
        { call: 'r1', outcome: 'failure', duration_ms: 12.5, attributes: { phase: 'response' } },
      ])
      expect(promoted).toMatchObject({ actor: { type: 'service', id: 'release-bot' } })
      expect(new Set(found.map(({ run }) => run!.id)).size).toBe(1)
    },
  )

  it('is mapped by one table, in which no inherited name is found', () => {
    expect(Object.keys(LLM_AUDIT_TRAIL_EVENTS)).toHaveLength(12)
    expect(mappingOf('Approval')).toBe(LLM_AUDIT_TRAIL_EVENTS.Approval)
    expect(mappingOf('toString').type).toBe('x.llm_audit_trail.to_string')
    expect(mappingOf('¿?').type).toBe('x.llm_audit_trail.other')
  })
})
