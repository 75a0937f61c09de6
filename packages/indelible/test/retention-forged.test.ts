/** Purges by hand, on every store: whoever can write it, and even has the keys, deletes what nobody has said may go. */
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { surveyPurge } from '../src/retention/purge.ts'
import { purgeEntryId } from '../src/verify/purge-statement.ts'
import { noServer, sharedServer } from './postgres/shared.ts'
import { openLogHome } from './retention-kit.ts'

const STORES: readonly (readonly [name: string, url: () => Promise<string>, skip: string | null])[] = [
  ['sqlite', async () => 'sqlite:log.db', null],
  ['file', async () => 'file:log', null],
  ['postgres', sharedServer, noServer],
]

type Made = Awaited<ReturnType<typeof filled>>

async function filled(url: string) {
  const origin = `example.com/${randomBytes(4).toString('hex')}`
  // The clock of a database cannot be turned.
  const made = await openLogHome({ default: { ceiling_days: 1000 } }, { store: url, origin, isReal: true })
  await made.record(600, { parts: { output: { value: 'x' } } })
  expect((await made.verify()).verdict).toBe('verified')
  return { ...made, origin }
}

/** What a lawful intent would say. */
async function intentOf({ log }: Made, below: number) {
  const { carried: _, ...facts } = await surveyPurge(log.store, below)
  return { ...facts, carried: [], basis: 'test', by: 'operator', vouched: { size: 600, by: ['pin'] } }
}

/** The log's own word, by whoever has its keys. */
async function state(made: Made, below: number, audit: object, origin = made.origin): Promise<void> {
  await made.log.recordAudit('audit.purge.intent', { ...audit }, purgeEntryId('intent', origin, below, 0))
}

const FORGERIES: readonly (readonly [what: string, code: string, forge: (made: Made) => Promise<void>])[] = [
  ['without a word', 'purge_uncertified', async ({ log }) => log.store.purge(256)],
  [
    'beyond what an intent allows',
    'purge_uncertified',
    async (made) => {
      await state(made, 256, await intentOf(made, 256))
      await made.log.store.purge(512)
    },
  ],
  [
    'under an intent that does not say what goes',
    'purge_uncertified',
    async (made) => {
      await state(made, 256, { below: 256 })
      await made.log.store.purge(256)
    },
  ],
  [
    'under an intent that states another mac',
    'purge_invalid',
    async (made) => {
      await state(made, 256, { ...(await intentOf(made, 256)), mac: 'A'.repeat(43) })
      await made.log.store.purge(256)
    },
  ],
  [
    'under an intent that was called off',
    'purge_uncertified',
    async (made) => {
      await state(made, 256, await intentOf(made, 256))
      const id = purgeEntryId('done', made.origin, 256, 0)
      await made.log.recordAudit('audit.purge.done', { below: 256, cancelled: true }, id)
      await made.log.store.purge(256)
    },
  ],
  [
    'under the intent of another log',
    'purge_uncertified',
    async (made) => {
      await state(made, 256, await intentOf(made, 256), 'another.example/log')
      await made.log.store.purge(256)
    },
  ],
]

describe.each(STORES)('on %s, a purge by hand', (_, url, skip) => {
  it.skipIf(skip !== null).each(FORGERIES)('%s fails: %s', async (__, code, forge) => {
    const made = await filled(await url())
    await forge(made)
    await made.log.flush()
    const report = await made.verify()
    expect(report.verdict).toBe('failed')
    expect(report.findings.map((finding) => finding.code)).toContain(code)
  })
})
