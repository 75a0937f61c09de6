/** Telling other processes that a log has grown, by NOTIFY, and hearing it by LISTEN. A courtesy: notices may be lost. */
import { Connection, type Driver, type Query } from './postgres-driver.ts'
import type { PostgresPlace } from './postgres-url.ts'

/** At most one in this time, ms. */
const INTERVAL_MS = 100
const RETRY_MS = 1000

export class Notices {
  readonly #channel: string
  readonly #connection: Connection | null
  readonly #query: Query
  #sent = 0
  #later: NodeJS.Timeout | null = null
  #retry: NodeJS.Timeout | null = null
  readonly #listeners = new Set<() => void>()
  #closed = false

  /** @param query of connections that no transaction is open on */
  constructor(driver: Driver, place: PostgresPlace, log: number, query: Query) {
    this.#channel = `${place.schema}_${log}`
    this.#connection = place.direct && new Connection(driver, place.direct)
    this.#query = query
  }

  /**
   * After the commit and not within it: a transaction that notifies takes a lock on all of the database's commits, and
   * writers of different logs would wait for each other's fsync.
   */
  send(): void {
    const waitMs = this.#sent + INTERVAL_MS - performance.now()
    if (this.#later || this.#closed) return
    const notify = () => {
      this.#later = null
      this.#sent = performance.now()
      // Nothing is made durable for a notice.
      const text = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')"
      this.#query(text, [this.#channel]).catch(() => {})
    }
    if (waitMs <= 0) {
      notify()
    } else {
      this.#later = setTimeout(notify, waitMs)
      this.#later.unref()
    }
  }

  /** Returns what ends it. */
  listen(onGrowth: () => void): () => Promise<void> {
    this.#listeners.add(onGrowth)
    if (this.#listeners.size === 1) this.#subscribe()
    return async () => {
      this.#listeners.delete(onGrowth)
      if (this.#listeners.size === 0) await this.#connection?.close()
    }
  }

  #subscribe(): void {
    const connection = this.#connection
    if (!connection || this.#closed || this.#listeners.size === 0) return
    const again = () => {
      if (this.#retry || this.#closed) return
      this.#retry = setTimeout(() => {
        this.#retry = null
        this.#subscribe()
      }, RETRY_MS)
      this.#retry.unref()
    }
    connection
      .listen(this.#channel, () => this.#heard(), again)
      // What came while nobody listened.
      .then(() => this.#heard(), again)
  }

  #heard(): void {
    for (const listener of this.#listeners) listener()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    if (this.#later) clearTimeout(this.#later)
    if (this.#retry) clearTimeout(this.#retry)
    await this.#connection?.close()
  }
}
