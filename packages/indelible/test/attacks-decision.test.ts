/** Signatures of people that are not theirs. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fromBase64 } from '../src/bytes.ts'
import { recordAttestation } from '../src/decision/decisions.ts'
import { createIdentity, loadIdentity } from '../src/keys/identities.ts'
import { rowOf } from './attack-kit.ts'
import type { AttackId } from './attack-table.ts'
import { office } from './decision-kit.ts'

const event = { type: 'decision.attestation', actor: { type: 'user', id: 'alice' }, outcome: 'success' } as const

type Office = Awaited<ReturnType<typeof office>>
type Person = Awaited<ReturnType<Office['person']>>

const FORGERIES: readonly (readonly [AttackId, (office: Office, alice: Person) => Promise<{ index: number }>])[] = [
  [
    'decision-moved',
    async ({ log }, alice) => {
      const genuine = await recordAttestation(log, { owner: 'alice', statement: 'one' }, alice)
      const line = (await log.read(genuine.index)).record.decision!.signature!
      // A signature line holds the key's id, 4 bytes, and the signature.
      const copied = fromBase64(line.trimEnd().split(' ')[2]!).subarray(4)
      return log.record(event, { sign: { key: alice.signer.key, sign: () => copied } })
    },
  ],
  ['decision-unsigned', ({ log }) => log.record(event, { recognised: 'key' })],
  [
    'decision-revoked',
    async ({ log, register }, alice) => {
      await register.revoke('alice')
      return log.record(event, { sign: alice.signer })
    },
  ],
  [
    'decision-stranger',
    ({ log, folder }) => {
      const { file } = createIdentity('mallory', { directory: join(folder, 'strangers') })
      return log.record({ ...event, actor: { type: 'user', id: 'mallory' } }, { sign: loadIdentity(file) })
    },
  ],
]

describe('a decision', () => {
  for (const [id, forge] of FORGERIES) {
    const { attack, finding } = rowOf(id)
    it(`${attack}: ${finding}`, async () => {
      const place = await office()
      const { index } = await forge(place, await place.person('alice'))
      const report = await place.verify()
      expect(report.findings.map(({ code, index }) => [code, index])).toEqual([[finding, index]])
    })
  }
})
