import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { FolderBox } from '../src/decision/approval-box.ts'
import { Approvals } from '../src/decision/approvals.ts'
import { recordApproval, recordAttestation, recordWaiver } from '../src/decision/decisions.ts'
import { listWaivers } from '../src/decision/waivers.ts'
import { createIdentity, newIdentityToken } from '../src/keys/identities.ts'
import { office } from './decision-kit.ts'

const bot = { type: 'agent', id: 'refund-bot', on_behalf_of: 'dora@example.org' } as const

describe('a governance decision', () => {
  it('is recorded with owner, scope and end, and its texts as parts', async () => {
    const { log } = await office()
    const { index } = await recordWaiver(log, {
      owner: 'alice@example.org',
      rationale: 'no GPU yet',
      waivedControls: ['FAIR-2'],
      modelId: 'support-7b',
      timeBoundUntil: '2026-12-31',
      references: ['https://example.org/risk/7'],
    })
    const { record, disclosures } = await log.read(index)
    expect(record).toMatchObject({
      type: 'decision.waiver',
      actor: { type: 'user', id: 'alice@example.org' },
      outcome: 'approved',
      model: { name: 'support-7b' },
      decision: { controls: ['FAIR-2'], until: '2026-12-31T23:59:59.999Z' },
    })
    expect(disclosures.get('rationale')).toContain('no GPU yet')
    expect(Object.keys(record.parts!)).toEqual(['rationale', 'references'])
  })

  it('keeps its texts although the mode of everything is the default, and none where that is stricter', async () => {
    for (const [mode, value] of [
      ['fingerprint', 'because'],
      ['none', null],
    ] as const) {
      const { log } = await office(mode)
      const { index } = await recordApproval(log, { owner: 'a', rationale: 'because' })
      const { disclosures } = await log.read(index)
      expect(JSON.parse(disclosures.get('rationale')!)[5]).toBe(value)
    }
  })

  it.each([
    ['no owner', { rationale: 'x' }],
    ['a blank owner', { owner: '  ', rationale: 'x' }],
    ['no rationale', { owner: 'a' }],
    ['a blank rationale', { owner: 'a', rationale: ' \n' }],
    ['an unknown member', { owner: 'a', rationale: 'x', colour: 'red' }],
    ['a time that is none', { owner: 'a', rationale: 'x', timeBoundUntil: 'soon' }],
  ])('is refused with %s, and nothing is written', async (_, input) => {
    const { log } = await office()
    const before = await log.checkpoint()
    await expect(async () => recordApproval(log, input as never)).rejects.toMatchObject({
      code: 'ERR_DECISION_INVALID',
    })
    expect(await log.checkpoint()).toBe(before)
  })

  it('is no waiver without an end, unless that is said', async () => {
    const { log } = await office()
    const waiver = { owner: 'a', rationale: 'x', waivedControls: ['C'] }
    await expect(async () => recordWaiver(log, waiver)).rejects.toMatchObject({ code: 'ERR_DECISION_INVALID' })
    await expect(async () => recordWaiver(log, { ...waiver, waivedControls: [], noEnd: true })).rejects.toMatchObject({
      code: 'ERR_DECISION_INVALID',
    })
    const { index } = await recordWaiver(log, { ...waiver, noEnd: true })
    expect((await log.read(index)).record.decision).toMatchObject({ open_ended: true })
  })

  it('carries a signature that verify checks, of the one whom it names', async () => {
    const { log, person, verify, folder } = await office()
    const alice = await person('alice@example.org')
    await recordAttestation(log, { owner: alice.name, statement: 'no patient data' }, alice)
    const stranger = await person('eve@example.org')
    await expect(async () =>
      recordAttestation(log, { owner: alice.name, statement: 'x' }, { signer: stranger.signer }),
    ).rejects.toMatchObject({ code: 'ERR_DECISION_INVALID' })

    const report = await verify()
    expect(report.verdict).toBe('verified')
    expect(report.not_checked.join()).toContain('signed 1 decisions')
    const named = await verify([alice.vkey])
    expect(named.verdict).toBe('verified')
    expect(named.not_checked.join()).not.toContain('signed 1 decisions')
    // A policy that names another key under this name.
    const other = createIdentity(alice.name, { directory: join(folder, 'others') })
    const refuted = await verify([other.vkey])
    expect(refuted.findings.map(({ code }) => code)).toEqual(['signature_invalid'])
  })

  it('can be repeated with its id, signed or not', async () => {
    const { log, person } = await office()
    const alice = await person('alice@example.org')
    const id = '0199a0b0-0000-7000-8000-000000000001'
    const first = await recordApproval(log, { id, owner: alice.name, rationale: 'x' }, alice)
    const again = await recordApproval(log, { id, owner: alice.name, rationale: 'x' }, alice)
    expect(again).toMatchObject({ index: first.index })
    await expect(recordApproval(log, { id, owner: alice.name, rationale: 'y' }, alice)).rejects.toMatchObject({
      code: 'ERR_ID_CONFLICT',
    })
  })
})

describe('waivers', () => {
  it('are listed with their state, and with uses after they had ended', async () => {
    const { log, query } = await office()
    const waiver = { owner: 'alice', rationale: 'x', modelId: 'm' }
    const expired = await recordWaiver(log, { ...waiver, waivedControls: ['A'], timeBoundUntil: '2026-01-31' })
    await recordWaiver(log, { ...waiver, waivedControls: ['B'], noEnd: true })
    const at = Date.parse('2026-11-21T00:00:00Z')
    await recordWaiver(log, { ...waiver, waivedControls: ['C'], timeBoundUntil: '2026-11-25' })
    const use = (time: string, model: string) =>
      log.record({ type: 'inference', actor: bot, model: { name: model }, time, outcome: 'success' })
    await use('2026-01-31T23:00:00Z', 'm')
    const late = await use('2026-02-01T00:00:00Z', 'm')
    await use('2026-02-01T00:00:00Z', 'another')
    const citing = await log.record({
      type: 'policy.evaluated',
      actor: bot,
      outcome: 'approved',
      time: '2026-03-01T00:00:00Z',
      policy: { id: 'p', decision: 'allow' },
      decision: { waiver: expired.id },
    })
    const found = await listWaivers(query, { atMs: at })
    expect(found.map(({ controls, state, uses_after_expiry: uses }) => [controls[0], state, uses])).toEqual([
      ['A', 'expired', 2],
      ['C', 'expiring', 0],
      ['B', 'open_ended', 0],
    ])
    expect(found[0]!.first_uses_after_expiry.map(({ index, cites }) => [index, cites])).toEqual([
      [late.index, false],
      [citing.index, true],
    ])
  })

  it('that were renewed in time cover what was done since', async () => {
    const { log, query } = await office()
    const waiver = { owner: 'alice', rationale: 'x', modelId: 'm', waivedControls: ['A'] }
    await recordWaiver(log, { ...waiver, timeBoundUntil: '2026-01-31' })
    const { index } = await recordWaiver(log, { ...waiver, noEnd: true })
    await log.record({ type: 'inference', actor: bot, model: { name: 'm' }, outcome: 'success' })
    const [first] = await listWaivers(query)
    expect(first).toMatchObject({ state: 'expired', uses_after_expiry: 0 })
    expect(index).toBeGreaterThan(first!.index)
  })
})

describe('an approval at run time', () => {
  const args = { order: 'W1', amount: 120 }

  it('lets the tool run once with the approved arguments', async () => {
    const { approvals, person, log, verify } = await office()
    const [alice, bob] = [await person('alice'), await person('bob')]
    const asked = await approvals.request({
      actor: bot,
      tool: 'refund',
      args,
      approvers: ['alice', 'bob'],
      quorum: 2,
      run: 'r1',
    })
    const [pending] = await approvals.list()
    expect(pending).toMatchObject({ id: asked.id, approvals: 0, request: { args, shown: args } })
    await approvals.show(asked.id, alice)
    expect(await approvals.decide(asked.id, 'approved', alice)).toBe(null)
    await expect(asked.execute(args, () => 'ran')).rejects.toMatchObject({ code: 'ERR_APPROVAL_REFUSED' })
    await expect(approvals.decide(asked.id, 'approved', alice)).rejects.toMatchObject({
      code: 'ERR_APPROVAL_CONCLUDED',
    })
    expect(await approvals.decide(asked.id, 'approved', bob, { reason: 'checked' })).toMatchObject({
      by: ['alice', 'bob'],
    })
    expect(await asked.wait()).toMatchObject({ decision: 'approved', by: ['alice', 'bob'] })
    await expect(asked.execute({ ...args, amount: 1200 }, () => 'ran')).rejects.toMatchObject({
      code: 'ERR_APPROVAL_CHANGED',
    })
    expect(await asked.execute(args, ({ amount }) => amount)).toBe(120)
    await expect(asked.execute(args, () => 'ran')).rejects.toMatchObject({ code: 'ERR_APPROVAL_CONCLUDED' })
    await expect(approvals.decide(asked.id, 'approved', bob)).rejects.toMatchObject({ code: 'ERR_APPROVAL_NOT_FOUND' })
    expect((await log.read(asked.id)).record).toMatchObject({ type: 'approval.requested', outcome: 'pending' })
    expect((await verify()).verdict).toBe('verified')
  })

  it('is refused by one rejection, and to whoever may not decide it', async () => {
    const { approvals, person } = await office()
    const [alice, bob] = [await person('alice'), await person('bob')]
    const dora = await person('dora@example.org')
    const asked = await approvals.request({
      actor: bot,
      tool: 'refund',
      args,
      approvers: ['alice', 'dora@example.org'],
    })
    await expect(approvals.decide(asked.id, 'approved', dora)).rejects.toMatchObject({ code: 'ERR_APPROVAL_REFUSED' })
    await expect(approvals.decide(asked.id, 'approved', bob)).rejects.toMatchObject({ code: 'ERR_APPROVAL_REFUSED' })
    await expect(approvals.decide(asked.id, 'approved', { token: 'ind_x' })).rejects.toMatchObject({
      code: 'ERR_IDENTITY_UNKNOWN',
    })
    await approvals.decide(asked.id, 'rejected', alice)
    expect(await asked.wait()).toMatchObject({ decision: 'rejected', by: ['alice'] })
    await expect(asked.execute(args, () => 'ran')).rejects.toMatchObject({ code: /ERR_APPROVAL/ })
    await expect(
      approvals.request({ actor: bot, tool: 'refund', args, approvers: ['dora@example.org'] }),
    ).rejects.toMatchObject({ code: 'ERR_APPROVAL_REFUSED' })
  })

  it('expires, with an entry that says so', async () => {
    const { approvals, person, query, wait } = await office()
    const alice = await person('alice')
    const asked = await approvals.request({ actor: bot, tool: 'refund', args, approvers: ['alice'], expiresMs: 1000 })
    wait(1001)
    await expect(approvals.decide(asked.id, 'approved', alice)).rejects.toMatchObject({
      code: 'ERR_APPROVAL_CONCLUDED',
    })
    expect(await asked.wait()).toMatchObject({ decision: 'expired' })
    const { hits } = await query.page({ type: 'approval.expired' })
    expect(hits.map(({ record }) => record.resource)).toEqual([{ type: 'approval', id: asked.id }])
    expect(await approvals.list()).toEqual([])
  })

  it('is not decided for what was changed on its way, nor by forged votes', async () => {
    const { approvals, person, home, log } = await office()
    const alice = await person('alice')
    const asked = await approvals.request({ actor: bot, tool: 'refund', args, approvers: ['alice'] })
    const file = join(home, 'approvals', `${asked.id}.json`)
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replaceAll('120', '12000'))
    await expect(approvals.decide(asked.id, 'approved', alice)).rejects.toMatchObject({ code: 'ERR_APPROVAL_CHANGED' })
    expect(await approvals.list()).toEqual([])
    writeFileSync(file, text)
    // An agent that can record anything still cannot sign for Alice.
    const forged = await log.record({
      type: 'approval.decided',
      actor: { type: 'user', id: 'alice' },
      outcome: 'approved',
      subject_digest: asked.digest,
    })
    writeFileSync(join(home, 'approvals', `${asked.id}.decisions`), `${forged.id}\n`)
    await expect(asked.wait()).rejects.toMatchObject({ code: 'ERR_SIGNATURE_INVALID' })
  })

  it('is waited for without reading the log again and again', async () => {
    const { home, log, query, person, approvals } = await office()
    const people = [await person('alice'), await person('bob'), await person('carol')]
    const approvers = people.map(({ name }) => name)
    const asked = await approvals.request({ actor: bot, tool: 'pay', args: { sum: 5 }, approvers, quorum: 3 })
    const registers = vi.spyOn(query, 'all')
    const proofs = vi.spyOn(log, 'prove')
    const waiting = asked.wait()
    await approvals.decide(asked.id, 'approved', people[0]!)
    await approvals.decide(asked.id, 'approved', people[1]!)
    await vi.waitFor(() => expect(proofs.mock.calls.length).toBeGreaterThan(4))
    await sleep(300)
    const calls = () => [registers.mock.calls.length, proofs.mock.calls.length]
    const before = calls()
    for (let i = 0; i < 10; i++) {
      await log.record({ type: 'x.other', actor: bot })
      await sleep(50)
    }
    // Neither time nor what else the log takes is a reason to look.
    expect(calls()).toEqual(before)
    await approvals.decide(asked.id, 'approved', people[2]!)
    expect(await waiting).toMatchObject({ decision: 'approved', by: approvers })
    // Three votes, one reading of the register for all of them.
    registers.mockClear()
    const fresh = new Approvals(log, query, new FolderBox(home))
    await (await fresh.resume(asked.id)).wait()
    expect(registers).toHaveBeenCalledTimes(1)
  })

  it('takes a token for a person without a key, until it is revoked', async () => {
    const { approvals, register } = await office()
    const token = newIdentityToken()
    await register.add({ name: 'carol', token })
    const ask = () => approvals.request({ actor: bot, tool: 'refund', args, approvers: ['carol'] })
    const asked = await ask()
    await approvals.decide(asked.id, 'approved', { token })
    expect(await asked.wait()).toMatchObject({ decision: 'approved', by: ['carol'] })
    const second = await ask()
    await register.revoke('carol')
    await expect(approvals.decide(second.id, 'approved', { token })).rejects.toMatchObject({
      code: 'ERR_IDENTITY_REVOKED',
    })
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_IDENTITY_REVOKED' })
  })
})
