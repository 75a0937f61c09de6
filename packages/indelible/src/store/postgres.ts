/**
 * Logs in a Postgres database: many processes, many logs, many tenants. A batch is one transaction under a row lock on the
 * log's head; rows come in by COPY. Nothing of a session is relied on, so a pooler may stand in between.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type BatchTarget, type EncodedBatch, encodeBatch, writeBatch } from './postgres-batch.ts'
import { Connection, type Driver, loadDriver, Readers, type Row } from './postgres-driver.ts'
import { isDisconnect, isPassing, postgresError } from './postgres-error.ts'
import { withAdvisoryLock } from './postgres-lock.ts'
import { Notices } from './postgres-notices.ts'
import { dropPartitions } from './postgres-purge.ts'
import { bytesOf, headOf } from './postgres-rows.ts'
import { prepareSchema } from './postgres-schema.ts'
import { scrub } from './postgres-scrub.ts'
import { type PostgresPlace, parsePostgresUrl } from './postgres-url.ts'
import { callSeal, Refusal } from './refusal.ts'
import { isSameHead } from './same-head.ts'
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

export { type AccessGrant, type SetupOptions, setupPostgres } from './postgres-schema.ts'

const CHUNK = 1000
const HASH_BYTES = 32

/** A writer that neither goes on nor goes away loses the lock after this, ms. */
const IDLE_TIMEOUT_MS = 60_000

export interface PostgresOptions {
  /** The log: a database may hold many. */
  readonly origin: string
  readonly readOnly?: boolean
  /** Makes the log, and the tables if there are none, rather than demanding them. Default false. */
  readonly create?: boolean
}

/**
 * Opens the log `origin` in the database that `url` names; see {@link parsePostgresUrl}.
 *
 * @throws IndelibleError `ERR_DRIVER_MISSING`, `ERR_CONFIG_INVALID`, `ERR_STORE_UNREACHABLE`, `ERR_STORE_DENIED`,
 * `ERR_STORE_MISSING`, `ERR_STORE_VERSION`
 */
export async function openPostgresStore(url: string, options: PostgresOptions): Promise<LogStore> {
  const place = parsePostgresUrl(url)
  const driver = await loadDriver()
  const writer = new Connection(driver, place.client)
  const readers = new Readers(driver, place)
  try {
    if (!options.readOnly || options.create) {
      await writer.open()
      await prepareSchema(writer.query, writer, place, options.create ?? false)
    } else {
      await prepareSchema(readers.query, writer, place, false)
    }
    const query = options.readOnly ? readers.query : writer.query
    const text = `SELECT id, partition_size FROM ${place.schema}.logs WHERE origin = $1`
    const find = async () => (await query(text, [options.origin]))[0]
    let row = await find()
    if (row === undefined && options.create) {
      const make = query(`SELECT ${place.schema}.make_log($1, $2)`, [options.origin, place.partition])
      const failure = await make.then(() => null).catch((error: unknown) => error)
      row = await find()
      // Otherwise somebody else has made it at the same time.
      if (failure && row === undefined) throw failure
    }
    if (row === undefined) {
      const message = `${place.name} has no log ${options.origin} that this role may see: deleted, not restored, or another database`
      throw new IndelibleError('ERR_STORE_MISSING', message)
    }
    const target = { schema: place.schema, log: row.id as number, partition: row.partition_size as number }
    const notices = new Notices(driver, place, target.log, readers.query)
    return new PostgresStore({ place, target, writer: options.readOnly ? null : writer, readers, notices, driver })
  } catch (error) {
    await Promise.all([writer.close(), readers.close()])
    throw postgresError(error, `cannot open ${place.name}`)
  }
}

interface Parts {
  readonly place: PostgresPlace
  readonly target: BatchTarget
  readonly writer: Connection | null
  readonly readers: Readers
  readonly notices: Notices
  readonly driver: Driver
}

class PostgresStore implements LogStore {
  readonly #place: PostgresPlace
  /** Schema, as statements name it. */
  readonly #s: string
  readonly #log: number
  readonly #target: BatchTarget
  readonly #writer: Connection | null
  readonly #readers: Readers
  readonly #notices: Notices
  readonly #driver: Driver
  #queue: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | null = null
  #closed = false
  /** Whether a commit may still be under way on a connection that was lost. */
  #isUncertain = false
  /** The connection under whose lock a batch is being sealed. */
  #sealing: Connection | null = null

  constructor({ place, target, writer, readers, notices, driver }: Parts) {
    this.#driver = driver
    this.#place = place
    this.#s = target.schema
    this.#log = target.log
    this.#target = target
    this.#writer = writer
    this.#readers = readers
    this.#notices = notices
  }

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    // Sealed once; what undoes the transaction afterwards does not undo the seal.
    let sealed: Sealed | null = null
    return this.#exclusive('append', async (connection, row) => {
      const head = headOf(row)
      if (sealed) {
        if ((await this.#fateOf(connection, sealed, head)) === 'committed') return false
      } else {
        const known = ids.length === 0 ? new Map<string, StoredId>() : await this.#findIds(connection.query, ids)
        this.#sealing = connection
        const batch = await callSeal(seal, { head, known, nowMs: Number(row.now_ms) }).finally(() => {
          this.#sealing = null
        })
        if (batch === null) return false
        const size = head?.size ?? 0
        if (batch.from !== size) throw conflict(`batch starts at ${batch.from}, log has ${size} entries`)
        sealed = sealedOn(head, batch, encodeBatch(this.#target, batch))
      }
      await writeBatch(connection, this.#target, Number(row.room), sealed.encoded)
      return true
    }).then(() => this.#notices.send())
  }

  async appendAfter(head: Head, batch: Batch): Promise<boolean> {
    const sealed = sealedOn(head, batch, encodeBatch(this.#target, batch))
    let isFirst = true
    try {
      await this.#exclusive('append', async (connection, row) => {
        const found = headOf(row)
        if (!isFirst && (await this.#fateOf(connection, sealed, found)) === 'committed') return false
        if (!isSameHead(found, head)) throw conflict('somebody else went on with the log')
        isFirst = false
        await writeBatch(connection, this.#target, Number(row.room), sealed.encoded)
        return true
      })
    } catch (error) {
      if (isIndelibleError(error, 'ERR_STORE_CONFLICT')) return false
      throw error
    }
    this.#notices.send()
    return true
  }

  /**
   * Whether a batch whose commit was cut off came through. Under the head lock: whoever held it is done.
   * @throws IndelibleError `ERR_STORE_CONFLICT` if somebody else went on instead
   */
  async #fateOf(connection: Connection, { on, checkpoint, size, mac }: Sealed, head: Head | null) {
    if (head?.checkpoint === checkpoint) return 'committed'
    if ((head?.checkpoint ?? null) === on) return 'open'
    const text = `SELECT mac FROM ${this.#s}.entries WHERE log = $1 AND idx = $2`
    const [last] = await connection.query(text, [this.#log, size - 1])
    if (last && mac && isEqual(mac, bytesOf(last.mac))) return 'committed'
    throw conflict('somebody else went on with the log while the connection was lost')
  }

  /**
   * Runs `work` in a transaction under the head lock; it commits if that returns true. One at a time, as there is one
   * connection. What undoes the transaction without lying in it is tried again: a lost connection, a server that restarts, a
   * deadlock.
   */
  #exclusive(what: string, work: (connection: Connection, head: Row) => Promise<boolean>): Promise<void> {
    const run = this.#queue.then(async () => {
      const connection = this.#connection()
      const deadline = performance.now() + this.#place.lockTimeoutMs
      for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 1000)) {
        try {
          const row = await this.#begin(connection, deadline)
          await connection.script((await work(connection, row)) ? 'COMMIT' : 'ROLLBACK')
          this.#isUncertain = false
          return
        } catch (error) {
          if (isDisconnect(error)) {
            connection.discard()
            this.#isUncertain = true
          } else {
            await connection.script('ROLLBACK').catch(() => connection.discard())
          }
          if (error instanceof Refusal) throw error.reason
          if (!isPassing(error) || performance.now() > deadline) throw postgresError(error, `${what} failed`)
        }
        await sleep(pauseMs * (0.5 + Math.random()))
      }
    })
    this.#queue = run.catch(() => {})
    return run
  }

  #connection(): Connection {
    if (this.#closed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
    if (!this.#writer) throw new IndelibleError('ERR_STORE_READONLY', 'store was opened for reading')
    return this.#writer
  }

  async #begin(connection: Connection, deadline: number): Promise<Row> {
    const waitMs = Math.max(1, Math.ceil(deadline - performance.now()))
    // Whatever the defaults of server and role are: read committed sees the head that the lock was waited for, and an
    // acknowledged batch is on disk.
    const [row] = await connection.script(`
      BEGIN ISOLATION LEVEL READ COMMITTED;
      SET LOCAL lock_timeout = ${waitMs};
      SET LOCAL statement_timeout = ${this.#place.statementTimeoutMs + waitMs};
      SET LOCAL idle_in_transaction_session_timeout = ${IDLE_TIMEOUT_MS};
      SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local');
      SELECT l.now_ms, (l.head).* FROM ${this.#s}.lock_head(${this.#log}) l`)
    return row!
  }

  async head(): Promise<Head | null> {
    // After a cut connection a commit may still come through: whoever waits for the lock learns what became of it.
    if (this.#isUncertain && !this.#closed) {
      let head: Head | null = null
      await this.#exclusive('reading the head', async (_, row) => {
        head = headOf(row)
        return false
      })
      return head
    }
    const [row] = await this.#read(`SELECT * FROM ${this.#s}.head WHERE log = $1`, [this.#log])
    if (!row) throw new IndelibleError('ERR_STORE_MISSING', `${this.#place.name}: the log is gone`)
    return headOf(row)
  }

  async *entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    // What comes meanwhile is left out: later reads would see it, and between it and the earlier ones there would be a hole.
    const stop = end - start <= CHUNK ? end : (await this.#lastOf(start, end)) + 1
    for (let at = start; at < stop; at += CHUNK) {
      const rows = await this.#read(
        `SELECT idx, entry, leaf, mac, epoch FROM ${this.#s}.entries WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx`,
        [this.#log, at, Math.min(stop, at + CHUNK)],
      )
      yield rows.map(({ idx, entry, leaf, mac, epoch }) => ({ index: idx, entry, leaf, mac, epoch }))
    }
  }

  async #lastOf(start: number, end: number): Promise<number> {
    const text = `SELECT max(idx) AS last FROM ${this.#s}.entries WHERE log = $1 AND idx >= $2 AND idx < $3`
    const [row] = await this.#read(text, [this.#log, start, end])
    return (row?.last as number | null) ?? start - 1
  }

  async entriesAt(indexes: readonly number[]): Promise<readonly StoredEntry[]> {
    const rows = await this.#read(
      `SELECT idx, entry, leaf, mac, epoch FROM ${this.#s}.entries WHERE log = $1 AND idx = ANY ($2)`,
      [this.#log, indexes],
    )
    return rows.map(({ idx, entry, leaf, mac, epoch }) => ({ index: idx, entry, leaf, mac, epoch }))
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    const [row] = await this.#read(`SELECT hashes FROM ${this.#s}.tiles WHERE log = $1 AND level = $2 AND tile = $3`, [
      this.#log,
      level,
      index,
    ])
    return row ? bytesOf(row.hashes) : null
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    const rows = await this.#read(
      `SELECT root FROM ${this.#s}.tiles WHERE log = $1 AND level = $2 AND tile >= $3 AND tile < $4 ORDER BY tile`,
      [this.#log, level, start, end],
    )
    if (rows.length === end - start) return rows.map(({ root }) => bytesOf(root))
    throw new RangeError(`level ${level} has ${rows.length} of the full tiles ${start} to ${end}`)
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    const rows = await this.#read(
      `SELECT idx, leaf FROM ${this.#s}.entries WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx`,
      [this.#log, start, end],
    )
    if (rows.length === end - start) return rows.map(({ leaf }) => bytesOf(leaf))
    const leaves = new Map(rows.map(({ idx, leaf }) => [idx as number, bytesOf(leaf)]))
    const [first, last] = [Math.floor(start / 256), Math.ceil(end / 256)]
    const tiles = await this.#read(
      `SELECT tile, hashes FROM ${this.#s}.tiles WHERE log = $1 AND level = 0 AND tile >= $2 AND tile < $3`,
      [this.#log, first, last],
    )
    const hashes = new Map(tiles.map((row) => [row.tile as number, bytesOf(row.hashes)]))
    return Array.from({ length: end - start }, (_, i) => {
      const index = start + i
      const at = (index % 256) * HASH_BYTES
      const leaf = leaves.get(index) ?? hashes.get(Math.floor(index / 256))?.slice(at, at + HASH_BYTES)
      if (leaf?.length !== HASH_BYTES) throw new RangeError(`no leaf hash ${index}`)
      return leaf
    })
  }

  findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#findIds((text, values) => this.#read(text, values), ids)
  }

  async #findIds(
    query: (text: string, values: readonly unknown[]) => Promise<Row[]>,
    ids: readonly string[],
  ): Promise<Map<string, StoredId>> {
    const rows = await query(`SELECT id, idx, digest FROM ${this.#s}.ids WHERE log = $1 AND id = ANY ($2)`, [
      this.#log,
      ids,
    ])
    return new Map(rows.map(({ id, idx, digest }) => [id, { id, index: idx, digest }]))
  }

  async *ids(start: number, end: number): AsyncIterable<readonly StoredId[]> {
    for (let at = start; at < end; ) {
      const rows = await this.#read(
        `SELECT id, idx, digest FROM ${this.#s}.ids WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx LIMIT 20000`,
        [this.#log, at, end],
      )
      if (rows.length === 0) return
      yield rows.map(({ id, idx, digest }) => ({ id, index: idx, digest }))
      at = (rows.at(-1)!.idx as number) + 1
    }
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    for (let last = above; ; ) {
      const rows = await this.#read(
        `SELECT size, note FROM ${this.#s}.checkpoints WHERE log = $1 AND size > $2 AND size <= $3 ORDER BY size LIMIT ${CHUNK}`,
        [this.#log, last, upTo],
      )
      if (rows.length === 0) return
      yield rows.map(({ size, note }) => ({ size, note }))
      last = rows.at(-1)!.size
    }
  }

  publish({ size, note }: PublishedCheckpoint): Promise<void> {
    return this.#exclusive('publish', async (connection) => {
      await connection.query(`SELECT ${this.#s}.publish($1, $2, $3)`, [this.#log, size, note])
      return true
    })
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withAdvisoryLock(this.#driver, this.#place, `${this.#log} ${name}`, work)
  }

  async purge(below: number): Promise<void> {
    await this.#exclusive('purge', async (connection, row) => {
      const [size, minIndex] = [Number(row.size), Number(row.min_index)]
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      await connection.query(raiseGeneration(this.#s), [this.#log])
      await connection.query(`UPDATE ${this.#s}.head SET min_index = $2 WHERE log = $1`, [this.#log, below])
      return true
    })
    // A crash from here on leaves rows below min_index, which the next run takes.
    await this.#exclusiveWithoutHead('purge', (connection) => dropPartitions(connection, this.#s, this.#log, below))
    for (const table of ['entries', 'payloads', 'subjects', 'index_rows', 'index_words']) {
      for (let gone = false; !gone; ) {
        await this.#exclusive('purge', async (connection) => {
          // In steps, so that appends get their turn.
          const [step] = await connection.query(
            `WITH gone AS (DELETE FROM ${this.#s}.${table} WHERE log = $1 AND idx < $2 AND idx < (
               SELECT min(idx) + 5120 FROM ${this.#s}.${table} WHERE log = $1) RETURNING 1) SELECT count(*) AS n FROM gone`,
            [this.#log, below],
          )
          gone = step!.n === 0
          return true
        })
      }
    }
  }

  #exclusiveWithoutHead(what: string, work: (connection: Connection) => Promise<void>): Promise<void> {
    const run = this.#queue.then(() => work(this.#connection()))
    this.#queue = run.catch(() => {})
    return run.catch((error) => {
      throw postgresError(error, `${what} failed`)
    })
  }

  async payload(index: number, name: string): Promise<string | null> {
    const [row] = await this.#read(
      `SELECT disclosure FROM ${this.#s}.payloads WHERE log = $1 AND idx = $2 AND name = $3`,
      [this.#log, index, name],
    )
    return row ? String(row.disclosure) : null
  }

  async *payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    for (let at = start; at < end; at += CHUNK) {
      const rows = await this.#read(
        `SELECT idx, name, disclosure FROM ${this.#s}.payloads WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx, name`,
        [this.#log, at, Math.min(end, at + CHUNK)],
      )
      yield rows.map(({ idx, name, disclosure }) => ({ index: idx, name, disclosure }))
    }
  }

  async erase(parts: readonly PartAddress[]): Promise<number> {
    let erased = 0
    const places = [parts.map(({ index }) => index), parts.map(({ name }) => name)]
    await this.#exclusive('erase', async ({ query }) => {
      await query(raiseGeneration(this.#s), [this.#log])
      const match = '(idx, part) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))'
      const rows = await query(
        `DELETE FROM ${this.#s}.payloads WHERE log = $1 AND ${match.replace('part', 'name')} RETURNING 1`,
        [this.#log, ...places],
      )
      // What the index of queries knows of them goes with them.
      await query(`DELETE FROM ${this.#s}.index_words WHERE log = $1 AND ${match}`, [this.#log, ...places])
      await query(`UPDATE ${this.#s}.ids SET digest = NULL WHERE log = $1 AND id = ANY ($2)`, [
        this.#log,
        parts.map(({ id }) => id),
      ])
      erased = rows.length
      return true
    })
    return erased
  }

  async *concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]> {
    for (let at = start, after = new Uint8Array(0); at < end; ) {
      const rows = await this.#read(
        `SELECT idx, subject FROM ${this.#s}.subjects WHERE log = $1 AND (idx, subject) > ($2, $3) AND idx < $4
         ORDER BY idx, subject LIMIT 20000`,
        [this.#log, at, after, end],
      )
      if (rows.length === 0) return
      yield rows.map(({ idx, subject }) => ({ index: idx, subject }))
      at = rows.at(-1)!.idx as number
      after = rows.at(-1)!.subject as Uint8Array<ArrayBuffer>
    }
  }

  async *subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    for (let after = -1; ; ) {
      const rows = await this.#read(
        `SELECT idx FROM ${this.#s}.subjects WHERE log = $1 AND subject = $2 AND idx > $3 ORDER BY idx LIMIT ${CHUNK}`,
        [this.#log, Buffer.from(subject), after],
      )
      if (rows.length === 0) return
      yield rows.map(({ idx }) => idx)
      after = rows.at(-1)!.idx
    }
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    return this.#exclusive('forget', async ({ query }) => {
      await query(`DELETE FROM ${this.#s}.subjects WHERE log = $1 AND subject = $2 AND idx < $3`, [
        this.#log,
        Buffer.from(subject),
        below,
      ])
      return true
    })
  }

  /** Writes the tables anew that things are erased from, and asks what the server keeps beside them. */
  async scrub(): Promise<readonly string[]> {
    let left: readonly string[] = []
    await this.#exclusiveWithoutHead('scrub', async (connection) => {
      left = await scrub(connection, this.#s, this.#log)
    })
    return left
  }

  /** Calls `onGrowth` when another process has said that the log grew. Polling stays needed: a notice may be lost. */
  subscribe(onGrowth: () => void): () => Promise<void> {
    return this.#notices.listen(onGrowth)
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.then(async () => {
      this.#closed = true
      await Promise.all([this.#notices.close(), this.#writer?.close(), this.#readers.close()])
    })
    return this.#closing
  }

  #read(text: string, values: readonly unknown[]): Promise<Row[]> {
    if (this.#closed) return Promise.reject(new IndelibleError('ERR_CLOSED', 'store is closed'))
    // What seal reads, it reads on the connection that has the lock: a pooler may have given all others to those who wait for it.
    return this.#sealing ? this.#sealing.query(text, values) : this.#readers.query(text, values)
  }
}

/** A batch that is to be written, perhaps again, and what tells whether it was. */
interface Sealed {
  /** Checkpoint of the head that it goes on from. */
  readonly on: string | null
  readonly checkpoint: string
  readonly size: number
  /** Of its last entry. */
  readonly mac: Uint8Array | null
  readonly encoded: EncodedBatch
}

function sealedOn(head: Head | null, { head: { checkpoint, size }, macs }: Batch, encoded: EncodedBatch): Sealed {
  const mac = macs.at(-1)
  return { on: head?.checkpoint ?? null, checkpoint, size, mac: mac ? new Uint8Array(mac) : null, encoded }
}

function conflict(message: string): IndelibleError {
  return new IndelibleError('ERR_STORE_CONFLICT', message)
}

/** What the index of queries has read and not yet written must not come back after a deletion: see `indexGenerations`. */
function raiseGeneration(s: string): string {
  return `INSERT INTO ${s}.index_state VALUES ($1, 0, 0, '', 1)
    ON CONFLICT (log) DO UPDATE SET generation = index_state.generation + 1`
}
