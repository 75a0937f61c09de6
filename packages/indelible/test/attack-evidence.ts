/** A log in plain sight: evidence whose every value can be changed in place, and a quick way to make one. */
import { vi } from 'vitest'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey, type VerifierKey } from '../src/note/signed-note.ts'
import { PrivacyPolicy } from '../src/privacy/policy.ts'
import { parseEntry } from '../src/record/entry.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence, TrustPolicy } from '../src/verify/evidence.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Level, index, root and hashes. */
interface ShownTile {
  readonly level: number
  readonly index: number
  root: Uint8Array
  hashes: Uint8Array
}

export class ShownLog implements LogEvidence {
  shownHead: Mutable<EvidenceHead> | null = null
  rows: Mutable<EvidenceEntry>[] = []
  parts: { index: number; name: string; disclosure: string }[] = []
  tiles: ShownTile[] = []
  published: { size: number; note: string }[] = []
  ids = new Map<string, { index: number }>()

  static async of(store: LogStore): Promise<ShownLog> {
    const shown = new ShownLog()
    const head = await store.head()
    if (!head) return shown
    shown.shownHead = { ...head, frontier: head.frontier.map((hash) => new Uint8Array(hash)) }
    for await (const rows of store.entries(0, head.size)) {
      for (const { entry, leaf, mac, ...row } of rows) {
        shown.rows.push({ ...row, entry: entry.slice(), leaf: leaf.slice(), mac: mac.slice() })
      }
    }
    for await (const parts of store.payloads(0, head.size)) shown.parts.push(...parts.map((part) => ({ ...part })))
    for await (const chunk of store.checkpoints(0, head.size)) shown.published.push(...chunk.map((one) => ({ ...one })))
    for (let index = 0; index < Math.floor(head.size / 256); index++) {
      const [root] = await store.tileRoots(0, index, index + 1)
      const hashes = (await store.tile(0, index))!
      shown.tiles.push({ level: 0, index, root: root!.slice(), hashes: hashes.slice() })
    }
    for (const { index, entry } of shown.rows) shown.ids.set(parseEntry(entry).id, { index })
    return shown
  }

  clone(): ShownLog {
    return Object.assign(new ShownLog(), structuredClone({ ...this }))
  }

  async head(): Promise<EvidenceHead | null> {
    return this.shownHead
  }

  async *entries(start: number, end: number): AsyncIterable<readonly EvidenceEntry[]> {
    yield this.rows.filter(({ index }) => index >= start && index < end)
  }

  async *payloads(start: number, end: number) {
    yield this.parts.filter(({ index }) => index >= start && index < end)
  }

  async *checkpoints(above: number, upTo: number) {
    yield this.published.filter(({ size }) => size > above && size <= upTo)
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.tiles.find((tile) => tile.level === level && tile.index === index)?.hashes ?? null
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    const roots = this.tiles.filter((tile) => tile.level === level && tile.index >= start && tile.index < end)
    if (roots.length !== end - start) throw new RangeError('a tile is missing')
    return roots.map(({ root }) => root)
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: end - start }, (_, i) => {
      const tile = this.tiles.find(({ level, index }) => level === 0 && index === Math.floor((start + i) / 256))
      const at = ((start + i) % 256) * 32
      const leaf = this.rows.find(({ index }) => index === start + i)?.leaf ?? tile?.hashes.slice(at, at + 32)
      if (!leaf) throw new RangeError('a leaf is missing')
      return leaf
    })
  }

  async findIds(ids: readonly string[]): Promise<ReadonlyMap<string, { index: number }>> {
    return new Map(ids.flatMap((id) => (this.ids.has(id) ? [[id, this.ids.get(id)!] as const] : [])))
  }
}

export const QUICK_START_MS = Date.UTC(2026, 5, 1)

/** A log in memory, with a clock that is set by hand and epochs of a minute. */
export class QuickLog {
  readonly origin: string
  readonly keys: MemoryKeys
  readonly firstKey: VerifierKey
  readonly store: MemoryStore
  readonly log: Log
  nowMs: number

  private constructor(keys: MemoryKeys, store: MemoryStore, log: Log) {
    this.origin = keys.origin
    this.keys = keys
    this.firstKey = keys.trusted[0]!
    this.store = store
    this.log = log
    this.nowMs = keys.clock.startMs
  }

  static async create(
    origin = 'quick.example/log',
    privacy: 'none' | 'fingerprint' | 'full' = 'full',
  ): Promise<QuickLog> {
    const keys = new MemoryKeys(origin, { clock: { startMs: QUICK_START_MS, seconds: 60 } })
    const store = new MemoryStore()
    vi.useFakeTimers({ toFake: ['Date'], now: QUICK_START_MS })
    await writeFirstEntry(store, keys, formatVkey(keys.signer.key), 'default').finally(() => vi.useRealTimers())
    let quick: QuickLog | null = null
    const policy = new PrivacyPolicy({ mode: privacy }, origin, keys.fingerprint)
    const clock = () => quick?.nowMs ?? QUICK_START_MS
    const log = await Log.open({ store, keys, privacy: policy, options: { clock } })
    quick = new QuickLog(keys, store, log)
    return quick
  }

  async record(count: number, more: Partial<AgentEvent> = {}): Promise<void> {
    const event = { type: 'x.step', actor: { type: 'agent', id: 'a' }, ...more } as AgentEvent
    await this.log.recordMany(Array.from({ length: count }, () => event))
  }

  advance(seconds: number): void {
    this.nowMs += seconds * 1000
  }

  get policy(): TrustPolicy {
    return { origin: this.origin, keys: [this.firstKey] }
  }

  get macKey() {
    return { origin: this.origin, clock: this.keys.clock, key: this.keys.firstKey }
  }
}
