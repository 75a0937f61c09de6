/** One entry of a store, and what proves that it is in the tree. Nothing that the store says is passed on unchecked. */
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import type { LogStore, StoredEntry } from '../store/store.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'

/**
 * The row of an entry below the head's size.
 *
 * @param which index or id
 * @throws IndelibleError `ERR_ENTRY_NOT_FOUND`, also for one that was purged; `ERR_STORE_CORRUPT` if it should be there and is
 * not, or if the store has another entry under that id
 */
export async function findRow(
  store: Pick<LogStore, 'head' | 'findIds' | 'entries'>,
  which: number | string,
): Promise<StoredEntry> {
  const { size, minIndex } = (await store.head()) ?? { size: 0, minIndex: 0 }
  const entries = `log has ${size} ${size === 1 ? 'entry' : 'entries'}`
  const index = typeof which === 'number' ? which : (await store.findIds([which])).get(which)?.index
  if (index === undefined) throw notFound(`no entry has that id: ${entries}`)
  // A row behind the end is under no signature.
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) throw notFound(`no entry ${index}: ${entries}`)
  for await (const [row] of store.entries(index, index + 1)) {
    if (!row) continue
    if (typeof which === 'string') checkId(row, which)
    return row
  }
  if (index < minIndex) throw notFound(`entry ${index} was purged`)
  throw corrupt(`entry ${index} is missing from a log of ${size}`)
}

/** The record of an entry, without its parts: reading it is no reading of what persons said. Throws as {@link findRow}. */
export async function findRecord(
  store: Pick<LogStore, 'head' | 'findIds' | 'entries'>,
  which: number | string,
): Promise<ReadRecord> {
  return parseEntry((await findRow(store, which)).entry)
}

/**
 * Inclusion proof of an entry in a tree that somebody signed.
 * @throws IndelibleError `ERR_PROOF_INVALID` if the entry is not the one at `index` there; `ERR_STORE_CORRUPT` if hashes are missing
 */
export async function proveRow(
  store: LogStore,
  index: number,
  entry: Uint8Array,
  { size, root }: { readonly size: number; readonly root: Uint8Array },
): Promise<readonly Uint8Array[]> {
  let proof: readonly Uint8Array[]
  try {
    proof = await proveInclusion(index, size, sourceNodeReader(store, size))
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw corrupt(`hashes of the tree are missing from a log of ${size}`, cause)
  }
  checkInclusion({ leaf: leafHash(entry), index, size, root, proof })
  return proof
}

function checkId({ index, entry }: StoredEntry, id: string): void {
  let found: string
  try {
    found = parseEntry(entry).id
  } catch (cause) {
    if (!isIndelibleError(cause)) throw cause
    throw corrupt(`entry ${index} cannot be read`, cause)
  }
  if (found !== id) throw corrupt(`an id names entry ${index}, which has another one`)
}

function notFound(message: string): IndelibleError {
  return new IndelibleError('ERR_ENTRY_NOT_FOUND', message)
}

function corrupt(message: string, cause?: unknown): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `${message}: run indelible verify`, { cause })
}
