/** Dropping the partitions of a `postgres:` store that hold nothing but what was purged. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from './postgres-driver.ts'
import { stateOf } from './postgres-error.ts'

/** Whoever waits for a table stops everybody behind it: rather give up soon and ask again, ms. */
const LOCK_MS = 500
const ATTEMPTS = 20

/**
 * Drops partitions that end at or before `below`, one by one. One that others keep in use is left to be emptied row by row,
 * and dropped next time.
 */
export async function dropPartitions(connection: Connection, s: string, log: number, below: number): Promise<void> {
  const parts = await connection.query(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN ${s}.logs l ON l.id = $3
     WHERE i.inhparent IN (to_regclass($1), to_regclass($2)) AND split_part(c.relname, '_', 2) = $3::text
       AND split_part(c.relname, '_', 3)::bigint + l.partition_size <= $4 ORDER BY c.relname`,
    [`${s}.entries`, `${s}.payloads`, log, below],
  )
  for (const { name } of parts) await drop(connection, `${s}.${name}`)
}

async function drop(connection: Connection, table: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      await connection.script(`BEGIN; SET LOCAL lock_timeout = ${LOCK_MS}; DROP TABLE ${table}; COMMIT`)
      return
    } catch (error) {
      await connection.script('ROLLBACK')
      if (stateOf(error) !== '55P03') throw error
    }
    await sleep(100 * Math.random())
  }
}
