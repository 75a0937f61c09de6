/** What the cases of the store suite share: how they are declared, and what a store should hold after given batches. */
import assert from 'node:assert/strict'
import { sha256 } from '#crypto'
import { toHex } from '../bytes.ts'
import type { IndelibleErrorCode } from '../errors.ts'
import type {
  Batch,
  Head,
  LogStore,
  PublishedCheckpoint,
  StoredEntry,
  StoredId,
  StoredPayload,
  StoredTile,
} from '../store/store.ts'
import { fullTiles } from '../tree/tile.ts'

/** Of a test runner: `describe` and `it` of vitest, of node:test, or of any whose tests are handed a `skip`. */
export interface TestApi {
  describe(name: string, body: () => void): unknown
  it(name: string, body: (context: { skip(reason: string): void }) => Promise<void>): unknown
}

/** What a store may be unable to promise. */
export interface StoreLacks {
  /** Another handle, opened after the first was closed, finds what the first acknowledged. */
  readonly reopen?: string
  /** Other processes can open the log, at once and after a crash. */
  readonly processes?: string
  /** It has `appendAfter`. */
  readonly ahead?: string
  /** It is in files whose bytes can be looked at. */
  readonly files?: string
  /** A closed handle answers every call with `ERR_CLOSED`. */
  readonly closed?: string
}

/** How another process opens the log: it imports `module`, and calls its export `open` with `args`. */
export interface StoreModule {
  readonly module: string | URL
  readonly open: string
  /** Plain JSON values. */
  readonly args: readonly unknown[]
}

/** One new, empty log. */
export interface StoreHarness {
  /** Opens the same log each time it is called. */
  open(): Promise<LogStore>
  /** Left out where the store `lacks` processes. */
  readonly elsewhere?: StoreModule
  /** What this store cannot promise, each with the reason; it shows beside the tests that are skipped for it. */
  readonly lacks?: StoreLacks
  /** Contents of every file of the log, its journals included. Left out where the store `lacks` files. */
  files?(): Promise<readonly Uint8Array[]>
  /** Removes the log. Every handle that `open` gave has been closed. */
  dispose?(): Promise<void>
}

/** Declares one case. It runs on a log of its own, unless the store lacks what the case `needs`. */
export type DefineCase = (title: string, body: (log: StoreHarness) => Promise<void>, needs?: keyof StoreLacks) => void

/** All chunks of a read, joined. */
export async function collect<T>(chunks: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const chunk of chunks) all.push(...chunk)
  return all
}

export function rejects(
  promise: Promise<unknown>,
  expected: IndelibleErrorCode | RangeErrorConstructor,
): Promise<void> {
  return assert.rejects(promise, typeof expected === 'string' ? { code: expected } : expected)
}

/** `T` with its bytes as text. */
export type InHex<T> = T extends Uint8Array ? string : T extends object ? { readonly [K in keyof T]: InHex<T[K]> } : T

/** All that a log holds, bytes as text: equal contents are deeply equal, whatever kind of byte array a store gives. */
export interface Contents {
  readonly head: InHex<Head> | null
  readonly entries: readonly InHex<StoredEntry>[]
  readonly leaves: readonly string[]
  readonly payloads: readonly StoredPayload[]
  readonly ids: ReadonlyMap<string, InHex<StoredId>>
  readonly tiles: readonly InHex<StoredTile>[]
  readonly checkpoints: readonly PublishedCheckpoint[]
}

/** Reads a whole log, and a little beyond its end; `ids` are those to look up. */
export async function readContents(store: LogStore, ids: Iterable<string>): Promise<Contents> {
  const head = await store.head()
  const { size, minIndex } = head ?? { size: 0, minIndex: 0 }
  const found = await store.findIds([...ids])
  const tiles: InHex<StoredTile>[] = []
  for (let level = 0; fullTiles(level, size) > 0; level++) {
    const count = fullTiles(level, size)
    const roots = await store.tileRoots(level, 0, count)
    for (let index = 0; index < count; index++) {
      tiles.push(inHex({ level, index, root: roots[index]!, hashes: (await store.tile(level, index))! }))
    }
    const next = await store.tile(level, count)
    // Unless the log has grown meanwhile.
    if (next !== null) assert.notEqual((await store.head())?.size, size, `there is no tile ${count} at level ${level}`)
  }
  const beyond = size + 2000
  return {
    head: inHex(head),
    entries: (await collect(store.entries(minIndex, beyond))).map((row) => inHex(row)),
    leaves: (await store.leaves(0, size)).map(toHex),
    payloads: await collect(store.payloads(minIndex, beyond)),
    ids: new Map([...found].map(([id, row]) => [id, inHex(row)])),
    tiles,
    checkpoints: await collect(store.checkpoints(0, Number.MAX_SAFE_INTEGER)),
  }
}

/** What a log holds that took `batches`. */
export function contentsOf(batches: readonly Batch[]): Contents {
  const ids = batches.flatMap((batch) => batch.ids)
  const byPlace = (a: { level: number; index: number }, b: typeof a) => a.level - b.level || a.index - b.index
  return {
    head: inHex(batches.at(-1)?.head ?? null),
    entries: batches.flatMap(({ from, entries, leaves, macs, epochs }) =>
      entries.map((entry, i) => inHex({ index: from + i, entry, leaf: leaves[i]!, mac: macs[i]!, epoch: epochs[i]! })),
    ),
    leaves: batches.flatMap(({ leaves }) => leaves.map(toHex)),
    payloads: batches
      .flatMap(({ payloads }) => payloads)
      .toSorted((a, b) => a.index - b.index || (a.name < b.name ? -1 : 1)),
    ids: new Map(ids.map((row) => [row.id, inHex(row)])),
    tiles: batches
      .flatMap(({ tiles }) => tiles)
      .toSorted(byPlace)
      .map((row) => inHex(row)),
    checkpoints: batches
      .filter(({ publish }) => publish)
      .map(({ head }) => ({ size: head.size, note: head.checkpoint })),
  }
}

/** Fails unless the store holds exactly what `batches` wrote. */
export async function assertHolds(store: LogStore, batches: readonly Batch[]): Promise<void> {
  const expected = contentsOf(batches)
  sameContents(await readContents(store, expected.ids.keys()), expected)
}

export function sameContents(actual: Contents, expected: Contents): void {
  for (const [kind, rows] of Object.entries(expected)) assert.deepEqual(actual[kind as keyof Contents], rows)
}

function inHex<T>(value: T): InHex<T>
function inHex(value: unknown): unknown {
  // Long ones by their hash: a difference between two of them should fit on a screen.
  if (value instanceof Uint8Array)
    return value.length > 64 ? `${value.length} bytes, ${toHex(sha256(value))}` : toHex(value)
  if (Array.isArray(value)) return value.map((member) => inHex(member))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, inHex(member)]))
}
