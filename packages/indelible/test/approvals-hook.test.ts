import { describe, expect, it } from 'vitest'
import type { PolicyHook } from '../src/capture/gate.ts'
import { approvalsHook } from '../src/decision/approvals-hook.ts'
import { office } from './decision-kit.ts'

const policy: PolicyHook = () => ({ decision: 'review', id: 'refunds', reason: 'over 100' })
const AGENT = { agent: 'refund-agent', user: 'customer-7', session: 's-1', policy }
const ARGS = { order: 1042, amount: 120 }

/** Waits until a request can be seen by people. */
async function pending(approvals: Awaited<ReturnType<typeof office>>['approvals']) {
  return expect
    .poll(async () => (await approvals.list())[0], { timeout: 5000 })
    .toBeDefined()
    .then(async () => {
      const [first] = await approvals.list()
      return first!
    })
}

async function typesOf({ log, query }: Awaited<ReturnType<typeof office>>) {
  await log.flush()
  const { hits } = await query.page({}, { limit: 100 })
  return hits
    .toSorted((a, b) => a.index - b.index)
    .map(({ record }) => `${record.type} ${record.actor.id} ${record.outcome}`)
    .filter((line) => !/^(audit|identity)\./.test(line))
}

describe('approvals of a log as those of a run', () => {
  it('has the people of the log asked, and the tool run once enough have signed', async () => {
    const place = await office()
    const { log, approvals, person, verify } = place
    const [alice, bob] = [await person('alice'), await person('bob')]
    const approve = approvalsHook(approvals, { approvers: ['alice', 'bob'], quorum: 2 })
    const ran: unknown[] = []
    const done = log.run({ ...AGENT, approve }, (run) => run.tool('refund', ARGS, (args) => ran.push(args)))
    const { id, request } = await pending(approvals)
    expect(request).toMatchObject({ tool: 'refund', args: ARGS, shown: { args: ARGS, reason: 'over 100' } })
    await approvals.decide(id, 'approved', { signer: alice.signer })
    expect(ran).toEqual([])
    await approvals.decide(id, 'approved', { signer: bob.signer })
    await done
    expect(ran).toEqual([ARGS])
    const types = await typesOf(place)
    expect(types).toEqual([
      'run.start refund-agent pending',
      'policy.evaluated refund-agent pending',
      'approval.requested refund-agent pending',
      'approval.decided alice approved',
      'approval.decided bob approved',
      expect.stringMatching(/^approval\.used/),
      'tool.start refund-agent pending',
      'tool.end refund-agent success',
      'run.end refund-agent success',
    ])
    await log.close()
    expect((await verify()).verdict).toBe('verified')
  })

  it('does not run what one of them rejects', async () => {
    const place = await office()
    const { log, approvals, person } = place
    const alice = await person('alice')
    const approve = approvalsHook(approvals, { approvers: () => ['alice'] })
    const run = log.run({ ...AGENT, approve }, (one) => one.tool('refund', ARGS, () => expect.unreachable()))
    const refused = expect(run).rejects.toMatchObject({ code: 'ERR_ACTION_DENIED' })
    const { id } = await pending(approvals)
    await approvals.decide(id, 'rejected', { signer: alice.signer })
    await refused
    expect((await typesOf(place)).filter((line) => line.startsWith('approval'))).toEqual([
      'approval.requested refund-agent pending',
      'approval.decided alice rejected',
    ])
  })

  it('does not run what changed while people looked at it', async () => {
    const { log, approvals, person } = await office()
    const alice = await person('alice')
    const approve = approvalsHook(approvals, { approvers: ['alice'] })
    const args = { ...ARGS }
    const run = log.run({ ...AGENT, approve }, (one) => one.tool('refund', args, () => expect.unreachable()))
    const refused = expect(run).rejects.toMatchObject({ cause: { code: 'ERR_APPROVAL_CHANGED' } })
    const { id } = await pending(approvals)
    args.amount = 9000
    await approvals.decide(id, 'approved', { signer: alice.signer })
    await refused
  })

  it('answers with no where nobody could approve it, or nobody did in time', async () => {
    const place = await office()
    const { log, approvals, person, wait } = place
    await person('alice')
    const self = approvalsHook(approvals, { approvers: ['customer-7'] })
    const own = log.run({ ...AGENT, approve: self }, (one) => one.tool('refund', ARGS, () => expect.unreachable()))
    await expect(own).rejects.toMatchObject({ cause: { code: 'ERR_APPROVAL_REFUSED' } })
    const approve = approvalsHook(approvals, { approvers: ['alice'], expiresMs: 60_000 })
    const late = log.run({ ...AGENT, approve }, (one) => one.tool('refund', ARGS, () => expect.unreachable()))
    const refused = expect(late).rejects.toMatchObject({ code: 'ERR_ACTION_DENIED' })
    await pending(approvals)
    wait(120_000)
    await refused
    expect(await typesOf(place)).toContainEqual(expect.stringMatching(/^approval\.expired indelible/))
  })
})
