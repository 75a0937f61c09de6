/** Old data goes, held data stays, and neither looks like tampering. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createIdentity, loadIdentity } from '../src/keys/identities.ts'
import type { Log } from '../src/log/log.ts'
import { purge, surveyPurge } from '../src/retention/purge.ts'
import { openRetention } from '../src/retention/retention.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { openLogHome } from './retention-kit.ts'

afterEach(() => vi.useRealTimers())

const by = 'operations'

describe('retention', () => {
  it('purges what is over age, and every proof stays valid', async () => {
    const place = await openLogHome({ default: { ceiling_days: 30, basis: 'policy 7' } })
    const { log, retention, record, days, verify, vkey } = place
    await record(600)
    const before = await log.prove(550)
    await days(40)
    await record(50)
    expect(await verify()).toMatchObject({ verdict: 'verified' })
    const plan = await retention.plan({ trustClock: true })
    expect(plan).toMatchObject({ from: 0, below: 512, basis: 'policy 7' })
    const run = await retention.run({ by, trustClock: true })
    expect(run.purged).toMatchObject([{ from: 0, below: 512, entries: 512 }])
    expect(run.pending).toEqual([])
    const report = await verify()
    expect(report).toMatchObject({ verdict: 'verified', findings: [] })
    expect(report.ranges[0]).toEqual({ start: 0, end: 512, state: 'purged' })
    const checked = checkProof(before.proof, before.entry, { origin: log.origin, keys: [vkey()] })
    expect(checked.index).toBe(550)
    await expect(log.read(100)).rejects.toMatchObject({ code: 'ERR_ENTRY_NOT_FOUND' })
    expect(await retention.status()).toMatchObject({ min_index: 512, last_purge: { below: 512, by } })
    expect((await retention.run({ by, trustClock: true })).purged).toEqual([])
  })

  it('follows the HMAC chain over what was purged, with K_0, purge after purge', async () => {
    const { retention, record, days, verify, log } = await openLogHome({ default: { ceiling_days: 10 } })
    for (let i = 0; i < 3; i++) {
      await record(300)
      await days(20)
      await record(1)
      await verify()
      await retention.run({ by, trustClock: true })
      expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    }
    expect((await log.store.head())!.minIndex).toBe(768)
  })

  it('keeps keys, people and holds that were stated in what went', async () => {
    const { log, retention, record, days, verify, register, folder, query } = await openLogHome({
      default: { ceiling_days: 10 },
    })
    const { vkey } = createIdentity('alice', { directory: join(folder, 'people') })
    await register.add({ vkey })
    await log.rotateKey()
    const hold = await retention.placeHold({ run: 'later' }, { by: 'counsel', matter: '17' })
    await record(600)
    await days(20)
    await log.record(
      { type: 'decision.approval', actor: { type: 'user', id: 'alice' }, outcome: 'approved' },
      { sign: loadIdentity('alice', join(folder, 'people')) },
    )
    await verify()
    await retention.run({ by, trustClock: true })
    await query.update()
    expect((await register.all()).get('alice')).toMatchObject({ revoked: null })
    expect(await retention.holds.active()).toMatchObject([{ id: hold.hold, matter: '17' }])
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    await retention.holds.release(hold.hold, 'counsel')
    expect(await retention.holds.active()).toEqual([])
  })

  it.each([
    ['by its default', {}, 'kept'],
    ['by a rule without an end', { default: { ceiling_days: 10 }, rules: [{ type: 'x.kept' }] }, 'kept'],
    [
      'by a rule with a longer one',
      { default: { ceiling_days: 10 }, rules: [{ type: 'x.kept', ceiling_days: 99 }] },
      'age',
    ],
  ])('leaves entries where they are %s', async (_, rules, code) => {
    const { retention, record, days, verify, log } = await openLogHome(rules)
    await record(100)
    await log.record({ type: 'x.kept', actor: { type: 'agent', id: 'a' } })
    await record(500)
    await days(20)
    await record(1)
    await verify()
    const plan = await retention.plan({ trustClock: true })
    expect(plan.below).toBe(0)
    expect(plan.limits[0]).toMatchObject({ code })
  })

  it('erases parts earlier than entries, but for those that are held', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { parts_days: 10 } })
    await record(20, { parts: { output: { value: 'old' } } })
    await log.record({
      type: 'x.step',
      actor: { type: 'agent', id: 'a' },
      run: { id: 'held' },
      parts: { output: { value: 'held' } },
    })
    await retention.placeHold({ run: 'held' }, { by: 'counsel' })
    await days(20)
    await record(1, { parts: { output: { value: 'new' } } })
    await verify()
    const run = await retention.run({ by, trustClock: true })
    expect(run).toMatchObject({ parts_erased: 20, purged: [] })
    expect((await log.read(5)).disclosures.size).toBe(0)
    expect((await log.read(22)).disclosures.size).toBe(1)
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('refuses where nobody vouches for the log, and beyond what is vouched for', async () => {
    const { retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 1 } }, { firstPin: false })
    await record(600)
    await expect(retention.run({ by })).rejects.toMatchObject({ code: 'ERR_PURGE_UNVOUCHED' })
    await verify()
    await record(600)
    await days(5)
    await record(1)
    const plan = await retention.plan({ trustClock: true })
    expect(plan).toMatchObject({ below: 512 })
    expect(plan.limits[0]).toMatchObject({ code: 'vouched' })
    await expect(retention.run({ by, below: 768, trustClock: true })).rejects.toMatchObject({
      code: 'ERR_PURGE_UNVOUCHED',
    })
  })

  it('refuses while the clock is in doubt, until a person says that it is right', async () => {
    const { retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 30 } })
    await record(600)
    await days(400)
    await record(1)
    await verify()
    await expect(retention.run({ by })).rejects.toMatchObject({ code: 'ERR_RETENTION_CLOCK' })
    await days(-400)
    await expect(retention.plan()).rejects.toMatchObject({ code: 'ERR_RETENTION_CLOCK' })
  })

  it('wants the approvals that the configuration asks for, of others', async () => {
    const { retention, record, days, verify, register, folder } = await openLogHome({
      default: { ceiling_days: 30 },
      approvers: 2,
    })
    const people = ['alice', 'bob', by].map((name) => {
      const { vkey, file } = createIdentity(name, { directory: join(folder, 'people') })
      return { vkey, signer: loadIdentity(file) }
    })
    for (const { vkey } of people) await register.add({ vkey })
    await record(600)
    await days(40)
    await record(1)
    await verify()
    const run = { by, trustClock: true }
    const [alice, bob, own] = await Promise.all(people.map(({ signer }) => retention.approve(run, signer)))
    for (const approvals of [[], [alice!], [alice!, alice!], [alice!, own!]]) {
      await expect(retention.run({ ...run, approvals })).rejects.toMatchObject({ code: 'ERR_PURGE_UNAPPROVED' })
    }
    // An approval of another purge.
    const other = await retention.approve({ ...run, below: 256 }, people[1]!.signer)
    await expect(retention.run({ ...run, approvals: [alice!, other!] })).rejects.toMatchObject({
      code: 'ERR_PURGE_UNAPPROVED',
    })
    expect((await retention.run({ ...run, approvals: [alice!, bob!] })).purged).toHaveLength(1)
    const policy = people.slice(0, 2).map(({ vkey }) => vkey)
    expect(await verify({ approvers: policy, quorum: 2 })).toMatchObject({ verdict: 'verified' })
    const stranger = createIdentity('carol', { directory: join(folder, 'others') }).vkey
    const refused = await verify({ approvers: [policy[0]!, stranger], quorum: 2 })
    expect(refused.findings.map(({ code }) => code)).toEqual(['purge_unapproved'])
  })
})

describe('a hold', () => {
  it('keeps entries from purge and erasure until it is released', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(300)
    await log.record({
      type: 'x.step',
      actor: { type: 'agent', id: 'a' },
      subjects: ['customer-7'],
      parts: { output: { value: 'x' } },
    })
    await record(300)
    const { hold } = await retention.placeHold({ subject: 'customer-7' }, { by: 'counsel' })
    await days(20)
    await record(1)
    await verify()
    await expect(log.erase({ subject: 'customer-7', reason: 'gdpr-17', by })).rejects.toMatchObject({
      code: 'ERR_HELD',
    })
    expect((await retention.run({ by, trustClock: true })).purged).toMatchObject([{ below: 256 }])
    await expect(retention.run({ by, below: 512, trustClock: true })).rejects.toMatchObject({ code: 'ERR_HELD' })
    await retention.holds.release(hold, 'counsel')
    expect((await retention.run({ by, trustClock: true })).purged).toMatchObject([{ below: 512 }])
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('that is placed between intent and deletion wins, and leaves no permit behind', async () => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(600)
    await days(20)
    await record(1)
    await verify()
    const survey = await surveyPurge(log.store, 512)
    const options = { basis: 'b', by, vouched: { size: 600, by: ['pin'] } }
    const late = async <T>(work: () => Promise<T>) => {
      await retention.holds.place({ type: 'x.step' }, { by: 'counsel' })
      return work()
    }
    await expect(purge(log, survey, retention.holds, late, options)).rejects.toMatchObject({ code: 'ERR_HELD' })
    expect((await log.store.head())!.minIndex).toBe(0)
    // Whoever has the database deletes all the same, under that intent.
    await log.store.purge(512)
    expect((await verify()).findings.map(({ code }) => code)).toEqual(['purge_uncertified'])
  })

  it('covers something, and is placed by somebody', async () => {
    const { retention } = await openLogHome({})
    await expect(retention.placeHold({}, { by: 'counsel' })).rejects.toMatchObject({ code: 'ERR_HOLD_INVALID' })
    await expect(retention.placeHold({ run: 'r' }, { by: ' ' })).rejects.toMatchObject({ code: 'ERR_HOLD_INVALID' })
    await expect(retention.placeHold({ since: 'soon' }, { by: 'c' })).rejects.toMatchObject({
      code: 'ERR_HOLD_INVALID',
    })
    await expect(retention.holds.release('hold-x', 'c')).rejects.toMatchObject({ code: 'ERR_HOLD_NOT_FOUND' })
  })
})

describe('looking whether something is held', () => {
  it('is no reading of what it holds', async () => {
    vi.stubEnv('INDELIBLE_AUDIT__READS', 'true')
    onTestFinished(() => void vi.unstubAllEnvs())
    const { log, retention, record, query } = await openLogHome({})
    await record(3, { parts: { output: { value: 'x' } }, subjects: ['customer-7'] })
    await retention.placeHold({ subject: 'customer-7', type: 'x.step' }, { by: 'counsel' })
    await expect(log.erase({ index: 3, reason: 'gdpr-17', by })).rejects.toMatchObject({ code: 'ERR_HELD' })
    expect(await retention.holds.firstHeld(10)).not.toBe(null)
    expect(await query.count({ type: 'audit.read' })).toBe(0)
    await log.read(3)
    expect(await query.count({ type: 'audit.read' })).toBe(1)
  })
})

describe('a floor', () => {
  it('keeps parts from erasure on request, and must not be longer than its ceiling', async () => {
    const { log, record } = await openLogHome({ rules: [{ type: 'x.step', floor_days: 30 }] })
    await record(1, { parts: { output: { value: 'x' } } })
    await expect(log.erase({ index: 2, reason: 'gdpr-17', by })).rejects.toMatchObject({ code: 'ERR_HELD' })
    await expect(openLogHome({ default: { floor_days: 30, ceiling_days: 10 } })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
    })
  })
})

describe('a purge that is interrupted', () => {
  it.each(['intent', 'delete', 'done'])('after %s is finished by the next run', async (step) => {
    const { log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(600)
    await days(20)
    await record(1)
    await verify()
    const dying = new Proxy(log, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown
        if (name === 'recordAudit') {
          return async (...given: Parameters<Log['recordAudit']>) => {
            if (given[0] === 'audit.purge.done' && step === 'delete') throw new Error('killed')
            const receipt = await target.recordAudit(...given)
            if (given[0] === `audit.purge.${step}`) throw new Error('killed')
            return receipt
          }
        }
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const survey = await surveyPurge(log.store, 512)
    const options = { basis: 'b', by, vouched: { size: 600, by: ['pin'] } }
    await expect(purge(dying, survey, retention.holds, (work) => work(), options)).rejects.toThrow('killed')
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    await retention.run({ by, trustClock: true })
    expect((await log.store.head())!.minIndex).toBe(512)
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    const done = await retention.status()
    expect(done.last_purge).toMatchObject({ below: 512 })
  })

  it('is done once by two runners at once', async () => {
    const { home, log, retention, record, days, verify, pins } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(600)
    await days(20)
    await record(1)
    await verify()
    const second = await openRetention(log, { home, pins })
    const runs = await Promise.all([retention, second].map((one) => one.run({ by, trustClock: true })))
    expect(runs.flatMap(({ purged }) => purged)).toHaveLength(1)
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('goes again where rows came back', async () => {
    const { home, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(600)
    await days(20)
    await record(1)
    await verify()
    const db = new DatabaseSync(join(home, 'log.db'))
    onTestFinished(() => db.close())
    db.exec('CREATE TEMP TABLE backup AS SELECT * FROM entries WHERE idx < 10')
    await retention.run({ by, trustClock: true })
    db.exec('INSERT INTO entries SELECT * FROM backup; DROP TABLE backup')
    expect(await retention.run({ by, trustClock: true })).toMatchObject({ purged_again: 10, purged: [] })
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
  })
})

describe('an edit', () => {
  it('is not purged with what it is in', async () => {
    const { home, log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 10 } })
    await record(600)
    await days(20)
    await record(1)
    await verify()
    const db = new DatabaseSync(join(home, 'log.db'))
    onTestFinished(() => db.close())
    for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all())
      db.exec(`DROP TRIGGER ${name}`)
    db.exec(
      `UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), '"agent"', '"admin"') AS BLOB) WHERE idx = 100`,
    )
    await expect(retention.run({ by, trustClock: true })).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect((await log.store.head())!.minIndex).toBe(0)
  })
})

describe('a year of daily retention', () => {
  it('stays verified, and keeps the log at the size of its last month', async () => {
    const { home, log, retention, record, days, verify } = await openLogHome({ default: { ceiling_days: 30 } })
    let bytes = 0
    for (let day = 0; day < 365; day++) {
      await record(24)
      await days(1)
      if (day % 14 === 13) await verify()
      await retention.run({ by, trustClock: true })
      if (day === 120) bytes = statSync(join(home, 'log.db')).size
    }
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    const { minIndex, size } = (await log.store.head())!
    expect(size - minIndex).toBeLessThan(24 * 45 + 45 * 3 + 512)
    expect(statSync(join(home, 'log.db')).size).toBeLessThan(bytes * 2)
  }, 120_000)
})
