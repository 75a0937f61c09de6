/** Decisions that somebody makes up, repeats, or keeps from being made. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { newIdentityToken } from '../src/keys/identities.ts'
import { office } from './decision-kit.ts'

const bot = { type: 'agent', id: 'bot' } as const
const args = { amount: 120 }

describe('who may record anything', () => {
  it('cannot say how a person was recognised, nor make a log look forged', async () => {
    const { log, person, register, verify } = await office()
    await person('alice')
    await register.add({ name: 'carol', token: newIdentityToken() })
    const decided = {
      type: 'approval.decided',
      outcome: 'approved',
      subject_digest: `sha256:${'A'.repeat(43)}`,
    } as const
    for (const [id, decision] of [
      ['alice', { method: 'key' }],
      ['alice', { signature: '— alice AAAA' }],
      ['mallory', { method: 'key', signature: '— mallory AAAA' }],
      ['carol', { method: 'token' }],
    ] as const) {
      const event = { ...decided, actor: { type: 'user', id }, decision } as never
      await expect((async () => log.record(event))()).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
      await expect((async () => log.recordMany([event]))()).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
      expect(() => log.draft(event)).toThrow(expect.objectContaining({ code: 'ERR_EVENT_INVALID' }))
    }
    expect(await verify()).toMatchObject({ findings: [] })
  })
})

describe('an approval', () => {
  it('is not used a second time by whoever puts its files back', async () => {
    const { approvals, person, home } = await office()
    const alice = await person('alice')
    const asked = await approvals.request({ actor: bot, tool: 'refund', args, approvers: ['alice'] })
    await approvals.decide(asked.id, 'approved', alice)
    const folder = join(home, 'approvals')
    const files = readdirSync(folder).map((name) => [join(folder, name), readFileSync(join(folder, name))] as const)
    let runs = 0
    await asked.execute(args, () => runs++)
    for (const [path, bytes] of files) writeFileSync(path, bytes)
    const again = await approvals.resume(asked.id)
    await expect(again.execute(args, () => runs++)).rejects.toMatchObject({ code: 'ERR_APPROVAL_CONCLUDED' })
    await expect(asked.execute(args, () => runs++)).rejects.toMatchObject({ code: 'ERR_APPROVAL_CONCLUDED' })
    expect(runs).toBe(1)
  })

  it('goes on although one who voted was registered anew', async () => {
    const { approvals, person, register } = await office()
    const alice = await person('alice')
    const bob = await person('bob')
    const asked = await approvals.request({ actor: bot, tool: 'refund', args, approvers: ['alice', 'bob'], quorum: 2 })
    await approvals.decide(asked.id, 'approved', alice)
    await register.revoke('alice')
    await register.add({ name: 'alice', token: newIdentityToken() })
    await approvals.decide(asked.id, 'approved', bob)
    expect(await asked.wait()).toMatchObject({ decision: 'approved', by: ['alice', 'bob'] })
  })

  it('needs as many people as it says, not as many names', async () => {
    const { person, register } = await office()
    const { vkey } = await person('alice')
    const token = newIdentityToken()
    await register.add({ name: 'carol', token })
    await expect(register.add({ name: 'caroline', token })).rejects.toMatchObject({ code: 'ERR_IDENTITY_INVALID' })
    const { formatVkey, parseVkey } = await import('../src/note/signed-note.ts')
    const alias = formatVkey({ ...parseVkey(vkey), name: 'alice2' })
    await expect(register.add({ vkey: alias })).rejects.toMatchObject({ code: 'ERR_IDENTITY_INVALID' })
  })
})
