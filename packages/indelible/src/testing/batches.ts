/**
 * Batches as a store gets them, without keys or a sequencer: hashes, tiles and frontier are real, macs and checkpoints are
 * made up. What is built here would not verify; to a store it is as good as any.
 */
import { concat, toBase64, utf8 } from '../bytes.ts'
import { TileEdge } from '../log/tile-edge.ts'
import type { Batch, Head, Locked, LogStore, StoredTile } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import type { TileSource } from '../tree/source.ts'

/** An entry to be. */
export interface EntrySpec {
  readonly id: string
  /** A string stands for its UTF-8 bytes. */
  readonly entry: Uint8Array | string
  readonly digest?: Uint8Array | null
  /** Disclosures by part name. */
  readonly payloads?: Readonly<Record<string, string>>
  /** Persons concerned, by keyed hash. */
  readonly concerns?: readonly Uint8Array[]
}

export interface BatchOptions {
  /** Whether the checkpoint is kept for good. Default `false`. */
  readonly publish?: boolean
}

/** Where a log stands, with what it takes to go on from there. */
export interface Position {
  readonly head: Head
  readonly frontier: Frontier
  readonly edge: TileEdge
}

const START_MS = Date.UTC(2026, 0, 1)

/** Entries `start` to `start + count` of a series: `label 0`, `label 1`, … with a payload each if asked for. */
export function numbered(
  label: string,
  count: number,
  options: { start?: number; payload?: boolean } = {},
): EntrySpec[] {
  return Array.from({ length: count }, (_, i) => {
    const id = `${label} ${(options.start ?? 0) + i}`
    const spec = { id, entry: `entry ${id}`, digest: utf8(`digest ${id}`) }
    return options.payload ? { ...spec, payloads: { input: `input ${id}` } } : spec
  })
}

/** The batch that appends `specs` to a log, and where the log stands then. `after` is `null` for an empty log; it stays as it is. */
export function buildBatch(
  after: Position | null,
  specs: readonly EntrySpec[],
  { publish = false }: BatchOptions = {},
): { batch: Batch; position: Position } {
  const from = after?.head.size ?? 0
  const size = from + specs.length
  const frontier = after?.frontier.clone() ?? Frontier.empty()
  const edge = after?.edge.clone() ?? new TileEdge()
  const tiles: StoredTile[] = []
  const entries = specs.map(({ entry }) => (typeof entry === 'string' ? utf8(entry) : entry))
  const leaves = entries.map((entry) => leafHash(entry))
  for (const leaf of leaves) {
    frontier.append(leaf, (level, index, hash) => edge.add(level, index, hash, (tile) => tiles.push(tile)))
  }
  const macs = leaves.map((leaf, i) => madeUpMac(leaf, from + i))
  const epochs = specs.map((_, i) => madeUpEpoch(from + i))
  const observed = new Date(START_MS + size).toISOString()
  const head: Head = {
    size,
    frontier: frontier.hashes,
    mac: macs.at(-1) ?? after?.head.mac ?? new Uint8Array(32),
    epoch: epochs.at(-1) ?? after?.head.epoch ?? 0,
    observed,
    checkpoint: `test.example/log\n${size}\n${toBase64(frontier.root())}\n\n— test.example/log made+up+signature=\n`,
    published: publish ? observed : (after?.head.published ?? ''),
    minIndex: after?.head.minIndex ?? 0,
  }
  const batch = {
    from,
    entries,
    leaves,
    macs,
    epochs,
    payloads: specs.flatMap(({ payloads = {} }, i) =>
      Object.entries(payloads).map(([name, disclosure]) => ({ index: from + i, name, disclosure })),
    ),
    concerns: specs.flatMap(({ concerns = [] }, i) => concerns.map((subject) => ({ subject, index: from + i }))),
    ids: specs.map(({ id, digest = null }, i) => ({ id, index: from + i, digest })),
    tiles,
    head,
    publish,
  }
  return { batch, position: { head, frontier, edge } }
}

/** The mac that {@link buildBatch} gives an entry: 32 bytes of its own. */
export function madeUpMac(leaf: Uint8Array, index: number): Uint8Array {
  return leaf.map((byte, i) => byte ^ (i < 8 ? index % 256 : 0xa5))
}

/** The epoch that {@link buildBatch} gives an entry. */
export function madeUpEpoch(index: number): number {
  return Math.floor(index / 100)
}

/** Where the log in `store` stands, if its head is `head`. */
export async function positionAt(store: TileSource, head: Head | null): Promise<Position | null> {
  if (head === null) return null
  const frontier = new Frontier(head.size, head.frontier)
  return { head, frontier, edge: await TileEdge.load(store, frontier) }
}

/** Appends to a store, going on from whatever head it finds under the lock. */
export class BatchWriter {
  readonly #store: LogStore
  #position: Position | null = null

  constructor(store: LogStore) {
    this.#store = store
  }

  /**
   * @param options.underLock called with what the store shows, before the batch is built
   * @returns the batch, once the store has acknowledged it
   */
  async append(
    specs: readonly EntrySpec[],
    options: BatchOptions & { underLock?: (locked: Locked) => unknown } = {},
  ): Promise<Batch> {
    const built: ReturnType<typeof buildBatch>[] = []
    await this.#store.append([], async (locked) => {
      await options.underLock?.(locked)
      built.push(buildBatch(await this.#positionAt(locked.head), specs, options))
      return built[0]!.batch
    })
    this.#position = built[0]!.position
    return built[0]!.batch
  }

  /** {@link append} of a batch that goes on from the head which this writer left, sealed before the lock is had where that works. */
  async appendAhead(specs: readonly EntrySpec[]): Promise<Batch> {
    const position = this.#position
    if (position === null || !this.#store.appendAfter) return this.append(specs)
    const built = buildBatch(position, specs)
    if (!(await this.#store.appendAfter(position.head, built.batch))) return this.append(specs)
    this.#position = built.position
    return built.batch
  }

  async #positionAt(head: Head | null): Promise<Position | null> {
    const own = this.#position
    if (head && own?.head.checkpoint === head.checkpoint) return { ...own, head }
    return positionAt(this.#store, head)
  }
}

/** Bytes of all 256 values, `length` of them, for what must come back exactly. */
export function allBytes(length: number): Uint8Array {
  const cycle = Uint8Array.from({ length: 256 }, (_, i) => i)
  return concat(...Array.from({ length: Math.ceil(length / 256) }, () => cycle)).subarray(0, length)
}
