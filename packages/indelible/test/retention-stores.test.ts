/** A purge on every store. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { parseVkey } from '../src/note/signed-note.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { noServer, sharedServer } from './postgres/shared.ts'
import { openLogHome } from './retention-kit.ts'

/** In days. */
const SECOND = 1 / 86_400

const STORES: readonly (readonly [name: string, url: () => Promise<string>, skip: string | null])[] = [
  ['sqlite', async () => 'sqlite:log.db', null],
  ['file', async () => 'file:log', null],
  ['postgres', sharedServer, noServer],
]

describe.each(STORES)('on %s', (_, url, skip) => {
  it.skipIf(skip !== null)(
    'a purge stays verified, and what is left stays proven',
    async () => {
      const origin = `example.com/${randomBytes(4).toString('hex')}`
      // The clock of a database cannot be turned.
      const { log, retention, record, verify } = await openLogHome(
        { default: { ceiling_days: SECOND } },
        { store: await url(), origin, isReal: true },
      )
      await record(600, { parts: { output: { value: 'x' } } })
      const vkey = parseVkey(await log.rotateKey())
      await record(100)
      const before = await log.prove(650)
      await sleep(1500)
      await record(10)
      await verify()
      const options = { trustClock: true, below: 512 }
      const first = retention.run({ by: 'a', ...options })
      const second = retention.run({ by: 'b', ...options })
      const runs = await Promise.allSettled([first, second])
      // The second finds nothing left to do.
      expect(runs.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const report = await verify()
      expect(report).toMatchObject({ verdict: 'verified', findings: [] })
      expect(report.ranges[0]).toEqual({ start: 0, end: 512, state: 'purged' })
      expect(checkProof(before.proof, before.entry, { origin, keys: [vkey] }).index).toBe(650)
      await record(10)
      expect((await verify()).verdict).toBe('verified')
    },
    60_000,
  )
})
