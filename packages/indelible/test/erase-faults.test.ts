/** An erasure that is interrupted: at every call of the store, or by a kill at any moment. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import type { ErasureSite } from '../src/log/erasure.ts'
import { FileJournal } from '../src/log/erasure-journal.ts'
import { openLog, writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { PrivacyPolicy } from '../src/privacy/policy.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import { type FaultKind, faultyStore } from '../src/testing/faulty-store.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { configure, homeWithPersons, isHeld, secret, visit } from './erase-kit.ts'
import { expectVerified, temporaryFolder } from './faults-kit.ts'

const why = { reason: 'gdpr-17', by: 'dpo' } as const

/** A log in memory of which one person asks to be forgotten, with a journal on disk. */
async function made() {
  const inner = new MemoryStore()
  const keys = new MemoryKeys('erase.example/log', { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
  await writeFirstEntry(inner, keys, formatVkey(keys.signer.key), 'default')
  const directory = temporaryFolder()
  const forgotten: string[] = []
  const open = (store: LogStore) => {
    const site: ErasureSite = {
      journal: new FileJournal(directory),
      places: [{ clean: async () => [] }],
      approvers: 0,
      guards: [],
      forget: (subject) => void forgotten.push(subject),
    }
    return Log.open({ store, keys, site, privacy: new PrivacyPolicy({ mode: 'full' }, keys.origin, keys.fingerprint) })
  }
  const log = await open(inner)
  await log.recordMany(visit('ann').map((event) => ({ ...event, subjects: ['ann'] })))
  await log.recordMany(visit('bob').map((event) => ({ ...event, subjects: ['bob'] })))
  await log.close()
  const left = async () => {
    const found: string[] = []
    for await (const rows of inner.payloads(0, 100)) for (const { index, name } of rows) found.push(`${index}/${name}`)
    return found
  }
  const verify = async () => {
    const report = await verifyLog(inner, { origin: keys.origin, keys: keys.trusted })
    expect(report.findings).toEqual([])
  }
  return { inner, open, directory, left, verify, forgotten }
}

const all = ['1/prompt', '2/input', '3/output', '5/prompt', '6/input', '7/output']
const bobs = all.slice(3)

describe('an erasure of which a call of the store fails', () => {
  it('is done in full, or not at all, once it is resumed', async () => {
    const plan = await made()
    const counted = faultyStore(plan.inner)
    const log = await plan.open(counted)
    const before = counted.calls.length
    await log.erase({ subject: 'ann', ...why })
    const calls = counted.calls.slice(before)
    await log.close()
    expect(await plan.left()).toEqual(bobs)
    expect(calls).toContain('erase')
    expect(calls).toContain('forgetSubject')
    expect(calls).toContain('scrub')

    const outcomes = new Set<string>()
    for (const [i, method] of calls.entries()) {
      for (const kind of ['refused', 'kept'] as FaultKind[]) {
        const one = await made()
        const store = faultyStore(one.inner)
        const failing = await one.open(store)
        const call = calls.slice(0, i + 1).filter((name) => name === method).length
        store.fail({ method, kind, call })
        const outcome = await failing.erase({ subject: 'ann', ...why }).catch((error: { code: string }) => error.code)
        await failing.close().catch(() => {})
        // Whatever is gone is accounted for at any time, also before it goes on.
        await one.verify()
        const again = await one.open(one.inner)
        const resumed = await again.resumeErasures()
        expect(resumed.every(({ state }) => state === 'done')).toBe(true)
        expect(readdirSync(one.directory)).toEqual([])
        const isListed = typeof outcome !== 'string' || resumed.length > 0
        outcomes.add(typeof outcome === 'string' ? `${outcome} ${isListed}` : outcome.state)
        expect(await one.left()).toEqual(isListed ? bobs : all)
        if (isListed) expect(one.forgotten).toContain('ann')
        await again.close()
        await one.verify()
      }
    }
    // Some fail before anything is promised, some after.
    expect(outcomes).toContain('pending')
    expect(outcomes).toContain('done')
    expect(outcomes).toContain('ERR_STORE_FAILED false')
  })

  it('never takes the word of a statement that the log does not have', async () => {
    const one = await made()
    const store = faultyStore(one.inner, [{ method: 'append', kind: 'lost' }])
    const log = await one.open(store)
    await expect(log.erase({ subject: 'ann', ...why })).rejects.toMatchObject({ code: 'ERR_STORE_FAILED' })
    expect(await one.left()).toEqual(all)
    expect(readdirSync(one.directory)).toEqual([])
    await log.close().catch(() => {})
  })
})

describe('the journal of erasures', () => {
  it('is not guessed from when it is damaged, and keeps nobody from recording', async () => {
    const home = await homeWithPersons()
    mkdirSync(join(home.home, 'erasures'))
    writeFileSync(join(home.home, 'erasures', 'x.json'), '{"erasure":')
    const log = await openLog({ home: home.home })
    await log.recordMany(visit('ann'))
    await expect(log.resumeErasures()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await log.close()
  })
})

describe('an erasure whose process is killed', () => {
  it('is done once the log is opened again, at whatever moment it was', async () => {
    const states = new Set<boolean>()
    for (const waitMs of [0, 5, 15, 40, 80]) {
      const home = await homeWithPersons()
      const log = await openLog({ home: home.home })
      for (let i = 0; i < 40; i++) await log.recordMany(visit('ann', `run-${i}`))
      await log.close()
      await killWhileErasing(home.home, waitMs)
      await expectVerified(home)
      const again = await openLog({ home: home.home })
      await again.close()
      expect(readdirSync(join(home.home, 'erasures')).filter((name) => name.endsWith('.json'))).toEqual([])
      const isGone = !isHeld(home.home, secret('ann', 'card'))
      const check = await openLog({ home: home.home })
      const left: number[] = []
      for await (const index of check.subjectEntries('ann')) left.push(index)
      // Either all of it or nothing.
      expect(left.length).toBe(isGone ? 0 : 80)
      states.add(isGone)
      await check.close()
      await expectVerified(home)
    }
    expect(states.size).toBeGreaterThan(0)
  })
})

/** Starts an erasure in another process, and kills that `waitMs` after the journal has it. */
async function killWhileErasing(home: string, waitMs: number): Promise<void> {
  const source = JSON.stringify(new URL('../dist/index.js', import.meta.url).href)
  const script = `const { openLog } = await import(${source})
    const log = await openLog({ home: ${JSON.stringify(home)} })
    console.log('ready')
    await log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const journal = join(home, 'erasures')
  mkdirSync(journal, { recursive: true })
  while (!readdirSync(journal).some((name) => name.endsWith('.json')) && child.exitCode === null) {
    await sleep(1)
    if (waitMs > 0 && !isHeld(home, secret('ann', 'card'))) break
  }
  await sleep(waitMs)
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('reading', () => {
  it('is an entry for each call that shows values, if the configuration asks for it', async () => {
    const home = await homeWithPersons()
    configure(home.home, { mode: 'full' }, { audit: { reads: true } })
    const log = await openLog({ home: home.home })
    const receipts = await log.recordMany(visit('ann'))
    const { index } = receipts[2]!
    const { record } = await log.read(index + 1)
    expect(record.type).toBe('run.end')
    const before = Number((await log.checkpoint())!.split('\n')[1])
    await log.read(index)
    expect(Number((await log.checkpoint())!.split('\n')[1])).toBe(before + 1)
    const { record: read } = await log.read(before)
    expect(read).toMatchObject({
      type: 'audit.read',
      audit: { command: 'log.read', entries: 1, first: index, last: index, parts: ['output'] },
    })
    expect(JSON.stringify(read)).not.toContain('ann')
    await log.close()
  })

  it('is none by default', async () => {
    const home = await homeWithPersons()
    const log = await openLog({ home: home.home })
    const [, , { index }] = (await log.recordMany(visit('ann'))) as [unknown, unknown, { index: number }]
    const before = await log.checkpoint()
    await log.read(index)
    expect(await log.checkpoint()).toBe(before)
    await log.close()
  })
})
