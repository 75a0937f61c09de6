import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isIndelibleError } from '../errors.ts'
import { draftEntry } from './entry.ts'
import { MAX_PARTS, MOVED, type PreparedEvent, prepareEvent } from './event.ts'
import { ENTRY_SCHEMA, recordSchema } from './schema.ts'

const base = { type: 'tool.end', actor: { type: 'agent', id: 'agent-1' } } as const
const prepare = (members: object = {}) => prepareEvent({ ...base, ...members }, 'observed')
const refused = (message?: string) =>
  expect.objectContaining({ code: 'ERR_EVENT_INVALID', ...(message && { message: expect.stringContaining(message) }) })
const value = (prepared: PreparedEvent, name: string) => (prepared.parts.get(name) as { value: unknown }).value
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable<Record<string, unknown>>({}, {})
  revoke()
  return proxy
}

/** That what came out can become an entry. */
function expectRecordable({ members, parts }: PreparedEvent): void {
  const record = {
    id: '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
    time: '2026-06-01T09:00:00.000Z',
    ...members,
    schema: ENTRY_SCHEMA,
    parts: Object.fromEntries([...parts.keys()].map((name) => [name, { commit: 'A'.repeat(43), mode: 'none' }])),
  }
  expect(recordSchema.omit({ observed: true }).safeParse(record).error).toBeUndefined()
  draftEntry(record as never, { time: true })
}

describe('an event', () => {
  it('keeps its structured members, and its texts become parts', () => {
    const prepared = prepare({
      outcome: 'failure',
      tool: { name: 'search', version: '1' },
      error: { type: 'TypeError', code: 'E1', message: 'it broke', stack: 'at x' },
      policy: { id: 'p', decision: 'deny', reason: 'because' },
      guardrail: { name: 'g', action: 'block', detail: { score: 1 } },
      attributes: { iterations: 3, kind: 'a', nothing: null, is: true },
      parts: { input: { value: [1] } },
      subjects: ['person-1'],
      time: '2026-06-01T11:00:00+02:00',
    })
    expect(prepared.members).toEqual({
      ...base,
      outcome: 'failure',
      assurance: 'observed',
      tool: { name: 'search', version: '1' },
      error: { type: 'TypeError', code: 'E1' },
      policy: { id: 'p', decision: 'deny' },
      guardrail: { name: 'g', action: 'block' },
      attributes: { iterations: 3, kind: 'a', nothing: null, is: true },
      time: '2026-06-01T09:00:00.000Z',
    })
    expect(Object.fromEntries(prepared.parts)).toEqual({
      input: { value: [1] },
      error: { value: { message: 'it broke', stack: 'at x' } },
      reason: { value: 'because' },
      detail: { value: { score: 1 } },
    })
    expect(prepared.subjects).toEqual(['person-1'])
    expectRecordable(prepared)
  })

  it('has no member that is undefined, however deep', () => {
    const prepared = prepare({
      session: undefined,
      actor: { type: 'agent', id: 'agent-1', name: undefined },
      error: { type: 'E', code: undefined, message: undefined },
      tool: { name: 'a', version: undefined },
      usage: { input_tokens: 3, output_tokens: undefined },
      parts: { output: { value: undefined }, input: undefined },
      policy: { id: 'p', decision: 'd', reason: undefined },
    })
    expect(Object.keys(prepared.members)).not.toContain('session')
    expect(JSON.stringify(prepared.members)).toBe(JSON.stringify(JSON.parse(JSON.stringify(prepared.members))))
    expect([...prepared.parts.keys()]).toEqual(['output'])
    expectRecordable(prepared)
  })

  it('is not changed by being prepared', () => {
    const event = { ...base, call: 'x'.repeat(300), error: { type: 'E', message: 'm' }, attributes: { a: {} } }
    const before = structuredClone(event)
    prepareEvent(event, 'observed')
    expect(event).toEqual(before)
  })

  it('is refused where the integrator erred, by a path and without the value', () => {
    const wrong: [object, string][] = [
      [{ type: 'tool.stop' }, 'type'],
      [{ type: 5 }, 'type'],
      [{ actor: 'agent-1' }, 'actor'],
      [{ actor: { type: 'robot', id: 'a' } }, 'actor.type'],
      [{ actor: { type: 'agent' } }, 'actor.id'],
      [{ outcome: 'fine' }, 'outcome'],
      [{ assurance: 'certain' }, 'assurance'],
      [{ session: '' }, 'session'],
      [{ session: 'x'.repeat(257) }, 'session'],
      [{ session: '\ud800' }, 'session'],
      [{ duration_ms: Number.NaN }, 'duration_ms'],
      [{ usage: { input_tokens: -1 } }, 'usage.input_tokens'],
      [{ time: 'yesterday' }, 'time'],
      [{ time: '2026-02-30T00:00:00Z' }, 'time'],
      [{ time: 5 }, 'time'],
      [{ id: 'x' }, 'id'],
      [{ id: '017F22E2-79B0-7CC3-98C4-DC0C0C07398F' }, 'id'],
      [{ extra: 1 }, 'unknown member extra'],
      [{ audit: {} }, 'unknown member audit'],
      [{ schema: ENTRY_SCHEMA }, 'unknown member schema'],
      [{ observed: '2026-06-01T09:00:00.000Z' }, 'unknown member observed'],
      [{ parts: { Output: { value: 1 } } }, 'parts'],
      [{ parts: { output: 'x' } }, 'parts.output'],
      [{ parts: { output: { value: 1, mode: 'full' } } }, 'parts.output'],
      [{ parts: { output: { disclosure: 'x' } } }, 'parts.output'],
      [{ parts: { error: { value: 1 } }, error: { type: 'E', message: 'm' } }, 'given twice'],
      [{ parts: { reason: { value: 1 } }, policy: { id: 'p', decision: 'd', reason: 'r' } }, 'given twice'],
      [{ attributes: 'x' }, 'attributes'],
      [{ attributes: null }, 'attributes'],
      [{ error: 'x' }, 'error'],
      [{ tool: 'x' }, 'tool'],
    ]
    for (const [members, path] of wrong) expect(() => prepare(members)).toThrow(refused(path))
    for (const event of [null, undefined, 5, 'x', [], [base], () => base]) {
      expect(() => prepareEvent(event, 'observed')).toThrow(refused('event is'))
    }
  })

  it('never loses a part or an amount in silence', () => {
    for (const member of ['parts', 'usage']) {
      const text = `{"${member}":{"__proto__":${member === 'parts' ? '{"value":1}' : '1'}}}`
      expect(() => prepare(JSON.parse(text))).toThrow(refused('__proto__'))
    }
    const own = JSON.parse('{"type":"tool.end","actor":{"type":"agent","id":"a"},"__proto__":{"x":1}}')
    expect(() => prepareEvent(own, 'observed')).toThrow(refused())
  })

  it('is refused, and quotes nothing, if a member throws when it is read', () => {
    const secret = () => {
      throw new Error('Zacharias')
    }
    for (const event of [
      revoked(),
      Object.defineProperty({ ...base }, 'tool', { get: secret, enumerable: true }),
      { ...base, tool: Object.defineProperty({}, 'name', { get: secret, enumerable: true }) },
      { ...base, parts: revoked() },
      { ...base, parts: { output: revoked() } },
      { ...base, parts: { output: Object.defineProperty({}, 'value', { get: secret, enumerable: true }) } },
      { ...base, actor: revoked() },
    ]) {
      expect(() => prepareEvent(event, 'observed')).toThrow(refused())
      try {
        prepareEvent(event, 'observed')
      } catch (error) {
        expect(String(error)).not.toContain('Zacharias')
        expect((error as Error).cause).toBeUndefined()
      }
    }
  })

  it('has at most 64 parts of the caller', () => {
    const parts = (count: number) => ({
      parts: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, { value: i }])),
    })
    expect(prepare(parts(MAX_PARTS)).parts.size).toBe(MAX_PARTS)
    expect(() => prepare(parts(MAX_PARTS + 1))).toThrow(refused('parts'))
    // What an agent makes move comes on top, or it could make an event unrecordable.
    expectRecordable(prepare({ ...parts(MAX_PARTS), call: '', attributes: { 'a b': 1 } }))
  })
})

describe('the assurance of a channel', () => {
  it('can be lowered and not raised', () => {
    const order = ['enforced', 'observed', 'reported', 'imported'] as const
    for (const [i, ceiling] of order.entries()) {
      for (const [j, assurance] of order.entries()) {
        const prepared = () => prepareEvent({ ...base, assurance }, ceiling).members.assurance
        if (j < i) expect(prepared).toThrow(refused('assurance'))
        else expect(prepared()).toBe(assurance)
      }
      expect(prepareEvent(base, ceiling).members.assurance).toBe(ceiling)
    }
  })

  it('never reaches the log’s own entries', () => {
    for (const type of ['audit.opened', 'audit.erased', 'audit.purge.intent', 'audit.anything', 'audit.', 'audit']) {
      for (const ceiling of ['enforced', 'imported'] as const) {
        expect(() => prepareEvent({ ...base, type }, ceiling)).toThrow(refused('type'))
      }
    }
  })
})

describe('what an agent steers', () => {
  const hostile = [
    '',
    'x'.repeat(257),
    '\ud800',
    'a\udfff',
    5,
    Number.NaN,
    null,
    10n ** 30n,
    true,
    {},
    [],
    Symbol('x'),
    () => 1,
  ]

  it('moves to a part where it does not fit, and is never lost', () => {
    for (const one of hostile) {
      const called = prepare({ call: one })
      expect(called.members.call).toBe(MOVED)
      expect(value(called, 'call')).toBe(one)
      const named = prepare({ tool: { name: one, server: 's' } })
      expect(named.members.tool).toEqual({ name: MOVED, server: 's' })
      expect(value(named, 'tool.name')).toBe(one)
      const failed = prepare({ error: { type: one, code: one } })
      expect(failed.members.error).toEqual({ type: MOVED, code: MOVED })
      expect([value(failed, 'error.type'), value(failed, 'error.code')]).toEqual([one, one])
      for (const prepared of [called, named, failed]) expectRecordable(prepared)
    }
    expect(prepare({ call: undefined, error: { type: 'E', code: undefined } }).members).toEqual({
      ...base,
      outcome: 'unknown',
      assurance: 'observed',
      error: { type: 'E' },
    })
  })

  it('does not push a part of the caller aside', () => {
    const prepared = prepare({
      call: '',
      attributes: { 'a b': 1 },
      parts: { call: { value: 'mine' }, 'call.moved': { value: 'mine too' }, attributes: { value: 'and this' } },
    })
    expect(Object.fromEntries(prepared.parts)).toEqual({
      call: { value: 'mine' },
      'call.moved': { value: 'mine too' },
      'call.moved2': { value: '' },
      attributes: { value: 'and this' },
      'attributes.moved': { value: new Map([['a b', 1]]) },
    })
    expectRecordable(prepared)
  })

  it('keeps the attributes that fit and moves the others', () => {
    const odd: [string, unknown][] = [
      ['a b', 1],
      ['1a', 1],
      ['', 1],
      ['x'.repeat(65), 1],
      ['object', {}],
      ['list', [1]],
      ['nan', Number.NaN],
      ['huge', 2 ** 60],
      ['big', 10n],
      ['symbol', Symbol('x')],
      ['function', () => 1],
      ['surrogate', '\ud800'],
      ['long', 'x'.repeat(257)],
      ['revoked', revoked()],
      ['date', new Date(0)],
    ]
    const prepared = prepare({ attributes: { fine: 1, ...Object.fromEntries(odd), gone: undefined } })
    expect(prepared.members.attributes).toEqual({ fine: 1 })
    const moved = value(prepared, 'attributes') as Map<string, unknown>
    expect([...moved.keys()].sort()).toEqual(odd.map(([key]) => key).sort())
    expectRecordable(prepared)
    const own = prepare({ attributes: JSON.parse('{"__proto__":{"polluted":1},"constructor":1}') })
    expect(own.members.attributes).toEqual({ constructor: 1 })
    expect(value(own, 'attributes')).toEqual(new Map([['__proto__', { polluted: 1 }]]))
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    const unreadable = prepare({ attributes: revoked() })
    expect(unreadable.members.attributes).toEqual({})
    expect(unreadable.parts.has('attributes')).toBe(true)
  })

  it('never makes the entry too large, whatever it is made of', () => {
    for (const character of ['x', '\u0001', '"', '日', '\u{1f600}']) {
      const long = character.repeat(Math.floor(256 / character.length))
      const attributes = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${'k'.repeat(60)}${i}`, long]))
      const prepared = prepare({
        attributes,
        call: long,
        tool: { name: long },
        error: { type: long, code: long },
        parts: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`${'p'.repeat(60)}${i}`, { value: 1 }])),
      })
      expectRecordable(prepared)
      const kept = Object.keys(prepared.members.attributes ?? {}).length
      const moved = (value(prepared, 'attributes') as Map<string, unknown>).size
      expect(kept + moved).toBe(100)
      expect(kept).toBeGreaterThan(3)
    }
  })

  it('is recordable, whatever it is', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
    })
    const steered = fc.record(
      {
        call: anything,
        tool: fc.record({ name: anything }),
        error: fc.record(
          { type: anything, code: anything, message: anything, stack: anything },
          { requiredKeys: ['type'] },
        ),
        attributes: fc.dictionary(fc.string(), anything),
        parts: fc.dictionary(fc.constantFrom('input', 'output', 'call', 'attributes'), fc.record({ value: anything })),
        policy: fc.record({ id: fc.constant('p'), decision: fc.constant('d'), reason: anything }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(steered, (members) => {
        const { tool, error, ...rest } = members
        const isNamed = tool === undefined || tool.name !== undefined
        const isTyped = error === undefined || error.type !== undefined
        expectRecordable(prepare({ ...rest, ...(isNamed && { tool }), ...(isTyped && { error }) }))
      }),
      { numRuns: 300 },
    )
  })
})

describe('an error message', () => {
  it('never contains a value of the event', () => {
    const mark = fc.stringMatching(/^[A-Za-z0-9]{12}$/).map((text) => `zq${text}`)
    const wrong = fc.oneof(mark, fc.record({ a: mark }), fc.array(mark, { minLength: 1 }), fc.constant(5))
    const names = [
      'type',
      'outcome',
      'session',
      'run',
      'tool',
      'model',
      'usage',
      'time',
      'id',
      'assurance',
      'actor',
      'trace',
    ]
    const event = fc.dictionary(fc.constantFrom(...names, 'parts', 'policy', 'guardrail', 'error', 'modes', 'x'), wrong)
    fc.assert(
      fc.property(event, fc.boolean(), (members, isComplete) => {
        try {
          prepareEvent({ ...(isComplete && base), ...members }, 'observed')
        } catch (error) {
          expect(isIndelibleError(error, 'ERR_EVENT_INVALID')).toBe(true)
          expect(`${String(error)}${JSON.stringify(error)}`).not.toContain('zq')
          expect((error as Error).cause).toBeUndefined()
        }
      }),
      { numRuns: 500 },
    )
  })

  it('names each member that is wrong', () => {
    expect(() => prepareEvent({ type: 'tool.end', actr: { type: 'agent', id: 'a' } } as never, 'observed')).toThrow(
      /^actor: .*; event: unknown member actr$/,
    )
  })

  it('never contains a key that does not look like one of ours', () => {
    for (const key of ['Zacharias Zimt', 'zacharias@example.com', '+49 170 1234567']) {
      for (const members of [
        { [key]: 1 },
        { usage: { [key]: -1 } },
        { parts: { [key]: { value: 1 } } },
        { actor: { [key]: 1 } },
      ]) {
        try {
          prepare(members)
          expect.unreachable()
        } catch (error) {
          expect(String(error)).not.toContain(key)
        }
      }
    }
  })
})
