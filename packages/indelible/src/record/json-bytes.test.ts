import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../bytes.ts'
import { carry } from './carry.ts'
import { canonicalize } from './jcs.ts'
import { JsonBytes, plainBytes, sortedKeys } from './json-bytes.ts'

/** By the two ways: `null` where the short one leaves a value to the other. */
function compare(value: unknown): 'same' | null {
  const bytes = plainBytes(value)
  if (bytes === null) return null
  expect(fromUtf8(bytes)).toBe(canonicalize(carry(value).value))
  return 'same'
}

describe('canonical bytes of a plain value', () => {
  it('are those of its canonical text', () => {
    let same = 0
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary', maxDepth: 6 }), (value) => {
        if (compare(value)) same++
      }),
      { numRuns: 3000 },
    )
    // Lone surrogates are common in these.
    expect(same).toBeGreaterThan(1000)
  })

  it('are those of what is carried, or there are none, whatever the value is', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      stringUnit: 'binary',
      key: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('$type', '__proto__', '10', '9', 'é')),
    })
    let same = 0
    fc.assert(
      fc.property(anything, (value) => {
        if (compare(value)) same++
      }),
      { numRuns: 5000 },
    )
    expect(same).toBeGreaterThan(1000)
  })

  it('hold every character as JSON writes it, alone and far from the start', () => {
    const text = new JsonBytes(4096)
    for (let code = 0; code < 0x3000; code++) {
      for (const string of [String.fromCharCode(code), `${'x'.repeat(50)}${String.fromCharCode(code)}`]) {
        text.reset()
        expect(text.string(string)).toBe(true)
        expect(fromUtf8(text.bytes.subarray(0, text.at))).toBe(JSON.stringify(string))
      }
    }
    for (const string of ['\u{10000}', 'a\u{10ffff}b', '\ufeff', '\u2028\u2029', '\uffff'])
      expect(compare(string)).toBe('same')
  })

  it('do not exist for what I-JSON cannot carry as it is', () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    const refused: unknown[] = [
      '\ud800',
      'a\udc00',
      '\ud800\ud800',
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      undefined,
    ]
    refused.push(
      1n,
      Symbol('s'),
      () => 1,
      new Date(0),
      new Map(),
      [undefined],
      Array(1),
      { a: undefined },
      { $type: 'x' },
    )
    refused.push({ '\ud800': 1 }, Object.create({ a: 1 }), new (class A {})(), new Uint8Array(2), cycle)
    for (const value of refused) expect(plainBytes(value)).toBeNull()
    for (const value of refused) expect(plainBytes({ a: [value] })).toBeNull()
    const thrower = {
      get a() {
        throw new Error('no')
      },
    }
    expect(plainBytes(thrower)).toBeNull()
    expect(compare({ a: [1] })).toBe('same')
  })

  it('do not exist without room, at any length', () => {
    for (let size = 0; size < 200; size++) {
      for (const value of ['x'.repeat(20), [1, [2, [3, 'é']]], { a: { b: [true, false, null] }, c: -1.5e-7 }]) {
        const text = new JsonBytes(size)
        const isWritten = text.value(value)
        if (isWritten) expect(fromUtf8(text.bytes.subarray(0, text.at))).toBe(canonicalize(value))
        else expect(size).toBeLessThan(150)
      }
    }
    expect(plainBytes('x'.repeat(70_000))).toBeNull()
    expect(plainBytes(Array.from({ length: 40_000 }, () => 1))).toBeNull()
    expect(compare(Array.from({ length: 20_000 }, () => 1))).toBe('same')
  })

  it('are not mixed up with those of a value that a getter has written meanwhile', () => {
    const value = {
      get a() {
        expect(plainBytes({ other: 'x'.repeat(100) })).toBeNull()
        return 1
      },
      b: 2,
    }
    expect(fromUtf8(plainBytes(value)!)).toBe('{"a":1,"b":2}')
  })

  it('come with keys in the order of their code units', () => {
    const few = ['b', 'a', '10', '9', '\u{10000}', '\uffff', '']
    const many = [...few, ...Array.from({ length: 40 }, (_, i) => `k${(i * 7) % 40}`)]
    for (const keys of [few, many]) {
      expect(sortedKeys(Object.fromEntries(keys.map((key) => [key, 1])))).toEqual([...keys].sort())
    }
  })
})
