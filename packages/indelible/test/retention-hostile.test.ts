/** What keeps entries, and who tries to get around it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createIdentity, loadIdentity } from '../src/keys/identities.ts'
import { parseCheckpoint } from '../src/note/checkpoint.ts'
import { parseNote } from '../src/note/signed-note.ts'
import type { Pin } from '../src/verify/evidence.ts'
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

  it('is judged by the policy that was in force, and cannot be made to look older', async () => {
    const { log, retention, register, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    const folder = mkdtempSync(join(tmpdir(), 'indelible-approver-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const people = ['alice', 'bob'].map((name) => createIdentity(name, { directory: folder }).vkey)
    for (const vkey of people) await register.add({ vkey })
    const [alice, bob] = people as [string, string]
    const treeNow = async (): Promise<Pin> => {
      const { size, root } = parseCheckpoint(parseNote((await log.checkpoint())!).text)
      return { size, root }
    }
    const purge = async (signer?: string) => {
      await record(300)
      await days(20)
      await record(1)
      await verify()
      const run = { by, trustClock: true }
      const approvals = signer ? [(await retention.approve(run, loadIdentity(signer, folder)))!] : []
      expect((await retention.run({ ...run, approvals })).purged).toHaveLength(1)
    }
    const codes = async (...policies: Parameters<typeof verify>) =>
      (await verify(...policies)).findings.map((one) => one.code)
    await purge()
    const first = await treeNow()
    const ofAlice = { approvers: [alice], quorum: 1, since: first }
    // Nobody asked for signatures then.
    expect(await codes(ofAlice)).toEqual([])
    expect(await codes({ approvers: [alice], quorum: 1 })).toEqual(['purge_unapproved'])
    await purge('alice')
    const ofBob = { approvers: [bob], quorum: 1, since: await treeNow() }
    await purge('bob')
    expect(await codes(ofBob, ofAlice)).toEqual([])
    expect(await codes(ofAlice)).toEqual(['purge_unapproved'])
    expect(await codes({ ...ofBob, since: first })).toEqual(['purge_unapproved'])
    // One after the policy was adopted is found, behind those that are older or were signed.
    await purge()
    expect(await codes(ofAlice, ofBob)).toEqual(['purge_unapproved'])
    await purge('bob')
    expect(await codes(ofAlice, ofBob)).toEqual(['purge_unapproved'])
    // A log that never had the tree of the policy has nothing that is older than it.
    const { size } = await treeNow()
    const other = { ...ofAlice, since: { size: first.size, root: new Uint8Array(32) } }
    expect((await codes(other)).length).toBeGreaterThan(2)
    const beyond = { ...ofAlice, since: { size: size + 1000, root: first.root } }
    expect((await codes(beyond)).length).toBeGreaterThan(2)
  })
})

describe('after a purge', () => {
  it('a stranger is no approver, and those who were registered before it are known', async () => {
    const { log, retention, register, record, days, verify, folder } = await openLogHome({
      default: { ceiling_days: 10 },
    })
    const person = (name: string) => {
      const { vkey, file } = createIdentity(name, { directory: join(folder, 'people') })
      return { vkey, signer: loadIdentity(file) }
    }
    const [alice, bob, mallory] = [person('alice'), person('bob'), person('mallory')]
    for (const { vkey } of [alice, bob]) await register.add({ vkey })
    await register.revoke('bob')
    await record(600)
    await days(20)
    await record(1)
    await verify()
    expect((await retention.run({ by, trustClock: true })).purged).toHaveLength(1)
    const decide = (id: string, sign: typeof alice.signer) =>
      log.record({ type: 'decision.attestation', actor: { type: 'user', id }, outcome: 'success' }, { sign })
    await decide('alice', alice.signer)
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    const strange = [await decide('mallory', mallory.signer), await decide('bob', bob.signer)]
    expect((await verify()).findings.map(({ code, index }) => [code, index])).toEqual(
      strange.map(({ index }) => ['signer_unknown', index]),
    )
  })
})
