import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../bytes.ts'
import { draftEntry, MAX_ENTRY_BYTES, parseEntry, sealDraft } from './entry.ts'
import { canonicalize } from './jcs.ts'
import { type AuditRecord, ENTRY_SCHEMA } from './schema.ts'

const OBSERVED = '2026-06-01T09:00:00.000Z'
const record: Omit<AuditRecord, 'observed'> = {
  schema: ENTRY_SCHEMA,
  id: '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
  time: '2026-06-01T08:59:59.123456Z',
  type: 'tool.end',
  actor: { type: 'agent', id: 'agent-1' },
  outcome: 'success',
  assurance: 'observed',
  tool: { name: 'search' },
  attributes: { zeta: 1, Alpha: true },
  parts: { output: { commit: 'A'.repeat(43), mode: 'full' } },
}
const entryOf = (members: object = {}) => utf8(canonicalize({ ...record, observed: OBSERVED, ...members }))
const refused = expect.objectContaining({ code: 'ERR_ENTRY_INVALID' })

describe('an entry', () => {
  it('is the canonical text of the record, whenever it was accepted', () => {
    const { draft } = draftEntry(record, { time: true })
    expect(fromUtf8(sealDraft(draft, OBSERVED))).toBe(canonicalize({ ...record, observed: OBSERVED }))
    const later = '2026-06-01T09:00:00.000001Z'
    expect(fromUtf8(sealDraft(draft, later))).toBe(canonicalize({ ...record, observed: later }))
    const wide = draftEntry({ ...record, actor: { type: 'user', id: 'Zoë 日本' } }, { time: true }).draft
    for (const observed of [later, OBSERVED]) {
      expect(parseEntry(sealDraft(wide, observed))).toMatchObject({ observed, actor: { id: 'Zoë 日本' } })
    }
    expect(parseEntry(sealDraft(draft, OBSERVED))).toEqual({ ...record, observed: OBSERVED })
  })

  it('repeats in a retry what the producer gave, but not what was drawn or timed here', () => {
    const other = {
      ...record,
      time: '2026-06-01T08:59:59.999999Z',
      parts: { output: { commit: 'B'.repeat(43), mode: 'full' as const } },
    }
    expect(draftEntry(other, { time: false }).stable).toBe(draftEntry(record, { time: false }).stable)
    expect(draftEntry(other, { time: true }).stable).not.toBe(draftEntry(record, { time: true }).stable)
    const outcome = { ...record, outcome: 'failure' as const }
    expect(draftEntry(outcome, { time: false }).stable).not.toBe(draftEntry(record, { time: false }).stable)
  })

  it('has at most 65,535 bytes, and one that has more is told its largest member', () => {
    const filled = (bytes: number) => ({ ...record, attributes: { a: 'x'.repeat(bytes) } }) as typeof record
    const overhead = entryOf({ attributes: { a: '' } }).length + 3
    const most = filled(MAX_ENTRY_BYTES - overhead)
    expect(sealDraft(draftEntry(most, { time: true }).draft, '2026-06-01T09:00:00.000000Z')).toHaveLength(
      MAX_ENTRY_BYTES,
    )
    expect(() => draftEntry(filled(MAX_ENTRY_BYTES - overhead + 1), { time: true })).toThrow(
      expect.objectContaining({ code: 'ERR_ENTRY_TOO_LARGE', message: expect.stringContaining('is attributes with') }),
    )
    const wide = { ...record, session: '日'.repeat(22_000) }
    expect(() => draftEntry(wide, { time: true })).toThrow(
      expect.objectContaining({ code: 'ERR_ENTRY_TOO_LARGE', message: expect.stringContaining('is session with') }),
    )
    expect(() => parseEntry(new Uint8Array(MAX_ENTRY_BYTES + 1))).toThrow(refused)
  })

  it('is read with the members that this version does not know', () => {
    const more = { later: { a: 1 }, actor: { ...record.actor, clearance: 'x' } }
    expect(parseEntry(entryOf(more))).toMatchObject(more)
    expect(parseEntry(entryOf({ type: 'later.type' })).type).toBe('later.type')
  })

  it('is read in its one spelling only', () => {
    const text = fromUtf8(entryOf())
    for (const other of [
      ` ${text}`,
      `${text}\n`,
      `\ufeff${text}`,
      text.replace('"agent-1"', '"agent\\u002d1"'),
      text.replace('{"Alpha":true,"zeta":1}', '{"zeta":1,"Alpha":true}'),
      text.replace('"zeta":1', '"zeta":1.0'),
      text.replace('"zeta":1', '"zeta":1e0'),
      text.replace('"zeta":1', '"zeta":-0'),
      text.replace('"zeta":1', '"zeta":1,"zeta":1'),
      text.replace('"zeta":1', '"zeta":9007199254740993'),
      text.replace('"zeta":1', '"zeta":"\\ud800"'),
    ]) {
      expect(other).not.toBe(text)
      expect(() => parseEntry(utf8(other))).toThrow(refused)
    }
    expect(() => parseEntry(Uint8Array.of(...utf8(text), 0xff))).toThrow(refused)
    expect(() => parseEntry(utf8('['.repeat(60_000)))).toThrow(refused)
  })

  it('is nothing without the members that every entry has, in their form', () => {
    for (const member of ['schema', 'id', 'time', 'observed', 'type', 'actor', 'outcome', 'assurance']) {
      const { [member]: _, ...rest } = { ...record, observed: OBSERVED } as Record<string, unknown>
      expect(() => parseEntry(utf8(canonicalize(rest)))).toThrow(refused)
    }
    const wrong: Record<string, unknown>[] = [
      { schema: 'indelible/entry@2' },
      { id: '017F22E2-79B0-7CC3-98C4-DC0C0C07398F' },
      { id: 'x' },
      { id: '' },
      { time: 'now' },
      { observed: '2026-06-01T09:00:00Z' },
      { observed: '2026-02-30T09:00:00.000Z' },
      { outcome: 'fine' },
      { outcome: 'toString' },
      { assurance: 'certain' },
      { type: 5 },
      { actor: 'agent-1' },
      { actor: null },
      { actor: { type: 'agent' } },
      { actor: { type: 'agent', id: 5 } },
      { parts: null },
      { parts: [] },
      { parts: 'x' },
      { parts: { output: null } },
      { parts: { output: 'x' } },
      { parts: { output: { commit: 5, mode: 'full' } } },
      { parts: { output: { commit: 'A' } } },
    ]
    for (const members of wrong) expect(() => parseEntry(entryOf(members))).toThrow(refused)
    for (const text of ['', 'null', '5', '"x"', '[]', '{}']) expect(() => parseEntry(utf8(text))).toThrow(refused)
  })

  it('holds members named like those of an object', () => {
    const text = fromUtf8(entryOf()).replace('"parts":{', '"parts":{"__proto__":{"commit":"A","mode":"none"},')
    const { parts } = parseEntry(utf8(text))
    expect(Object.keys(parts!)).toEqual(['__proto__', 'output'])
    expect(Object.getPrototypeOf(parts)).toBe(Object.prototype)
  })
})
