/** A log's rows in SQLite: what a batch writes, and what an append looks up under the lock. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { IndelibleError } from '../errors.ts'
import { findPackedIds } from './sqlite-packed.ts'
import * as sources from './sqlite-sources.ts'
import type { Batch, Head, StoredId } from './store.ts'

const HASH_BYTES = 32

/** A connection and its prepared statements. */
export class Connection {
  readonly db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  readonly #arrays = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.db = db
  }

  /** A log of the first version, read where it cannot be written, has no such table yet. */
  get hasSubjects(): boolean {
    return this.statement("SELECT 1 FROM sqlite_schema WHERE name = 'subjects'").get() !== undefined
  }

  exec(sql: string): void {
    this.db.exec(sql)
  }

  /** A statement whose rows are arrays: for those that are read by the million. */
  readonly arrays = (sql: string): StatementSync => {
    let statement = this.#arrays.get(sql)
    if (!statement) {
      statement = this.db.prepare(sql)
      statement.setReturnArrays(true)
      this.#arrays.set(sql, statement)
    }
    return statement
  }

  readonly statement = (sql: string): StatementSync => {
    let statement = this.#statements.get(sql)
    if (!statement) {
      statement = this.db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

export function readHead({ arrays }: Connection): Head | null {
  const row = arrays(
    `SELECT size, frontier, mac, epoch, observed, checkpoint, published, min_index FROM ${sources.HEAD}`,
  ).get() as unknown as unknown[] | undefined
  if (!row) return null
  const [size, hashes, mac, epoch, observed, checkpoint, published, minIndex] = row
  const frontier = bytes(hashes)
  if (frontier.length % HASH_BYTES !== 0) throw new IndelibleError('ERR_STORE_CORRUPT', 'frontier is no list of hashes')
  return {
    size: size as number,
    frontier: Array.from({ length: frontier.length / HASH_BYTES }, (_, i) =>
      frontier.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
    ),
    mac: bytes(mac),
    epoch: epoch as number,
    observed: String(observed),
    checkpoint: String(checkpoint),
    published: String(published),
    minIndex: minIndex as number,
  }
}

/** Fewer are looked up one by one. */
const MANY_IDS = 16

export function findIds(connection: Connection, ids: readonly string[]): Map<string, StoredId> {
  const { statement, arrays } = connection
  const found = new Map<string, StoredId>()
  const list = ids.length < MANY_IDS ? '\\' : JSON.stringify(ids)
  // One question for all of them, unless one is written with an escape, which SQLite may read in another way.
  if (!list.includes('\\')) {
    const packed = findPackedIds(connection, ids, list)
    if (packed) return packed
    const find = arrays(
      `SELECT ids.id, idx, digest FROM json_each(?) AS given CROSS JOIN ${sources.IDS} ON ids.id = given.value`,
    )
    for (const [id, index, digest] of find.all(list) as unknown as [string, number, unknown][]) {
      found.set(id, { id, index, digest: digest === null ? null : bytes(digest) })
    }
    return found
  }
  const find = statement(`SELECT idx, digest FROM ${sources.IDS} WHERE id = ?`)
  for (const id of ids) {
    const row = find.get(id)
    if (row) found.set(id, { id, index: row.idx as number, digest: row.digest === null ? null : bytes(row.digest) })
  }
  return found
}

/**
 * Applies a batch within a transaction.
 * @param size of the log, as read in this transaction
 * @throws IndelibleError `ERR_STORE_CONFLICT`
 */
export function writeBatch(connection: Connection, batch: Batch, size: number): void {
  const { statement } = connection
  if (batch.from !== size) {
    throw new IndelibleError('ERR_STORE_CONFLICT', `batch starts at ${batch.from}, log has ${size} entries`)
  }
  const { from, entries, leaves, macs, epochs, payloads, concerns = [], ids } = batch
  insert(connection, ENTRIES, entries.length, (values, i) => {
    values.push(from + i, entries[i]!, leaves[i]!, macs[i]!, epochs[i]!)
  })
  insert(connection, PAYLOADS, payloads.length, (values, i) => {
    const { index, name, disclosure } = payloads[i]!
    values.push(index, name, disclosure)
  })
  insert(connection, SUBJECTS, concerns.length, (values, i) => values.push(concerns[i]!.subject, concerns[i]!.index))
  const inserted = insert(connection, IDS, ids.length, (values, i) => {
    const { id, index, digest } = ids[i]!
    values.push(id, index, digest)
  })
  if (inserted < ids.length) throw new IndelibleError('ERR_STORE_CONFLICT', 'batch repeats an id of the log')
  const tile = statement('INSERT INTO tiles (level, tile, root, hashes) VALUES (?, ?, ?, ?)')
  for (const { level, index, root, hashes } of batch.tiles) tile.run(level, index, root, hashes)
  const { head } = batch
  statement(
    `INSERT INTO head (one, size, frontier, mac, epoch, observed, checkpoint, published, min_index)
     VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0)
     ON CONFLICT (one) DO UPDATE SET size = excluded.size, frontier = excluded.frontier, mac = excluded.mac,
       epoch = excluded.epoch, observed = excluded.observed, checkpoint = excluded.checkpoint,
       published = excluded.published`,
  ).run(
    head.size,
    Buffer.concat(head.frontier as Uint8Array[]),
    head.mac,
    head.epoch,
    head.observed,
    head.checkpoint,
    head.published,
  )
  if (batch.publish) {
    statement('INSERT INTO checkpoints (size, note) VALUES (?, ?)').run(head.size, head.checkpoint)
  }
}

/** Rows that one statement inserts, where there are so many: a statement for each row takes a third longer. */
const MANY_ROWS = 16

/** An INSERT for one row, and one for {@link MANY_ROWS}. */
interface Insert {
  readonly one: string
  readonly many: string
}

function insertInto(table: string, columns: readonly string[], suffix = ''): Insert {
  const row = `(${columns.map(() => '?').join(', ')})`
  const of = (rows: number) =>
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${Array(rows).fill(row).join(', ')}${suffix}`
  return { one: of(1), many: of(MANY_ROWS) }
}

const ENTRIES = insertInto('entries', ['idx', 'entry', 'leaf', 'mac', 'epoch'])
const PAYLOADS = insertInto('payloads', ['idx', 'name', 'disclosure'])
const SUBJECTS = insertInto('subjects', ['subject', 'idx'])
const IDS = insertInto('ids', ['id', 'idx', 'digest'], ' ON CONFLICT DO NOTHING')

/**
 * Inserts `count` rows.
 * @param push adds the values of row `i`, in the order of the columns
 * @returns how many were inserted
 */
function insert(
  { statement }: Connection,
  { one, many }: Insert,
  count: number,
  push: (values: SQLInputValue[], i: number) => void,
): number {
  let inserted = 0
  for (let i = 0; i < count; ) {
    const rows = count - i < MANY_ROWS ? 1 : MANY_ROWS
    const values: SQLInputValue[] = []
    for (const end = i + rows; i < end; i++) push(values, i)
    inserted += Number(statement(rows === 1 ? one : many).run(...values).changes)
  }
  return inserted
}

/** A column that should hold bytes. An attacker's schema may hold anything; no bytes match no hash. */
export function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}
