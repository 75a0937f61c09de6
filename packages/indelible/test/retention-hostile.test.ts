/** What keeps entries, and who tries to get around it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createIdentity, loadIdentity } from '../src/keys/identities.ts'
import { isHeld } from './erase-kit.ts'
import { openLogHome } from './retention-kit.ts'

const by = 'compliance'

describe('a hold on a person', () => {
  it('is not undone by erasing the person, of whom no part is left to erase', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(300)
    await record(1, { type: 'x.claim', subjects: ['ann'] })
    await retention.placeHold({ subject: 'ann' }, { by })
    await record(300)
    await days(20)
    await record(1)
    await verify()
    await expect(log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })).rejects.toMatchObject({
      code: 'ERR_HELD',
    })
    await retention.run({ by, trustClock: true })
    expect((await log.store.head())!.minIndex).toBe(256)
  })

  it('is not undone by erasing what it does not cover', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(300)
    await record(1, { type: 'x.claim', subjects: ['ann'] })
    await record(1, { type: 'x.chat', subjects: ['ann'], parts: { text: { value: 'hello' } } })
    await retention.placeHold({ subject: 'ann', type: 'x.claim' }, { by })
    await record(300)
    await days(20)
    await record(1)
    await verify()
    await expect(log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })).rejects.toMatchObject({
      code: 'ERR_HELD',
    })
    await retention.run({ by, trustClock: true })
    expect((await log.store.head())!.minIndex).toBe(256)
  })
})

describe('a hold that covers nothing', () => {
  it('is refused: it would look as if something were kept', async () => {
    const { retention } = await openLogHome({ default: { ceiling_days: 10 } })
    for (const scope of [
      { tenant: '' },
      { run: ' ' },
      { subject: '' },
      { since: '2026-02-01', until: '2026-01-01' },
      { since: '2026-02-01', until: '2026-02-01' },
    ]) {
      await expect(retention.placeHold(scope, { by })).rejects.toMatchObject({ code: 'ERR_HOLD_INVALID' })
    }
  })
})

describe('what a purge deleted', () => {
  it('is cleaned away by a later run if a reader was in the way', async () => {
    const { home, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(200, { parts: { note: { value: 'zebrafish' } } })
    await record(100)
    await days(20)
    await record(1)
    await verify()
    const reader = new DatabaseSync(join(home, 'log.db'), { readOnly: true })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM payloads').get()
    expect((await retention.run({ by, trustClock: true })).pending).not.toEqual([])
    expect(isHeld(home, 'zebrafish')).toBe(true)
    reader.close()
    expect(await retention.run({ by, trustClock: true })).toMatchObject({ purged: [], pending: [] })
    expect(isHeld(home, 'zebrafish')).toBe(false)
  })
})

describe('a purge that nobody approved', () => {
  it('is found behind one that was', async () => {
    const { log, retention, register, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    const folder = mkdtempSync(join(tmpdir(), 'indelible-approver-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const { vkey } = createIdentity('alice', { directory: folder })
    await register.add({ vkey })
    await record(300)
    await days(20)
    await record(300)
    await verify()
    await retention.run({ by, trustClock: true })
    await days(20)
    await record(1)
    await verify()
    const approvals = [(await retention.approve({ by, trustClock: true }, loadIdentity('alice', folder)))!]
    await retention.run({ by, trustClock: true, approvals })
    expect((await log.store.head())!.minIndex).toBe(512)
    const report = await verify({ approvers: [vkey], quorum: 1 })
    expect(report.findings.map(({ code }) => code)).toEqual(['purge_unapproved'])
  })
})
