/** Purges that are not what they look like. */
import { afterAll, describe, expect, it } from 'vitest'
import { utf8 } from '../src/bytes.ts'
import { generateSkey, signerFromSkey } from '../src/keys/signer.ts'
import { auditEntry } from '../src/log/batch.ts'
import { Sequencer } from '../src/log/sequencer.ts'
import { parseCheckpoint } from '../src/note/checkpoint.ts'
import { formatSignatureLine, parseNote, type SyncNoteSigner } from '../src/note/signed-note.ts'
import { purge, surveyPurge } from '../src/retention/purge.ts'
import type { Pin } from '../src/verify/evidence.ts'
import { formatPurgeApproval, type PurgeIntent, purgeEntryId } from '../src/verify/purge-statement.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { QuickLog } from './attack-evidence.ts'
import { cleanUp, codesOf, rowOf } from './attack-kit.ts'
import type { AttackId } from './attack-table.ts'

afterAll(cleanUp)

const options = { basis: 'test', by: 'operator', vouched: { size: 512, by: ['pin'] } }

async function filled(origin?: string): Promise<QuickLog> {
  const quick = await QuickLog.create(origin)
  for (let i = 0; i < 6; i++) {
    quick.advance(35)
    await quick.record(100)
  }
  return quick
}

async function intentOf(quick: QuickLog, below: number): Promise<PurgeIntent> {
  const { carried, ...facts } = await surveyPurge(quick.store, below)
  expect(carried.length).toBeGreaterThan(0)
  return { ...facts, ...options, carried: [] }
}

/** The log's own statement, by whoever has its key. */
async function state(quick: QuickLog, below: number, audit: object, origin = quick.origin): Promise<void> {
  const sequencer = new Sequencer(quick.store, quick.keys, { clock: () => quick.nowMs })
  await sequencer.open()
  const id = purgeEntryId('intent', origin, below)
  const entry = auditEntry('audit.purge.intent', quick.nowMs, { ...audit }, id)
  await sequencer.append([{ ...entry, idGiven: false }])
  await sequencer.close()
}

const ATTACKS: readonly (readonly [AttackId, (quick: QuickLog) => Promise<void>])[] = [
  [
    'purge-mac',
    async (quick) => {
      await state(quick, 256, { ...(await intentOf(quick, 256)), mac: 'A'.repeat(43) })
      await quick.store.purge(256)
    },
  ],
  [
    'purge-epochs',
    async (quick) => {
      const { epochs } = await intentOf(quick, 256)
      await state(quick, 256, { ...(await intentOf(quick, 256)), epochs: `${epochs}AA` })
      await quick.store.purge(256)
    },
  ],
  [
    'purge-further',
    async (quick) => {
      await state(quick, 256, await intentOf(quick, 256))
      await quick.store.purge(512)
    },
  ],
  [
    'purge-unsaid',
    async (quick) => {
      await state(quick, 256, { below: 256 })
      await quick.store.purge(256)
    },
  ],
  [
    'purge-foreign',
    async (quick) => {
      await state(quick, 256, await intentOf(quick, 256), 'another.example/log')
      await quick.store.purge(256)
    },
  ],
  [
    'purge-called-off',
    async (quick) => {
      const held = { firstHeld: async () => ({ index: 3, hold: 'hold-1' }) }
      let isPlaced = false
      const holds = { firstHeld: async () => (isPlaced ? held.firstHeld() : null) }
      const late = async <T>(work: () => Promise<T>) => {
        isPlaced = true
        return work()
      }
      const survey = await surveyPurge(quick.store, 256)
      await expect(purge(quick.log, survey, holds, late, options)).rejects.toMatchObject({ code: 'ERR_HELD' })
      await quick.store.purge(256)
    },
  ],
]

describe('a purge', () => {
  for (const [id, attack] of ATTACKS) {
    const row = rowOf(id)
    it(`${row.attack}: ${row.finding}`, async () => {
      const quick = await filled()
      await attack(quick)
      const policy = { ...quick.policy, ...(row.needs === 'K_0' && { macKey: quick.macKey }) }
      expect(codesOf(await verifyLog(quick.store, policy))).toContain(row.finding)
    })
  }

  it(`${rowOf('purge-unapproved').attack}: ${rowOf('purge-unapproved').finding}`, async () => {
    const quick = await filled()
    const noHolds = { firstHeld: async () => null }
    await purge(quick.log, await surveyPurge(quick.store, 256), noHolds, (work) => work(), options)
    expect((await verifyLog(quick.store, quick.policy)).verdict).toBe('verified')
    const policy = { ...quick.policy, purgeApprovers: [{ keys: [quick.firstKey], quorum: 1 }] }
    expect(codesOf(await verifyLog(quick.store, policy))).toEqual(['purge_unapproved'])
  })

  describe('of which the policy wants to know who signed it', () => {
    const noHolds = { firstHeld: async () => null }
    const [alice, bob] = ['alice', 'bob'].map((name) => signerFromSkey(generateSkey(name, 'default'))) as [
      SyncNoteSigner,
      SyncNoteSigner,
    ]

    it('is not covered up by a later one that leaves its intent behind', async () => {
      const quick = await filled()
      const early = (await quick.log.checkpoint())!
      await purge(quick.log, await surveyPurge(quick.store, 256), noHolds, (work) => work(), options)
      for (let i = 0; i < 3; i++) await quick.record(100)
      const survey = await surveyPurge(quick.store, 768)
      const carried = survey.carried.filter(([, text]) => !text.includes('audit.purge.intent'))
      expect(carried.length).toBeLessThan(survey.carried.length)
      const mine = formatPurgeApproval(quick.origin, { ...survey, ...options, carried: [] })
      const approvals = [formatSignatureLine(alice.key, alice.sign(utf8(mine)))]
      await purge(quick.log, { ...survey, carried }, noHolds, (work) => work(), { ...options, approvals })
      const codes = async (since?: Pin) => {
        const approvers = { keys: [alice.key], quorum: 1, ...(since && { since }) }
        return codesOf(await verifyLog(quick.store, { ...quick.policy, purgeApprovers: [approvers] }))
      }
      expect(await codes()).toEqual(['purge_unapproved'])
      // Where its intent stood nobody can tell: below what the last one let go of, and so perhaps behind this.
      const { size, root } = parseCheckpoint(parseNote(early).text)
      expect(await codes({ size, root })).toEqual(['purge_unapproved'])
      // And not behind this.
      const now = parseCheckpoint(parseNote((await quick.log.checkpoint())!).text)
      expect(await codes({ size: now.size, root: now.root })).toEqual([])
    })

    it('is not signed twice by one who stands in the policy twice', async () => {
      const quick = await filled()
      const survey = await surveyPurge(quick.store, 256)
      const text = formatPurgeApproval(quick.origin, { ...survey, ...options, carried: [] })
      const lines = [alice, bob].map((signer) => formatSignatureLine(signer.key, signer.sign(utf8(text))))
      await purge(quick.log, survey, noHolds, (work) => work(), { ...options, approvals: [lines[0]!, lines[0]!] })
      const keys = [alice.key, alice.key, bob.key]
      const report = await verifyLog(quick.store, { ...quick.policy, purgeApprovers: [{ keys, quorum: 2 }] })
      expect(report.findings).toMatchObject([{ code: 'purge_unapproved', expected: '2', found: '1' }])
    })
  })

  it('whose range cannot be read back is not begun', async () => {
    const quick = await filled()
    const shown = new Proxy(quick.store, {
      get(store, name) {
        const value = Reflect.get(store, name) as unknown
        if (name !== 'entries') return typeof value === 'function' ? value.bind(store) : value
        return async function* (start: number, end: number) {
          for await (const rows of store.entries(start, end)) yield rows.filter(({ index }) => index !== 77)
        }
      },
    })
    await expect(surveyPurge(shown, 256)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })
})
