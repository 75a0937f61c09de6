/** A trust file names people, and who must have signed a purge: nobody else's word counts then. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openTrust } from '../src/anchor/trust.ts'
import { recordAttestation } from '../src/decision/decisions.ts'
import { createIdentity } from '../src/keys/identities.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { office } from './decision-kit.ts'

it('is what verification holds decisions and purges against', async () => {
  const { folder, home, log, person } = await office()
  const alice = await person('alice')
  await recordAttestation(log, { owner: 'alice', statement: 'x' }, alice)
  const vkey = readFileSync(join(home, 'log.vkey'), 'utf8').trim()
  writeFileSync(join(folder, 'policy'), `log ${vkey}\nquorum none\n`)
  const path = join(folder, 'trust.json')
  const read = (file: string) => readFileSync(file, 'utf8')
  const verify = async (more: object) => {
    writeFileSync(path, JSON.stringify({ format: 'indelible/trust@1', policy: 'policy', ...more }))
    return verifyHome({ home, pins: null, trust: await openTrust({ path, read, ownOrigin: () => log.origin }) })
  }
  const known = await verify({ people: [alice.vkey] })
  expect(known.verdict).toBe('verified')
  expect(known.not_checked.join()).not.toContain('the log names them itself')
  const other = createIdentity('alice', { directory: join(folder, 'others') }).vkey
  expect((await verify({ people: [other] })).findings.map(({ code }) => code)).toEqual(['signature_invalid'])
  await expect(verify({ approvers: { keys: [alice.vkey], quorum: 2 } })).rejects.toMatchObject({
    code: 'ERR_POLICY_INVALID',
  })
  expect((await verify({ approvers: { keys: [alice.vkey], quorum: 1 } })).verdict).toBe('verified')
})
