/** What tools answer, recorded from end to end: it is never lost, never an error to the agent, and the log verifies. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { parseDisclosure } from '../src/record/disclosure.ts'
import { parseJson } from '../src/record/jcs.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { QuickLog } from './attack-evidence.ts'

const actor = { type: 'agent', id: 'a' } as const

function cycle(): unknown {
  const list: unknown[] = [1]
  const object = { list, map: new Map<unknown, unknown>() }
  list.push(object)
  object.map.set(object, list)
  return object
}

function nested(depth: number): unknown {
  let value: unknown = 'bottom'
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { value }
  return value
}

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

const throws = () => {
  throw new Error('gotcha')
}

/** A proxy whose every answer is an exception. */
const hostileProxy = () =>
  new Proxy(
    {},
    Object.fromEntries(Reflect.ownKeys(Reflect).map((trap) => [trap, throws])) as unknown as ProxyHandler<object>,
  )

const corpus: Record<string, () => unknown> = {
  'a lone surrogate': () => 'a\ud800b',
  'keys with lone surrogates': () => ({ '\ud800': 1, '\udfff\ud800': 2 }),
  'NaN and infinities': () => [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0],
  'integers that a double cannot tell apart': () => [2 ** 60, -(2 ** 53), Number.MAX_VALUE, 2n ** 60n, 10n ** 40n],
  'denormal numbers': () => [5e-324, 1e-7, 1e21, 0.1 + 0.2],
  '100 MB of text': () => 'x'.repeat(100_000_000),
  '100 MB of bytes': () => new Uint8Array(100_000_000),
  'a million elements': () => new Array(1_000_000).fill({ a: 1 }),
  'a sparse array of four billion': () => {
    const list: number[] = []
    list[4_294_967_290] = 1
    return list
  },
  cycles: cycle,
  'keys of prototypes': () =>
    JSON.parse(
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1,"hasOwnProperty":2}',
    ),
  'getters that throw': () =>
    Object.defineProperties(
      { fine: 1 },
      Object.fromEntries(['bad', 'then', 'toJSON'].map((key) => [key, { enumerable: true, get: throws }])),
    ),
  'a toJSON that throws, and one that lies': () => [{ toJSON: throws }, { secret: 1, toJSON: () => 'nothing' }],
  'revoked proxies': () => [revoked({}), revoked([]), revoked(() => 1)],
  'a proxy that always throws': hostileProxy,
  'an endless proxy': () => {
    const endless: object = new Proxy(
      {},
      {
        get: () => endless,
        ownKeys: () => ['a', 'b'],
        getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: 1 }),
      },
    )
    return endless
  },
  'a getter that makes a fresh object each time': () => {
    const make = (): object => ({
      get next() {
        return make()
      },
    })
    return make()
  },
  'symbols and functions': () => ({ symbol: Symbol('s'), [Symbol('key')]: 1, function: throws, class: class Tool {} }),
  '10,000 levels': () => nested(10_000),
  '100,000 levels': () => nested(100_000),
  'maps, sets, dates, errors, patterns': () => [
    new Map<unknown, unknown>([[{}, new Set([1])]]),
    new Date(Number.NaN),
    new Date(8.64e15),
    new AggregateError([new TypeError('a', { cause: cycle() })], 'b'),
    /x/giu,
    new URL('https://user:pass@example.com/'),
  ],
  'views of buffers': () => [
    new Float64Array([Number.NaN, -0]),
    new DataView(new ArrayBuffer(3)),
    new SharedArrayBuffer(2),
  ],
  'a promise, a stream and a generator': () => [
    Promise.reject(new Error('unheard')).catch(() => {}),
    (function* () {
      yield 1
    })(),
    (async function* () {
      yield 1
    })(),
  ],
  'nothing, in several ways': () => Object.assign([undefined, null], { length: 5, 4: [{}, [], ''] }),
  'control characters': () => String.fromCharCode(...Array.from({ length: 160 }, (_, i) => i)),
  'what could be taken for a tag': () => ({ $type: 'number', value: 'NaN', entries: [] }),
  'what could be taken for a commitment': () => ({
    commit: 'A'.repeat(43),
    mode: 'full',
    disclosure: '["indelible/part@1"]',
  }),
}

/** These take their time: once is enough. */
const LARGE = /100 MB|million|billion/

describe('a tool that answers with', () => {
  for (const [name, make] of Object.entries(corpus)) {
    it(`${name} is recorded, in every mode`, async () => {
      const value = make()
      const isLarge = LARGE.test(name)
      for (const privacy of isLarge ? (['full'] as const) : (['full', 'fingerprint', 'none'] as const)) {
        const quick = await QuickLog.create('quick.example/log', privacy)
        const receipt = await quick.log.record({
          type: 'tool.end',
          actor,
          parts: { output: { value } },
          ...(!isLarge && { error: { type: 'E', message: value }, attributes: { value } as never }),
        })
        await quick.log.record({ type: 'tool.end', actor, tool: { name: value as never }, call: value as never })
        const read = await quick.log.read(receipt.index)
        expect([...read.disclosures.keys()]).toEqual(expect.arrayContaining(isLarge ? ['output'] : ['error', 'output']))
        for (const disclosure of read.disclosures.values()) {
          const { value: kept } = parseDisclosure(disclosure)
          expect(disclosure.length).toBeLessThan(9_000_000)
          if (privacy !== 'full') expect(kept).toBeNull()
          expect(() => parseJson(disclosure)).not.toThrow()
        }
        const report = await verifyLog(quick.store, { ...quick.policy, macKey: quick.macKey })
        expect(report).toMatchObject({ verdict: 'verified', findings: [], size: 3 })
        await quick.log.close()
      }
      expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    }, 60_000)
  }

  it('all of it at once is recorded', async () => {
    const quick = await QuickLog.create()
    const names = Object.keys(corpus).filter((name) => !LARGE.test(name))
    const receipts = await Promise.all(
      names.map((name) => quick.log.record({ type: 'tool.end', actor, parts: { output: { value: corpus[name]!() } } })),
    )
    expect(new Set(receipts.map(({ index }) => index)).size).toBe(names.length)
    await sleep(1)
    expect((await verifyLog(quick.store, quick.policy)).verdict).toBe('verified')
  })
})
