import { describe, expect, it } from 'vitest'
import { AUDIT_TYPES, eventSchema, jsonSchemas, recordSchema } from './schema.ts'

const record = {
  schema: 'indelible/entry@1',
  id: '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  time: '2026-06-01T09:00:00.000Z',
  observed: '2026-06-01T09:00:00.000Z',
  type: 'tool.end',
  actor: { type: 'agent', id: 'a' },
  outcome: 'success',
  assurance: 'observed',
}
const takes = (members: object) => recordSchema.safeParse({ ...record, ...members }).success

describe('the record schema', () => {
  it('takes the types of the design and x.*, and no others', () => {
    const fine = ['run.start', 'step.plan', 'memory.read', 'http.request', 'x.a', 'x.a.b_2', ...AUDIT_TYPES]
    expect(fine.filter((type) => !takes({ type }))).toEqual([])
    const wrong = [
      '',
      'x',
      'x.',
      'x.A',
      'x.a b',
      'x.a.',
      'step',
      'tool',
      'tool.other',
      'audit.other',
      `x.${'a'.repeat(127)}`,
    ]
    expect(wrong.filter((type) => takes({ type }))).toEqual([])
  })

  it('refuses what it does not know, wherever it stands', () => {
    const strict = [
      { extra: 1 },
      { actor: { ...record.actor, extra: 1 } },
      { tool: { name: 'a', extra: 1 } },
      { parts: { output: { commit: 'A'.repeat(43), mode: 'full', length: 5 } } },
      { run: { id: 'a', extra: 1 } },
    ]
    expect(strict.filter(takes)).toEqual([])
  })

  it('bounds strings and amounts', () => {
    expect(takes({ session: 'x'.repeat(256) })).toBe(true)
    const wrong = [
      { session: '' },
      { session: 'x'.repeat(257) },
      { session: '\ud800' },
      { duration_ms: -1 },
      { duration_ms: Number.NaN },
      { duration_ms: 2 ** 53 },
      { usage: { Input: 1 } },
      { usage: { input_tokens: Number.POSITIVE_INFINITY } },
      { usage: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`a${i}`, 1])) },
      { attributes: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, 1])) },
      { attributes: { 'a b': 1 } },
      { attributes: { a: {} } },
      { subject_digest: 'md5:abc' },
      { trace: { trace_id: 'x' } },
      { parts: { Output: { commit: 'A'.repeat(43), mode: 'full' } } },
      { parts: { output: { commit: 'A'.repeat(42), mode: 'full' } } },
      { parts: { output: { commit: 'A'.repeat(43), mode: 'some' } } },
    ]
    expect(wrong.filter(takes)).toEqual([])
  })
})

describe('the published schemas', () => {
  const schemas = jsonSchemas() as Record<
    string,
    { $id: string; $schema: string; properties: Record<string, object>; required: string[] }
  >

  it('are two, of 2020-12, and survive JSON', () => {
    expect(Object.keys(schemas)).toEqual(['entry.schema.json', 'event.schema.json'])
    for (const schema of Object.values(schemas)) {
      expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema')
      expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
    }
    expect(schemas['entry.schema.json']!.$id).toBe('indelible/entry@1')
  })

  it('name every member, and require what an entry must have', () => {
    const entry = schemas['entry.schema.json']!
    expect(Object.keys(entry.properties).sort()).toEqual(Object.keys(recordSchema.shape).sort())
    const required = ['actor', 'assurance', 'id', 'observed', 'outcome', 'schema', 'time', 'type']
    expect([...entry.required].sort()).toEqual(required)
    const event = schemas['event.schema.json']!
    expect(Object.keys(event.properties).sort()).toEqual(Object.keys(eventSchema.shape).sort())
    expect([...event.required].sort()).toEqual(['actor', 'type'])
    expect(Object.keys(event.properties)).not.toContain('observed')
  })
})
