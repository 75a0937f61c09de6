/** Attacks on epochs, seals and parts by somebody who has every key that the host has today, but not K_0. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatMacVerificationKey, parseMacVerificationKey } from '../src/chain/verification-key.ts'
import { commitTo, disclose } from '../src/record/disclosure.ts'
import type { FindingCode } from '../src/verify/report.ts'
import { Forger, type Members } from './attack-forger.ts'
import {
  attack,
  cleanUp,
  codesOf,
  makeSpecimen,
  ORIGIN,
  openDatabase,
  type Specimen,
  stolenKeys,
  Victim,
  verify,
} from './attack-kit.ts'
import type { AttackId } from './attack-table.ts'

const SLEEP = 700

let log: Specimen
let sleeper: Specimen
beforeAll(async () => {
  log = await makeSpecimen({ perEpoch: 60 })
  sleeper = await makeSpecimen({ perEpoch: 40, epochs: 3, sleep: SLEEP })
})
afterAll(cleanUp)

const specimen = () => log
const sleeping = () => sleeper
const ID = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** Changes entries and makes all else fit that the keys of today can make fit. */
const operate =
  (
    change: (forged: Forger, victim: Victim) => void,
    options: { of?: () => Specimen; reseal?: boolean; from?: number } = {},
  ) =>
  (victim: Victim) => {
    const { signer, ratchet } = stolenKeys((options.of ?? specimen)())
    const forged = new Forger(victim.db, ORIGIN)
    change(forged, victim)
    if (options.reseal ?? true) forged.reseal(ratchet)
    forged
      .retree()
      .remac(ratchet, options.from ?? 0)
      .sign(signer)
  }

const sealsIn = (forged: Forger) =>
  forged.rows().flatMap(({ idx }) => (forged.record(idx).type === 'audit.epoch.sealed' ? [idx] : []))
const editAudit = (index: (forged: Forger) => number, edit: (audit: Members) => Members, of = specimen) =>
  operate((forged) => forged.edit(index(forged), (record) => ({ ...record, audit: edit(record.audit as Members) })), {
    of,
    reseal: false,
  })

describe('the chain', () => {
  it('holds a sleep over many epochs in several seal entries', async () => {
    const db = openDatabase(`${sleeper.home}/log.db`)
    const forged = new Forger(db, ORIGIN)
    const seals = sealsIn(forged).map((index) => forged.record(index).audit as { first_epoch: number; seals: string[] })
    db.close()
    expect(seals.map(({ first_epoch: first, seals }) => [first, seals.length])).toEqual([
      [0, 512],
      [512, SLEEP + 1 - 512],
      [SLEEP + 1, 1],
    ])
    const { pin, macKey } = sleeper
    expect((await verify(`${sleeper.home}/log.db`, sleeper, { pin, macKey })).verdict).toBe('verified')
  })

  const rename = (index: number) => (forged: Forger) =>
    forged.edit(index, (record) => ({ ...record, actor: { type: 'user', id: 'somebody-else' } }))
  for (const index of [1, 59, 100, 250]) {
    attack('rewrite-epoch', specimen, operate(rename(index), { from: index }), { index })
    // Also caught by whoever pinned anything after that entry.
    it(`is caught by a pin as well: entry ${index}`, async () => {
      const victim = new Victim(log)
      operate(rename(index))(victim)
      victim.done()
      expect(codesOf(await verify(victim.path, log, { pin: log.pin }))).toEqual(['split_view'])
    })
  }
  const otherSeal = (audit: Members): Members => {
    const seals = audit.seals as string[]
    return { ...audit, seals: seals.with(-1, 'A'.repeat(43)) }
  }
  /** No seal after it states another root because of it. */
  const last = (forged: Forger) => sealsIn(forged).at(-1)!
  const lastSeal = ({ home }: Specimen) => {
    const db = openDatabase(`${home}/log.db`)
    const index = last(new Forger(db, ORIGIN))
    db.close()
    return index
  }
  const here = { index: lastSeal, only: [] }
  // The seals after it state other roots then.
  const reseal = (nth: number, of: () => Specimen) =>
    operate(
      (forged) => {
        const { ratchet } = stolenKeys(of())
        forged.edit(sealsIn(forged)[nth]!, (record) => ({ ...record, audit: otherSeal(record.audit as Members) }))
        forged.resealAfter(sealsIn(forged)[nth]!, ratchet)
      },
      { of, reseal: false },
    )
  attack('reseal', specimen, reseal(0, specimen))
  attack('reseal', sleeping, reseal(0, sleeping))
  attack('reseal-late', sleeping, reseal(1, sleeping))

  const unseal = operate((forged) => forged.edit(last(forged), (record) => ({ ...record, type: 'x.nothing' })))
  attack('seal-missing', specimen, unseal, { index: lastSeal, only: [] })
  const withAudit = (id: AttackId, edit: (audit: Members) => Members, only: FindingCode[] = []) =>
    attack(id, specimen, editAudit(last, edit), { ...here, only })
  for (const first of [0, 3, 2 ** 52, -1, 0.5, '1', null]) {
    withAudit('seal-epoch', (audit) => ({ ...audit, first_epoch: first }), ['seal_missing'])
  }
  for (const size of [0, 2 ** 52]) withAudit('seal-size', (audit) => ({ ...audit, size }))
  withAudit('seal-size', (audit) => ({ ...audit, size: (audit.size as number) - 1 }))
  withAudit('seal-size', (audit) => ({ ...audit, size: '123' }), ['seal_missing'])
  for (const root of ['A'.repeat(43), '', 'no hash']) withAudit('seal-root', (audit) => ({ ...audit, root }))
  withAudit('seal-root', (audit) => ({ ...audit, root: 5 }), ['seal_missing'])
  withAudit('seal-early', (audit) => ({ ...audit, seals: [...(audit.seals as string[]), 'A'.repeat(43)] }))
  for (const seals of [[], 'AAAA', null]) withAudit('seal-early', (audit) => ({ ...audit, seals }), ['seal_missing'])
  const endWithinSeals = operate(
    (forged, victim) => {
      const last = sealsIn(forged)[0]!
      for (const table of ['entries', 'payloads', 'ids']) victim.sql(`DELETE FROM ${table} WHERE idx > ?`, last)
    },
    { of: sleeping },
  )
  attack('seal-unfinished', sleeping, endWithinSeals)
})

describe('parts, by an operator who signs', () => {
  /** A tool.end entry of the last epoch, with parts input and output. */
  const partIn = (forged: Forger) =>
    forged.rows().findLast(({ idx }) => forged.record(idx).type === 'tool.end' && idx < log.size - 4)!.idx
  const commit = (forged: Forger, victim: Victim, index: number, disclosure: string) => {
    forged.edit(index, (record) => {
      const parts = record.parts as Members
      return { ...record, parts: { ...parts, output: { commit: commitTo(disclosure), mode: 'full' } } }
    })
    victim.sql("UPDATE payloads SET disclosure = ? WHERE idx = ? AND name = 'output'", disclosure, index)
  }
  const forDisclosure = (text: (id: string) => { origin: string; id: string; name: string }) =>
    operate((forged, victim) => {
      const index = partIn(forged)
      const part = { ...text(String(forged.record(index).id)), value: '"x"', meta: '{}' }
      commit(forged, victim, index, disclose(part).disclosure)
    })
  attack(
    'disclosure-log',
    specimen,
    forDisclosure((id) => ({ origin: 'other.example/log', id, name: 'output' })),
    {
      only: [],
    },
  )
  attack(
    'disclosure-transplant',
    specimen,
    forDisclosure(() => ({ origin: ORIGIN, id: ID(9), name: 'output' })),
    {
      only: [],
    },
  )
  attack(
    'disclosure-transplant',
    specimen,
    forDisclosure((id) => ({ origin: ORIGIN, id, name: 'input' })),
    { only: [] },
  )
  const noise = operate((forged, victim) => commit(forged, victim, partIn(forged), 'no disclosure at all'))
  attack('disclosure-transplant', specimen, noise, { only: [] })

  const erase = (at: (index: number) => number) =>
    operate((forged, victim) => {
      const index = partIn(forged)
      victim.sql("DELETE FROM payloads WHERE idx = ? AND name = 'output'", index)
      const statement = { type: 'audit.erased', audit: { parts: [[index, 'output']] } }
      victim.sql('DELETE FROM payloads WHERE idx = ?', at(index))
      forged.edit(at(index), ({ parts: _, ...record }) => ({ ...record, ...statement }))
    })
  attack(
    'erased-before',
    specimen,
    erase((index) => index - 1),
    { only: [] },
  )

  const stateErasure = (isGone: boolean) =>
    operate((forged, victim) => {
      const index = partIn(forged)
      const state = (at: number, audit: Members) => {
        victim.sql('DELETE FROM payloads WHERE idx = ?', at)
        forged.edit(at, ({ parts: _, ...record }) => ({ ...record, type: 'audit.erased', audit }))
      }
      state(index + 1, { erasure: ID(7), state: 'pending', parts: [[index, 'input', 'output']] })
      state(index + 2, { erasure: ID(7), state: 'done' })
      if (isGone) victim.sql('DELETE FROM payloads WHERE idx = ?', index)
      else victim.sql("DELETE FROM payloads WHERE idx = ? AND name = 'input'", index)
    })
  attack('disclosure-returned', specimen, stateErasure(false), { only: [] })

  it('accepts an erasure that is done and left nothing', async () => {
    const victim = new Victim(log)
    stateErasure(true)(victim)
    victim.done()
    expect(await verify(victim.path, log)).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('accepts what an audit.erased entry after it accounts for', async () => {
    const victim = new Victim(log)
    erase((index) => index + 2)(victim)
    victim.done()
    const report = await verify(victim.path, log)
    expect(report).toMatchObject({ verdict: 'verified', findings: [] })
    expect(report.not_checked.join()).toContain('the values of 1 parts that were erased')
  })
})

describe('K_0', () => {
  const other = () => ({ ...log.macKey, key: new Uint8Array(32).fill(1) })

  it('of another log is refused before anything is said', async () => {
    const macKey = { ...log.macKey, origin: 'other.example/log' }
    await expect(verify(`${log.home}/log.db`, log, { macKey })).rejects.toMatchObject({ code: 'ERR_KEY_MISMATCH' })
  })

  it('that is the wrong one is no tampering, in whatever range', async () => {
    for (const options of [{}, { from: 100 }, { to: 100 }, { from: 100, to: 200 }]) {
      const verified = verify(`${log.home}/log.db`, log, { macKey: other(), options })
      await expect(verified).rejects.toMatchObject({ code: 'ERR_KEY_MISMATCH' })
    }
  })

  it('that entry 0 was made to contradict is no wrong key', async () => {
    const victim = new Victim(log)
    new Forger(victim.db, ORIGIN).edit(0, (record) => ({
      ...record,
      audit: { ...record.audit, mac_id: 'A'.repeat(43) } as Members,
    }))
    victim.done()
    const report = await verify(victim.path, log, { macKey: log.macKey })
    expect(report).toMatchObject({ verdict: 'failed', findings: [{ code: 'entry_altered', index: 0 }] })
    expect(report.not_checked.join()).toContain('another mac key than the one that was given')
  })

  it('with other epochs than the log has is a finding', async () => {
    const text = formatMacVerificationKey({ ...log.macKey, clock: { ...log.macKey.clock, seconds: 3 } })
    const report = await verify(`${log.home}/log.db`, log, { macKey: parseMacVerificationKey(text) })
    expect(codesOf(report)).toContain('opened_invalid')
  })
})
