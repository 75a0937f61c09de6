/** A log in memory: for tests, and for trying things out. It promises what a store must, except to outlive its process. */
import { fromHex, toHex } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type {
  Batch,
  Head,
  Locked,
  LogStore,
  PartAddress,
  PublishedCheckpoint,
  StoredEntry,
  StoredId,
  StoredPayload,
  StoredSubject,
  StoredTile,
} from './store.ts'

const CHUNK = 1000

export class MemoryStore implements LogStore {
  #head: Head | null = null
  readonly #entries = new Map<number, StoredEntry>()
  readonly #payloads = new Map<number, Map<string, string>>()
  readonly #subjects = new Map<string, number[]>()
  readonly #ids = new Map<string, StoredId>()
  readonly #tiles = new Map<string, StoredTile>()
  readonly #checkpoints = new Map<number, string>()
  #lock: Promise<unknown> = Promise.resolve()

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    return this.#exclusive(async () => {
      const batch = await seal({ head: copyHead(this.#head), known: this.#find(ids) })
      if (batch) this.#apply(batch)
    })
  }

  #exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const run = this.#lock.then(work)
    this.#lock = run.catch(() => {})
    return run
  }

  #apply(batch: Batch): void {
    const size = this.#head?.size ?? 0
    if (batch.from !== size) {
      throw new IndelibleError('ERR_STORE_CONFLICT', `batch starts at ${batch.from}, log has ${size} entries`)
    }
    const ids = new Set(batch.ids.map(({ id }) => id))
    if (ids.size < batch.ids.length || batch.ids.some(({ id }) => this.#ids.has(id))) {
      throw new IndelibleError('ERR_STORE_CONFLICT', 'batch repeats an id of the log')
    }
    for (const [i, entry] of batch.entries.entries()) {
      const index = batch.from + i
      const row = { index, entry, leaf: batch.leaves[i]!, mac: batch.macs[i]!, epoch: batch.epochs[i]! }
      this.#entries.set(index, copyEntry(row))
    }
    for (const { index, name, disclosure } of batch.payloads) {
      const parts = this.#payloads.get(index) ?? new Map<string, string>()
      this.#payloads.set(index, parts.set(name, disclosure))
    }
    for (const { subject, index } of batch.concerns ?? []) {
      const known = this.#subjects.get(toHex(subject)) ?? []
      this.#subjects.set(toHex(subject), [...known, index])
    }
    for (const id of batch.ids) this.#ids.set(id.id, copyId(id))
    for (const { level, index, root, hashes } of batch.tiles) {
      this.#tiles.set(`${level}/${index}`, { level, index, root: copy(root), hashes: copy(hashes) })
    }
    this.#head = { ...copyHead(batch.head), minIndex: this.#head?.minIndex ?? 0 }
    if (batch.publish) this.#checkpoints.set(batch.head.size, batch.head.checkpoint)
  }

  async head(): Promise<Head | null> {
    return copyHead(this.#head)
  }

  async *entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    for (let at = start; at < end; at += CHUNK) {
      const chunk: StoredEntry[] = []
      for (let index = at; index < Math.min(end, at + CHUNK); index++) {
        const entry = this.#entries.get(index)
        if (entry) chunk.push(copyEntry(entry))
      }
      yield chunk
    }
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    const tile = this.#tiles.get(`${level}/${index}`)
    return tile ? copy(tile.hashes) : null
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: end - start }, (_, i) => {
      const tile = this.#tiles.get(`${level}/${start + i}`)
      if (!tile) throw new RangeError(`no full tile ${start + i} at level ${level}`)
      return copy(tile.root)
    })
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: end - start }, (_, i) => {
      const index = start + i
      const entry = this.#entries.get(index)
      if (entry) return copy(entry.leaf)
      const tile = this.#tiles.get(`0/${Math.floor(index / 256)}`)
      if (!tile) throw new RangeError(`no leaf hash ${index}`)
      const at = (index % 256) * 32
      return tile.hashes.slice(at, at + 32)
    })
  }

  async findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#find(ids)
  }

  async *ids(start: number, end: number): AsyncIterable<readonly StoredId[]> {
    const within = [...this.#ids.values()].filter(({ index }) => index >= start && index < end)
    yield within.sort((a, b) => a.index - b.index).map(copyId)
  }

  #find(ids: readonly string[]): Map<string, StoredId> {
    const found = new Map<string, StoredId>()
    for (const id of ids) {
      const known = this.#ids.get(id)
      if (known) found.set(id, copyId(known))
    }
    return found
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    const sizes = [...this.#checkpoints.keys()].filter((size) => size > above && size <= upTo).sort((a, b) => a - b)
    yield sizes.map((size) => ({ size, note: this.#checkpoints.get(size)! }))
  }

  publish({ size, note }: PublishedCheckpoint): Promise<void> {
    return this.#exclusive(() => {
      const kept = this.#checkpoints.get(size)
      if (kept !== undefined && kept !== note) {
        throw new IndelibleError('ERR_STORE_CONFLICT', `another checkpoint of size ${size} is published already`)
      }
      this.#checkpoints.set(size, note)
    })
  }

  purge(below: number): Promise<void> {
    return this.#exclusive(() => {
      const { size, minIndex } = this.#head ?? { size: 0, minIndex: 0 }
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      if (this.#head) this.#head = { ...this.#head, minIndex: below }
      for (let index = minIndex; index < below; index++) {
        this.#entries.delete(index)
        this.#payloads.delete(index)
      }
      for (const subject of this.#subjects.keys()) this.#forget(subject, below)
    })
  }

  async payload(index: number, name: string): Promise<string | null> {
    return this.#payloads.get(index)?.get(name) ?? null
  }

  async *payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    for (let at = start; at < end; at += CHUNK) {
      const chunk: StoredPayload[] = []
      for (let index = at; index < Math.min(end, at + CHUNK); index++) {
        const parts = this.#payloads.get(index) ?? new Map<string, string>()
        for (const name of [...parts.keys()].sort()) chunk.push({ index, name, disclosure: parts.get(name)! })
      }
      yield chunk
    }
  }

  erase(parts: readonly PartAddress[]): Promise<number> {
    return this.#exclusive(() => {
      let erased = 0
      for (const { index, id, name } of parts) {
        if (this.#payloads.get(index)?.delete(name)) erased++
        const known = this.#ids.get(id)
        if (known) this.#ids.set(id, { ...known, digest: null })
      }
      return erased
    })
  }

  async *subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    yield [...(this.#subjects.get(toHex(subject)) ?? [])].sort((a, b) => a - b)
  }

  async *concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]> {
    const rows = [...this.#subjects].flatMap(([subject, indexes]) =>
      indexes.filter((index) => index >= start && index < end).map((index) => ({ subject: fromHex(subject), index })),
    )
    yield rows.sort((a, b) => a.index - b.index)
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    return this.#exclusive(() => this.#forget(toHex(subject), below))
  }

  #forget(subject: string, below: number): void {
    const left = (this.#subjects.get(subject) ?? []).filter((index) => index >= below)
    if (left.length > 0) this.#subjects.set(subject, left)
    else this.#subjects.delete(subject)
  }

  /** Nothing here is on a disk, as far as this program has a say. */
  async scrub(): Promise<readonly string[]> {
    return []
  }

  async close(): Promise<void> {}
}

// What is stored belongs to the store alone: callers may reuse their arrays, and wipe what they read.
const copy = (bytes: Uint8Array) => new Uint8Array(bytes)

function copyHead<T extends Head | null>(head: T): T {
  return head && { ...head, frontier: head.frontier.map(copy), mac: copy(head.mac) }
}

function copyEntry(row: StoredEntry): StoredEntry {
  return { ...row, entry: copy(row.entry), leaf: copy(row.leaf), mac: copy(row.mac) }
}

function copyId(row: StoredId): StoredId {
  return { ...row, digest: row.digest && copy(row.digest) }
}
