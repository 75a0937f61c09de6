/** A log in one SQLite file: one machine, several processes. WAL, `synchronous=FULL`, one transaction per batch. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError } from '../errors.ts'
import { connect, isBusy, prepareDatabase, type SqliteOptions, storeError } from './sqlite-schema.ts'
import { emptyWal, rewriteDatabase } from './sqlite-scrub.ts'
import type {
  Batch,
  Head,
  Locked,
  LogStore,
  PartAddress,
  PublishedCheckpoint,
  StoredEntry,
  StoredId,
  StoredPayload,
} from './store.ts'

export type { SqliteOptions } from './sqlite-schema.ts'

const CHUNK = 1000
const HASH_BYTES = 32
const DEFAULT_LOCK_TIMEOUT_MS = 30_000

/**
 * Opens the log at `path`, creating the file unless `readOnly`.
 *
 * @throws IndelibleError `ERR_STORE_VERSION` for a file of a newer version or of another program, `ERR_STORE_READONLY`,
 * `ERR_STORE_CORRUPT`, `ERR_STORE_FAILED`
 */
export function openSqliteStore(path: string, options: SqliteOptions = {}): LogStore {
  prepareDatabase(path, options.readOnly ?? false)
  return new SqliteStore(path, options)
}

class SqliteStore implements LogStore {
  // Two connections: a reader on the writer's would see the rows of a batch before it is committed.
  readonly #write: Connection | null
  readonly #read: Connection
  readonly #lockTimeoutMs: number
  readonly #path: string
  /** Whether the file holds nothing that this handle deleted. What others deleted before it was opened, it cannot know. */
  #isRewritten = false
  #queue: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | null = null
  #closed = false

  constructor(path: string, options: SqliteOptions) {
    this.#write = options.readOnly ? null : new Connection(connect(path, options))
    this.#read = new Connection(connect(path, { readOnly: true }))
    this.#lockTimeoutMs = options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS
    this.#path = path
  }

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    return this.#exclusive(async (connection) => {
      const locked = { head: readHead(connection), known: findIds(connection, ids) }
      const batch = await callSeal(seal, locked)
      if (batch === null) return false
      writeBatch(connection, batch)
      return true
    })
  }

  /** Runs `work` in a write transaction; it commits if that returns true. One at a time, as there is one connection. */
  #exclusive(work: (connection: Connection) => boolean | Promise<boolean>): Promise<void> {
    const run = this.#queue.then(async () => {
      const connection = this.#writer()
      await this.#begin(connection)
      try {
        if (await work(connection)) connection.exec('COMMIT')
      } catch (error) {
        throw error instanceof Refusal ? error.reason : storeError(error, 'append failed')
      } finally {
        // Also after a failed COMMIT, which leaves the transaction open.
        if (connection.db.isTransaction) connection.exec('ROLLBACK')
      }
    })
    this.#queue = run.catch(() => {})
    return run
  }

  #writer(): Connection {
    if (this.#closed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
    if (!this.#write) throw new IndelibleError('ERR_STORE_READONLY', 'store was opened for reading')
    return this.#write
  }

  /** Waits without blocking the thread: SQLite's own busy handler would stop the agent for as long as it waits. */
  async #begin(connection: Connection): Promise<void> {
    const deadline = performance.now() + this.#lockTimeoutMs
    for (let pauseMs = 0.5; ; pauseMs = Math.min(pauseMs * 1.5, 10)) {
      try {
        connection.exec('PRAGMA busy_timeout = 0; BEGIN IMMEDIATE')
        return
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw storeError(error, 'cannot lock the log')
      }
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }

  async head(): Promise<Head | null> {
    return this.#reading((connection) => readHead(connection))
  }

  async *entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    for (let at = start; at < end; at += CHUNK) {
      const until = Math.min(end, at + CHUNK)
      yield this.#reading(({ statement }) =>
        statement('SELECT idx, entry, leaf, mac, epoch FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx')
          .all(at, until)
          .map((row) => ({
            index: row.idx as number,
            entry: bytes(row.entry),
            leaf: bytes(row.leaf),
            mac: bytes(row.mac),
            epoch: row.epoch as number,
          })),
      )
    }
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.#reading(({ statement }) => {
      const row = statement('SELECT hashes FROM tiles WHERE level = ? AND tile = ?').get(level, index)
      return row ? bytes(row.hashes) : null
    })
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading(({ statement }) => {
      const rows = statement('SELECT root FROM tiles WHERE level = ? AND tile >= ? AND tile < ? ORDER BY tile')
      const roots = rows.all(level, start, end).map((row) => bytes(row.root))
      if (roots.length !== end - start) {
        throw new RangeError(`level ${level} has ${roots.length} of the full tiles ${start} to ${end}`)
      }
      return roots
    })
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading(({ statement }) => {
      const rows = statement('SELECT idx, leaf FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx').all(start, end)
      if (rows.length === end - start) return rows.map((row) => bytes(row.leaf))
      const leaves = new Map(rows.map((row) => [row.idx as number, bytes(row.leaf)]))
      const tile = statement('SELECT hashes FROM tiles WHERE level = 0 AND tile = ?')
      return Array.from({ length: end - start }, (_, i) => {
        const index = start + i
        const leaf =
          leaves.get(index) ?? bytes(tile.get(Math.floor(index / 256))?.hashes).subarray((index % 256) * HASH_BYTES)
        if (leaf.length < HASH_BYTES) throw new RangeError(`no leaf hash ${index}`)
        return leaf.slice(0, HASH_BYTES)
      })
    })
  }

  async findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#reading((connection) => findIds(connection, ids))
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    for (let last = above; ; ) {
      const rows = this.#reading(({ statement }) =>
        statement('SELECT size, note FROM checkpoints WHERE size > ? AND size <= ? ORDER BY size LIMIT ?').all(
          last,
          upTo,
          CHUNK,
        ),
      )
      if (rows.length === 0) return
      yield rows.map((row) => ({ size: row.size as number, note: String(row.note) }))
      last = rows.at(-1)!.size as number
    }
  }

  publish({ size, note }: PublishedCheckpoint): Promise<void> {
    return this.#exclusive(({ statement }) => {
      const kept = statement('SELECT note FROM checkpoints WHERE size = ?').get(size)
      if (kept && kept.note !== note) {
        throw new IndelibleError('ERR_STORE_CONFLICT', `another checkpoint of size ${size} is published already`)
      }
      if (!kept) statement('INSERT INTO checkpoints (size, note) VALUES (?, ?)').run(size, note)
      return true
    })
  }

  async purge(below: number): Promise<void> {
    this.#isRewritten = false
    await this.#exclusive((connection) => {
      const { size, minIndex } = readHead(connection) ?? { size: 0, minIndex: 0 }
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      connection.statement('UPDATE head SET min_index = ?').run(below)
      return true
    })
    // In steps, so that appends get their turn; a crash in between leaves rows below min_index, which the next run takes.
    for (let gone = false; !gone; ) {
      await this.#exclusive(({ statement }) => {
        const { changes } = statement(
          'DELETE FROM entries WHERE idx IN (SELECT idx FROM entries WHERE idx < ? ORDER BY idx LIMIT 5000)',
        ).run(below)
        gone = changes === 0
        if (gone) {
          statement('DELETE FROM payloads WHERE idx < ?').run(below)
          statement('DELETE FROM subjects WHERE idx < ?').run(below)
        }
        return true
      })
    }
  }

  async payload(index: number, name: string): Promise<string | null> {
    return this.#reading(({ statement }) => {
      const row = statement('SELECT disclosure FROM payloads WHERE idx = ? AND name = ?').get(index, name)
      return row ? String(row.disclosure) : null
    })
  }

  async *payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    for (let at = start; at < end; at += CHUNK) {
      const until = Math.min(end, at + CHUNK)
      yield this.#reading(({ statement }) =>
        statement('SELECT idx, name, disclosure FROM payloads WHERE idx >= ? AND idx < ? ORDER BY idx, name')
          .all(at, until)
          .map((row) => ({
            index: row.idx as number,
            name: String(row.name),
            disclosure: String(row.disclosure),
          })),
      )
    }
  }

  async erase(parts: readonly PartAddress[]): Promise<number> {
    let erased = 0
    this.#isRewritten = false
    await this.#exclusive(({ statement }) => {
      for (const { index, id, name } of parts) {
        erased += Number(statement('DELETE FROM payloads WHERE idx = ? AND name = ?').run(index, name).changes)
        statement('UPDATE ids SET digest = NULL WHERE id = ?').run(id)
      }
      return true
    })
    return erased
  }

  async *subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    for (let after = -1; ; ) {
      const rows = this.#reading(({ statement, hasSubjects }) =>
        hasSubjects
          ? statement('SELECT idx FROM subjects WHERE subject = ? AND idx > ? ORDER BY idx LIMIT ?').all(
              subject,
              after,
              CHUNK,
            )
          : [],
      )
      if (rows.length === 0) return
      yield rows.map((row) => row.idx as number)
      after = rows.at(-1)!.idx as number
    }
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    this.#isRewritten = false
    return this.#exclusive(({ statement }) => {
      statement('DELETE FROM subjects WHERE subject = ? AND idx < ?').run(subject, below)
      return true
    })
  }

  /** Writes the database anew, once for what this handle has deleted, and empties the WAL as soon as no reader needs it. */
  scrub(): Promise<readonly string[]> {
    const run = this.#queue.then(async () => {
      const { db } = this.#writer()
      if (!this.#isRewritten) {
        if (!(await rewriteDatabase(this.#path, this.#lockTimeoutMs)))
          return ['database file: locked by another process']
        this.#isRewritten = true
      }
      return (await emptyWal(db)) ? [] : ['database file and its WAL: another process reads an older state']
    })
    this.#queue = run.catch(() => {})
    return run
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.then(() => {
      this.#closed = true
      // The writer last: whoever goes last empties the WAL into the database, which a reader may not.
      this.#read.db.close()
      this.#write?.db.close()
    })
    return this.#closing
  }

  #reading<T>(read: (connection: Connection) => T): T {
    if (this.#closed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
    try {
      return read(this.#read)
    } catch (error) {
      throw storeError(error, 'read failed')
    }
  }
}

/** Carries what `seal` threw past the place where errors of SQLite get their codes: it may look like one. */
class Refusal {
  readonly reason: unknown

  constructor(reason: unknown) {
    this.reason = reason
  }
}

async function callSeal<T>(seal: (locked: Locked) => T, locked: Locked): Promise<Awaited<T>> {
  try {
    return await seal(locked)
  } catch (reason) {
    throw new Refusal(reason)
  }
}

/** A connection and its prepared statements. */
class Connection {
  readonly db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

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

  readonly statement = (sql: string): StatementSync => {
    let statement = this.#statements.get(sql)
    if (!statement) {
      statement = this.db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

function readHead({ statement }: Connection): Head | null {
  const row = statement('SELECT * FROM head').get()
  if (!row) return null
  const frontier = bytes(row.frontier)
  if (frontier.length % HASH_BYTES !== 0) throw new IndelibleError('ERR_STORE_CORRUPT', 'frontier is no list of hashes')
  return {
    size: row.size as number,
    frontier: Array.from({ length: frontier.length / HASH_BYTES }, (_, i) =>
      frontier.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES),
    ),
    mac: bytes(row.mac),
    epoch: row.epoch as number,
    observed: String(row.observed),
    checkpoint: String(row.checkpoint),
    published: String(row.published),
    minIndex: row.min_index as number,
  }
}

function findIds({ statement }: Connection, ids: readonly string[]): Map<string, StoredId> {
  const found = new Map<string, StoredId>()
  const find = statement('SELECT idx, digest FROM ids WHERE id = ?')
  for (const id of ids) {
    const row = find.get(id)
    if (row) found.set(id, { id, index: row.idx as number, digest: row.digest === null ? null : bytes(row.digest) })
  }
  return found
}

function writeBatch(connection: Connection, batch: Batch): void {
  const { statement } = connection
  const size = (statement('SELECT size FROM head').get()?.size as number | undefined) ?? 0
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
function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}
