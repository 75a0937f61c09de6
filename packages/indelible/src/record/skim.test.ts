import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../bytes.ts'
import { parseEntry } from './entry.ts'
import { canonicalize } from './jcs.ts'
import { skimEntry } from './skim.ts'

const COMMIT = 'c'.repeat(43)
const ordinary = {
  actor: { id: 'agent-1', on_behalf_of: 'ann', type: 'agent' },
  assurance: 'observed',
  attributes: { a: -1, b: 1.5, c: true, d: null, e: 0, f: 1e-7, g: 'é 漢 👩' },
  id: '0198f3c2-7a10-7c5e-8d2a-0123456789ab',
  later: { deep: [[], {}, [1, '2', { x: [null] }], false] },
  observed: '2026-01-02T03:04:05.678Z',
  outcome: 'success',
  parts: { output: { commit: COMMIT, mode: 'full' }, z: { commit: COMMIT, mode: 'none' } },
  run: { id: 'r' },
  schema: 'indelible/entry@1',
  time: '2026-01-02T03:04:05.678901Z',
  type: 'tool.end',
}
const { parts: _, ...bare } = ordinary

function judged(entry: Uint8Array) {
  try {
    return parseEntry(entry)
  } catch {
    return null
  }
}

/** Whether it was skimmed. What was skimmed must be what the judge reads. */
function agrees(text: string | Uint8Array): boolean {
  const entry = typeof text === 'string' ? utf8(text) : text
  const skimmed = skimEntry(entry)
  if (skimmed === null) return false
  const record = judged(entry)
  expect(record, fromUtf8(entry)).not.toBeNull()
  const { id, time, observed, type, parts } = record!
  expect(skimmed).toEqual(parts === undefined ? { id, time, observed, type } : { id, time, observed, type, parts })
  expect(record).not.toHaveProperty('audit')
  expect(record).not.toHaveProperty('decision')
  expect(type).not.toMatch(/^(audit|decision)\./)
  return true
}

describe('skimming', () => {
  it('reads what ordinary entries say', () => {
    for (const record of [ordinary, bare]) expect(agrees(canonicalize(record))).toBe(true)
  })

  it('takes no entry that the judge refuses, whichever character is another, missing or one too many', () => {
    const text = canonicalize(ordinary)
    let taken = 0
    for (let at = 0; at < text.length; at++) {
      if (agrees(text.slice(0, at) + text.slice(at + 1))) taken++
      for (const other of '"\\{}[]:,0189-+.eE tfna\t\u001f\u007f\u2028é') {
        if (agrees(text.slice(0, at) + other + text.slice(at + 1))) taken++
        if (agrees(text.slice(0, at) + other + text.slice(at))) taken++
      }
    }
    expect(taken).toBeGreaterThan(1000)
  })

  it('takes no entry that the judge refuses, whatever a member holds', () => {
    const values = [
      ...[
        '""',
        '"x"',
        '1',
        '-1',
        '0',
        '-0',
        '00',
        '01',
        '1.0',
        '1.50',
        '1e5',
        '1e+21',
        '1e21',
        '1E5',
        '9007199254740992',
      ],
      ...['9007199254740991', '999999999999999', '-', '+1', '.5', '1.', '0x10', 'Infinity', '-Infinity', 'NaN', '1-1'],
      ...[
        'true',
        'tru',
        'null',
        'nul',
        'false',
        'undefined',
        '{}',
        '[]',
        '[1,]',
        '{"a":1,}',
        '{"b":1,"a":2}',
        '{"a":1,"a":2}',
      ],
      ...[
        '{"":1}',
        '{"":1,"":2}',
        '{"10":1,"9":2}',
        '{"9":1,"10":2}',
        '{"__proto__":1}',
        '{"id":"x"}',
        '{"id":1}',
        '[{"id":"x"}]',
      ],
      ...[
        '{"x":{"id":"y"}}',
        '"\\n"',
        '"\\u0041"',
        '"é"',
        '" "',
        '"success"',
        '"observed"',
        '"audit.x"',
        '"decision.x"',
      ],
      ...[
        '"2026-02-30T00:00:00.000Z"',
        '"2026-01-02T03:04:05Z"',
        '{"a":{"commit":"c","mode":"m"}}',
        '{"a":{"commit":1}}',
      ],
      ...['{"a":null}', '{"a":"b"}', '{"__proto__":{"commit":"c","mode":"m"}}', `${'['.repeat(70)}${']'.repeat(70)}`],
      `${'['.repeat(30)}${']'.repeat(30)}`,
    ]
    let taken = 0
    for (const key of [...Object.keys(ordinary), 'audit', 'decision', 'x', 'zz', '', '__proto__']) {
      for (const value of values) {
        const members = new Map<string, string>(
          Object.entries(ordinary).map(([name, one]) => [name, canonicalize(one)]),
        )
        members.set(key, value)
        const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1))
        if (agrees(`{${sorted.map(([name, one]) => `"${name}":${one}`).join(',')}}`)) taken++
      }
    }
    expect(taken).toBeGreaterThan(100)
  })

  it('takes no entry without a member that must be there', () => {
    for (const key of Object.keys(bare)) {
      agrees(canonicalize(Object.fromEntries(Object.entries(bare).filter(([name]) => name !== key))))
    }
    for (const text of ['', '{', '{}', '[]', 'null', '"x"', '\ufeff{}']) expect(agrees(text)).toBe(false)
    expect(agrees(Uint8Array.of(0x7b, 0xff, 0x7d))).toBe(false)
    expect(agrees(canonicalize({ ...ordinary, later: 'x'.repeat(70_000) }))).toBe(false)
  })
})
