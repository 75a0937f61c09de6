/**
 * Writing to a log in Postgres: one transaction at a time, under a row lock on the log's head, tried again where what undid it
 * does not lie in it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type BatchTarget, commitBatch, type EncodedBatch, encodeBatch, lockAt } from './postgres-batch.ts'
import type { Connection, Query, Row } from './postgres-driver.ts'
import { isDisconnect, isPassing, postgresError } from './postgres-error.ts'
import { bytesOf, headOf } from './postgres-rows.ts'
import type { PostgresPlace } from './postgres-url.ts'
import { callSeal, Refusal } from './refusal.ts'
import { isSameHead } from './same-head.ts'
import type { Batch, Head, Locked, StoredId } from './store.ts'

/** A writer that neither goes on nor goes away loses the lock after this, ms. */
const IDLE_TIMEOUT_MS = 60_000

export class PostgresWriter {
  readonly #place: PostgresPlace
  readonly #target: BatchTarget
  /** `null` for a log that is only read. */
  readonly #writing: Connection | null
  #queue: Promise<unknown> = Promise.resolve()
  /** Calls that are under way or wait. */
  #calls = 0
  #isClosing = false
  #isClosed = false
  #isUncertain = false
  /** First index that there is no partition for, as far as this handle knows. */
  #room = 0
  #sealing: Connection | null = null

  constructor(place: PostgresPlace, target: BatchTarget, connection: Connection | null) {
    this.#place = place
    this.#target = target
    this.#writing = connection
  }

  /** Whether a commit may still be under way on a connection that was lost. */
  get isUncertain(): boolean {
    return this.#isUncertain
  }

  /** The connection under whose lock a batch is being sealed. */
  get sealing(): Connection | null {
    return this.#sealing
  }

  /** Resolves once what was begun is done; what comes later is refused. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.#queue.then(() => {
      this.#isClosed = true
    })
    await this.#writing?.close()
  }

  /** As `Store.append`. */
  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    // Sealed once; what undoes the transaction afterwards does not undo the seal.
    let sealed: Sealed | null = null
    return this.exclusive('append', async (connection, row) => {
      const head = headOf(row)
      if (sealed) {
        if ((await this.#fateOf(connection, sealed, head)) === 'committed') return false
      } else {
        const known =
          ids.length === 0 ? new Map<string, StoredId>() : await findIds(connection.query, this.#target, ids)
        this.#sealing = connection
        const batch = await callSeal(seal, { head, known, nowMs: Number(row.now_ms) }).finally(() => {
          this.#sealing = null
        })
        if (batch === null) return false
        const size = head?.size ?? 0
        if (batch.from !== size) throw conflict(`batch starts at ${batch.from}, log has ${size} entries`)
        sealed = sealedOn(head, batch, encodeBatch(this.#target, batch))
      }
      await this.#writeBatch(connection, sealed.encoded)
      return 'committed'
    })
  }

  /** As `Store.appendAfter`. */
  async appendAfter(head: Head, batch: Batch): Promise<boolean> {
    const sealed = sealedOn(head, batch, encodeBatch(this.#target, batch))
    const { encoded } = sealed
    let isFirst = true
    const write = async (connection: Connection, row: Row): Promise<Ending> => {
      const found = headOf(row)
      if (!isFirst && (await this.#fateOf(connection, sealed, found)) === 'committed') return false
      if (!isSameHead(found, head)) throw conflict('somebody else went on with the log')
      isFirst = false
      await this.#writeBatch(connection, encoded)
      return 'committed'
    }
    const atOnce = async (connection: Connection, begin: string): Promise<boolean> => {
      if (encoded.size > this.#room) return false
      isFirst = false
      await commitBatch(connection, this.#target, encoded, `${begin}${lockAt(this.#target, head)}`)
      return true
    }
    try {
      await this.exclusive('append', write, atOnce)
    } catch (error) {
      if (isIndelibleError(error, 'ERR_STORE_CONFLICT')) return false
      throw error
    }
    return true
  }

  async #writeBatch(connection: Connection, encoded: EncodedBatch): Promise<void> {
    if (encoded.size > this.#room) {
      const text = `SELECT ${this.#target.schema}.make_room($1, $2) AS room`
      const [row] = await connection.query(text, [this.#target.log, encoded.size])
      this.#room = Number(row!.room)
    }
    await commitBatch(connection, this.#target, encoded)
  }

  /**
   * Whether a batch whose commit was cut off came through. Under the head lock: whoever held it is done.
   * @throws IndelibleError `ERR_STORE_CONFLICT` if somebody else went on instead
   */
  async #fateOf(connection: Connection, { on, checkpoint, size, mac }: Sealed, head: Head | null) {
    if (head?.checkpoint === checkpoint) return 'committed'
    if ((head?.checkpoint ?? null) === on) return 'open'
    const text = `SELECT mac FROM ${this.#target.schema}.entries WHERE log = $1 AND idx = $2`
    const [last] = await connection.query(text, [this.#target.log, size - 1])
    if (last && mac && isEqual(mac, bytesOf(last.mac))) return 'committed'
    throw conflict('somebody else went on with the log while the connection was lost')
  }

  /**
   * Runs `work` in a transaction under the head lock; it commits if that returns true, and `work` may have done so itself. One
   * at a time, as there is one connection. What undoes the transaction without lying in it is tried again: a lost connection,
   * a server that restarts, a deadlock.
   *
   * @param atOnce in its place the first time: begins the transaction with the statements that it is given, takes the lock,
   * and commits; `false` if that cannot be
   */
  exclusive(
    what: string,
    work: (connection: Connection, head: Row) => Promise<Ending>,
    atOnce?: (connection: Connection, begin: string) => Promise<boolean>,
  ): Promise<void> {
    return this.#inTurn(async () => {
      const connection = this.#connection()
      const deadline = performance.now() + this.#place.lockTimeoutMs
      let first = atOnce
      for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 1000)) {
        try {
          const begin = first
          first = undefined
          const isDone = await begin?.(connection, this.#beginning(deadline))
          if (!isDone) {
            const ending = await work(connection, await this.#begin(connection, deadline))
            if (ending !== 'committed') await connection.script(ending ? 'COMMIT' : 'ROLLBACK')
          }
          this.#isUncertain = false
          return
        } catch (error) {
          // Partitions that were made are undone with the rest.
          this.#room = 0
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
  }

  /** One at a time; at once where nobody else waits: what the server does while this process is busy is done sooner. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const counted = () => work().finally(() => this.#calls--)
    const run = this.#calls++ === 0 && !this.#isClosing ? counted() : this.#queue.then(counted)
    this.#queue = run.catch(() => {})
    return run
  }

  #connection(): Connection {
    if (this.#isClosed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
    if (!this.#writing) throw new IndelibleError('ERR_STORE_READONLY', 'store was opened for reading')
    return this.#writing
  }

  /** Statements that begin a transaction. */
  #beginning(deadline: number): string {
    const waitMs = Math.max(1, Math.ceil(deadline - performance.now()))
    // Whatever the defaults of server and role are: read committed sees the head that the lock was waited for, and an
    // acknowledged batch is on disk.
    return `
      BEGIN ISOLATION LEVEL READ COMMITTED;
      SET LOCAL lock_timeout = ${waitMs};
      SET LOCAL statement_timeout = ${this.#place.statementTimeoutMs + waitMs};
      SET LOCAL idle_in_transaction_session_timeout = ${IDLE_TIMEOUT_MS};
      SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local');
      `
  }

  async #begin(connection: Connection, deadline: number): Promise<Row> {
    const lock = `SELECT l.now_ms, (l.head).* FROM ${this.#target.schema}.lock_head(${this.#target.log}) l`
    const [row] = await connection.script(`${this.#beginning(deadline)}${lock}`)
    this.#room = Number(row!.room)
    return row!
  }

  /** Runs `work` in its turn, outside of any transaction. */
  withoutHead(what: string, work: (connection: Connection) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => work(this.#connection())).catch((error) => {
      throw postgresError(error, `${what} failed`)
    })
  }
}

/** Those of `ids` that the log has. */
export async function findIds(
  query: Query,
  { schema, log }: BatchTarget,
  ids: readonly string[],
): Promise<Map<string, StoredId>> {
  const rows = await query(`SELECT id, idx, digest FROM ${schema}.ids WHERE log = $1 AND id = ANY ($2)`, [log, ids])
  return new Map(rows.map(({ id, idx, digest }) => [id, { id, index: idx, digest }]))
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

/** How a transaction ends: committed already, with COMMIT, or with ROLLBACK. */
type Ending = 'committed' | boolean

function conflict(message: string): IndelibleError {
  return new IndelibleError('ERR_STORE_CONFLICT', message)
}
