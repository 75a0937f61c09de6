/** What a log takes in its database, for those who operate it. */
import { loadDriver, Readers } from './postgres-driver.ts'
import { POSTGRES_SCHEMA_VERSION } from './postgres-schema.ts'
import { parsePostgresUrl } from './postgres-url.ts'
import type { StoreFacts } from './store-facts.ts'

/** @throws IndelibleError `ERR_STORE_…` */
export async function postgresFacts(url: string, origin: string): Promise<StoreFacts> {
  const place = parsePostgresUrl(url)
  const readers = new Readers(await loadDriver(), place)
  try {
    // Of the log's own tables; others have rows of all logs.
    const [row] = await readers.query(
      `SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint AS bytes,
         current_setting('server_version') AS server
       FROM ${place.schema}.logs l JOIN pg_inherits i ON i.inhparent IN (to_regclass($2), to_regclass($3))
         JOIN pg_class c ON c.oid = i.inhrelid AND split_part(c.relname, '_', 2) = l.id::text
       WHERE l.origin = $1`,
      [origin, `${place.schema}.entries`, `${place.schema}.payloads`],
    )
    const version = `schema version ${POSTGRES_SCHEMA_VERSION} on Postgres ${String(row!.server).split(' ')[0]}`
    return { place: place.name, files: [], bytes: row!.bytes as number, folder: null, database: null, version }
  } finally {
    await readers.close()
  }
}
