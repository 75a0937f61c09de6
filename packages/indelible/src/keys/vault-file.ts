/**
 * `vault.db`: SQLite, for its locks between processes and its crash safety. A rollback journal and not a WAL: what was
 * deleted is overwritten in the file when the transaction ends, whoever else has it open.
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { IndelibleError } from '../errors.ts'
import { sqlite } from '../sqlite.ts'

/** "INDV". */
const APPLICATION_ID = 0x494e4456
const VERSION = 1

const TABLES = `
  CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, key_check BLOB NOT NULL) STRICT;
  CREATE TABLE keys (id TEXT PRIMARY KEY, lookup BLOB NOT NULL UNIQUE, wrapped BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE tokens (token TEXT PRIMARY KEY, lookup BLOB NOT NULL UNIQUE, identity BLOB NOT NULL) STRICT, WITHOUT ROWID;
  -- Names of keys that were destroyed; random, of nobody.
  CREATE TABLE forgotten (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`

/** Makes the file unless it is there. */
export function createVaultFile(path: string, meta: { readonly id: string; readonly check: Uint8Array }): void {
  if (!existsSync(path)) closeSync(openSync(path, 'w', 0o600))
  chmodSync(path, 0o600)
  guard(() => {
    const db = connect(path, false)
    try {
      db.exec('BEGIN IMMEDIATE')
      if (version(db) === 0) {
        db.exec(TABLES)
        db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}`)
        db.prepare('INSERT INTO meta VALUES (1, ?, ?)').run(meta.id, meta.check)
      }
      db.exec('COMMIT')
    } finally {
      db.close()
    }
  })
}

function connect(path: string, readOnly: boolean): DatabaseSync {
  const db = new sqlite.DatabaseSync(path, { readOnly, timeout: 5000 })
  db.exec('PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF')
  return db
}

function version(db: DatabaseSync): number {
  return db.prepare('PRAGMA user_version').get()!.user_version as number
}

export interface KeyRow {
  readonly id: string
  readonly lookup: Uint8Array
  readonly wrapped: Uint8Array
}

export interface TokenRow {
  readonly token: string
  readonly lookup: Uint8Array
  readonly identity: Uint8Array
}

/** All calls block for as long as SQLite takes: about a millisecond for a write. Throw `ERR_STORE_…`. */
export class VaultFile {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #seen: number

  constructor(path: string, readOnly: boolean) {
    this.#db = guard(() => connect(path, readOnly))
    try {
      const found = guard(() => version(this.#db))
      if (found !== VERSION) {
        throw new IndelibleError('ERR_STORE_VERSION', `${path} has version ${found}, this program knows ${VERSION}`)
      }
      this.#seen = this.#dataVersion()
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  meta(): { readonly id: string; readonly check: Uint8Array } {
    const row = this.#get('SELECT id, key_check FROM meta')
    return { id: row!.id as string, check: row!.key_check as Uint8Array }
  }

  /** Whether another connection has written since this was last asked. */
  hasChanged(): boolean {
    const now = this.#dataVersion()
    if (now === this.#seen) return false
    this.#seen = now
    return true
  }

  keyOf(lookup: Uint8Array): KeyRow | null {
    const row = this.#get('SELECT id, lookup, wrapped FROM keys WHERE lookup = ?', lookup)
    return row ? (row as unknown as KeyRow) : null
  }

  key(id: string): Uint8Array | null {
    return (this.#get('SELECT wrapped FROM keys WHERE id = ?', id)?.wrapped as Uint8Array | undefined) ?? null
  }

  isForgotten(id: string): boolean {
    return this.#get('SELECT 1 AS one FROM forgotten WHERE id = ?', id) !== undefined
  }

  /** Of two processes that make the same key, the first one's stays. */
  addKeys(rows: readonly KeyRow[]): void {
    this.#write(() => {
      const insert = this.#statement('INSERT INTO keys (id, lookup, wrapped) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
      for (const { id, lookup, wrapped } of rows) insert.run(id, lookup, wrapped)
    })
  }

  /** Returns how many there were. */
  forgetKey(lookup: Uint8Array): number {
    return this.#write(() => {
      this.#statement('INSERT OR IGNORE INTO forgotten SELECT id FROM keys WHERE lookup = ?').run(lookup)
      return Number(this.#statement('DELETE FROM keys WHERE lookup = ?').run(lookup).changes)
    })
  }

  tokenOf(lookup: Uint8Array): string | null {
    return (this.#get('SELECT token FROM tokens WHERE lookup = ?', lookup)?.token as string | undefined) ?? null
  }

  identity(token: string): Uint8Array | null {
    return (this.#get('SELECT identity FROM tokens WHERE token = ?', token)?.identity as Uint8Array | undefined) ?? null
  }

  /** The token that counts: the first one's, of two processes that make one at once. */
  addToken({ token, lookup, identity }: TokenRow): string {
    return this.#write(() => {
      this.#statement('INSERT INTO tokens (token, lookup, identity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING').run(
        token,
        lookup,
        identity,
      )
      return this.tokenOf(lookup)!
    })
  }

  forgetToken(lookup: Uint8Array): number {
    return this.#write(() => Number(this.#statement('DELETE FROM tokens WHERE lookup = ?').run(lookup).changes))
  }

  removeToken(token: string): number {
    return this.#write(() => Number(this.#statement('DELETE FROM tokens WHERE token = ?').run(token).changes))
  }

  counts(): { readonly keys: number; readonly pseudonyms: number; readonly forgotten: number } {
    const row = this.#get(`SELECT (SELECT count(*) FROM keys) AS keys, (SELECT count(*) FROM tokens) AS pseudonyms,
      (SELECT count(*) FROM forgotten) AS forgotten`)!
    return { keys: row.keys as number, pseudonyms: row.pseudonyms as number, forgotten: row.forgotten as number }
  }

  close(): void {
    this.#statements.clear()
    this.#db.close()
  }

  #write<T>(work: () => T): T {
    return guard(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#db.exec('COMMIT')
        return result
      } finally {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      }
    })
  }

  #get(sql: string, ...values: (string | Uint8Array)[]): Record<string, unknown> | undefined {
    return guard(() => this.#statement(sql).get(...values) as Record<string, unknown> | undefined)
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #dataVersion(): number {
    return this.#get('PRAGMA data_version')!.data_version as number
  }
}

const CODES = {
  5: 'ERR_STORE_BUSY',
  6: 'ERR_STORE_BUSY',
  8: 'ERR_STORE_READONLY',
  11: 'ERR_STORE_CORRUPT',
  13: 'ERR_STORE_FULL',
  14: 'ERR_STORE_READONLY',
  26: 'ERR_STORE_CORRUPT',
} as const

function guard<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof IndelibleError) throw error
    const { errcode } = error as { errcode?: unknown }
    const primary = typeof errcode === 'number' ? errcode & 0xff : -1
    const code = primary in CODES ? CODES[primary as keyof typeof CODES] : 'ERR_STORE_FAILED'
    // No cause: it may quote what a statement was given.
    throw new IndelibleError(code, `vault: SQLite result ${String(errcode ?? 'unknown')}`)
  }
}
