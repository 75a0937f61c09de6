import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../bytes.ts'
import { carry, MAX_CARRIED_DEPTH } from './carry.ts'
import { canonicalize, type Json, parseCanonical } from './jcs.ts'

const UNREADABLE = { $type: 'unreadable' }
const KIB = 1024
/** What tags under way may add to `maxBytes`. */
const SLACK = 32 * KIB

function depthOf(value: Json): number {
  if (typeof value !== 'object' || value === null) return 0
  let deepest = 0
  for (const member of Object.values(value)) deepest = Math.max(deepest, depthOf(member))
  return 1 + deepest
}

/** Size in bytes of a carried value, after checking what every carried value promises. */
function checkCarried(value: unknown, limits?: { maxBytes?: number; maxNodes?: number }): number {
  const carried = carry(value, limits)
  const text = canonicalize(carried.value)
  const size = utf8(text).length
  if (depthOf(carried.value) > MAX_CARRIED_DEPTH) expect.fail(`nests ${depthOf(carried.value)} deep`)
  if (size > (limits?.maxBytes ?? 8 * KIB * KIB) + SLACK) expect.fail(`${size} bytes`)
  if (carried.clipped && !/"\$type":"(clipped|deep)"/.test(text)) expect.fail('says it is clipped and is not')
  expect(canonicalize(parseCanonical(text))).toBe(text)
  return size
}

const nest = (depth: number, wrap: (value: unknown) => unknown, value: unknown = 1): unknown => {
  let out = value
  for (let i = 0; i < depth; i++) out = wrap(out)
  return out
}

const anyString = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) })
const anything = fc.anything({
  key: fc.oneof(fc.string(), anyString, fc.constantFrom('$type', '__proto__', 'toJSON', 'constructor', 'length')),
  values: [
    fc.boolean(),
    fc.integer(),
    fc.double(),
    anyString,
    fc.constantFrom(null, undefined, -0, 2 ** 60, Number.MAX_VALUE, Symbol('s'), () => 1),
  ],
  maxDepth: 6,
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
})
const plain = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.string({ unit: 'binary' }),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .uniqueArray(fc.tuple(fc.oneof(fc.string(), fc.constantFrom('$type', '__proto__')), tie('value')), {
        maxLength: 5,
        selector: ([key]) => key,
      })
      .map(Object.fromEntries),
  ),
})).value

class Point {
  x = 1
  y = [2]
  toJSON(): never {
    throw new Error('called')
  }
}

describe('carry', () => {
  it.each<[string, unknown, Json]>([
    ['undefined', undefined, { $type: 'undefined' }],
    ['negative zero', -0, 0],
    ['NaN', Number.NaN, { $type: 'number', value: 'NaN' }],
    ['infinities', [1 / 0, -1 / 0].map(String), ['Infinity', '-Infinity']],
    ['an infinity', Number.NEGATIVE_INFINITY, { $type: 'number', value: '-Infinity' }],
    ['2^53 - 1', 2 ** 53 - 1, 9007199254740991],
    ['2^60, digit by digit', 2 ** 60, { $type: 'number', value: '1152921504606846976' }],
    ['-(2^53)', -(2 ** 53), { $type: 'number', value: '-9007199254740992' }],
    ['a bigint', -(10n ** 30n), { $type: 'bigint', value: `-1${'0'.repeat(30)}` }],
    ['an ill-formed string', 'a\ud800', { $type: 'string', utf16: 'YQAA2A' }],
    ['a symbol', Symbol('s'), { $type: 'symbol', description: 's' }],
    ['a symbol without a description', Symbol(), { $type: 'symbol' }],
    ['a function', function look() {}, { $type: 'function', name: 'look' }],
    ['bytes', Uint8Array.of(1, 2, 255), { $type: 'bytes', base64url: 'AQL_' }],
    ['a Buffer', Buffer.from('hi'), { $type: 'bytes', base64url: 'aGk' }],
    ['an ArrayBuffer', new ArrayBuffer(1), { $type: 'bytes', base64url: 'AA' }],
    ['a SharedArrayBuffer', new SharedArrayBuffer(1), { $type: 'bytes', base64url: 'AA' }],
    ['the part a view shows', new Uint16Array(new ArrayBuffer(8), 2, 1), { $type: 'bytes', base64url: 'AAA', view: 'Uint16Array' }],
    ['a DataView', new DataView(new ArrayBuffer(1)), { $type: 'bytes', base64url: 'AA', view: 'DataView' }],
    ['a date', new Date(0), { $type: 'date', value: '1970-01-01T00:00:00.000Z' }],
    ['an invalid date', new Date(Number.NaN), { $type: 'date', value: null }],
    ['a URL', new URL('https://a.example/b?c'), { $type: 'url', value: 'https://a.example/b?c' }],
    ['a pattern', /a\/b/gi, { $type: 'regexp', source: 'a\\/b', flags: 'gi' }],
    ['a map', new Map([[{ b: 1 }, 2n]]), { $type: 'map', entries: [[{ b: 1 }, { $type: 'bigint', value: '2' }]] }],
    ['a set', new Set(['b', 'a']), { $type: 'set', values: ['b', 'a'] }],
    ['a boxed string', Object('s'), { $type: 'boxed', value: 's' }],
    ['a boxed symbol', Object(Symbol('s')), { $type: 'boxed', value: { $type: 'symbol', description: 's' } }],
    ['an instance', new Point(), { $type: 'class', name: 'Point', fields: { x: 1, y: [2] } }],
    ['a null-prototype object', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ['a toJSON method', { toJSON() {} }, { toJSON: { $type: 'function', name: 'toJSON' } }],
    // biome-ignore lint/suspicious/noSparseArray: the point of the test
    ['a hole', [1, , 3], [1, { $type: 'undefined' }, 3]],
    ['a promise', Promise.resolve(1), { $type: 'class', name: 'Promise', fields: {} }],
    ['a weak map', new WeakMap(), { $type: 'class', name: 'WeakMap', fields: {} }],
    ['an undefined member', { a: undefined }, { a: { $type: 'undefined' } }],
    ['a key $type', { b: 1, $type: 'date' }, { $type: 'object', entries: [['$type', 'date'], ['b', 1]] }],
    ['a field $type', new (class { $type = 1 })(), { $type: 'class', name: '', fields: { $type: 'object', entries: [['$type', 1]] } }],
    ['an ill-formed key', { '\ud800': 1, a: 2 }, { $type: 'object', entries: [['a', 2], [{ $type: 'string', utf16: 'ANg' }, 1]] }],
  ])('carries %s', (_, value, expected) => expect(carry(value)).toEqual({ value: expected, clipped: false })) // biome-ignore format: table

  it('carries errors with cause, siblings and own members', () => {
    const cause = new TypeError('why')
    cause.stack = 'trace'
    const error = Object.assign(new AggregateError([1], 'what', { cause }), { code: 'E1', stack: 'trace' })
    expect(carry(error).value).toEqual({
      $type: 'error',
      name: 'AggregateError',
      message: 'what',
      stack: 'trace',
      cause: { $type: 'error', name: 'TypeError', message: 'why', stack: 'trace' },
      errors: [1],
      fields: { code: 'E1' },
    })
  })

  it('leaves plain JSON as it is, and can be undone where it escapes', () => {
    const undo = (value: Json): unknown => {
      if (typeof value !== 'object' || value === null) return value
      if (Array.isArray(value)) return value.map(undo)
      const { $type, entries } = value as { $type?: Json; entries?: [string, Json][] }
      const pairs = $type === 'object' ? entries! : (Object.entries(value) as [string, Json][])
      return Object.fromEntries(pairs.map(([key, member]) => [key, undo(member)]))
    }
    fc.assert(
      fc.property(plain, (value) => {
        const carried = carry(value)
        expect(carried.clipped).toBe(false)
        expect(canonicalize(undo(carried.value))).toBe(canonicalize(value))
        if (!canonicalize(value).includes('"$type"')) expect(canonicalize(carried.value)).toBe(canonicalize(value))
      }),
      { numRuns: 500 },
    )
  })

  it('makes anything canonical', () => {
    fc.assert(
      fc.property(anything, (value) => void checkCarried(value)),
      { numRuns: 1000 },
    )
  })

  it('keeps to any limits, and clips nothing that is within them', () => {
    fc.assert(
      fc.property(anything, fc.nat(400), fc.nat(40), (value, maxBytes, maxNodes) => {
        checkCarried(value, { maxBytes })
        checkCarried(value, { maxNodes })
      }),
    )
    fc.assert(
      fc.property(plain, (value) => {
        const whole = carry(value).value
        fc.pre(!canonicalize(whole).includes('"$type"'))
        const maxBytes = utf8(canonicalize(whole)).length
        expect(carry(value, { maxBytes })).toEqual({ value: whole, clipped: false })
        expect(carry(value, { maxBytes: 0 }).clipped).toBe(true)
        expect(carry(value, { maxNodes: 0 }).clipped).toBe(true)
        for (const ignored of [Number.NaN, -1])
          expect(carry(value, { maxBytes: ignored, maxNodes: ignored }).value).toEqual(whole)
      }),
    )
  })

  it('adds no more than 32 KiB to the limit however tags nest', () => {
    const wraps: ((value: unknown) => unknown)[] = [
      (cause) => Object.assign(new AggregateError([1, 2], 'm', { cause }), { stack: 's', a: 1, $type: 2 }),
      (value) => new Map([[value, 1], [2, 3]] as [unknown, unknown][]), // biome-ignore format: one line
      (value) => new Set([value, 1]),
      (value) => Object.assign(new Point(), { a: value, b: 1, $type: 2 }),
      (a) => ({ a, b: 1 }),
    ]
    for (const wrap of wraps) {
      for (let depth = 1; depth < 60; depth += 4) {
        const value = nest(depth, wrap, 1n << 16_000n)
        for (let maxBytes = 1; maxBytes < 8 * KIB; maxBytes += 611) checkCarried(value, { maxBytes })
      }
    }
  })

  it('returns a fresh structure', () => {
    const value = { a: [{ b: 1 }] }
    const carried = carry(value).value
    value.a[0]!.b = 2
    value.a.push({ b: 3 })
    expect(carried).toEqual({ a: [{ b: 1 }] })
  })

  it('says which enclosing value a cycle leads back to', () => {
    const cycle: { a: unknown[]; map?: unknown } = { a: [] }
    cycle.a.push(cycle.a, cycle)
    cycle.map = new Map([['k', cycle]])
    expect(carry(cycle).value).toEqual({
      a: [
        { $type: 'cycle', up: 1 },
        { $type: 'cycle', up: 2 },
      ],
      map: { $type: 'map', entries: [['k', { $type: 'cycle', up: 2 }]] },
    })
    const twice = {}
    expect(carry([twice, twice]).value).toEqual([{}, {}])
  })

  it('takes 55 levels of nesting as they are, and tags what is deeper', () => {
    const wrap = (value: unknown) => [value]
    const deepest = nest(MAX_CARRIED_DEPTH - 1, wrap)
    expect(carry(deepest)).toEqual({ value: deepest, clipped: false })
    for (const depth of [56, 57, 64, 5_000]) {
      const carried = carry(nest(depth, wrap))
      expect(carried).toEqual({ value: nest(55, wrap, { $type: 'deep', of: 'object' }), clipped: true })
    }
    for (const kind of [
      Symbol('s'),
      () => 1,
      new Map([[[], {}]]),
      new Set([[]]),
      { $type: {} },
      new Error('e'),
      new Point(),
    ]) {
      for (let depth = 50; depth < 58; depth++) checkCarried(nest(depth, wrap, kind))
    }
  })

  it('loses no more than the member that cannot be read', () => {
    const get = () => {
      throw new Error('secret')
    }
    expect(carry(Object.defineProperty({ b: 1 }, 'a', { enumerable: true, get })).value).toEqual({
      a: UNREADABLE,
      b: 1,
    })
    expect(carry(Object.defineProperty(new Error('m'), 'stack', { get })).value).toMatchObject({
      $type: 'error',
      message: 'm',
      stack: UNREADABLE,
    })
    class Odd {
      x = 1
      get [Symbol.toStringTag](): string {
        throw new Error('secret')
      }
    }
    expect(carry(new Odd()).value).toEqual({ $type: 'class', name: 'Odd', fields: { x: 1 } })
  })

  it('is not misled by prototypes and tags that lie', () => {
    expect(carry({ [Symbol.toStringTag]: 'Map', a: 1 }).value).toEqual({ a: 1 })
    for (const type of [Map, Set, Date, RegExp, URL, ArrayBuffer, Number, Uint8Array]) {
      expect(carry(Object.create(type.prototype)).value).toMatchObject({ $type: 'class' })
    }
    class Sly extends Map<string, number> {
      override get size() {
        return 0
      }
      override *[Symbol.iterator](): MapIterator<[string, number]> {}
      override entries = this[Symbol.iterator]
      override get [Symbol.toStringTag]() {
        return 'Sly'
      }
    }
    expect(carry(new Sly([['a', 1]])).value).toEqual({ $type: 'map', entries: [['a', 1]] })
  })

  it('survives every proxy', () => {
    const revoked = [Proxy.revocable({}, {}), Proxy.revocable([], {}), Proxy.revocable(() => 1, {})]
    for (const { proxy, revoke } of revoked) {
      revoke()
      expect(carry({ a: proxy, b: 1 })).toEqual({ value: { a: UNREADABLE, b: 1 }, clipped: false })
    }
    const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const
    const answers: (() => unknown)[] = [() => [], () => 'x', () => null, () => Number.NaN, () => 2 ** 53 - 1, () => 1n]
    answers.push(() => {
      throw new Error('secret')
    })
    for (const target of [{}, [], () => 1, new Map(), new Error('e')]) {
      for (const answer of answers) {
        for (const trap of traps) checkCarried(new Proxy(target, { [trap]: answer }), { maxBytes: KIB })
        checkCarried(new Proxy(target, Object.fromEntries(traps.map((trap) => [trap, answer]))), { maxBytes: KIB })
      }
    }
    const endless: ProxyHandler<object> = {
      get: () => new Proxy({}, endless),
      ownKeys: () => ['a', 'b'],
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }),
    }
    checkCarried(new Proxy({}, endless), { maxBytes: 64 * KIB })
  })

  it('survives a getter that exhausts the stack, and a caller that has', () => {
    const dig = (): number => dig() + 1
    expect(carry(Object.defineProperty({}, 'a', { enumerable: true, get: dig })).value).toEqual({ a: UNREADABLE })
    const atTheEnd = (): unknown => {
      try {
        return atTheEnd()
      } catch {
        return carry(nest(40, (value) => [value])).value
      }
    }
    expect(canonicalize(atTheEnd())).toMatch(/^[[{]/)
  })

  it('keeps members whose names Object.prototype has', () => {
    const value = JSON.parse('{"__proto__":{"a":1},"constructor":1,"toString":2,"hasOwnProperty":3}')
    expect(canonicalize(carry(value).value)).toBe(canonicalize(value))
    expect(carry(value).value).not.toHaveProperty('a')
  })

  it('consumes no iterator, stream or promise', () => {
    let touched = 0
    const touch = () => {
      touched++
      return { done: true, value: 1 }
    }
    const iterable = { next: touch, [Symbol.iterator]: touch, [Symbol.asyncIterator]: touch }
    checkCarried([iterable, Object.assign(Object.create({ [Symbol.asyncIterator]: touch }), { socket: 'secret' })])
    expect(canonicalize(carry(Object.assign(new ReadableStream(), { socket: 'secret' })).value)).not.toContain('secret')
    expect(touched).toBe(0)
  })

  it('knows built-in types of another realm', async () => {
    const { runInNewContext } = await import('node:vm')
    const foreign = runInNewContext(
      '[{ a: new Map([[1, new Date(0)]]) }, new Set([/x/]), new RangeError("m"), new Uint8Array(1)]',
    )
    expect(carry(foreign).value).toMatchObject([
      { a: { $type: 'map', entries: [[1, { $type: 'date' }]] } },
      { $type: 'set', values: [{ $type: 'regexp', source: 'x' }] },
      { $type: 'error', name: 'RangeError', message: 'm' },
      { $type: 'bytes', base64url: 'AA' },
    ])
  })
})

describe('carry, over its limits', () => {
  const limits = { maxBytes: KIB }

  it('keeps the head of a string, and the members after it', () => {
    const { value, clipped } = carry({ content: 'x'.repeat(10 * KIB), path: '/etc/passwd' }, limits)
    expect(clipped).toBe(true)
    expect(value).toEqual({
      content: { $type: 'clipped', of: 'string', length: 10 * KIB, head: expect.stringMatching(/^x{400,600}$/) },
      path: '/etc/passwd',
    })
  })

  it('cuts no surrogate pair', () => {
    for (let shift = 0; shift < 5; shift++) {
      const value = carry(`${'x'.repeat(shift)}${'😀'.repeat(KIB)}`, limits).value as { head: string }
      expect(value.head.isWellFormed()).toBe(true)
      expect(utf8(value.head).length).toBeGreaterThan(400)
    }
  })

  it('keeps the head of ill-formed strings, bytes, arrays, collections and objects', () => {
    const length = 10 * KIB
    const list = Array.from({ length }, (_, i) => i)
    expect(carry('\ud800'.repeat(length), limits).value).toMatchObject({ of: 'string', length, utf16: /^(ANgA2ADY)+/ })
    expect(carry(new Uint8Array(length), limits).value).toMatchObject({ of: 'bytes', length, base64url: /^A{400}/ })
    expect((carry(list, limits).value as Json[]).at(-1)).toEqual({ $type: 'clipped', of: 'array', length })
    expect((carry(new Set(list), limits).value as { values: Json[] }).values.at(-1)).toMatchObject({
      of: 'set',
      length,
    })
    const map = new Map(list.map((i) => [i, i]))
    expect((carry(map, limits).value as { entries: Json[] }).entries.at(-1)).toMatchObject({ of: 'map', length })
    expect(carry({ ...list }, limits).value).toMatchObject({
      0: 0,
      100: 100,
      $type: { $type: 'clipped', of: 'object', length },
    })
  })

  it('gives up a key that is too long, and keeps the members around it', () => {
    expect(carry({ a: 1, ['k'.repeat(2 * KIB)]: 2, c: 3 }, limits).value).toEqual({
      a: 1,
      c: 3,
      $type: { $type: 'clipped', of: 'object', length: 3 },
    })
  })

  it('keeps the low bits of an enormous bigint', () => {
    expect(carry((1n << 1_000_000n) - 5n)).toEqual({
      value: { $type: 'clipped', of: 'bigint', low: '-5' },
      clipped: true,
    })
  })

  it.each<[string, () => unknown]>([
    ['a string of 100 MB', () => 'x\n'.repeat(5e7)],
    ['an ill-formed string of 100 MB', () => '\ud800'.repeat(5e7)],
    ['100 MB of bytes', () => new Uint8Array(1e8)],
    ['an array of ten million', () => new Array(1e7).fill(0)],
    ['four thousand million holes', () => new Array(2 ** 32 - 1)],
    ['a graph that unfolds to 2^60 values', () => nest(60, (value) => ({ a: value, b: [value] }))],
    ['a bigint of 20 million bits', () => 1n << 20_000_000n],
  ])('takes bounded time for %s', (_, make) => {
    const value = make()
    const start = performance.now()
    expect(carry(value).clipped).toBe(true)
    // Generous: machines that run tests are slow, unbounded is slower by orders of magnitude.
    expect(performance.now() - start).toBeLessThan(3_000)
    checkCarried(value, { maxBytes: 64 * KIB })
  })
})
