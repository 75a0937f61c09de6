/**
 * Rows of the log by the hundred, in one value of SQLite's. Each blob that leaves SQLite is an allocation outside the heap, for
 * which the collector comes often and late: three for every row take most of the time and memory of reading a log.
 *
 * Whatever is not as this program writes it (a row that is missing, a type that is another) is left to a plain reading.
 */
import type { Connection } from './sqlite-rows.ts'
import * as sources from './sqlite-sources.ts'
import type { StoredEntry, StoredId } from './store.ts'

const HASH_BYTES = 32

/** Fewer are read row by row. */
const MIN_ROWS = 16

/** Most rows in one value: large enough to be rare, small enough not to last. */
export const MAX_PACKED_ROWS = 256

// Concatenating blobs goes by their lengths, zero bytes or not; octet_length and typeof do not touch their contents.
const ENTRIES = `SELECT CAST(group_concat(entry || leaf || mac, '') AS BLOB), group_concat(octet_length(entry)),
    group_concat(idx), min(epoch), max(epoch), sum(typeof(entry) <> 'blob' OR typeof(leaf) <> 'blob' OR typeof(mac) <> 'blob'
      OR typeof(epoch) <> 'integer' OR octet_length(leaf) <> ${HASH_BYTES} OR octet_length(mac) <> ${HASH_BYTES})
  FROM (SELECT * FROM ${sources.ENTRIES} WHERE idx >= ? AND idx < ? ORDER BY idx)`

/**
 * The entries `[start, end)`, views of one buffer.
 * @param end at most {@link MAX_PACKED_ROWS} after `start`
 * @returns `null` if they are to be read plainly
 */
export function readPackedEntries({ arrays }: Connection, start: number, end: number): StoredEntry[] | null {
  if (end - start < MIN_ROWS) return null
  const row = tryGet(() => arrays(ENTRIES).get(start, end))
  if (!row) return null
  const [packed, lengths, indexes, epoch, lastEpoch, unusual] = row
  if (!(packed instanceof Uint8Array) || typeof lengths !== 'string') return null
  if (unusual !== 0 || typeof epoch !== 'number' || epoch !== lastEpoch || indexes !== listOf(start, end)) return null
  const { buffer, byteOffset } = packed
  let at = byteOffset
  const next = (length: number) => {
    at += length
    return new Uint8Array(buffer as ArrayBuffer, at - length, length)
  }
  const entries = lengthsIn(lengths)
  const total = entries.reduce((sum, length) => sum + length + 2 * HASH_BYTES, 0)
  if (entries.length !== end - start || total !== packed.length) return null
  return entries.map((length, i) => ({
    index: start + i,
    entry: next(length),
    leaf: next(HASH_BYTES),
    mac: next(HASH_BYTES),
    epoch,
  }))
}

const EMPTY = new Uint8Array(0)

const IDS = `SELECT group_concat(given.key), group_concat(ids.idx), group_concat(coalesce(octet_length(digest), -1)),
    CAST(group_concat(digest, '') AS BLOB)
  FROM json_each(?) AS given CROSS JOIN ${sources.IDS} ON ids.id = given.value`

/**
 * Those of `ids` that the log knows.
 * @param list of `ids`, as JSON
 * @returns `null` if they are to be read plainly
 */
export function findPackedIds(
  { arrays }: Connection,
  ids: readonly string[],
  list: string,
): Map<string, StoredId> | null {
  const row = tryGet(() => arrays(IDS).get(list))
  if (!row) return null
  const [keys, indexes, lengths, packed] = row
  if (keys === null) return new Map()
  if (typeof keys !== 'string' || typeof indexes !== 'string' || typeof lengths !== 'string') return null
  const digests = packed instanceof Uint8Array ? packed : new Uint8Array(0)
  const indexList = numbersIn(indexes)
  const lengthList = numbersIn(lengths)
  const found = new Map<string, StoredId>()
  let at = 0
  for (const [i, key] of numbersIn(keys).entries()) {
    const id = ids[key]!
    const index = indexList[i]!
    const length = lengthList[i]!
    if (!Number.isSafeInteger(index)) return null
    // A copy: a digest may be kept longer than its neighbours.
    const digest = length < 0 ? null : length === 0 ? EMPTY : digests.slice(at, at + length)
    found.set(id, { id, index, digest })
    if (length > 0) at += length
  }
  return at === digests.length && indexList.length === lengthList.length ? found : null
}

const IDS_AT = `SELECT group_concat(given.key), sum(typeof(ids.idx) = 'integer' AND ids.idx = given.key + ?)
  FROM json_each(?) AS given CROSS JOIN ${sources.IDS} ON ids.id = given.value`

/** Whether each of `ids` is known once, the first at `start`, the next behind it. `false` also if it is not easily told. */
export function arePackedIdsAt({ arrays }: Connection, ids: readonly string[], start: number): boolean {
  const list = JSON.stringify(ids)
  // SQLite may read an escape in another way.
  if (ids.length === 0 || list.includes('\\')) return false
  const row = tryGet(() => arrays(IDS_AT).get(start, list))
  return row !== null && row[0] === listOf(0, ids.length) && row[1] === ids.length
}

/** What goes wrong here, goes wrong again and is reported where rows are read plainly. */
function tryGet(get: () => unknown): unknown[] | null {
  try {
    return (get() as unknown[] | undefined) ?? null
  } catch {
    return null
  }
}

function numbersIn(list: string): number[] {
  return list.split(',').map(Number)
}

/** {@link numbersIn} of a list without signs. */
function lengthsIn(list: string): number[] {
  const numbers: number[] = []
  let value = 0
  for (let i = 0; i < list.length; i++) {
    const code = list.charCodeAt(i)
    if (code === COMMA) {
      numbers.push(value)
      value = 0
    } else value = value * 10 + code - ZERO
  }
  numbers.push(value)
  return numbers
}
const COMMA = 0x2c
const ZERO = 0x30

/** Lists are asked for of one length again and again. */
function listOf(start: number, end: number): string {
  if (start !== 0) return makeList(start, end)
  if (end !== places.end) places = { end, list: makeList(0, end) }
  return places.list
}
let places = { end: 0, list: '' }

function makeList(start: number, end: number): string {
  let list = `${start}`
  for (let i = start + 1; i < end; i++) list += `,${i}`
  return list
}
