/** The SQLite file: its tables, how it is opened, and what its errors mean. */
import { closeSync, existsSync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import { sqlite } from '../sqlite.ts'
import { checkObjects } from './sqlite-objects.ts'

/** Version of the tables below, in `PRAGMA user_version`. */
export const SCHEMA_VERSION = 2

/** `ILOG`, in `PRAGMA application_id`: tells our files from other people's. */
const APPLICATION_ID = 0x494c4f47

/** What version 2 adds. `deletions` counts what was deleted, and up to which deletion the file was cleaned since. */
const VERSION_2 = `CREATE TABLE subjects (
    subject BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (subject, idx)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE deletions (
    one INTEGER PRIMARY KEY CHECK (one = 1), made INTEGER NOT NULL, scrubbed INTEGER NOT NULL
  ) STRICT;
  INSERT INTO deletions VALUES (1, 1, 0);`

/** Tables of {@link VERSION_2}: a file of version 1 that is only read lacks them. */
const ADDED_BY_2: ReadonlySet<string> = new Set(['subjects', 'deletions'])

// The triggers stop accidents. Whoever can drop them is caught by the tree.
const SCHEMA = `
  CREATE TABLE entries (
    idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL, mac BLOB NOT NULL, epoch INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE payloads (
    idx INTEGER NOT NULL, name TEXT NOT NULL, disclosure TEXT NOT NULL, PRIMARY KEY (idx, name)
  ) STRICT, WITHOUT ROWID;
  ${VERSION_2}
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
  -- Of an id, only the digest may change: it is erased.
  CREATE TRIGGER ids_no_update BEFORE UPDATE ON ids
    WHEN new.id IS NOT old.id OR new.idx IS NOT old.idx OR new.digest IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER ids_no_delete BEFORE DELETE ON ids BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER head_no_delete BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER head_min_index BEFORE UPDATE OF min_index ON head
    WHEN new.min_index < old.min_index BEGIN SELECT RAISE(ABORT, 'min_index only rises'); END;
`

/** How long an append waits for another process's, ms, unless told otherwise. */
export const DEFAULT_LOCK_TIMEOUT_MS = 30_000

export interface SqliteOptions {
  /** Opens without the right to write, and never creates the file. */
  readonly readOnly?: boolean
  /** How long an append waits for another process's, ms. Default 30,000. */
  readonly lockTimeoutMs?: number
  /** Most pages of 4,096 bytes that the database may grow to; an append that needs more is `ERR_STORE_FULL`. Default: no limit. */
  readonly maxPages?: number
}

/** Opens one connection to an existing database. */
export function connect(path: string, options: SqliteOptions): DatabaseSync {
  try {
    return openConnection(path, options)
  } catch (error) {
    const code = resultCode(error)
    const isShut = options.readOnly && (code === READONLY || code === CANTOPEN) && !existsSync(`${path}-wal`)
    if (!isShut) throw storeError(error, 'cannot open the database')
  }
  // On a read-only medium there is no place for the WAL and what its readers share. A database without a WAL is complete,
  // and can be read as a file that nobody changes.
  try {
    return openConnection(new URL(`${pathToFileURL(path).href}?immutable=1`), options)
  } catch (error) {
    throw storeError(error, 'cannot open the database')
  }
}

function openConnection(path: string | URL, { readOnly = false, maxPages }: SqliteOptions): DatabaseSync {
  const db = new sqlite.DatabaseSync(path, { readOnly, timeout: 5000 })
  try {
    // Erased disclosures must not survive in free pages.
    db.exec('PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF')
    if (maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${maxPages}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Creates the file with mode 0600 and its tables, unless they are there.
 * @throws IndelibleError `ERR_STORE_VERSION` for a file of a newer version or of somebody else, `ERR_STORE_CORRUPT` for one
 * with a view, a trigger or a table that is not ours
 */
export function prepareDatabase(path: string, readOnly: boolean): void {
  if (!existsSync(path)) {
    if (readOnly) throw new IndelibleError('ERR_STORE_FAILED', `no database at ${path}`)
    createFile(path)
  }
  const db = connect(path, { readOnly })
  try {
    db.exec('BEGIN')
    const version = versionOf(db, path)
    if (version > 0) checkObjects(db, SCHEMA, version < SCHEMA_VERSION ? ADDED_BY_2 : new Set())
    db.exec('COMMIT')
    if (version === SCHEMA_VERSION || (version > 0 && readOnly)) return
    if (readOnly) throw new IndelibleError('ERR_STORE_VERSION', `${path} is empty, not a log of this program`)
    if (version === 0) {
      // Says whether pages can be given back in steps; must come before the first page is written.
      db.exec('PRAGMA auto_vacuum = INCREMENTAL')
      useWal(db)
    }
    db.exec('BEGIN IMMEDIATE')
    // Another process may have made the tables while this one waited for the lock.
    const found = versionOf(db, path)
    if (found < SCHEMA_VERSION) {
      db.exec(found === 0 ? SCHEMA : VERSION_2)
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    }
    db.exec('COMMIT')
  } catch (error) {
    throw storeError(error, 'cannot prepare the database')
  } finally {
    db.close()
  }
}

/** Changing the journal needs the file alone for a moment, and that is the one thing for which SQLite does not wait. */
function useWal(db: DatabaseSync): void {
  for (let attempt = 1; ; attempt++) {
    try {
      db.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if (!isBusy(error) || attempt === 1000) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1 + Math.random() * 8)
    }
  }
}

function createFile(path: string): void {
  try {
    // SQLite gives its WAL the mode of the database; the umask would leave both readable by others.
    closeSync(openSync(path, 'a', 0o600))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const isForbidden = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
    throw new IndelibleError(
      isForbidden ? 'ERR_STORE_READONLY' : 'ERR_STORE_FAILED',
      `cannot create ${path}: ${code}`,
      {
        cause,
      },
    )
  }
}

/** Version of our tables in the database; 0 if it has nothing at all. To be called in a transaction. */
function versionOf(db: DatabaseSync, path: string): number {
  const version = pragma(db, 'user_version')
  const application = pragma(db, 'application_id')
  if (application === APPLICATION_ID && version > 0 && version <= SCHEMA_VERSION) return version
  if (application === APPLICATION_ID && version > SCHEMA_VERSION) {
    throw new IndelibleError(
      'ERR_STORE_VERSION',
      `${path} has schema version ${version}, this program knows ${SCHEMA_VERSION}: use a newer one`,
    )
  }
  const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()!.n as number
  if (tables > 0 || application !== 0 || version !== 0) {
    throw new IndelibleError('ERR_STORE_VERSION', `${path} is not a log of this program`)
  }
  return 0
}

function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return db.prepare(`PRAGMA ${name}`).get()![name] as number
}

/** Whether SQLite refused because another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === BUSY
}

// Result codes, https://www.sqlite.org/rescode.html: primary ones, and extended ones that say more.
const BUSY = 5
const READONLY = 8
const CANTOPEN = 14
const CODES: Record<number, IndelibleErrorCode> = {
  [BUSY]: 'ERR_STORE_BUSY',
  6: 'ERR_STORE_BUSY',
  [READONLY]: 'ERR_STORE_READONLY',
  11: 'ERR_STORE_CORRUPT',
  13: 'ERR_STORE_FULL',
  26: 'ERR_STORE_CORRUPT',
  522: 'ERR_STORE_CORRUPT', // SQLITE_IOERR_SHORT_READ: the file ends within a page
}

/** Gives an error of SQLite a stable code; errors that have one pass. */
export function storeError(error: unknown, what: string): Error {
  if (error instanceof IndelibleError || error instanceof RangeError || error instanceof TypeError) return error
  const extended = extendedCode(error)
  if (extended === undefined) return new IndelibleError('ERR_STORE_FAILED', what, { cause: error })
  const code = CODES[extended] ?? CODES[extended & 0xff] ?? 'ERR_STORE_FAILED'
  return new IndelibleError(code, `${what}: SQLite result ${extended}`, { cause: error })
}

function resultCode(error: unknown): number | undefined {
  const extended = extendedCode(error)
  return extended === undefined ? undefined : extended & 0xff
}

function extendedCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' ? errcode : undefined
}
