/** Connections to a Postgres server: the driver, a connection that comes back, a few for reading. */
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, ClientConfig, CustomTypesConfig, Pool, QueryResultRow } from 'pg'
import { IndelibleError } from '../errors.ts'
import { isDisconnect, postgresError } from './postgres-error.ts'
import { sendBatch } from './postgres-question.ts'
import type { PostgresPlace } from './postgres-url.ts'

/** The packages that are loaded. */
export interface Driver {
  readonly pg: typeof import('pg')
  readonly copyFrom: (sql: string) => NodeJS.WritableStream
}

/**
 * Loads the drivers, which are optional peers of this package.
 * @throws IndelibleError `ERR_DRIVER_MISSING`
 */
export async function loadDriver(load: (name: string) => Promise<unknown> = (name) => import(name)): Promise<Driver> {
  try {
    const [pg, copy] = (await Promise.all([load('pg'), load('pg-copy-streams')])) as [
      { default: typeof import('pg') },
      { default: { from: Driver['copyFrom'] } },
    ]
    return { pg: pg.default, copyFrom: copy.default.from }
  } catch (cause) {
    const message = 'a postgres: store needs the packages pg and pg-copy-streams: npm install pg pg-copy-streams'
    throw new IndelibleError('ERR_DRIVER_MISSING', message, { cause })
  }
}

/** How long reads try to get through to a server that restarts, ms. */
const RECONNECT_MS = 10_000

const READERS = 4

/** Values as a store wants them. The driver reads the textual form only. */
const TYPES: CustomTypesConfig = {
  getTypeParser: ((oid: number) => PARSERS[oid] ?? String) as CustomTypesConfig['getTypeParser'],
}
const PARSERS: Readonly<Record<number, (value: string) => unknown>> = {
  16: (value) => value === 't',
  17: parseBytes,
  20: Number,
  21: Number,
  23: Number,
  701: Number,
}

/** A `bytea` as text, in either of the forms that a server may be set to. */
function parseBytes(value: string): Uint8Array {
  if (value.startsWith('\\x')) return Buffer.from(value.slice(2), 'hex')
  const bytes = value.replace(/\\(\\|[0-7]{3})/g, (_, code) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8)),
  )
  return Buffer.from(bytes, 'latin1')
}

export type Row = QueryResultRow

/** Runs one statement; rows have plain values: number, string, Uint8Array, null. */
export type Query = (text: string, values?: readonly unknown[]) => Promise<Row[]>

/** Reads, each a transaction of its own: nothing of a session is relied on, so a pooler may stand in between. */
export class Readers {
  readonly #pool: Pool
  readonly #timeoutMs: number

  constructor({ pg }: Driver, place: PostgresPlace) {
    this.#timeoutMs = place.statementTimeoutMs
    this.#pool = new pg.Pool({ ...place.client, max: READERS, idleTimeoutMillis: 30_000, allowExitOnIdle: true })
    // Of a connection that nobody uses just then: the next read gets another one.
    this.#pool.on('error', () => {})
  }

  readonly query: Query = async (text, values = []) => {
    const deadline = performance.now() + RECONNECT_MS
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1000)) {
      try {
        const query = { text, values: values as unknown[], types: TYPES, query_timeout: this.#timeoutMs }
        return (await this.#pool.query(query)).rows
      } catch (error) {
        // A server that restarts is back soon; one that refuses the first connection was given wrongly.
        if (!isDisconnect(error) || !this.#hasConnected || performance.now() > deadline) {
          throw postgresError(error, 'read failed')
        }
      } finally {
        this.#hasConnected ||= this.#pool.totalCount > 0
      }
      await sleep(pauseMs)
    }
  }
  #hasConnected = false

  async close(): Promise<void> {
    await this.#pool.end()
  }
}

/** One connection for transactions, made when it is needed and made anew when it is lost. */
export class Connection {
  readonly #driver: Driver
  readonly #config: ClientConfig
  #client: Client | null = null
  #last: Promise<unknown> = Promise.resolve()
  /** What is under way or waits. */
  #questions = 0

  constructor(driver: Driver, config: ClientConfig) {
    this.#driver = driver
    this.#config = config
  }

  /** Connects, if there is no connection. Errors are the driver's. */
  async open(): Promise<Client> {
    if (this.#client) return this.#client
    const client = new this.#driver.pg.Client(this.#config)
    client.on('error', () => this.#drop(client))
    client.on('end', () => this.#drop(client))
    try {
      await client.connect()
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    this.#client = client
    return client
  }

  /** Statements without values, at once; the rows of the last. */
  script(text: string): Promise<Row[]> {
    return this.#inTurn(async (client) => {
      const results = (await client.query({ text, types: TYPES })) as unknown as { rows: Row[] } | { rows: Row[] }[]
      return Array.isArray(results) ? results.at(-1)!.rows : results.rows
    })
  }

  readonly query: Query = (text, values = []) =>
    this.#inTurn(async (client) => (await client.query({ text, values: values as unknown[], types: TYPES })).rows)

  /** Runs a COPY … FROM STDIN with the given data. */
  copy(text: string, data: readonly Uint8Array[]): Promise<void> {
    return this.#inTurn(async (client) => {
      const stream = client.query(this.#driver.copyFrom(text) as never) as unknown as NodeJS.WritableStream
      const done = finished(stream)
      for (const chunk of data) stream.write(chunk)
      stream.end()
      await done
    })
  }

  /** Statements at once, `data` for each `COPY … FROM STDIN` among them, in order. */
  batch(text: string, data: readonly (readonly Uint8Array[])[]): Promise<void> {
    return this.#inTurn((client) => sendBatch(client, text, data))
  }

  /** A connection does one thing at a time, and begins at once where there is nothing else to do. */
  #inTurn<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const ask = async () => {
      try {
        return await work(this.#client ?? (await this.open()))
      } finally {
        this.#questions--
      }
    }
    const run = this.#questions++ === 0 ? ask() : this.#last.then(ask)
    this.#last = run.catch(() => {})
    return run
  }

  /** Hears notices of a channel until the connection is lost. */
  async listen(channel: string, onNotice: () => void, onLost: () => void): Promise<void> {
    const client = await this.open()
    client.on('notification', onNotice)
    client.once('end', onLost)
    await client.query(`LISTEN ${channel}`)
  }

  /** Gives the connection up, with the transaction that is open on it. */
  discard(): void {
    const client = this.#client
    if (!client) return
    this.#drop(client)
    // No farewell: it would wait for what is under way.
    ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  }

  #drop(client: Client): void {
    if (this.#client === client) this.#client = null
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = null
    await client?.end().catch(() => {})
  }
}
