/** What the tests of capture share: logs in memory and on disk, and what they hold. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { macKey } from '#crypto'
import type { RecorderOptions } from '../src/capture/recorder.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { createLog, openLog } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { PrivacyPolicy, type PrivacyRules } from '../src/privacy/policy.ts'
import { parseDisclosure } from '../src/record/disclosure.ts'
import { parseEntry, type ReadRecord } from '../src/record/entry.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import { type FaultyStore, faultyStore } from '../src/testing/faulty-store.ts'

export const ORIGIN = 'capture.example/log'

export interface MemoryLog {
  readonly log: Log
  readonly store: FaultyStore
  /** Entries of agents: without those of the log about itself. */
  records(): Promise<ReadRecord[]>
  gaps(): Promise<Record<string, unknown>[]>
}

export async function memoryLog(
  capture: RecorderOptions = {},
  rules: PrivacyRules = { mode: 'full' },
): Promise<MemoryLog> {
  const store = faultyStore(new MemoryStore())
  const keys = new MemoryKeys(ORIGIN, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
  const privacy = new PrivacyPolicy(rules, ORIGIN, macKey(new Uint8Array(32)))
  const log = await Log.open({ store, keys, privacy, capture })
  onTestFinished(() => log.close())
  return { log, store, ...readersOf(store) }
}

export function readersOf(store: LogStore): Pick<MemoryLog, 'records' | 'gaps'> {
  const all = async () => {
    const records: ReadRecord[] = []
    const size = (await store.head())?.size ?? 0
    for await (const rows of store.entries(0, size)) records.push(...rows.map(({ entry }) => parseEntry(entry)))
    return records
  }
  return {
    records: async () => (await all()).filter(({ type }) => !type.startsWith('audit.')),
    gaps: async () => (await all()).filter(({ type }) => type === 'audit.gap').map(({ audit }) => audit!),
  }
}

/** Value of a part as the log discloses it. */
export async function partOf(log: Log, id: string, name: string): Promise<unknown> {
  const { disclosures } = await log.read(id)
  return parseDisclosure(disclosures.get(name)!).value
}

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-capture-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export async function homeLog(): Promise<{ home: string; log: Log }> {
  const home = join(folder(), 'home')
  await createLog({ home, pins: null })
  return { home, log: await openLog({ home }) }
}

/** `type tool outcome` of each, in order. */
export function lines(records: readonly ReadRecord[]): string[] {
  return records.map(({ type, tool, outcome }) => [type, tool?.name, outcome].filter(Boolean).join(' '))
}
