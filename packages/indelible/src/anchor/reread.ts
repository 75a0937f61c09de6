/**
 * Before anybody vouches for a checkpoint its entries are read again and hashed anew, from the tree that was anchored last:
 * a bit that flipped in the writer's memory, or on disk since, is never vouched for.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { parseEntry } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { Frontier, frontierNodes } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import { sourceNodeReader } from '../tree/source.ts'

export interface Tree {
  readonly size: number
  readonly root: Uint8Array
}

export interface RereadOptions {
  /** What was anchored last; `null` to begin with entry 0. */
  readonly from: Tree | null
  /** What is about to be anchored. */
  readonly to: Tree
  /** First index whose entry must be there. */
  readonly minIndex: number
  /** Told of each rotation statement on the way. */
  readonly onRotation: (index: number, statement: string) => void
  readonly signal?: AbortSignal
}

/**
 * Resolves if the entries of `[from.size, to.size)`, appended to the tree of `from`, make that of `to`.
 * @throws IndelibleError `ERR_STORE_CORRUPT`, naming the first entry that is wrong if it can be told
 */
export async function rereadEntries(
  store: Pick<LogStore, 'entries' | 'leaves' | 'tile' | 'tileRoots'>,
  { from, to, minIndex, onRotation, signal }: RereadOptions,
): Promise<void> {
  const frontier = await startAt(store, from, to)
  // Of what was purged, hashes are left.
  while (frontier.size < Math.min(minIndex, to.size)) {
    const start = frontier.size
    const end = Math.min(minIndex, to.size, start + LEAVES)
    for (const leaf of await orCorrupt(store.leaves(start, end), `leaf hashes from ${start} on are missing`)) {
      frontier.append(leaf)
    }
    if (frontier.size !== end) throw corrupt(`leaf hashes from ${frontier.size} on are missing`)
  }
  for await (const rows of store.entries(frontier.size, to.size)) {
    signal?.throwIfAborted()
    for (const { index, entry, leaf } of rows) {
      if (index !== frontier.size) throw corrupt(`entry ${frontier.size} is missing`)
      const hash = leafHash(entry)
      if (!isEqual(hash, leaf)) throw corrupt(`entry ${index} is not the one that was hashed`)
      frontier.append(hash)
      reportRotation(index, entry, onRotation)
    }
    // SQLite answers in the same turn: whoever records in this thread must come in between.
    await turn()
  }
  if (frontier.size !== to.size) throw corrupt(`entry ${frontier.size} is missing`)
  if (!isEqual(frontier.root(), to.root)) {
    throw corrupt(`entries ${from?.size ?? 0} to ${to.size - 1} do not make the root of the signed checkpoint`)
  }
}

/** Leaf hashes that are read at a time. */
const LEAVES = 65_536

async function startAt(
  store: Pick<LogStore, 'leaves' | 'tile' | 'tileRoots'>,
  from: Tree | null,
  to: Tree,
): Promise<Frontier> {
  if (from === null || from.size === 0) return Frontier.empty()
  const read = sourceNodeReader(store, to.size)
  const hashes = await orCorrupt(read(frontierNodes(from.size)), `hashes below entry ${from.size} are missing`)
  const frontier = new Frontier(from.size, hashes)
  if (isEqual(frontier.root(), from.root)) return frontier
  throw corrupt(`the first ${from.size} entries are not those that were anchored`)
}

/** By its bytes first: hardly any entry is one, and parsing all of them would cost more than hashing. */
function reportRotation(index: number, entry: Uint8Array, onRotation: RereadOptions['onRotation']): void {
  if (Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength).indexOf('audit.key.rotated') < 0) return
  try {
    const { type, audit } = parseEntry(entry)
    if (type === 'audit.key.rotated') onRotation(index, String(audit?.statement))
  } catch (error) {
    // Whether the entry is one is for verify to say; it is in the tree as it is.
    if (!isIndelibleError(error)) throw error
  }
}

async function orCorrupt<T>(promise: Promise<T>, what: string): Promise<T> {
  try {
    return await promise
  } catch (cause) {
    if (!(cause instanceof RangeError) && !isIndelibleError(cause, 'ERR_TILE_INVALID')) throw cause
    throw corrupt(what, { cause })
  }
}

function corrupt(what: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `nothing was anchored: ${what}. Run indelible verify`, options)
}
