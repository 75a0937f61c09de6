/** A lawful purge stays lawful wherever the log goes: another store, an evidence bundle, a verifier that is not ours. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { formatMacVerificationKey } from '../src/chain/verification-key.ts'
import { copyLog } from '../src/log/copy-log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { purge, surveyPurge } from '../src/retention/purge.ts'
import { openFileStore } from '../src/store/file.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { openLogHome } from './retention-kit.ts'

const SCRIPT = fileURLToPath(new URL('../../../examples/verify_log.py', import.meta.url))
const by = 'compliance'

let missing: string | undefined
beforeAll(() => {
  try {
    execFileSync('python3', ['-c', 'import cryptography'], { stdio: 'pipe' })
  } catch {
    missing = 'no Python 3 with the package cryptography'
  }
})

/** A log of which a half went, twice, with whatever can stand in what goes. */
async function purgedLog(store?: string) {
  const made = await openLogHome({ default: { ceiling_days: 10 } }, store === undefined ? {} : { store })
  const { log, retention, record, days, verify, vkey } = made
  const firstKey = vkey()
  await record(200, { subjects: ['ann'], parts: { input: { value: 'one' }, output: { value: 'two' } } })
  await log.erase({ indexes: [20, 21], reason: 'gdpr-17', by: 'dpo' })
  await log.rotateKey()
  await days(1)
  await record(200)
  await days(14)
  const { hold } = await retention.placeHold({ run: 'none' }, { by })
  await record(300, { parts: { input: { value: 'one' }, output: { value: 'two' } } })
  await verify()
  await retention.run({ by, trustClock: true })
  await log.rotateKey()
  await days(20)
  await record(400, { parts: { input: { value: 'one' }, output: { value: 'two' } } })
  await retention.holds.release(hold, by)
  await log.erase({ indexes: [1000, 1001], reason: 'gdpr-17', by: 'dpo' })
  await verify()
  await retention.run({ by, trustClock: true })
  expect((await log.store.head())!.minIndex).toBe(512)
  return { ...made, firstKey }
}

function python(folder: string, more: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('python3', [SCRIPT, folder, ...more], { encoding: 'utf8' })
  return { status, text: stdout + stderr }
}

describe('a purged log', { timeout: 30_000 }, () => {
  it('is verified where it is, in any copy of it, and in a copy of a copy', async ({ skip }) => {
    const { log, folder, verify, firstKey, macKey } = await purgedLog()
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    const policy = { origin: log.origin, keys: [firstKey], macKey }
    const files = await openFileStore(join(folder, 'files'))
    const memory = new MemoryStore()
    let from: LogStore = log.store
    for (const target of [files, memory]) {
      await copyLog(from, target, { origin: log.origin })
      expect(await verifyLog(target, policy)).toMatchObject({ verdict: 'verified', findings: [] })
      from = target
    }
    await files.close()
    if (missing) skip(missing)
    const keys = ['--vkey', formatVkey(firstKey), '--mac-key', formatMacVerificationKey(macKey)]
    const seen = python(join(folder, 'files'), keys)
    expect(seen.text).toContain('512 entries were purged')
    expect(seen.status).toBe(0)
  })

  it('catches up with a copy that was made before the purge', async () => {
    const { log, folder, retention, record, days, verify, macKey, vkey } = await openLogHome({
      default: { ceiling_days: 10 },
    })
    await record(600)
    const files = await openFileStore(join(folder, 'files'))
    await copyLog(log.store, files, { origin: log.origin })
    await days(20)
    await record(5)
    await verify()
    await retention.run({ by, trustClock: true })
    await copyLog(log.store, files, { origin: log.origin })
    expect((await files.head())!.minIndex).toBe(512)
    const report = await verifyLog(files, { origin: log.origin, keys: [vkey()], macKey })
    expect(report).toMatchObject({ verdict: 'verified', findings: [] })
    await files.close()
  })

  it('on files is verified by both verifiers', async ({ skip }) => {
    const { home, log, verify, firstKey, macKey } = await purgedLog('file:audit')
    expect(await verify()).toMatchObject({ verdict: 'verified', findings: [] })
    await log.flush()
    if (missing) skip(missing)
    const keys = ['--vkey', formatVkey(firstKey), '--mac-key', formatMacVerificationKey(macKey)]
    const seen = python(join(home, 'audit'), keys)
    expect(seen.text).toContain('512 entries were purged')
    expect(seen.status).toBe(0)
  })

  it('that was called off, and done by hand, is found by both verifiers', async ({ skip }) => {
    const { home, log, record, days, verify, vkey } = await openLogHome(
      { default: { ceiling_days: 10 } },
      { store: 'file:audit' },
    )
    await record(600)
    await days(20)
    await record(1)
    let looks = 0
    const heldMeanwhile = { firstHeld: async () => (looks++ === 0 ? null : { index: 5, hold: 'hold-1' }) }
    const options = { basis: 'test', by, vouched: { size: 601, by: ['pin'] } }
    const called = purge(log, await surveyPurge(log.store, 512), heldMeanwhile, (work) => work(), options)
    await expect(called).rejects.toMatchObject({ code: 'ERR_HELD' })
    await log.store.purge(512)
    expect((await verify()).findings.map(({ code }) => code)).toContain('purge_uncertified')
    if (missing) skip(missing)
    const seen = python(join(home, 'audit'), ['--vkey', formatVkey(vkey())])
    expect(seen.text).toContain('purge_uncertified')
    expect(seen.status).toBe(1)
  })
})
