/**
 * Logs in a Postgres database: many processes, many logs, many tenants. A batch is one transaction under a row lock on the
 * log's head; rows come in by COPY. Nothing of a session is relied on, so a pooler may stand in between.
 */
import { IndelibleError } from '../errors.ts'
import type { BatchTarget } from './postgres-batch.ts'
import { Connection, type Driver, loadDriver, Readers, type Row } from './postgres-driver.ts'
import { postgresError } from './postgres-error.ts'
import { withAdvisoryLock } from './postgres-lock.ts'
import { Notices } from './postgres-notices.ts'
import { dropPartitions } from './postgres-purge.ts'
import { bytesOf, headOf } from './postgres-rows.ts'
import { prepareSchema } from './postgres-schema.ts'
import { scrub } from './postgres-scrub.ts'
import { type PostgresPlace, parsePostgresUrl } from './postgres-url.ts'
import { findIds, PostgresWriter } from './postgres-writer.ts'
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
  readonly #writer: PostgresWriter
  readonly #readers: Readers
  readonly #notices: Notices
  readonly #driver: Driver
  #closing: Promise<void> | null = null
  #closed = false

  constructor({ place, target, writer, readers, notices, driver }: Parts) {
    this.#driver = driver
    this.#place = place
    this.#s = target.schema
    this.#log = target.log
    this.#target = target
    this.#writer = new PostgresWriter(place, target, writer)
    this.#readers = readers
    this.#notices = notices
  }

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    return this.#writer.append(ids, seal).then(() => this.#notices.send())
  }

  async appendAfter(head: Head, batch: Batch): Promise<boolean> {
    const isWritten = await this.#writer.appendAfter(head, batch)
    if (isWritten) this.#notices.send()
    return isWritten
  }

  async head(): Promise<Head | null> {
    // After a cut connection a commit may still come through: whoever waits for the lock learns what became of it.
    if (this.#writer.isUncertain && !this.#closed) {
      let head: Head | null = null
      await this.#writer.exclusive('reading the head', async (_, row) => {
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
    return findIds((text, values = []) => this.#read(text, values), this.#target, ids)
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
    return this.#writer.exclusive('publish', async (connection) => {
      await connection.query(`SELECT ${this.#s}.publish($1, $2, $3)`, [this.#log, size, note])
      return true
    })
  }

  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return withAdvisoryLock(this.#driver, this.#place, `${this.#log} ${name}`, work)
  }

  async purge(below: number): Promise<void> {
    await this.#writer.exclusive('purge', async (connection, row) => {
      const [size, minIndex] = [Number(row.size), Number(row.min_index)]
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      await connection.query(raiseGeneration(this.#s), [this.#log])
      await connection.query(`UPDATE ${this.#s}.head SET min_index = $2 WHERE log = $1`, [this.#log, below])
      return true
    })
    // A crash from here on leaves rows below min_index, which the next run takes.
    await this.#writer.withoutHead('purge', (connection) => dropPartitions(connection, this.#s, this.#log, below))
    for (const table of ['entries', 'payloads', 'subjects', 'index_rows', 'index_words']) {
      for (let gone = false; !gone; ) {
        await this.#writer.exclusive('purge', async (connection) => {
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
    await this.#writer.exclusive('erase', async ({ query }) => {
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
    return this.#writer.exclusive('forget', async ({ query }) => {
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
    await this.#writer.withoutHead('scrub', async (connection) => {
      left = await scrub(connection, this.#s, this.#log)
    })
    return left
  }

  /** Calls `onGrowth` when another process has said that the log grew. Polling stays needed: a notice may be lost. */
  subscribe(onGrowth: () => void): () => Promise<void> {
    return this.#notices.listen(onGrowth)
  }

  close(): Promise<void> {
    this.#closing ??= this.#writer.close().then(async () => {
      this.#closed = true
      await Promise.all([this.#notices.close(), this.#readers.close()])
    })
    return this.#closing
  }

  #read(text: string, values: readonly unknown[]): Promise<Row[]> {
    if (this.#closed) return Promise.reject(new IndelibleError('ERR_CLOSED', 'store is closed'))
    // What seal reads, it reads on the connection that has the lock: a pooler may have given all others to those who wait for it.
    const { sealing } = this.#writer
    return sealing ? sealing.query(text, values) : this.#readers.query(text, values)
  }
}

/** What the index of queries has read and not yet written must not come back after a deletion: see `indexGenerations`. */
function raiseGeneration(s: string): string {
  return `INSERT INTO ${s}.index_state VALUES ($1, 0, 0, '', 1)
    ON CONFLICT (log) DO UPDATE SET generation = index_state.generation + 1`
}
