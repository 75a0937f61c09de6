import oracle from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, isEqual, utf8 } from '../bytes.ts'
import {
  canonicalize,
  canonicalNumber,
  type Json,
  MAX_DEPTH,
  parseCanonical,
  parseCanonicalBytes,
  parseJson,
} from './jcs.ts'

const INVALID = expect.objectContaining({ name: 'IndelibleError', code: 'ERR_JSON_INVALID' })

const text = fc.string({ unit: 'binary', maxLength: 12 })
const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n)),
)
const key = fc.oneof(text, fc.nat(40).map(String), fc.constantFrom('__proto__', 'toJSON', 'constructor', ''))
const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false),
    text,
    number,
    fc.array(tie('value'), { maxLength: 5 }),
    fc.uniqueArray(fc.tuple(key, tie('value')), { maxLength: 5, selector: ([name]) => name }).map(Object.fromEntries),
  ),
})).value

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

// RFC 8785 appendix B: bits of a double, and its text.
const NUMBERS = [
  ['0000000000000000', '0'],
  ['8000000000000000', '0'],
  ['0000000000000001', '5e-324'],
  ['8000000000000001', '-5e-324'],
  ['7fefffffffffffff', '1.7976931348623157e+308'],
  ['ffefffffffffffff', '-1.7976931348623157e+308'],
  ['4340000000000000', '9007199254740992'],
  ['c340000000000000', '-9007199254740992'],
  ['4430000000000000', '295147905179352830000'],
  ['44b52d02c7e14af5', '9.999999999999997e+22'],
  ['44b52d02c7e14af6', '1e+23'],
  ['44b52d02c7e14af7', '1.0000000000000001e+23'],
  ['444b1ae4d6e2ef4e', '999999999999999700000'],
  ['444b1ae4d6e2ef4f', '999999999999999900000'],
  ['444b1ae4d6e2ef50', '1e+21'],
  ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
  ['3eb0c6f7a0b5ed8d', '0.000001'],
  ['41b3de4355555553', '333333333.3333332'],
  ['41b3de4355555554', '333333333.33333325'],
  ['41b3de4355555555', '333333333.3333333'],
  ['41b3de4355555556', '333333333.3333334'],
  ['41b3de4355555557', '333333333.33333343'],
  ['becbf647612f3696', '-0.0000033333333333333333'],
  ['43143ff3c1cb0959', '1424953923781206.2'],
] as const

describe('canonicalize', () => {
  it.each(NUMBERS)('writes the double %s as RFC 8785 appendix B does: %s', (bits, expected) => {
    const value = new DataView(fromHex(bits).buffer).getFloat64(0)
    expect(canonicalNumber(value)).toBe(expected)
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) expect(() => canonicalize(value)).toThrow(INVALID)
    else expect(canonicalize(value)).toBe(expected)
  })

  it('has no text for the NaN and the infinities of appendix B', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => canonicalNumber(value)).toThrow(INVALID)
      expect(() => canonicalize(value)).toThrow(INVALID)
    }
  })

  it('sorts keys by UTF-16 code units, RFC 8785 §3.2.3', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      1: 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    }
    expect(canonicalize(value)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",' +
        '"😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    )
  })

  it('writes the sample of RFC 8785 §3.2.2', () => {
    const sample = String.raw`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`
    const { numbers, ...rest } = JSON.parse(sample)
    // 1E30 is beyond what this format takes.
    numbers[1] = 0
    expect(canonicalize({ numbers, ...rest })).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,0,4.5,0.002,1e-27],' +
        String.raw`"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
  })

  it('agrees with an independent implementation', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalize(value)).toBe(oracle(value))
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const expected = oracle(value)
        try {
          expect(canonicalize(value)).toBe(expected)
        } catch (error) {
          expect(error).toEqual(INVALID)
          expect(expected).toMatch(/[0-9]{16}|e\+/)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('gives one text whatever the order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(text, number), (value) => {
        expect(canonicalize(Object.fromEntries(Object.entries(value).reverse()))).toBe(canonicalize(value))
      }),
    )
  })

  it('reads getters, null prototypes and a member called __proto__', () => {
    expect(canonicalize({ get a() { return 1 } })).toBe('{"a":1}') // biome-ignore format: one line
    expect(canonicalize(Object.assign(Object.create(null), { a: -0 }))).toBe('{"a":0}')
    expect(canonicalize(JSON.parse('{"b":1,"__proto__":{"a":[]}}'))).toBe('{"__proto__":{"a":[]},"b":1}')
    expect(canonicalize({ toJSON: null })).toBe('{"toJSON":null}')
  })

  it.each<[string, unknown]>([
    ['NaN', [Number.NaN]],
    ['Infinity', { a: Number.POSITIVE_INFINITY }],
    ['2^53', 2 ** 53],
    ['-(2^53)', [-(2 ** 53)]],
    ['1e300', 1e300],
    ['a lone high surrogate', ['\ud800']],
    ['a lone low surrogate', 'a\udc00b'],
    ['reversed surrogates', '\udc00\ud800'],
    ['a lone surrogate in a key', { '\udead': 1 }],
    ['undefined', undefined],
    ['an undefined element', [undefined]],
    ['an undefined member', { a: undefined }],
    // biome-ignore lint/suspicious/noSparseArray: the point of the test
    ['a hole', [1, , 2]],
    ['a bigint', [1n]],
    ['a function', { a() {} }],
    ['a toJSON method', { toJSON: () => 1 }],
    ['a symbol', Symbol('s')],
    ['a symbol key', { [Symbol('s')]: 1 }],
    ['a date', { d: new Date(0) }],
    ['a map', new Map()],
    ['a boxed number', [Object(1)]],
    ['bytes', new Uint8Array(1)],
    ['an instance of a class', new (class Point {})()],
    ['an object with an inherited member', Object.create({ a: 1 })],
  ])('refuses %s', (_, value) => expect(() => canonicalize(value)).toThrow(INVALID))

  it('takes 64 levels of nesting and no more, cycles included', () => {
    const cycle: unknown[] = []
    cycle.push({ cycle })
    expect(canonicalize(JSON.parse(nested(MAX_DEPTH)))).toBe(nested(MAX_DEPTH))
    expect(() => canonicalize(JSON.parse(nested(MAX_DEPTH + 1)))).toThrow(INVALID)
    expect(() => canonicalize(JSON.parse(nested(100_000)))).toThrow(INVALID)
    expect(() => canonicalize(cycle)).toThrow(INVALID)
  })

  it('names the place, but no value and no key that may not be ours', () => {
    const refused = (value: unknown): Error => {
      try {
        canonicalize(value)
      } catch (error) {
        return error as Error
      }
      throw new Error('accepted')
    }
    expect(refused({ attributes: { 'Jane Doe': [1, 2, 'secret\ud800'] } }).message).toMatch(/ at attributes\.\*\[2\]$/)
    expect(refused([[{ a_b: Number.NaN }]]).message).toMatch(/ at \[0\]\[0\]\.a_b$/)
    expect(refused({ ['x'.repeat(33)]: 1n }).message).toMatch(/ at \*$/)
    const throwing = refused({
      get a() {
        throw new Error('secret')
      },
    })
    expect(throwing).toEqual(INVALID)
    expect(throwing.message).not.toContain('secret')
    expect(throwing.cause).toBeUndefined()
    expect(refused(Proxy.revocable({}, {}))).toEqual(INVALID)
  })
})

describe('parseCanonical', () => {
  it('is the inverse of canonicalize', () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = canonicalize(value)
        expect(canonicalize(parseCanonical(canonical))).toBe(canonical)
        expect(parseCanonicalBytes(utf8(canonical))).toEqual(JSON.parse(canonical))
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    '{"10":1,"9":2}',
    '{"__proto__":{"toJSON":1}}',
    '{"":{},"\\u0000":[],"a":"\\\\ud800"}',
    '"\u2028\u007f😀/"',
    '[1e-7,1e-27,0.1,-5e-324,9007199254740991,-9007199254740991]',
    'null',
  ])('reads %s', (canonical) => {
    expect(parseCanonical(canonical)).toEqual(JSON.parse(canonical))
    expect(parseJson(canonical)).toEqual(JSON.parse(canonical))
  })

  it.each([
    ' 1',
    '1\n',
    '[1, 2]',
    '{"a": 1}',
    '[1.0]',
    '1e0',
    '1E-7',
    '1e-07',
    '-0',
    '0.10',
    '100e-2',
    '1e5',
    '{"b":1,"a":2}',
    '{"9":1,"10":2}',
    '{"":1,"\uffff":1,"\ud800\udc00":2}',
    '"\\u0041"',
    '"\\/"',
    '"\\u000A"',
    '"\\u001F"',
    '"\\u007f"',
    '"\\u00e9"',
    '"\\ud83d\\ude00"',
  ])('refuses %j, which parseJson takes', (spelling) => {
    expect(() => parseCanonical(spelling)).toThrow(INVALID)
    expect(parseJson(spelling)).toEqual(JSON.parse(spelling))
  })

  it.each([
    '',
    '1 2',
    '[1,]',
    '{"a":1,"a":1}',
    '{"a":1,"a":2}',
    '{"a":{"b":1},"a":1}',
    '{"__proto__":1,"__proto__":1}',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\uD800"',
    '"\ud800"',
    '{"\\udfff":1}',
    '9007199254740993',
    '1e400',
    '-1e400',
    'NaN',
    'Infinity',
    'undefined',
    "'a'",
    '01',
    '+1',
    '.5',
    '1.',
    '"\t"',
    '\ufeff1',
    '// 1',
    nested(MAX_DEPTH + 1),
  ])('refuses %j, and so does parseJson', (bad) => {
    expect(() => parseCanonical(bad)).toThrow(INVALID)
    expect(() => parseJson(bad)).toThrow(INVALID)
  })

  it('refuses integers from 2^53 on, even exact ones', () => {
    for (const n of ['9007199254740992', '-9007199254740992', '1e+23']) {
      expect(() => parseCanonical(n)).toThrow(INVALID)
      expect(parseJson(n)).toBe(Number(n))
    }
  })

  it('refuses hostile depth without exhausting the stack', () => {
    for (const depth of [65, 5_000, 200_000]) {
      for (const hostile of [
        nested(depth),
        '['.repeat(depth),
        '{"a":'.repeat(depth),
        `${nested(64)},${nested(depth)}`,
      ]) {
        expect(() => parseCanonical(hostile)).toThrow(INVALID)
        expect(() => parseJson(hostile)).toThrow(INVALID)
      }
    }
    expect(parseCanonical(nested(MAX_DEPTH))).toEqual(JSON.parse(nested(MAX_DEPTH)))
  })

  it.each([
    ['a stray byte', '22ff22'],
    ['an overlong form', '22c0af22'],
    ['a surrogate', '22eda08022'],
    ['a code point beyond Unicode', '22f490808022'],
    ['a cut sequence', '22e282'],
    ['a byte order mark', 'efbbbf31'],
  ])('refuses bytes with %s', (_, hex) => expect(() => parseCanonicalBytes(fromHex(hex))).toThrow(INVALID))

  it('reads each single-byte change as another canonical text or not at all', () => {
    const value = { a: [0, -1.5, 1e-7, true, null], b: 'é\n"\\😀\u001f', 10: {}, 9: { c: [[]] }, __proto: '\\ud800' }
    const original = utf8(canonicalize(value))
    for (let i = 0; i < original.length; i++) {
      for (let byte = 0; byte < 256; byte++) {
        if (byte === original[i]) continue
        const changed = original.with(i, byte)
        let parsed: Json
        try {
          parsed = parseCanonicalBytes(changed)
        } catch (error) {
          if ((error as { code?: string }).code !== 'ERR_JSON_INVALID') throw error
          continue
        }
        if (!isEqual(utf8(oracle(parsed)!), changed)) expect.fail(`byte ${i} as ${byte} has two spellings`)
      }
    }
  })

  it('never quotes what it refuses', () => {
    for (const bad of ['{"secret":1,"secret":2}', 'secret', '["secret" ]', '["secret', '{"secret":"\\ud800"}']) {
      for (const read of [parseCanonical, parseJson]) {
        try {
          read(bad)
        } catch (error) {
          expect(error).toEqual(INVALID)
          expect((error as Error).cause).toBeUndefined()
          expect((error as Error).message.replace(' at secret', '')).not.toContain('secret')
        }
      }
    }
  })
})

describe('parseJson', () => {
  it('reads any spelling as JSON.parse does', () => {
    fc.assert(
      fc.property(json, fc.constantFrom('', ' ', '\t', '\n\r '), (value, space) => {
        const spelled = JSON.stringify(value, null, space).replace(/[^\0-~]/g, (unit) => {
          return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`
        })
        expect(parseJson(spelled)).toEqual(JSON.parse(spelled))
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    '[{"a":1,"b":{"c":1,"c":1}}]',
    '{"a":1,"\\u0061":1}',
    '{"\\"":1,"\\"":1}',
    '{"a":[{"x":1},{"y":1}],"a":[]}',
    '{ "a" : 1 , "b" : 2 , "a" : 3 }',
  ])('refuses the duplicate key in %s', (bad) => expect(() => parseJson(bad)).toThrow(INVALID))

  it('refuses a duplicate key whatever its first value was', () => {
    for (const lost of [nested(100), '9'.repeat(400), '1e400', '"\\ud800"']) {
      expect(() => parseJson(`{"a":${lost},"a":1}`)).toThrow(INVALID)
    }
  })

  it('is not misled by strings that look like members', () => {
    for (const good of ['{"a":"\\",\\"a\\":1"}', '{":":":::","\\\\":"\\\\\\""}', '["a:1","-1:12345678901234567890"]']) {
      expect(parseJson(good)).toEqual(JSON.parse(good))
    }
  })

  it('refuses integers that a double rounds, and takes doubles as such', () => {
    for (const bad of ['9007199254740993', '[-9007199254740993]', '{"a":12345678901234567890 }', '9'.repeat(5000)]) {
      expect(() => parseJson(bad)).toThrow(INVALID)
    }
    for (const good of ['9007199254740992', '1152921504606846976', '12345678901234567890.5', '1e300', '-0.0', '1E+2']) {
      expect(parseJson(good)).toBe(Number(good))
    }
  })
})
