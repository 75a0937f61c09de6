/** A lock by name among all who reach a database: one runs retention, whichever replica it is. */
import { createHash } from 'node:crypto'
import { Connection, type Driver } from './postgres-driver.ts'
import { postgresError } from './postgres-error.ts'
import type { PostgresPlace } from './postgres-url.ts'

/** How long to wait for it, ms: who has it may read much of the log. */
const WAIT_MS = 30_000

/**
 * Runs `work` under an advisory lock of a transaction of its own, so that a pooler may stand in between; whoever dies lets go
 * of it with the connection.
 *
 * @throws IndelibleError `ERR_STORE_BUSY` if somebody else has it for long; what `work` throws is thrown on
 */
export async function withAdvisoryLock<T>(
  driver: Driver,
  place: PostgresPlace,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const connection = new Connection(driver, place.client)
  const key = createHash('sha256').update(`indelible/lock@1\n${name}`).digest().readBigInt64BE()
  try {
    await connection.script(
      `BEGIN; SET LOCAL lock_timeout = ${WAIT_MS}; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(${key})`,
    )
  } catch (error) {
    await connection.close()
    throw postgresError(error, `cannot get the lock for ${name}`)
  }
  try {
    return await work()
  } finally {
    // Nothing was written: the end of the connection is the end of the transaction, and of the lock.
    await connection.close()
  }
}
