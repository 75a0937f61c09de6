import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../bytes.ts'
import { type CommonSubject, draftCommon, type SteeredTexts } from './common-event.ts'
import { draftEntry } from './entry.ts'
import { type Assurance, prepareEvent } from './event.ts'
import { ENTRY_SCHEMA } from './schema.ts'

const ID = '0198f3c2-7a10-7c5e-8d2a-0123456789ab'
const TIME = '2026-01-02T03:04:05.678Z'
const PARTS = ['z', 'output', 'a.b'].map((name) => ({ name, commit: 'c'.repeat(43), mode: 'full' as const }))

const minimal = { type: 'tool.end', actor: { type: 'agent', id: 'a' } }
const full = {
  id: ID,
  time: '2026-01-02T04:04:05+01:00',
  type: 'x.test.one',
  actor: { type: 'user', version: '1.0', name: 'Ann "漢" \\', id: 'ann\n', on_behalf_of: 'bob' },
  outcome: 'failure',
  assurance: 'reported',
  tenant: 't',
  session: 's',
  run: { id: 'r', parent: 'p' },
  call: 'c',
  tool: { name: 'n', version: 'v', server: 's', kind: 'k' },
  model: { provider: 'p', name: 'n', version: 'v', reasoning_effort: 'low' },
  usage: { output_tokens: 2, input_tokens: 1, cost_usd: 0.000_000_1 },
  duration_ms: -0,
  error: { type: 'T', code: 'C' },
  policy: { id: 'i', version: 'v', decision: 'd', rule: 'r' },
  source: { adapter: 'a', sdk: 's', host: 'h' },
  attributes: { z: 1, a: '', 'b.c': true, _d: null, e: -0, f: 1.5e-7, g: 'é\u2028' },
  parts: { z: { value: 1 }, output: { value: { text: 'x' } }, 'a.b': { value: undefined } },
  subjects: ['ann', 'bob'],
}

/** Text of the entry and what a retry must repeat, by the long way. */
function long(event: unknown, ceiling: Assurance) {
  const { members, parts, subjects } = prepareEvent(event, ceiling)
  const { id = ID, time = TIME, ...rest } = members
  const record: Record<string, unknown> = { ...rest, schema: ENTRY_SCHEMA, id, time }
  const kept = [...parts.keys()].map((name) => PARTS.find((one) => one.name === name) ?? { ...PARTS[0]!, name })
  if (kept.length > 0) record.parts = Object.fromEntries(kept.map(({ name, commit, mode }) => [name, { commit, mode }]))
  const { draft, stable } = draftEntry(record as never, { time: members.time !== undefined })
  const retried = members.id === undefined ? null : stable
  return { text: fromUtf8(draft.bytes), gap: draft.gap, stable: retried, parts: [...parts], subjects }
}

/** By the short way, which is to keep of each part what {@link PARTS} says. */
function common(event: unknown, ceiling: Assurance = 'observed', steered?: SteeredTexts) {
  const parts: [string, unknown][] = []
  const seen: CommonSubject[] = []
  const made = draftCommon(event, {
    ceiling,
    makeId: () => ID,
    now: TIME,
    steered,
    hasRules: true,
    keep: (_id, name, part, subject) => {
      parts.push([name, part])
      seen.push(subject)
      return PARTS.find((one) => one.name === name) ?? { ...PARTS[0]!, name }
    },
  })
  return made && { ...made, parts, seen }
}

function short(event: unknown, ceiling: Assurance) {
  const made = common(event, ceiling)
  if (!made) return null
  const { draft, stable, parts, subjects } = made
  // Only of an id that the producer chose.
  return { text: fromUtf8(draft.bytes), gap: draft.gap, stable: stable && fromUtf8(stable), parts, subjects }
}

function shorter(event: Record<string, unknown>, pick: () => number): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([key]) => key === 'type' || key === 'actor' || pick() < 0.5))
}

/** Numbers from 0 to 1 that are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe('a common event', () => {
  it('becomes the same entry as by the long way', () => {
    for (const event of [minimal, full]) expect(short(event, 'observed')).toEqual(long(event, 'observed'))
    for (let seed = 0; seed < 300; seed++) {
      const event = shorter(full, sequence(seed))
      expect(short(event, 'observed')).toEqual(long(event, 'observed'))
    }
  })

  // Values that are wrong, or right in an unusual way, or that move to a part.
  const odd: unknown[] = [
    ...['', 'x'.repeat(256), 'x'.repeat(257), '\ud800', 'agent', 'audit.opened', 'x.y', 'é', '__proto__', 'success'],
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, null, undefined, true, 1n, Symbol('s'), () => 1],
    ...[
      [],
      {},
      [1],
      { id: 'a' },
      { name: 'a', id: 'b' },
      { type: 'agent', id: 'a', more: 'b' },
      { type: 'robot', id: 'a' },
    ],
    ...[{ type: 'agent', id: undefined }, { name: 'a', version: undefined }, { type: 'T', message: 'm' }, new Date(0)],
    ...[{ a: { value: 1, more: 2 } }, { A: { value: 1 } }, { a: {} }, { a: { disclosure: 'd', mode: 'full' } }],
    ...[{ key: 'v' }, { key: 5 }, { '1': 1 }, { ['__proto__']: 1 }, { key: 'x'.repeat(257) }, { key: {} }, new Map()],
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, i])),
    Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 'é'.repeat(250)])),
    Object.create({ id: 'inherited' }),
    Object.assign(Object.create(null), { id: 'a', type: 'user', name: 'n' }),
    new (class Thing {
      id = 'a'
    })(),
    new Proxy(
      {},
      {
        get: () => 'a',
        ownKeys: () => {
          throw new Error('no')
        },
      },
    ),
    {
      type: 'agent',
      get id() {
        throw new Error('no')
      },
    },
    ['a', 'b'],
    Array(65).fill('a'),
    ID,
    ID.toUpperCase(),
    '2026-02-30T00:00:00Z',
    'enforced',
    'imported',
  ]

  it('is left to the long way, or becomes the same, whatever one member holds', () => {
    let same = 0
    for (const key of [...Object.keys(full), 'unknown', '__proto__', 'guardrail', 'trace']) {
      for (const value of odd) {
        const event = { ...minimal }
        Object.defineProperty(event, key, { value, enumerable: true, configurable: true, writable: true })
        const result = short(event, 'observed')
        if (result === null) continue
        same++
        expect(result).toEqual(long(event, 'observed'))
      }
    }
    expect(same).toBeGreaterThan(60)
  })

  it('is left to the long way, or becomes the same, whatever is handed in', () => {
    for (const value of odd) expect(short(value, 'observed')).toBeNull()
    for (const ceiling of ['enforced', 'observed', 'reported', 'imported'] as const) {
      for (const assurance of ['enforced', 'observed', 'reported', 'imported', 'other']) {
        const result = short({ ...minimal, assurance }, ceiling)
        if (result) expect(result).toEqual(long({ ...minimal, assurance }, ceiling))
        else expect(() => long({ ...minimal, assurance }, ceiling)).toThrow()
      }
    }
  })

  it('judges an actor by what it wrote down, not by what a getter says later', () => {
    let asked = 0
    const actor = {
      id: 'a',
      get type() {
        return asked++ === 0 ? 'robot' : 'agent'
      },
    }
    expect(short({ type: 'x.y', actor }, 'observed')).toBeNull()
    expect(short({ type: 'x.y', actor: { type: 'robot', id: 'a","type":"agent"}' } }, 'observed')).toBeNull()
  })

  it('that is too large is left to the long way, which names the member', () => {
    /** With a commitment of so many characters. */
    const made = (length: number) => {
      const keep = (_: string, name: string) => ({ ...PARTS[0]!, name, commit: 'c'.repeat(length) })
      const event = { ...minimal, parts: { z: { value: 1 } } }
      return draftCommon(event, { ceiling: 'observed', makeId: () => ID, now: TIME, hasRules: false, keep })
    }
    // A time with microseconds is three bytes longer.
    const most = 65_535 - 3 - made(0)!.draft.bytes.length
    expect(made(most)!.draft.bytes.length).toBe(65_532)
    // Beyond the room that there is for writing, too.
    for (const length of [most + 1, 100_000, 131_072, 400_000]) expect(made(length)).toBeNull()
    const parts = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`p${i}`, { value: 1 }]))
    expect(common({ ...minimal, attributes: { a: 'x'.repeat(256) }, parts })).not.toBeNull()
  })

  it('shows rules what prepareEvent shows them', () => {
    for (const parts of [{ z: { value: 1 } }, { z: { value: 1 }, output: { value: 2 } }]) {
      for (const event of [minimal, full]) {
        const { type, tenant, tool } = prepareEvent({ ...event, parts }, 'observed').members
        const { seen } = common({ ...event, parts })!
        expect(seen).toHaveLength(Object.keys(parts).length)
        for (const subject of seen) {
          expect(subject).toMatchObject({ type, ...(tenant && { tenant }), ...(tool && { tool }) })
        }
      }
    }
  })

  it('shows rules the tool that it writes down, whatever a getter says later', () => {
    let asked = 0
    const tool = {
      get name() {
        return asked++ === 0 ? 'first' : 'later'
      },
    }
    const { seen, draft } = common({ ...minimal, tool, parts: { z: { value: 1 } } })!
    expect(seen[0]!.tool!.name).toBe('first')
    expect(fromUtf8(draft.bytes)).toContain('"tool":{"name":"first"}')
  })

  it('of which a getter or a redactor has another one recorded is not mixed up with it', () => {
    const other = { ...minimal, call: 'other' }
    const inner: unknown[] = []
    const actor = {
      type: 'agent',
      get id() {
        inner.push(common(other))
        return 'a'
      },
    }
    const made = common({ type: 'tool.end', actor, parts: { z: { value: 1 } } })!
    expect(inner).toEqual([null])
    expect(fromUtf8(made.draft.bytes)).toBe(long({ ...minimal, parts: { z: { value: 1 } } }, 'observed').text)
    expect(common(other)).not.toBeNull()
  })

  it('that holds a text which is not plain is left to the long way', () => {
    const plain = { isPlainAttribute: (key: string) => key !== 'odd', isPlainName: (text: string) => text !== 'odd' }
    const isRead = (more: object) => common({ ...minimal, ...more }, 'observed', plain) !== null
    expect(
      isRead({ call: 'c', tool: { name: 'n', kind: 'odd' }, error: { type: 'T', code: 'C' }, session: 'odd' }),
    ).toBe(true)
    expect(isRead({ attributes: { even: 1 } })).toBe(true)
    for (const more of [
      { call: 'odd' },
      { tool: { name: 'odd' } },
      { error: { type: 'odd' } },
      { error: { type: 'T', code: 'odd' } },
      { attributes: { even: 1, odd: 1 } },
    ]) {
      expect(isRead(more)).toBe(false)
    }
  })
})
