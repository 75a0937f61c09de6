/**
 * What a server remembers beside its logs: tenants, and keys. Keys are stored as keyed hashes under a pepper that is not in the
 * database: whoever has the database can neither use them nor try keys out.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { IndelibleError } from '../errors.ts'
import { writeFileAtomic } from '../keys/files.ts'
import { connect } from '../store/sqlite-schema.ts'
import type { Principal, Role } from './access.ts'

export interface ApiKey {
  /** Visible part: names the key, proves nothing. */
  readonly prefix: string
  readonly role: Role
  readonly tenant: string | null
  readonly disclose: boolean
  readonly actor: string | null
  readonly label: string
  readonly created: string
  readonly expires: string | null
  readonly revoked: string | null
  readonly last_used: string | null
}

export interface NewKey {
  readonly role: Role
  readonly tenant: string | null
  readonly label: string
  readonly disclose?: boolean
  readonly actor?: string
  readonly expires?: string
}

/** A key as it is stored: with its keyed hash. */
export interface StoredKey extends ApiKey {
  readonly digest: Uint8Array
}

export interface StoredState {
  readonly keys: readonly StoredKey[]
  readonly tenants: readonly TenantRow[]
}

export interface TenantRow {
  readonly tenant: string
  /** Random: names of tenants stand in no file name and no origin. */
  readonly folder: string
  readonly created: string
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS tenants (tenant TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, created TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS api_keys (
    prefix TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, role TEXT NOT NULL, tenant TEXT, disclose INTEGER NOT NULL,
    actor TEXT, label TEXT NOT NULL, created TEXT NOT NULL, expires TEXT, revoked TEXT, last_used TEXT
  ) STRICT;
`

/** How often the last use of a key is written, ms. */
const USE_EVERY_MS = 60_000
/** How long what was read of a key is believed without reading it again, ms: so late a revocation elsewhere counts. */
const CACHE_MS = 2000

interface Cached {
  readonly row: ApiKey
  readonly readMs: number
}

export class ServerState {
  readonly #db: DatabaseSync
  readonly #pepper: Buffer
  readonly #clock: () => number
  readonly #cache = new Map<string, Cached>()
  readonly #used = new Map<string, number>()

  /** Told of the use of a key, at most once a minute. */
  onUse: (prefix: string, at: string) => void = () => {}

  /** @param home folder of the server */
  constructor(home: string, clock: () => number = Date.now) {
    this.#clock = clock
    const path = join(home, 'keys', 'api-pepper')
    if (!existsSync(path)) writeFileAtomic(path, randomBytes(32).toString('hex'))
    this.#pepper = Buffer.from(readFileSync(path, 'utf8').trim(), 'hex')
    if (this.#pepper.length !== 32) throw new IndelibleError('ERR_KEY_INVALID', `${path} holds no pepper of 32 bytes`)
    this.#db = connect(join(home, 'server.db'), {})
    this.#db.exec(SCHEMA)
  }

  /** Names the pepper, and says nothing of it: servers that share keys have to have the same. */
  get pepperId(): string {
    return createHmac('sha256', this.#pepper).update('indelible/api-pepper@1').digest('base64url')
  }

  /** Makes a key. Its text is returned once and kept nowhere. */
  createKey(asked: NewKey): { key: string; row: ApiKey } {
    const { key, stored } = this.draftKey(asked)
    this.put({ keys: [stored], tenants: [] })
    return { key, row: this.#row(stored.prefix)! }
  }

  /** As {@link createKey}, not kept yet. */
  draftKey({ role, tenant, label, disclose = false, actor, expires }: NewKey): { key: string; stored: StoredKey } {
    const prefix = `ik_${randomBytes(6).toString('hex')}`
    const key = `${prefix}_${randomBytes(32).toString('base64url')}`
    const created = new Date(this.#clock()).toISOString()
    const dates = { created, expires: expires ?? null, revoked: null, last_used: null }
    const stored = { prefix, digest: this.#digest(key), role, tenant, disclose, actor: actor ?? null, label, ...dates }
    return { key, stored }
  }

  /** Everything, as it is stored. */
  all(): StoredState {
    const keys = this.#db.prepare('SELECT * FROM api_keys').all() as unknown as Record<string, unknown>[]
    return { keys: keys.map((row) => ({ ...rowOf(row), digest: row.digest as Uint8Array })), tenants: this.tenants() }
  }

  /** Keeps rows as they are given; those of the same name give way, and of `isAll` all others. */
  put({ keys, tenants }: StoredState, { isAll = false } = {}): void {
    const key = this.#db.prepare('INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    const tenant = this.#db.prepare('INSERT OR REPLACE INTO tenants VALUES (?, ?, ?)')
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      if (isAll) this.#db.exec('DELETE FROM api_keys; DELETE FROM tenants')
      for (const one of keys) {
        const { prefix, digest, role, tenant: of, disclose, actor, label, created, expires, revoked, last_used } = one
        key.run(prefix, digest, role, of, disclose ? 1 : 0, actor, label, created, expires, revoked, last_used)
      }
      for (const { tenant: name, folder, created } of tenants) tenant.run(name, folder, created)
      this.#db.exec('COMMIT')
    } catch (error) {
      this.#db.exec('ROLLBACK')
      throw error
    }
    this.#cache.clear()
  }

  keys(tenant: string | null): ApiKey[] {
    const rows = this.#db.prepare('SELECT * FROM api_keys ORDER BY created').all() as unknown as Record<
      string,
      unknown
    >[]
    return rows.map(rowOf).filter((row) => tenant === null || row.tenant === tenant)
  }

  /** Returns whether there was such a key. */
  revokeKey(prefix: string): boolean {
    this.#cache.clear()
    const now = new Date(this.#clock()).toISOString()
    const { changes } = this.#db
      .prepare('UPDATE api_keys SET revoked = coalesce(revoked, ?) WHERE prefix = ?')
      .run(now, prefix)
    return changes > 0
  }

  /** Who shows this key; `null` if nobody may with it. */
  principalOf(key: string): Principal | null {
    const nowMs = this.#clock()
    const cached = this.#cache.get(key)
    const row = cached && nowMs - cached.readMs < CACHE_MS ? cached.row : this.#find(key, nowMs)
    if (!row || row.revoked !== null || (row.expires !== null && Date.parse(row.expires) <= nowMs)) return null
    this.#noteUse(row.prefix, nowMs)
    const { prefix: id, role, tenant, disclose, actor } = row
    return { id, role, tenant, disclose, actor }
  }

  /** Whether a principal that was let in still may be: for what lasts. Tokens of an identity provider are not looked up here. */
  isActive(id: string): boolean {
    if (!id.startsWith('ik_')) return true
    const row = this.#row(id)
    return row !== null && row.revoked === null && (row.expires === null || Date.parse(row.expires) > this.#clock())
  }

  tenants(): TenantRow[] {
    return this.#db.prepare('SELECT * FROM tenants ORDER BY created, tenant').all() as unknown as TenantRow[]
  }

  tenant(name: string): TenantRow | null {
    return (
      (this.#db.prepare('SELECT * FROM tenants WHERE tenant = ?').get(name) as unknown as TenantRow | undefined) ?? null
    )
  }

  /** The tenant's folder, made up if it is new; of two processes at once one makes it up. */
  addTenant(name: string): TenantRow {
    const { folder, created } = this.draftTenant(name)
    this.#db.prepare('INSERT OR IGNORE INTO tenants VALUES (?, ?, ?)').run(name, folder, created)
    return this.tenant(name)!
  }

  /** As {@link addTenant}, not kept yet. */
  draftTenant(tenant: string): TenantRow {
    return { tenant, folder: randomBytes(8).toString('hex'), created: new Date(this.#clock()).toISOString() }
  }

  /** Whether there is a key that begins as this text does, whatever may be wrong with it. */
  hasKey(key: string): boolean {
    return this.#row(key.slice(0, key.indexOf('_', 3))) !== null
  }

  close(): void {
    this.#db.close()
  }

  #find(key: string, nowMs: number): ApiKey | null {
    const prefix = key.slice(0, key.indexOf('_', 3))
    const found = this.#db.prepare('SELECT * FROM api_keys WHERE prefix = ?').get(prefix) as unknown as
      | Record<string, unknown>
      | undefined
    const digest = this.#digest(key)
    if (!found || !timingSafeEqual(digest, Buffer.from(found.digest as Uint8Array))) return null
    const row = rowOf(found)
    if (this.#cache.size > 100_000) this.#cache.clear()
    this.#cache.set(key, { row, readMs: nowMs })
    return row
  }

  #noteUse(prefix: string, nowMs: number): void {
    if (nowMs - (this.#used.get(prefix) ?? 0) < USE_EVERY_MS) return
    this.#used.set(prefix, nowMs)
    const at = new Date(nowMs).toISOString()
    this.#db.prepare('UPDATE api_keys SET last_used = ? WHERE prefix = ?').run(at, prefix)
    this.onUse(prefix, at)
  }

  #row(prefix: string): ApiKey | null {
    const row = this.#db.prepare('SELECT * FROM api_keys WHERE prefix = ?').get(prefix)
    return row ? rowOf(row as unknown as Record<string, unknown>) : null
  }

  #digest(key: string): Buffer {
    return createHmac('sha256', this.#pepper).update(`indelible/api-key@1\n${key}`).digest()
  }
}

function rowOf({ digest, disclose, ...row }: Record<string, unknown>): ApiKey {
  return { ...(row as unknown as ApiKey), disclose: disclose === 1 }
}
