import { createHash, randomBytes as fresh } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { generateSkey } from '../src/keys/signer.ts'
import type { LogStore } from '../src/store/store.ts'
import { noServer, sharedServer } from './postgres/shared.ts'

const airline = fileURLToPath(new URL('../../../../shared/data/airline-trajectories.json', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'indelible-root-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Ids and salts are drawn from a stream that is the same each time: SHA-256 of a counter.
const random = vi.hoisted(() => ({ drawn: 0 }))
vi.mock('#crypto', async (original) => ({
  ...(await original<typeof import('#crypto')>()),
  randomBytes: (length: number) => {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; at += 32) {
      bytes.set(
        createHash('sha256')
          .update(`${random.drawn++}`)
          .digest()
          .subarray(0, length - at),
        at,
      )
    }
    return bytes
  },
}))

const origin = 'example.com/airline'
const skey = generateSkey(origin, 'default')
const NOW = Date.UTC(2026, 10, 21, 9)

/** Records the runs into an empty log in `open()`, with fixed ids, times, salts and keys. Returns its root. */
async function rootOf(open: () => Promise<LogStore>): Promise<string> {
  // Pools of random bytes are of a module: each log begins with fresh ones.
  vi.resetModules()
  random.drawn = 0
  vi.setSystemTime(NOW)
  const { macKey } = await import('#crypto')
  const { MemoryKeys } = await import('../src/keys/memory-keys.ts')
  const { writeFirstEntry } = await import('../src/log/home.ts')
  const { Log } = await import('../src/log/log.ts')
  const { formatVkey } = await import('../src/note/signed-note.ts')
  const { PrivacyPolicy } = await import('../src/privacy/policy.ts')
  const { importFile } = await import('../src/import/import.ts')
  const { parseCheckpoint } = await import('../src/note/checkpoint.ts')
  const { parseNote } = await import('../src/note/signed-note.ts')
  const { toHex } = await import('../src/bytes.ts')
  const keys = new MemoryKeys(origin, {
    clock: { startMs: NOW - 1000, seconds: 3600 },
    firstKey: new Uint8Array(32).fill(7),
    skey,
  })
  await writeFirstEntry(await open(), keys, formatVkey(keys.signer.key), 'default')
  const store = await open()
  const privacy = new PrivacyPolicy({ mode: 'full' }, origin, macKey(new Uint8Array(32)))
  const log = await Log.open({ store, keys, privacy, options: { clock: () => NOW } })
  await importFile(log, airline, { from: 'chat' })
  const { size, root } = parseCheckpoint(parseNote((await log.checkpoint())!).text)
  await log.close()
  return `${size} ${toHex(root)}`
}

const stores: Record<string, () => Promise<() => Promise<LogStore>>> = {
  memory: async () => {
    const { MemoryStore } = await import('../src/store/memory.ts')
    const store = new MemoryStore()
    return async () => store
  },
  sqlite: async () => {
    const { openSqliteStore } = await import('../src/store/sqlite.ts')
    const path = join(folder, 'log.db')
    return async () => openSqliteStore(path)
  },
  file: async () => {
    const { openFileStore } = await import('../src/store/file.ts')
    return async () => openFileStore(join(folder, 'files'))
  },
  postgres: async () => {
    const { openPostgresStore } = await import('../src/store/postgres.ts')
    const url = await sharedServer()
    const name = `example.com/${fresh(6).toString('hex')}`
    return () => openPostgresStore(url, { origin: name, create: true })
  },
}

describe('the airline agent’s 150 runs, recorded with the same ids, times, salts and keys', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] })
    return () => vi.useRealTimers()
  })

  it('have one root, whatever the store', async ({ skip }) => {
    skip(!existsSync(airline), `${airline} is not here`)
    const roots: Record<string, string> = {}
    for (const [name, make] of Object.entries(stores)) {
      if (name === 'postgres' && noServer) continue
      roots[name] = await rootOf(await make())
    }
    expect(roots.memory).toMatch(/^5079 [0-9a-f]{64}$/)
    expect(new Set(Object.values(roots)).size, JSON.stringify(roots)).toBe(1)
  }, 60_000)
})
