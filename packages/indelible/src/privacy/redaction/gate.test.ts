import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FORBIDDEN_RULES } from './cards.ts'
import { allPacks, rulesOf } from './packs/index.ts'
import { contextLiterals, hasContext } from './rule.ts'
import { type Hit, merge, Scanner } from './scan.ts'

const rules = [...FORBIDDEN_RULES, ...rulesOf(allPacks())]
const scanner = new Scanner(rules)

/** Pieces that rules are made of, in and out of their place. */
const PIECES = [
  ...rules.flatMap(({ literals = [], near = [] }) => [...literals, ...near]),
  ...[
    '4111111111111111',
    '4111 1111 1111 1111',
    '3782-822463-10005',
    '587428561654',
    'GB59NAWV77136867049356',
    'GB59 NAWV 7713 6867 0493 56',
  ],
  ...[
    'jane@example.com',
    '48.90.248.226',
    '1.2.3.4',
    '2001:db8::8a2e:370:7334',
    'aa:bb:cc:dd:ee:ff',
    'aa-bb-cc-dd-ee-ff',
    '+41 (0)62 585 51 90',
  ],
  ...[
    '460-89-9847',
    '460899847',
    '912-70-1234',
    '12-3456789',
    '011000015',
    '1234567893',
    'BB1388568',
    '1EG4-TE5-MK73',
    '(602)272-9781 x12',
  ],
  ...[
    '046 454 286',
    '943 476 5919',
    'AB123456C',
    '07700 900123',
    '36574261809',
    '255081416802538',
    '1 85 05 2A 123 456 78',
    '12345678Z',
    'X1234567L',
  ],
  ...[
    'RSSMRA85T10A562S',
    '111222333',
    '44051401359',
    '811218-9876',
    '131052-308T',
    '131052A308T',
    '123456782',
    '51 824 753 556',
    '2123456701',
  ],
  ...[
    '2341 2341 2346',
    'ABCPE1234F',
    '529.982.247-25',
    '52998224725',
    '11.222.333/0001-81',
    '12.ABC.345/01DE-35',
    'S1234567D',
    '98765 43210',
  ],
  ...[
    '10/23/1951',
    '1951-10-23',
    'Oct 23, 1951',
    '93',
    '07/27',
    'CA 94105',
    'B4111111111111111^DOE/J^25121011',
    '4111111111111111=25121011',
    '123',
  ],
  ...[
    'eyJhbGciOi.eyJzdWIi.abc',
    'sk-ant-REDACTED',
    'AKIAABCDEFGHIJKLMNOP',
    'Bearer abcdefghijk1',
    '://a:b@c',
    'hunter2X9k2LmQ7',
  ],
  ...[
    ' ',
    ': ',
    '=',
    '-',
    '.',
    ', ',
    '\n',
    '"',
    '/',
    '(',
    ')',
    '+',
    'x',
    'Z',
    '7',
    '0',
    'é',
    '１',
    '\u200b',
    '%20',
    '\\n',
    '\\u0031',
    '&#49;',
    '😀',
  ],
]

const place = ({ rule, start, end }: Hit) => `${rule} ${start} ${end}`
const text = fc.array(fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...PIECES) }, fc.string({ maxLength: 6 })), {
  maxLength: 14,
})

describe('the gate', () => {
  it('shuts out nothing that the rules would find', () => {
    fc.assert(
      fc.property(
        text,
        fc.constantFrom('', '', 'phone', 'ssn', 'userNino', 'patient birth', 'card number'),
        (pieces, key) => {
          const whole = pieces.join('')
          const found = scanner.find(whole, key)
          const all = scanner.findWithoutGate(whole, key)
          const places = new Set(found.map(place))
          expect(all.map(place).filter((one) => !places.has(one))).toEqual([])
          // Around a number, a part of the number before it may be found once more: it begins within that one.
          const isWithin = (hit: Hit) => all.some(({ start, end }) => start <= hit.start && hit.start < end)
          expect(found.filter((hit) => !isWithin(hit))).toEqual([])
        },
      ),
      { numRuns: Number(process.env.REDACTION_RUNS ?? 3000) },
    )
  })

  it('opens for a word of a context however it is written', () => {
    for (const { near = [] } of rules) {
      for (const [i, word] of near.entries()) {
        const literal = contextLiterals(near)[i]!
        for (const written of [word, word.toUpperCase(), word.replaceAll(' ', '_')]) {
          const before = `${written} `
          expect(written.toLowerCase()).toContain(literal)
          expect(
            hasContext(near, { text: `${before}123`, start: before.length, end: before.length + 3, key: '' }),
            word,
          ).toBe(true)
        }
      }
    }
  })
})

describe('hits that overlap', () => {
  const hit = (kind: string, start: number, end: number): Hit => ({ kind, rule: kind, start, end })

  it('become one, of the kind of the longest, so that no part of any stays', () => {
    expect(merge([hit('A', 0, 4), hit('B', 2, 10), hit('C', 9, 11), hit('D', 20, 22)])).toEqual([
      { kind: 'B', rule: 'B', start: 0, end: 11 },
      hit('D', 20, 22),
    ])
  })

  it('of one place are of the first kind', () => {
    expect(merge([hit('A', 0, 4), hit('B', 0, 4)])).toEqual([hit('A', 0, 4)])
  })

  it('cover what each of them covered, in whatever order they come', () => {
    const some = fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 9 })), { maxLength: 12 })
    fc.assert(
      fc.property(some, (spans) => {
        const hits = spans.map(([start, length], i) => hit(`K${i}`, start, start + length))
        const merged = merge(hits)
        const covered = (list: readonly Hit[]) =>
          [
            ...new Set(list.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i))),
          ].sort()
        expect(covered(merged)).toEqual(covered(hits))
        for (let i = 1; i < merged.length; i++) expect(merged[i]!.start).toBeGreaterThanOrEqual(merged[i - 1]!.end)
      }),
    )
  })
})
