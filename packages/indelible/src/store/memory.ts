/** A log in memory: for tests, and for trying things out. It promises what a store must, except to outlive its process. */
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
  StoredTile,
} from './store.ts'

const CHUNK = 1000

export class MemoryStore implements LogStore {
  #head: Head | null = null
  readonly #entries = new Map<number, StoredEntry>()
  readonly #payloads = new Map<number, Map<string, string>>()
  readonly #ids = new Map<string, StoredId>()
  readonly #tiles = new Map<string, StoredTile>()
  readonly #checkpoints = new Map<number, string>()
  #lock: Promise<unknown> = Promise.resolve()

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    const work = this.#lock.then(async () => {
      const batch = await seal({ head: this.#head, known: this.#find(ids) })
      if (batch) this.#apply(batch)
    })
    this.#lock = work.catch(() => {})
    return work
  }

  #apply(batch: Batch): void {
    const size = this.#head?.size ?? 0
    if (batch.from !== size) {
      throw new IndelibleError('ERR_STORE_CONFLICT', `batch starts at ${batch.from}, log has ${size} entries`)
    }
    for (const { id } of batch.ids) {
      if (this.#ids.has(id)) throw new IndelibleError('ERR_STORE_CONFLICT', 'batch repeats an id of the log')
    }
    for (const [i, entry] of batch.entries.entries()) {
      const index = batch.from + i
      this.#entries.set(index, {
        index,
        entry: new Uint8Array(entry),
        leaf: new Uint8Array(batch.leaves[i]!),
        mac: new Uint8Array(batch.macs[i]!),
        epoch: batch.epochs[i]!,
      })
    }
    for (const { index, name, disclosure } of batch.payloads) {
      const parts = this.#payloads.get(index) ?? new Map<string, string>()
      this.#payloads.set(index, parts.set(name, disclosure))
    }
    for (const id of batch.ids) this.#ids.set(id.id, id)
    for (const tile of batch.tiles) this.#tiles.set(`${tile.level}/${tile.index}`, tile)
    this.#head = batch.head
    if (batch.publish) this.#checkpoints.set(batch.head.size, batch.head.checkpoint)
  }

  async head(): Promise<Head | null> {
    return this.#head
  }

  async *entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    for (let at = start; at < end; at += CHUNK) {
      const chunk: StoredEntry[] = []
      for (let index = at; index < Math.min(end, at + CHUNK); index++) {
        const entry = this.#entries.get(index)
        if (entry) chunk.push(entry)
      }
      yield chunk
    }
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.#tiles.get(`${level}/${index}`)?.hashes ?? null
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: end - start }, (_, i) => {
      const tile = this.#tiles.get(`${level}/${start + i}`)
      if (!tile) throw new RangeError(`no full tile ${start + i} at level ${level}`)
      return tile.root
    })
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: end - start }, (_, i) => {
      const index = start + i
      const entry = this.#entries.get(index)
      if (entry) return entry.leaf
      const tile = this.#tiles.get(`0/${Math.floor(index / 256)}`)
      if (!tile) throw new RangeError(`no leaf hash ${index}`)
      const at = (index % 256) * 32
      return tile.hashes.slice(at, at + 32)
    })
  }

  async findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#find(ids)
  }

  #find(ids: readonly string[]): Map<string, StoredId> {
    const found = new Map<string, StoredId>()
    for (const id of ids) {
      const known = this.#ids.get(id)
      if (known) found.set(id, known)
    }
    return found
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    const sizes = [...this.#checkpoints.keys()].filter((size) => size > above && size <= upTo).sort((a, b) => a - b)
    yield sizes.map((size) => ({ size, note: this.#checkpoints.get(size)! }))
  }

  async publish({ size, note }: PublishedCheckpoint): Promise<void> {
    const kept = this.#checkpoints.get(size)
    if (kept !== undefined && kept !== note) {
      throw new IndelibleError('ERR_STORE_CONFLICT', `another checkpoint of size ${size} is published already`)
    }
    this.#checkpoints.set(size, note)
  }

  async purge(below: number): Promise<void> {
    const { size, minIndex } = this.#head ?? { size: 0, minIndex: 0 }
    if (below % 256 !== 0 || below > size || below < minIndex) {
      throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
    }
    this.#head = { ...this.#head!, minIndex: below }
    for (let index = minIndex; index < below; index++) {
      this.#entries.delete(index)
      this.#payloads.delete(index)
    }
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

  async erase(parts: readonly PartAddress[]): Promise<number> {
    let erased = 0
    for (const { index, id, name } of parts) {
      if (this.#payloads.get(index)?.delete(name)) erased++
      if (this.#ids.has(id)) this.#ids.set(id, { id, index, digest: null })
    }
    return erased
  }

  async close(): Promise<void> {}
}
