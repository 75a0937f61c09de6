/** A log in one SQLite file: one machine, several processes. WAL, `synchronous=FULL`, one transaction per batch. */
import { setTimeout as sleep } from 'node:timers/promises'
import { IndelibleError } from '../errors.ts'
import { BackgroundWriter } from './background.ts'
import { packBatch } from './packed-batch.ts'
import { callSeal, Refusal } from './refusal.ts'
import { arePackedIdsAt, MAX_PACKED_ROWS, readPackedEntries } from './sqlite-packed.ts'
import { deleteBelow } from './sqlite-purge.ts'
import { bytes, Connection, findIds, readHead, writeBatch } from './sqlite-rows.ts'
import {
  connect,
  DEFAULT_LOCK_TIMEOUT_MS,
  isBusy,
  prepareDatabase,
  type SqliteOptions,
  storeError,
} from './sqlite-schema.ts'
import { cleanDatabase, emptyWal } from './sqlite-scrub.ts'
import * as sources from './sqlite-sources.ts'
import type { SqliteThreadStart } from './sqlite-thread.ts'
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
  StoredSubject,
} from './store.ts'

export type { SqliteOptions } from './sqlite-schema.ts'

const CHUNK = 1000
const HASH_BYTES = 32
/** Longer than the thread that scrubs waits before it asks for the lock again. */
const GIVE_WAY_MS = 3
/** In the transaction of each deletion: see `scrub`. */
const DELETED = 'UPDATE deletions SET made = made + 1'

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
  readonly #background: BackgroundWriter | null
  #queue: Promise<unknown> = Promise.resolve()
  #scrubbing: Promise<unknown> = Promise.resolve()
  /** The first element is 1 while the thread that scrubs waits for the lock. */
  readonly #wanted = new Int32Array(new SharedArrayBuffer(4))
  #closing: Promise<void> | null = null
  #closed = false

  constructor(path: string, options: SqliteOptions) {
    this.#write = options.readOnly ? null : new Connection(connect(path, options))
    // Waiting is done in begin().
    this.#write?.exec('PRAGMA busy_timeout = 0')
    this.#background = options.readOnly
      ? null
      : new BackgroundWriter('sqlite-thread', { path, options } satisfies SqliteThreadStart)
    this.#read = new Connection(connect(path, { readOnly: true }))
    this.#lockTimeoutMs = options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS
    this.#path = path
  }

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    return this.#exclusive(async (connection) => {
      const head = readHead(connection)
      const batch = await callSeal(seal, { head, known: findIds(connection, ids) })
      if (batch === null) return false
      writeBatch(connection, batch, head?.size ?? 0)
      return true
    })
  }

  appendAfter(head: Head, batch: Batch): Promise<boolean> {
    const packed = packBatch(head, batch)
    const run = this.#queue.then(() => {
      this.#writer()
      const write = () => this.#background!.append(packed)
      // In this turn, before those who are answered meanwhile record their next: the thread is to work beside them.
      return this.#isWanted() ? sleep(GIVE_WAY_MS).then(write) : write()
    })
    this.#queue = run.catch(() => {})
    return run
  }

  /** Runs `work` in a write transaction; it commits if that returns true. One at a time, as there is one connection. */
  #exclusive(work: (connection: Connection) => boolean | Promise<boolean>): Promise<void> {
    const run = this.#queue.then(async () => {
      const connection = this.#writer()
      if (this.#isWanted()) await sleep(GIVE_WAY_MS)
      await this.#begin(connection)
      try {
        if (await work(connection)) connection.statement('COMMIT').run()
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

  /** Whether the thread that scrubs waits for the lock: appends that follow one another would never let it in. */
  #isWanted(): boolean {
    return Atomics.load(this.#wanted, 0) === 1
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
        connection.statement('BEGIN IMMEDIATE').run()
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
    const stop = end - start <= MAX_PACKED_ROWS ? end : this.#lastOf(start, end) + 1
    for (let at = start; at < stop; at += MAX_PACKED_ROWS) {
      const until = Math.min(stop, at + MAX_PACKED_ROWS)
      yield this.#reading((connection) => {
        const packed = readPackedEntries(connection, at, until)
        if (packed) return packed
        const { arrays } = connection
        const rows = arrays(
          `SELECT idx, entry, leaf, mac, epoch FROM ${sources.ENTRIES} WHERE idx >= ? AND idx < ? ORDER BY idx`,
        )
        return (rows.all(at, until) as unknown as unknown[][]).map(([index, entry, leaf, mac, epoch]) => ({
          index: index as number,
          entry: bytes(entry),
          leaf: bytes(leaf),
          mac: bytes(mac),
          epoch: epoch as number,
        }))
      })
    }
  }

  /**
   * The last row of a range as it is now. Several reads go no further: of a log that grows meanwhile the later ones would see
   * rows that the earlier ones did not, and what lies between would look like a hole.
   */
  #lastOf(start: number, end: number): number {
    return this.#reading(({ statement }) => {
      const row = statement(`SELECT max(idx) AS last FROM ${sources.ENTRIES} WHERE idx >= ? AND idx < ?`).get(
        start,
        end,
      )
      return (row?.last as number | null) ?? start - 1
    })
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.#reading(({ statement }) => {
      const row = statement(`SELECT hashes FROM ${sources.TILES} WHERE level = ? AND tile = ?`).get(level, index)
      return row ? bytes(row.hashes) : null
    })
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading(({ statement }) => {
      const rows = statement(
        `SELECT root FROM ${sources.TILES} WHERE level = ? AND tile >= ? AND tile < ? ORDER BY tile`,
      )
      const roots = rows.all(level, start, end).map((row) => bytes(row.root))
      if (roots.length !== end - start) {
        throw new RangeError(`level ${level} has ${roots.length} of the full tiles ${start} to ${end}`)
      }
      return roots
    })
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading(({ statement }) => {
      const rows = statement(`SELECT idx, leaf FROM ${sources.ENTRIES} WHERE idx >= ? AND idx < ? ORDER BY idx`).all(
        start,
        end,
      )
      if (rows.length === end - start) return rows.map((row) => bytes(row.leaf))
      const leaves = new Map(rows.map((row) => [row.idx as number, bytes(row.leaf)]))
      const tile = statement(`SELECT hashes FROM ${sources.TILES} WHERE level = 0 AND tile = ?`)
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

  async areIdsAt(ids: readonly string[], start: number): Promise<boolean> {
    return this.#reading((connection) => arePackedIdsAt(connection, ids, start))
  }

  async *ids(start: number, end: number): AsyncIterable<readonly StoredId[]> {
    let rows: StoredId[] = []
    const sql = `SELECT id, idx, digest FROM ${sources.IDS} WHERE idx >= ? AND idx < ? ORDER BY idx`
    for (const { id, idx, digest } of this.#iterate(sql, start, end)) {
      const row = { id: String(id), index: idx as number, digest: digest === null ? null : bytes(digest) }
      if (rows.push(row) < CHUNK) continue
      yield rows
      rows = []
    }
    yield rows
  }

  /** Rows of a table that is in another order: in chunks, each would read all of it. One statement sorts once, on disk if need be. */
  *#iterate(sql: string, ...values: number[]): Generator<Record<string, unknown>> {
    const rows = this.#reading(({ db }) => db.prepare(sql).iterate(...values))
    for (;;) {
      const { done, value } = this.#reading(() => rows.next())
      if (done) return
      yield value
    }
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    for (let last = above; ; ) {
      const rows = this.#reading(({ statement }) =>
        statement(
          `SELECT size, note FROM ${sources.CHECKPOINTS} WHERE size > ? AND size <= ? ORDER BY size LIMIT ?`,
        ).all(last, upTo, CHUNK),
      )
      if (rows.length === 0) return
      yield rows.map((row) => ({ size: row.size as number, note: String(row.note) }))
      last = rows.at(-1)!.size as number
    }
  }

  publish({ size, note }: PublishedCheckpoint): Promise<void> {
    return this.#exclusive(({ statement }) => {
      const kept = statement(`SELECT note FROM ${sources.CHECKPOINTS} WHERE size = ?`).get(size)
      if (kept && kept.note !== note) {
        throw new IndelibleError('ERR_STORE_CONFLICT', `another checkpoint of size ${size} is published already`)
      }
      if (!kept) statement('INSERT INTO checkpoints (size, note) VALUES (?, ?)').run(size, note)
      return true
    })
  }

  async purge(below: number): Promise<void> {
    await this.#exclusive((connection) => {
      const { size, minIndex } = readHead(connection) ?? { size: 0, minIndex: 0 }
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      connection.statement('UPDATE head SET min_index = ?').run(below)
      connection.statement(DELETED).run()
      return true
    })
    // In steps, so that appends get their turn; a crash in between leaves rows below min_index, which the next run takes.
    await deleteBelow(below, (work) => this.#exclusive(work))
  }

  async payload(index: number, name: string): Promise<string | null> {
    return this.#reading(({ statement }) => {
      const row = statement(`SELECT disclosure FROM ${sources.PAYLOADS} WHERE idx = ? AND name = ?`).get(index, name)
      return row ? String(row.disclosure) : null
    })
  }

  async *payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    for (let at = start; at < end; at += CHUNK) {
      const until = Math.min(end, at + CHUNK)
      yield this.#reading(({ arrays }) => {
        const rows = arrays(
          `SELECT idx, name, disclosure FROM ${sources.PAYLOADS} WHERE idx >= ? AND idx < ? ORDER BY idx, name`,
        )
        return (rows.all(at, until) as unknown as unknown[][]).map(([index, name, disclosure]) => ({
          index: index as number,
          name: String(name),
          disclosure: String(disclosure),
        }))
      })
    }
  }

  async erase(parts: readonly PartAddress[]): Promise<number> {
    let erased = 0
    await this.#exclusive(({ statement }) => {
      for (const { index, id, name } of parts) {
        erased += Number(
          statement(`DELETE FROM ${sources.PAYLOADS} WHERE idx = ? AND name = ?`).run(index, name).changes,
        )
        statement(`UPDATE ${sources.IDS} SET digest = NULL WHERE id = ?`).run(id)
      }
      statement(DELETED).run()
      return true
    })
    return erased
  }

  async *subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    for (let after = -1; ; ) {
      const rows = this.#reading(({ statement, hasSubjects }) =>
        hasSubjects
          ? statement(`SELECT idx FROM ${sources.SUBJECTS} WHERE subject = ? AND idx > ? ORDER BY idx LIMIT ?`).all(
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

  async *concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]> {
    let rows: StoredSubject[] = []
    const sql = `SELECT idx, subject FROM ${sources.SUBJECTS} WHERE idx >= ? AND idx < ? ORDER BY idx`
    if (!this.#reading(({ hasSubjects }) => hasSubjects)) return
    for (const { idx, subject } of this.#iterate(sql, start, end)) {
      if (rows.push({ index: idx as number, subject: bytes(subject) }) < CHUNK) continue
      yield rows
      rows = []
    }
    yield rows
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    return this.#exclusive(({ statement }) => {
      statement(`DELETE FROM ${sources.SUBJECTS} WHERE subject = ? AND idx < ?`).run(subject, below)
      statement(DELETED).run()
      return true
    })
  }

  /** Cleans the database unless that was done since the last deletion, and empties the WAL as soon as no reader needs it. */
  scrub(): Promise<readonly string[]> {
    // Beside the queue: appends go on meanwhile.
    const run = this.#scrubbing.then(() => this.#scrub())
    this.#scrubbing = run.catch(() => {})
    return run
  }

  async #scrub(): Promise<readonly string[]> {
    const { db } = this.#writer()
    const { made, scrubbed } = this.#reading(
      ({ statement }) => statement('SELECT made, scrubbed FROM deletions').get()!,
    )
    const obstacle = made === scrubbed ? null : await cleanDatabase(this.#path, this.#lockTimeoutMs, this.#wanted)
    if (obstacle === 'writer') return ['database file: locked by another process']
    const run = this.#queue.then(() => emptyWal(db))
    this.#queue = run.catch(() => {})
    return (await run) && obstacle === null ? [] : ['database file and its WAL: another process reads an older state']
  }

  close(): Promise<void> {
    this.#closing ??= this.#scrubbing
      .then(() => this.#queue)
      .then(async () => {
        this.#closed = true
        await this.#background?.close()
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
