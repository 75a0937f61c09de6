/** Writing a batch into a transaction that holds the head lock. */
import { concat, toHex, utf8 } from '../bytes.ts'
import { CopyRows, Int4 } from './postgres-copy.ts'
import type { Connection } from './postgres-driver.ts'
import type { Batch, Head } from './store.ts'

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
  /** Arguments of `move_head`, as SQL. */
  readonly move: readonly string[]
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
    ...[
      `${log}`,
      bigint(from),
      bigint(head.size),
      bytea(concat(...head.frontier)),
      bytea(head.mac),
      bigint(head.epoch),
    ],
    ...[text(head.observed), text(head.checkpoint), text(head.published), `${batch.publish}`],
    array(
      'int',
      tiles.map(({ level }) => `${level}`),
    ),
    array(
      'bigint',
      tiles.map(({ index }) => `${index}`),
    ),
    array(
      'bytea',
      tiles.map(({ root }) => bytea(root)),
    ),
    array(
      'bytea',
      tiles.map(({ hashes }) => bytea(hashes)),
    ),
  ]
  return { size: end, copies, move }
}

/**
 * Writes the batch and commits it, in one question: nothing waits for this process between the first row and the commit.
 * @param before statements that go first, each ended
 */
export async function commitBatch(
  connection: Connection,
  { schema: s }: BatchTarget,
  { copies, move }: EncodedBatch,
  before = '',
): Promise<void> {
  const statements = copies.map(({ table }) => `COPY ${s}.${table} FROM STDIN (FORMAT binary);`)
  const call = `SELECT ${s}.move_head(${move.join(', ')});`
  const data = copies.map((copy) => copy.data)
  await connection.batch([before, ...statements, call, 'COMMIT'].join('\n'), data)
}

/** Statement that takes the head lock if the head is `head`, and otherwise fails: then nothing after it is done. */
export function lockAt({ schema: s, log }: BatchTarget, head: Head): string {
  const places = [bigint(head.size), bytea(concat(...head.frontier)), bytea(head.mac), bigint(head.epoch)]
  const texts = [head.observed, head.checkpoint, head.published].map(text)
  return `SELECT ${s}.lock_head_at(${[log, ...places, ...texts].join(', ')});`
}

// No literal has a quote or a backslash in it, whatever the bytes.
const bytea = (bytes: Uint8Array) => `decode('${toHex(bytes)}', 'hex')`
const text = (value: string) => `convert_from(${bytea(utf8(value))}, 'UTF8')`
const bigint = (value: number) => `${value}::bigint`
const array = (type: string, values: readonly string[]) => `ARRAY[${values.join(', ')}]::${type}[]`

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
