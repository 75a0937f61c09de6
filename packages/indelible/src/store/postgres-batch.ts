/** Writing a batch into a transaction that holds the head lock. */
import { CopyRows, Int4 } from './postgres-copy.ts'
import type { Connection } from './postgres-driver.ts'
import type { Batch } from './store.ts'

export interface BatchTarget {
  readonly schema: string
  readonly log: number
  /** Entries of one partition. */
  readonly partition: number
}

/** A batch as the server takes it. Holds copies of all that it was made from. */
export interface EncodedBatch {
  /** Of the log, afterwards. */
  readonly size: number
  readonly copies: readonly { readonly table: string; readonly data: readonly Uint8Array[] }[]
  /** Arguments of `move_head`. */
  readonly move: readonly unknown[]
}

export function encodeBatch({ log, partition }: BatchTarget, batch: Batch): EncodedBatch {
  const id = new Int4(log)
  const { from, entries, leaves, macs, epochs, payloads, ids, concerns = [], tiles, head } = batch
  const tenants = entries.map(tenantOf)
  const copies: { table: string; data: readonly Uint8Array[] }[] = []
  const add = (table: string, rows: CopyRows) => {
    if (rows.count > 0) copies.push({ table, data: rows.data() })
  }
  const end = from + entries.length
  for (let first = from; first < end; ) {
    const start = Math.floor(first / partition) * partition
    const last = Math.min(end, start + partition)
    const rows = new CopyRows()
    for (let index = first; index < last; index++) {
      const i = index - from
      rows.add([id, index, entries[i]!, leaves[i]!, macs[i]!, epochs[i]!, tenants[i]!])
    }
    add(`entries_${log}_${start}`, rows)
    const parts = new CopyRows()
    for (const { index, name, disclosure } of payloads) {
      if (index >= first && index < last) parts.add([id, index, name, disclosure, tenants[index - from]!])
    }
    add(`payloads_${log}_${start}`, parts)
    first = last
  }
  const persons = new CopyRows()
  for (const { subject, index } of concerns) persons.add([id, subject, index, tenants[index - from] ?? null])
  add('subjects_all', persons)
  const names = new CopyRows()
  for (const { id: name, index, digest } of ids) names.add([id, name, index, digest, tenants[index - from] ?? null])
  add('ids_all', names)
  const move = [
    ...[log, from, head.size, Buffer.concat(head.frontier as Uint8Array[]), Buffer.from(head.mac), head.epoch],
    ...[head.observed, head.checkpoint, head.published, batch.publish],
    ...[tiles.map(({ level }) => level), tiles.map(({ index }) => index)],
    ...[tiles.map(({ root }) => Buffer.from(root)), tiles.map(({ hashes }) => Buffer.from(hashes))],
  ]
  return { size: end, copies, move }
}

/** @param room first index that there is no partition for */
export async function writeBatch(
  connection: Connection,
  { schema: s, log }: BatchTarget,
  room: number,
  { size, copies, move }: EncodedBatch,
): Promise<void> {
  if (size > room) await connection.query(`SELECT ${s}.make_room($1, $2)`, [log, size])
  for (const { table, data } of copies) await connection.copy(`COPY ${s}.${table} FROM STDIN (FORMAT binary)`, data)
  const places = move.map((_, i) => `$${i + 1}`).join(', ')
  await connection.query(`SELECT ${s}.move_head(${places})`, move)
}

const TENANT = Buffer.from('"tenant":')

/** The tenant of an entry, which row-level security goes by; `null` if it has none or is no JSON. */
export function tenantOf(entry: Uint8Array): string | null {
  const buffer = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength)
  // Parsing each entry would cost a tenth of the whole append, and most logs have no tenants.
  if (!buffer.includes(TENANT)) return null
  try {
    const { tenant } = JSON.parse(buffer.toString('utf8')) as { tenant?: unknown }
    return typeof tenant === 'string' ? tenant : null
  } catch {
    return null
  }
}
