/** Rows of a `postgres:` store as the values that a store hands out. */
import { IndelibleError } from '../errors.ts'
import type { Row } from './postgres-driver.ts'
import type { Head } from './store.ts'

const HASH_BYTES = 32

/** A column that should hold bytes. An attacker's schema may hold anything; no bytes match no hash. */
export function bytesOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}

/** `null` for a log without entries. Columns may be of the binary form or of the textual one. */
export function headOf(row: Row): Head | null {
  if (row.checkpoint === '') return null
  const frontier = bytesOf(row.frontier)
  if (frontier.length % HASH_BYTES !== 0) throw new IndelibleError('ERR_STORE_CORRUPT', 'frontier is no list of hashes')
  return {
    size: Number(row.size),
    frontier: Array.from(
      { length: frontier.length / HASH_BYTES },
      (_, i) => new Uint8Array(frontier.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)),
    ),
    mac: new Uint8Array(bytesOf(row.mac)),
    epoch: Number(row.epoch),
    observed: String(row.observed),
    checkpoint: String(row.checkpoint),
    published: String(row.published),
    minIndex: Number(row.min_index),
  }
}
