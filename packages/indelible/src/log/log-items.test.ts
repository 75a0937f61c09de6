/** The short way and the long way of recording, through rules, redactor and spool: nobody can tell which one an event took. */

import { describe, expect, it } from 'vitest'
import { macKey } from '#crypto'
import { fromUtf8 } from '../bytes.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { PrivacyPolicy, type PrivacyRules } from '../privacy/policy.ts'
import { createRedactor } from '../privacy/redactor.ts'
import { checkCommitment } from '../record/disclosure.ts'
import { parseEntry, sealDraft } from '../record/entry.ts'
import { type AgentEvent, MODES } from '../record/schema.ts'
import { skimEntry } from '../record/skim.ts'
import type { Item } from './groups.ts'
import { LogDraft } from './log-draft.ts'
import { ItemMaker } from './log-items.ts'
import type { SubjectFinder } from './subject-finder.ts'

const ORIGIN = 'example.com/both'
const ID = '0198f3c2-7a10-7c5e-8d2a-0123456789ab'
const TIME = '2026-01-02T03:04:05.678Z'
const keys = { origin: ORIGIN, ids: macKey(new Uint8Array(32).fill(1)) } as unknown as LogKeys
const fingerprintKey = macKey(new Uint8Array(32).fill(2))
const redactor = createRedactor({ packs: ['eu', 'us'] })
/** Whoever looks for persons takes the long way; this one finds those that the event names. */
const finder = { find: ({ subjects }: { subjects: readonly string[] }) => subjects } as unknown as SubjectFinder

const TEXTS = [
  'a',
  'refund',
  'bob@example.com',
  '4111 1111 1111 1111',
  'é😀\u2028',
  '"\\\n\u007f',
  '__proto__',
  'x'.repeat(256),
]
const VALUES: readonly unknown[] = [
  ...TEXTS,
  ...[0, -0, 1.5e-7, 2 ** 53, Number.NaN, 4111111111111111, null, undefined, true, 1n, '\ud800', new Date(0)],
  ...[new Map([['a', 'bob@example.com']]), { password: 'hunter2', b: [1, { c: '漢' }] }, '{"card":"4111111111111111"}'],
  ...[JSON.parse('{"__proto__":{"a":1}}'), { $type: 'x' }, new Proxy([1, 'bob@example.com'], {}), 'y'.repeat(70_000)],
]

/** Numbers from 0 to 1 that are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function eventOf(next: () => number): AgentEvent {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)]!
  const some = (make: () => object) => (next() < 0.5 ? make() : {})
  const text = () => pick(TEXTS)
  return {
    type: 'tool.end',
    actor: { type: 'agent', id: text(), ...some(() => ({ name: text() })) },
    id: ID,
    ...some(() => ({ time: '2026-01-02T04:04:05+01:00' })),
    ...some(() => ({ tenant: text() })),
    ...some(() => ({ call: text() })),
    ...some(() => ({ tool: { name: text(), kind: text() } })),
    ...some(() => ({ error: { type: text(), code: text() } })),
    ...some(() => ({ attributes: { a: pick(VALUES), card: pick(VALUES), k: 'plain' } })),
    ...some(() => ({ subjects: [text()] })),
    ...some(() => ({ parts: { output: { value: pick(VALUES) }, input: { value: [pick(VALUES), pick(VALUES)] } } })),
  } as AgentEvent
}

/** An item, but for what salts make of it. */
const shapeOf = ({ id, draft, payloads, subjects, digest }: Item) => ({
  id,
  entry: fromUtf8(draft.bytes).replaceAll(/"commit":"[\w-]{43}"/g, ''),
  digest: digest && Buffer.from(digest).toString('hex'),
  subjects,
  payloads: payloads
    .map(({ name, disclosure }) => [name, disclosure.replace(/"[\w-]{43}"/, '')])
    .sort(([a], [b]) => (a! < b! ? -1 : 1)),
})

describe('an event', () => {
  it.each(MODES)('under %s becomes the same item by both ways, and again out of a spool', (mode) => {
    for (let seed = 0; seed < 240; seed++) {
      const next = sequence(seed)
      const rules: PrivacyRules = {
        mode,
        lengths: next() < 0.8,
        ...(next() < 0.5 && {
          rules: [
            { mode: 'full' as const, tool: 'refund' },
            { mode: 'keys' as const, tenant: 'a' },
          ],
        }),
      }
      const privacy = new PrivacyPolicy(rules, ORIGIN, fingerprintKey, next() < 0.7 ? redactor : null)
      const makerOf = (subjects: SubjectFinder | null) =>
        new ItemMaker({
          keys,
          privacy,
          identities: null,
          subjects,
          clock: () => Date.parse(TIME),
          onWithheld: () => {},
        })
      const event = eventOf(next)
      const item = makerOf(null).make(event, {}) as Item
      expect(shapeOf(item)).toEqual(shapeOf(makerOf(finder).make(event, {}) as Item))

      const entry = sealDraft(item.draft, TIME)
      const record = parseEntry(entry)
      expect(parseEntry(entry)).toMatchObject({ ...skimEntry(entry) })
      for (const { name, disclosure } of item.payloads) {
        checkCommitment(disclosure, { commit: record.parts![name]!.commit, origin: ORIGIN, id: ID, name })
      }
      const restored = makerOf(null).restore(JSON.parse(JSON.stringify(new LogDraft(item).toEvent())))!
      expect({ ...shapeOf(restored), digest: null, subjects: null }).toEqual({
        ...shapeOf(item),
        digest: null,
        subjects: null,
      })
    }
  })
})
