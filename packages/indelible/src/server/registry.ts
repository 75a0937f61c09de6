/**
 * Tenants and keys of a server, for those who change them. Alone, a server has them in `server.db` of its home. Servers on several
 * hosts have them in Postgres: `server.db` of each is then a copy, read again each second, so that asking who somebody is costs no
 * question to the database.
 */
import type { Pool, PoolClient } from 'pg'
import { IndelibleError } from '../errors.ts'
import { loadDriver } from '../store/postgres-driver.ts'
import { postgresError } from '../store/postgres-error.ts'
import { parsePostgresUrl } from '../store/postgres-url.ts'
import type { Logger } from './service.ts'
import type { ApiKey, NewKey, ServerState, StoredKey, TenantRow } from './state.ts'

export interface Registry {
  /** Makes a key. Its text is returned once and kept nowhere. */
  createKey(asked: NewKey): Promise<{ readonly key: string; readonly row: ApiKey }>
  /** Returns whether there was such a key. */
  revokeKey(prefix: string): Promise<boolean>
  /** The tenant, made up if it is new; of two servers at once one makes it up. */
  addTenant(name: string): Promise<TenantRow>
  /** Sees what others have made or revoked before this was called. Throws as a store that is away */
  refresh(): Promise<void>
  /** Whether what is known is too old to let anybody in by it. */
  isStale(): boolean
  close(): Promise<void>
}

/** A server's own: nobody else changes it, or does so in the same file. */
export class LocalRegistry implements Registry {
  readonly #state: ServerState

  constructor(state: ServerState) {
    this.#state = state
  }

  async createKey(asked: NewKey) {
    return this.#state.createKey(asked)
  }

  async revokeKey(prefix: string): Promise<boolean> {
    return this.#state.revokeKey(prefix)
  }

  async addTenant(name: string): Promise<TenantRow> {
    return this.#state.addTenant(name)
  }

  async refresh(): Promise<void> {}

  isStale(): boolean {
    return false
  }

  async close(): Promise<void> {}
}

/** How often what others did is looked for, ms: so late a revocation elsewhere counts, at most. */
const POLL_MS = 1000
/** How long what was read counts while the database is away, ms. */
const STALE_MS = 30_000
/** How long one question may take, ms. */
const QUESTION_MS = 5000

const tables = (schema: string) => `
  CREATE SCHEMA IF NOT EXISTS ${schema};
  CREATE TABLE ${schema}.server_state (
    one int PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, pepper text NOT NULL
  );
  CREATE TABLE ${schema}.server_tenants (tenant text PRIMARY KEY, folder text NOT NULL UNIQUE, created text NOT NULL);
  CREATE TABLE ${schema}.server_keys (
    prefix text PRIMARY KEY, digest bytea NOT NULL UNIQUE, role text NOT NULL, tenant text, disclose boolean NOT NULL,
    actor text, label text NOT NULL, created text NOT NULL, expires text, revoked text, last_used text
  );`

/** Keys and tenants in Postgres, for all servers that name it. */
export class SharedRegistry implements Registry {
  readonly #state: ServerState
  readonly #pool: Pool
  readonly #schema: string
  readonly #logger: Logger
  #timer: NodeJS.Timeout | null = null
  #version = ''
  #readMs = 0
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | null = null

  private constructor(state: ServerState, pool: Pool, schema: string, logger: Logger) {
    this.#state = state
    this.#pool = pool
    this.#schema = schema
    this.#logger = logger
  }

  /**
   * What a server had by itself goes into an empty database.
   * @throws IndelibleError `ERR_KEY_MISMATCH` if the other servers have another pepper, `ERR_CONFIG_INVALID` if this one has tenants
   * that they do not know; as a store that is away
   */
  static async open(url: string, state: ServerState, logger: Logger): Promise<SharedRegistry> {
    const { client, schema } = parsePostgresUrl(url)
    const { pg } = await loadDriver()
    const pool = new pg.Pool({ ...client, max: 2, query_timeout: QUESTION_MS, connectionTimeoutMillis: QUESTION_MS })
    // Of a connection that nobody uses just then: the next question gets another one.
    pool.on('error', () => {})
    const registry = new SharedRegistry(state, pool, schema, logger)
    try {
      await registry.#prepare()
      await registry.refresh()
    } catch (error) {
      await pool.end()
      throw postgresError(error, 'cannot open the keys and tenants of the server')
    }
    state.onUse = (prefix, at) => void registry.#noteUse(prefix, at)
    registry.#watch()
    return registry
  }

  async createKey(asked: NewKey) {
    const { key, stored } = this.#state.draftKey(asked)
    await this.#ask(`${this.#bump} ${this.#insertKey}`, valuesOf(stored))
    this.#state.put({ keys: [stored], tenants: [] })
    const { digest, ...row } = stored
    return { key, row }
  }

  async revokeKey(prefix: string): Promise<boolean> {
    const text = `${this.#bump} UPDATE ${this.#schema}.server_keys SET revoked = coalesce(revoked, $2) WHERE prefix = $1`
    const { rowCount } = await this.#ask(text, [prefix, new Date().toISOString()])
    await this.refresh()
    return rowCount === 1
  }

  async addTenant(name: string): Promise<TenantRow> {
    const known = this.#state.tenant(name)
    if (known) return known
    const row = this.#state.draftTenant(name)
    const text = `${this.#bump} INSERT INTO ${this.#schema}.server_tenants VALUES ($1, $2, $3) ON CONFLICT (tenant) DO NOTHING`
    await this.#ask(text, [row.tenant, row.folder, row.created])
    await this.refresh()
    return this.#state.tenant(name)!
  }

  /** All who ask while one question is under way share the next. */
  refresh(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = null
        this.#running = this.#read()
        return this.#running
      })
    return this.#next
  }

  isStale(): boolean {
    return performance.now() - this.#readMs > STALE_MS
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer)
    this.#state.onUse = () => {}
    await this.#running.catch(() => {})
    await this.#pool.end()
  }

  async #read(): Promise<void> {
    const begun = performance.now()
    const { rows } = await this.#ask(`SELECT version FROM ${this.#schema}.server_state`)
    const version = String(rows[0]!.version)
    if (version !== this.#version) {
      // The version first: what changes in between is read again.
      const keys = await this.#ask(`SELECT * FROM ${this.#schema}.server_keys`)
      const tenants = await this.#ask(`SELECT * FROM ${this.#schema}.server_tenants`)
      this.#state.put({ keys: keys.rows as StoredKey[], tenants: tenants.rows as TenantRow[] }, { isAll: true })
      this.#version = version
    }
    this.#readMs = begun
  }

  #watch(): void {
    let isAway = false
    const look = async () => {
      try {
        await this.refresh()
        if (isAway) this.#logger.info({}, 'keys and tenants can be read again')
        isAway = false
      } catch (error) {
        if (!isAway) this.#logger.error({ error: (error as { code?: string }).code }, 'keys and tenants cannot be read')
        isAway = true
      }
    }
    this.#timer = setInterval(() => void look(), POLL_MS)
    this.#timer.unref()
  }

  async #prepare(): Promise<void> {
    const client = await this.#pool.connect()
    try {
      await client.query('BEGIN')
      await client.query(`SELECT pg_advisory_xact_lock(hashtext('indelible server'), hashtext('${this.#schema}'))`)
      const { rows: found } = await client.query('SELECT to_regclass($1) AS it', [`${this.#schema}.server_state`])
      if (found[0].it === null) await client.query(tables(this.#schema))
      const { pepperId } = this.#state
      await client.query(`INSERT INTO ${this.#schema}.server_state VALUES (1, 1, $1) ON CONFLICT DO NOTHING`, [
        pepperId,
      ])
      const { rows: state } = await client.query(`SELECT pepper FROM ${this.#schema}.server_state`)
      if (state[0].pepper !== pepperId) {
        const message = 'server.state: other servers there have another keys/api-pepper; give all of them the same file'
        throw new IndelibleError('ERR_KEY_MISMATCH', message)
      }
      await this.#join(client)
      await client.query('COMMIT')
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {})
      throw error
    } finally {
      client.release()
    }
  }

  async #join(client: PoolClient): Promise<void> {
    const own = this.#state.all()
    const { rows } = await client.query(`SELECT tenant, folder FROM ${this.#schema}.server_tenants`)
    if (rows.length === 0) {
      for (const key of own.keys) await client.query(`${this.#insertKey} ON CONFLICT DO NOTHING`, valuesOf(key))
      for (const { tenant, folder, created } of own.tenants) {
        await client.query(`INSERT INTO ${this.#schema}.server_tenants VALUES ($1, $2, $3)`, [tenant, folder, created])
      }
      return
    }
    const theirs = new Map(rows.map(({ tenant, folder }) => [tenant, folder]))
    // Their logs would be nobody's.
    const strange = own.tenants.filter(({ tenant, folder }) => theirs.get(tenant) !== folder).length
    if (strange > 0) {
      const message = `server.state: this home has ${strange} tenants that the servers there do not know`
      throw new IndelibleError('ERR_CONFIG_INVALID', message)
    }
  }

  async #noteUse(prefix: string, at: string): Promise<void> {
    const text = `UPDATE ${this.#schema}.server_keys SET last_used = greatest(last_used, $2) WHERE prefix = $1`
    try {
      await this.#ask(text, [prefix, at])
    } catch (error) {
      // For people, to the minute; the next use says it again.
      this.#logger.warn({ error: (error as { code?: string }).code }, 'the use of a key could not be noted')
    }
  }

  get #bump(): string {
    return `WITH bump AS (UPDATE ${this.#schema}.server_state SET version = version + 1)`
  }

  get #insertKey(): string {
    return `INSERT INTO ${this.#schema}.server_keys VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
  }

  async #ask(text: string, values: unknown[] = []) {
    try {
      return await this.#pool.query(text, values)
    } catch (error) {
      throw postgresError(error, 'keys and tenants of the server')
    }
  }
}

function valuesOf(key: StoredKey): unknown[] {
  const { prefix, digest, role, tenant, disclose, actor, label, created, expires, revoked, last_used: used } = key
  return [prefix, digest, role, tenant, disclose, actor, label, created, expires, revoked, used]
}
