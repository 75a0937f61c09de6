import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draftCommon } from '../record/common-event.ts'
import { MOVED, prepareEvent } from '../record/event.ts'
import type { Json } from '../record/jcs.ts'
import type { AgentEvent } from '../record/schema.ts'
import { isPlainAttribute, isPlainName, redactMembers } from './members.ts'
import type { PartRedactor } from './policy.ts'
import { createRedactor } from './redactor.ts'

const actor = { type: 'agent', id: 'bot' } as const
const membersOf = (event: object) => prepareEvent({ type: 'x.a', actor, ...event }, 'observed').members
const redactor = createRedactor({ packs: ['us'] })

describe('members of an entry', () => {
  it('lose what the redactor finds in attributes and in names that were made up', () => {
    const members = membersOf({
      attributes: { note: 'SSN 536-90-4399', n: 4111111111111111, cvv: 123, count: 7, state: 'ok', odd: null },
      tool: { name: 'mail ann@x.example', server: 'local' },
      error: { type: 'no such user: ann@x.example', code: '42' },
      call: 'ann@x.example',
    })
    expect(redactMembers(members, redactor)).toBe(null)
    expect(members).toMatchObject({
      attributes: { note: 'SSN [SSN]', n: '[CREDIT_CARD]', cvv: '[CVV]', count: 7, state: 'ok', odd: null },
      tool: { name: 'mail [EMAIL]', server: 'local' },
      error: { type: 'no such user: [EMAIL]', code: '42' },
      call: '[EMAIL]',
    })
  })

  it('leave identifiers and what has moved alone, without asking', () => {
    const never: PartRedactor = { version: '', redact: () => expect.fail('asked') }
    const members = membersOf({ tool: { name: 'get_user' }, call: 'call_01HZX4:7', attributes: { a: 1, b: 'done' } })
    members.error = { type: MOVED }
    expect(redactMembers(members, never)).toBe(null)
  })

  it('are withheld where the redactor fails, at once or later', async () => {
    for (const redact of [
      () => {
        throw new Error('no')
      },
      () => ({ value: null, counts: {}, failed: true }),
      async () => ({ value: ['odd'] as Json, counts: {} }),
      () => Promise.reject(new Error('no')),
    ] as PartRedactor['redact'][]) {
      const members = membersOf({ attributes: { note: 'a b' }, tool: { name: 'a b' } })
      await redactMembers(members, { version: '', redact })
      expect(members).toMatchObject({ attributes: { note: '[WITHHELD]' }, tool: { name: '[WITHHELD]' } })
    }
  })

  it('of an event that takes the short way are those that nobody has to look at', () => {
    const word = fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom('get_user', 'call-7', 'done', 'pin', 'a.b:c') },
      fc.constantFrom('a b', 'x@y.example', '"call":"x y",', '4111111111111111', '}', '"tool":{"name":"a",'),
      fc.string({ minLength: 1, maxLength: 12 }),
    )
    const name = fc.constantFrom('call', 'tool', 'error', 'note', 'pin', 'n', 'token')
    const event = fc.record(
      {
        call: word,
        tool: fc.record({ name: word, kind: word, server: word }, { requiredKeys: ['name'] }),
        error: fc.record({ type: word, code: word }, { requiredKeys: ['type'] }),
        attributes: fc.dictionary(name, fc.oneof(word, fc.nat(), fc.boolean(), fc.double()), { maxKeys: 2 }),
        session: word,
        actor: fc.record({ type: fc.constant('agent'), id: word, name: word }),
      },
      { requiredKeys: ['actor'] },
    )
    let plain = 0
    fc.assert(
      fc.property(event, (given) => {
        const whole = { type: 'x.a', ...given } as unknown as AgentEvent
        const common = draftCommon(whole, {
          ceiling: 'observed',
          makeId: () => '01890000-0000-7000-8000-000000000001',
          now: '2026-01-02T03:04:05.678Z',
          steered: { isPlainAttribute, isPlainName },
          hasRules: false,
          keep: () => null,
        })
        if (!common) return
        plain++
        let asked = false
        redactMembers(prepareEvent(whole, 'observed').members, {
          version: '',
          redact: (value) => {
            asked = true
            return { value, counts: {} }
          },
        })
        expect(asked).toBe(false)
      }),
      { numRuns: 3000 },
    )
    expect(plain).toBeGreaterThan(100)
  })
})
