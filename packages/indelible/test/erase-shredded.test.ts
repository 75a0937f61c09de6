/** Erasures of which copies are left that nobody can get at: in a WAL that is archived, or that a reader holds. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { openLog } from '../src/log/home.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { newId } from '../src/record/id.ts'
import { homeWithPersons, isHeld, secret, visit } from './erase-kit.ts'

const why = { reason: 'gdpr-17', by: 'dpo' }

/** A log whose database is read all the time by somebody who holds on to what it was. */
async function watched(privacy: Record<string, unknown>) {
  const made = await homeWithPersons(privacy)
  const log = await openLog({ home: made.home })
  await log.recordMany(visit('ann'))
  const reader = new DatabaseSync(join(made.home, 'log.db'), { readOnly: true })
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM payloads').get()
  const close = async () => {
    reader.close()
    await log.close()
  }
  return { ...made, log, close }
}

describe('an erasure', () => {
  it('is done where all that is left is ciphertext without a key', async () => {
    const { home, log, close } = await watched({ encrypt: true })
    const receipt = await log.erase({ subject: 'ann', ...why })
    expect(receipt).toMatchObject({ state: 'done', parts: 2, waiting: [] })
    expect(receipt.ciphertext).toEqual([expect.stringContaining('WAL')])
    expect((await log.read(receipt.recorded.at(-1)!)).record.audit).toMatchObject({ remains: 'ciphertext' })
    expect(isHeld(home, secret('ann', 'card'))).toBe(false)
    await close()
    expect(await verifyHome({ home, pins: null })).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('is pending where a part was under nobody’s key, or under none', async () => {
    for (const [privacy, request] of [
      [{ encrypt: true }, { subject: 'ann', wholeRuns: true }],
      [{ encrypt: true }, { index: 4 }],
      [{}, { subject: 'ann' }],
    ] as const) {
      const { log, close } = await watched(privacy)
      expect(await log.erase({ ...request, ...why })).toMatchObject({ state: 'pending', ciphertext: [] })
      await close()
    }
  })

  it('reaches what waits for an approval: removed once it has expired, pending before', async () => {
    const made = await homeWithPersons()
    const log = await openLog({ home: made.home })
    await log.recordMany(visit('ann'))
    const folder = join(made.home, 'approvals')
    mkdirSync(folder)
    const [old, open] = [newId(Date.now() - 7200_000), newId(Date.now() - 1000)] as const
    const request = (id: string, ms: number) => ({ id, args: 'ann', expires: new Date(Date.now() + ms).toISOString() })
    const put = (id: string, ms: number) => writeFileSync(join(folder, `${id}.json`), JSON.stringify(request(id, ms)))
    put(old, -1)
    put(open, 60_000)
    expect(await log.erase({ subject: 'ann', ...why })).toMatchObject({
      state: 'pending',
      waiting: ['approvals: 1 requests wait to be decided'],
    })
    expect(existsSync(join(folder, `${old}.json`))).toBe(false)
    put(open, -1)
    expect(await log.resumeErasures()).toMatchObject([{ state: 'done' }])
    expect(existsSync(join(folder, `${open}.json`))).toBe(false)
    await log.close()
  })
})
