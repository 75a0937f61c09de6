/** Making what was deleted physically gone from a server, as far as one that is connected to it can. */
import type { Connection } from './postgres-driver.ts'
import { stateOf } from './postgres-error.ts'

const LOCK_MS = 30_000

/**
 * Rewrites the tables that erasing deletes from, and moves the server on behind the WAL that has the old rows. What the role
 * may not do, or may not see, is said and not assumed.
 *
 * @returns where it may still be
 */
export async function scrub(connection: Connection, s: string, log: number): Promise<readonly string[]> {
  const left: string[] = []
  const tables = await connection.query(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass($1) AND split_part(c.relname, '_', 2) = $2::text`,
    [`${s}.payloads`, log],
  )
  for (const table of [...tables.map(({ name }) => name as string), 'ids_all', 'subjects_all', 'index_words_all']) {
    if (!(await rewrite(connection, `${s}.${table}`))) {
      left.push(`dead rows of table ${s}.${table}: in use, or of another owner`)
    }
  }
  return [...left, ...(await walLeft(connection))]
}

async function rewrite(connection: Connection, table: string): Promise<boolean> {
  // VACUUM says of a table of somebody else only that it was skipped.
  const [owner] = await connection.query(
    'SELECT pg_has_role(relowner, $2) AS mine FROM pg_class WHERE oid = to_regclass($1)',
    [table, 'USAGE'],
  )
  if (!owner?.mine) return false
  try {
    // VACUUM is no part of a transaction, so the time-out cannot be either; a table that is in use for long is left.
    await connection.query(`SELECT set_config('lock_timeout', $1, false)`, [`${LOCK_MS}`])
    await connection.query(`VACUUM FULL ${table}`)
    return true
  } catch (error) {
    if (['55P03', '42501', '40P01'].includes(stateOf(error))) return false
    throw error
  } finally {
    await connection.query(`SELECT set_config('lock_timeout', '0', false)`).catch(() => {})
  }
}

/** What of the WAL is older than now, or kept for reuse with what is in it. */
async function walLeft(connection: Connection): Promise<string[]> {
  const left: string[] = []
  const [server] = await connection.query(
    `SELECT current_setting('archive_mode') <> 'off' AS archives, pg_current_wal_lsn()::text AS lsn,
       (SELECT count(*) FROM pg_replication_slots) AS slots`,
  )
  if (server!.archives) left.push('archived WAL, and backups: outside of what the database can reach')
  if (server!.slots > 0) left.push('WAL that is kept for replication, and what replicas keep')
  try {
    await connection.query('SELECT pg_switch_wal()')
    await connection.query('CHECKPOINT')
    const [wal] = await connection.query(
      `SELECT count(*) AS n FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND
         (name < pg_walfile_name($1::pg_lsn) OR name = pg_walfile_name($1::pg_lsn) OR name > pg_walfile_name(pg_current_wal_insert_lsn()))`,
      [server!.lsn],
    )
    if (wal!.n > 0) left.push(`${wal!.n} WAL segments that the server keeps, or keeps for reuse (wal_recycle)`)
  } catch (error) {
    if (stateOf(error) !== '42501') throw error
    left.push('WAL of the server: this role may not look at it')
  }
  return left
}
