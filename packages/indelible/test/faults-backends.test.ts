/** Each call of a real back-end fails once: not done, or done and reported as failed. Nothing acknowledged is lost or doubled. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { isIndelibleError } from '../src/errors.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../src/privacy/policy.ts'
import { newId } from '../src/record/id.ts'
import { openFileStore } from '../src/store/file.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import type { LogStore } from '../src/store/store.ts'
import { type Fault, faultyStore, type StoreMethod } from '../src/testing/faulty-store.ts'
import { verifyLog } from '../src/verify/verify-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'indelible-faults-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const origin = 'faults.example/backends'

let made = 0
const BACKENDS: Readonly<Record<string, () => () => Promise<LogStore>>> = {
  sqlite: () => {
    const path = join(folder, `${made++}.db`)
    return async () => openSqliteStore(path)
  },
  file: () => {
    const path = join(folder, `${made++}`)
    return () => openFileStore(path)
  },
}

/** Records six events over two handles, insisting on each; returns what was called. */
async function scenario(open: () => Promise<LogStore>, plan: readonly Fault[]): Promise<readonly StoreMethod[]> {
  const keys = new MemoryKeys(origin, { clock: { startMs: Math.floor(Date.now() / 1000) * 1000, seconds: 3600 } })
  await writeFirstEntry(await open(), keys, formatVkey(keys.signer.key), 'default')
  const privacy = new PrivacyPolicy(DEFAULT_PRIVACY, origin, keys.fingerprint)
  const store = faultyStore(await open(), plan)
  const receipts = new Map<string, number>()
  for (let round = 0; round < 2; round++) {
    const log = await insist(() => Log.open({ store, keys, privacy }))
    for (let n = 0; n < 3; n++) {
      const event = { id: newId(Date.now()), type: 'tool.end', actor: { type: 'agent', id: 'a' } } as const
      const { index } = await insist(() => log.record(event))
      receipts.set(event.id, index)
    }
    await log.flush()
  }
  const again = await open()
  const found = await again.findIds([...receipts.keys()])
  for (const [id, index] of receipts) expect(found.get(id)?.index).toBe(index)
  expect(new Set(receipts.values()).size).toBe(6)
  expect((await again.head())?.size).toBe(7)
  const macKey = { origin, clock: keys.clock, key: keys.firstKey }
  const report = await verifyLog(again, { origin, keys: [keys.signer.key], macKey })
  expect(report).toMatchObject({ verdict: 'verified', findings: [] })
  await again.close()
  await store.close().catch(() => store.close())
  return store.calls
}

/** A refusal must be one that a program can act on. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isIndelibleError(error) || attempt > 3) throw error
    }
  }
}

describe.each(Object.entries(BACKENDS))('a log in %s', (_, backend) => {
  it('keeps each event once, whichever call fails', async () => {
    const counts = new Map<StoreMethod, number>()
    for (const method of await scenario(backend(), [])) counts.set(method, (counts.get(method) ?? 0) + 1)
    for (const [method, count] of counts) {
      for (let call = 1; call <= count; call++) {
        for (const kind of ['lost', 'kept'] as const) await scenario(backend(), [{ method, kind, call }])
      }
    }
  }, 60_000)
})
