/** The SQLite file: its tables, how it is opened, and what its errors mean. */
import { closeSync, existsSync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'

/** Version of the tables below, in `PRAGMA user_version`. */
export const SCHEMA_VERSION = 1

/** `ILOG`, in `PRAGMA application_id`: tells our files from other people's. */
const APPLICATION_ID = 0x494c4f47

// The triggers stop accidents. Whoever can drop them is caught by the tree.
const SCHEMA = `
  CREATE TABLE entries (
    idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL, mac BLOB NOT NULL, epoch INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE payloads (
    idx INTEGER NOT NULL, name TEXT NOT NULL, disclosure TEXT NOT NULL, PRIMARY KEY (idx, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE ids (id TEXT PRIMARY KEY, idx INTEGER NOT NULL, digest BLOB) STRICT, WITHOUT ROWID;
  -- root stands before hashes: reading a level's roots must not touch the overflow pages of its hashes.
  CREATE TABLE tiles (
    level INTEGER NOT NULL, tile INTEGER NOT NULL, root BLOB NOT NULL, hashes BLOB NOT NULL, UNIQUE (level, tile)
  ) STRICT;
  CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL, mac BLOB NOT NULL,
    epoch INTEGER NOT NULL, observed TEXT NOT NULL, checkpoint TEXT NOT NULL, published TEXT NOT NULL,
    min_index INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;

  CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
    WHEN old.idx >= (SELECT min_index FROM head) BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER tiles_no_update BEFORE UPDATE ON tiles BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER tiles_no_delete BEFORE DELETE ON tiles BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER ids_no_delete BEFORE DELETE ON ids BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER head_no_delete BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER head_min_index BEFORE UPDATE OF min_index ON head
    WHEN new.min_index < old.min_index BEGIN SELECT RAISE(ABORT, 'min_index only rises'); END;
`

// Node 22 warns when the module loads, so a static import would be too late to filter; other warnings pass through.
function loadSqlite(): typeof import('node:sqlite') {
  const emitWarning = process.emitWarning
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).startsWith('SQLite is an experimental feature')) {
      emitWarning.call(process, warning, ...(rest as []))
    }
  }
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
const sqlite = loadSqlite()

export interface SqliteOptions {
  /** Opens without the right to write, and never creates the file. */
  readonly readOnly?: boolean
  /** How long an append waits for another process's, ms. Default 30,000. */
  readonly lockTimeoutMs?: number
  /** Most pages of 4,096 bytes that the database may grow to; an append that needs more is `ERR_STORE_FULL`. Default: no limit. */
  readonly maxPages?: number
}

/** Opens one connection to an existing database. */
export function connect(path: string, readOnly: boolean): DatabaseSync {
  try {
    const db = new sqlite.DatabaseSync(path, { readOnly, timeout: 5000 })
    // Erased disclosures must not survive in free pages.
    db.exec('PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF')
    return db
  } catch (error) {
    throw storeError(error, 'cannot open the database')
  }
}

/**
 * Creates the file with mode 0600 and its tables, unless they are there.
 * @throws IndelibleError `ERR_STORE_VERSION` for a file of a newer version or of somebody else
 */
export function prepareDatabase(path: string, readOnly: boolean): void {
  if (!existsSync(path)) {
    if (readOnly) throw new IndelibleError('ERR_STORE_FAILED', `no database at ${path}`)
    // SQLite gives its WAL the mode of the database; the umask would leave both readable by others.
    closeSync(openSync(path, 'a', 0o600))
  }
  const db = connect(path, readOnly)
  try {
    const version = pragma(db, 'user_version')
    const application = pragma(db, 'application_id')
    if (application === APPLICATION_ID && version === SCHEMA_VERSION) return
    if (version > SCHEMA_VERSION && application === APPLICATION_ID) {
      throw new IndelibleError(
        'ERR_STORE_VERSION',
        `${path} has schema version ${version}, this program knows ${SCHEMA_VERSION}: use a newer one`,
      )
    }
    const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()!.n as number
    if (tables > 0 || readOnly) throw new IndelibleError('ERR_STORE_VERSION', `${path} is not a log of this program`)
    db.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE')
    // Another process may have made the tables while this one waited for the lock.
    if (pragma(db, 'user_version') === 0) {
      db.exec(SCHEMA)
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    }
    db.exec('COMMIT')
  } catch (error) {
    throw storeError(error, 'cannot prepare the database')
  } finally {
    db.close()
  }
}

function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return db.prepare(`PRAGMA ${name}`).get()![name] as number
}

/** Whether SQLite refused because another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === 5
}

// Primary result codes, https://www.sqlite.org/rescode.html
const CODES: Record<number, IndelibleErrorCode> = {
  5: 'ERR_STORE_BUSY',
  6: 'ERR_STORE_BUSY',
  8: 'ERR_STORE_READONLY',
  11: 'ERR_STORE_CORRUPT',
  13: 'ERR_STORE_FULL',
  26: 'ERR_STORE_CORRUPT',
}

/** Gives an error of SQLite a stable code; errors that have one pass. */
export function storeError(error: unknown, what: string): Error {
  if (error instanceof IndelibleError || error instanceof RangeError || error instanceof TypeError) return error
  const code = resultCode(error)
  const detail = code === undefined ? '' : `: SQLite result ${(error as { errcode: number }).errcode}`
  return new IndelibleError((code !== undefined && CODES[code]) || 'ERR_STORE_FAILED', what + detail, { cause: error })
}

function resultCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}
