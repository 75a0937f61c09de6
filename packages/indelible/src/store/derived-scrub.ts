/**
 * Empties a derived SQLite database, such as an index, in place: a file that was deleted would live on in the processes that
 * have it open, and be filled by them with what they read before.
 *
 * What such a database has to have: a table `state` of one row with `size`, `leaf` and `generation`. Whoever fills it reads
 * the generation before the log, and writes only if it is still the same.
 */
import { existsSync, rmSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { isIndelibleError } from '../errors.ts'
import { connect, isBusy, storeError } from './sqlite-schema.ts'
import { emptyWal } from './sqlite-scrub.ts'

/**
 * @param name for the answer
 * @returns where contents may still be, as `scrub` of a store does
 */
export async function forgetDerived(path: string, name: string): Promise<readonly string[]> {
  if (!existsSync(path)) return []
  let db: DatabaseSync
  try {
    db = connect(path, {})
  } catch (error) {
    return removeDamaged(path, error)
  }
  try {
    db.exec('BEGIN IMMEDIATE')
    if (!isEmpty(db)) {
      for (const { table, isWords } of tables(db)) {
        // FTS5 of a table without contents has a command of its own; a DELETE would only mark rows.
        db.exec(isWords ? `INSERT INTO "${table}" ("${table}") VALUES ('delete-all')` : `DELETE FROM "${table}"`)
      }
    }
    // Also if it is empty: somebody may have read the log already, and be about to fill it.
    db.exec(`UPDATE state SET size = 0, leaf = x'', generation = generation + 1; COMMIT; VACUUM`)
    return (await emptyWal(db)) ? [] : [`${name}: another process reads an older state`]
  } catch (error) {
    if (isBusy(error)) return [`${name}: locked by another process`]
    return removeDamaged(path, error)
  } finally {
    if (db.isTransaction) db.exec('ROLLBACK')
    db.close()
  }
}

function isEmpty(db: DatabaseSync): boolean {
  return db.prepare('SELECT size FROM state').get()?.size === 0
}

/** Tables but `state`; of a full-text table only its face, not those that it is made of. */
function tables(db: DatabaseSync): { table: string; isWords: boolean }[] {
  const rows = db.prepare(`SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'`)
  return rows
    .all()
    .filter(({ name, type }) => (type === 'table' && name !== 'state') || type === 'virtual')
    .map(({ name, type }) => ({ table: String(name), isWords: type === 'virtual' }))
}

/** A derived database that cannot be emptied, being damaged or of an older version, holds nothing that the log does not. */
function removeDamaged(path: string, error: unknown): readonly string[] {
  const known = storeError(error, 'cannot empty the index')
  if (!isIndelibleError(known, 'ERR_STORE_CORRUPT', 'ERR_STORE_FAILED')) throw known
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
  return []
}
