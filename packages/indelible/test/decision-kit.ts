/** A log whose people decide. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { FolderBox } from '../src/decision/approval-box.ts'
import { Approvals } from '../src/decision/approvals.ts'
import { IdentityRegister } from '../src/decision/register.ts'
import { createIdentity, loadIdentity } from '../src/keys/identities.ts'
import { createLog, openLog } from '../src/log/home.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { openQuery } from '../src/query/home-query.ts'

/** @param mode of every part */
export async function office(mode: 'full' | 'fingerprint' | 'none' = 'full') {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-decisions-'))
  const home = join(folder, 'home')
  await createLog({ home, origin: 'example.com/decisions', pins: null })
  const log = await openLog({ home, capture: mode })
  const query = await openQuery({ home })
  const register = new IdentityRegister(log, query)
  const person = async (name: string) => {
    const { vkey } = createIdentity(name, { directory: join(folder, 'people') })
    await register.add({ vkey })
    return { name, vkey, signer: loadIdentity(name, join(folder, 'people')) }
  }
  let nowMs = Date.now()
  const approvals = new Approvals(log, query, new FolderBox(home), { clock: () => nowMs })
  onTestFinished(async () => {
    await query.close()
    await log.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const wait = (ms: number) => {
    nowMs += ms
  }
  const verify = (identities?: string[]) =>
    verifyHome({ home, pins: null, ...(identities && { identities: identities.map(parseVkey) }) })
  return { folder, home, log, query, register, person, approvals, wait, verify }
}
