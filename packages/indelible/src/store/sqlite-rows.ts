/** A log's rows in SQLite: what a batch writes, and what an append looks up under the lock. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { IndelibleError } from '../errors.ts'
import { findPackedIds } from './sqlite-packed.ts'
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
    'SELECT size, frontier, mac, epoch, observed, checkpoint, published, min_index FROM head',
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
    const find = arrays('SELECT ids.id, idx, digest FROM json_each(?) AS given CROSS JOIN ids ON ids.id = given.value')
    for (const [id, index, digest] of find.all(list) as unknown as [string, number, unknown][]) {
      found.set(id, { id, index, digest: digest === null ? null : bytes(digest) })
    }
    return found
  }
  const find = statement('SELECT idx, digest FROM ids WHERE id = ?')
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
  const entry = statement('INSERT INTO entries (idx, entry, leaf, mac, epoch) VALUES (?, ?, ?, ?, ?)')
  for (let i = 0; i < batch.entries.length; i++) {
    entry.run(batch.from + i, batch.entries[i]!, batch.leaves[i]!, batch.macs[i]!, batch.epochs[i]!)
  }
  const payload = statement('INSERT INTO payloads (idx, name, disclosure) VALUES (?, ?, ?)')
  for (const { index, name, disclosure } of batch.payloads) payload.run(index, name, disclosure)
  if (batch.concerns) {
    const concern = statement('INSERT INTO subjects (subject, idx) VALUES (?, ?)')
    for (const { subject, index } of batch.concerns) concern.run(subject, index)
  }
  const id = statement('INSERT INTO ids (id, idx, digest) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
  for (const known of batch.ids) {
    if (id.run(known.id, known.index, known.digest).changes === 0) {
      throw new IndelibleError('ERR_STORE_CONFLICT', 'batch repeats an id of the log')
    }
  }
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

/** A column that should hold bytes. An attacker's schema may hold anything; no bytes match no hash. */
export function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}
