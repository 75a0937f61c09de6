/** Making the tables of a `postgres:` store, bringing them up to date, and giving roles what they need. */
import { IndelibleError } from '../errors.ts'
import { Connection, loadDriver, type Query, type Row } from './postgres-driver.ts'
import { postgresError, stateOf } from './postgres-error.ts'
import { MIGRATIONS } from './postgres-tables.ts'
import { type PostgresPlace, parsePostgresUrl } from './postgres-url.ts'

/** Version of the tables that this program knows. */
export const POSTGRES_SCHEMA_VERSION = MIGRATIONS.length

/** Oldest server that the tests run on. */
const MIN_SERVER = 150_000

export interface SchemaState {
  /** 0 if there are no tables. */
  readonly version: number
  /** Whether the connected role may change the tables. */
  readonly isOwner: boolean
}

/**
 * Looks at the tables, without changing them.
 * @throws IndelibleError `ERR_STORE_VERSION` for tables of a newer version, a server that is too old or not in UTF-8
 */
async function inspectSchema(query: Query, { schema, name }: PostgresPlace): Promise<SchemaState> {
  const [server] = await query(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
       to_regclass($1) IS NOT NULL AS made,
       coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $2), true) AS owner`,
    [`${schema}.meta`, schema],
  )
  const { version: serverVersion, encoding, made, owner } = server as Row
  if (Number(serverVersion) < MIN_SERVER) {
    throw new IndelibleError(
      'ERR_STORE_VERSION',
      `${name} is Postgres ${(serverVersion / 10_000) | 0}, expected 15 or newer`,
    )
  }
  if (encoding !== 'UTF8') {
    throw new IndelibleError('ERR_STORE_VERSION', `${name} is encoded as ${encoding}, expected UTF8`)
  }
  if (!made) return { version: 0, isOwner: owner as boolean }
  const [meta] = await query(`SELECT version FROM ${schema}.meta`)
  const version = Number((meta as Row | undefined)?.version ?? 0)
  if (version > POSTGRES_SCHEMA_VERSION) {
    throw new IndelibleError(
      'ERR_STORE_VERSION',
      `${name}, schema ${schema}, has version ${version}, this program knows ${POSTGRES_SCHEMA_VERSION}: use a newer one`,
    )
  }
  return { version, isOwner: owner as boolean }
}

/**
 * Brings the tables up to date if the connected role owns them, making them if there are none and `make` says so.
 *
 * @throws IndelibleError `ERR_STORE_MISSING` if there are none, `ERR_STORE_VERSION` if they are of an older version and the
 * role is not their owner, or of a newer one; `ERR_STORE_DENIED` if the role may not make them
 */
export async function prepareSchema(query: Query, connection: Connection, place: PostgresPlace, make: boolean) {
  const { schema, name } = place
  const { version, isOwner } = await inspectSchema(query, place)
  if (version === POSTGRES_SCHEMA_VERSION) return
  if (version === 0 && !make) {
    throw new IndelibleError(
      'ERR_STORE_MISSING',
      `${name} has no tables in schema ${schema}: not restored, or another database`,
    )
  }
  if (!isOwner) {
    throw new IndelibleError(
      'ERR_STORE_VERSION',
      `${name}, schema ${schema}, has version ${version}, expected ${POSTGRES_SCHEMA_VERSION}: run indelible store setup as its owner`,
    )
  }
  await migrate(connection, schema, POSTGRES_SCHEMA_VERSION)
}

/** Brings the tables up to a version, in one transaction, one process at a time. */
export async function migrate(connection: Connection, schema: string, upTo: number): Promise<void> {
  try {
    // A lock of the transaction, not of the session: a pooler may stand in between.
    await connection.script(`BEGIN; SELECT pg_advisory_xact_lock(hashtext('indelible'), hashtext('${schema}'))`)
    await connection.script(`
      CREATE SCHEMA IF NOT EXISTS ${schema};
      CREATE TABLE IF NOT EXISTS ${schema}.meta (one int PRIMARY KEY DEFAULT 1 CHECK (one = 1), version int NOT NULL);
      INSERT INTO ${schema}.meta (version) VALUES (0) ON CONFLICT DO NOTHING`)
    const [row] = await connection.script(`SELECT version FROM ${schema}.meta`)
    for (let version = Number(row!.version); version < upTo; version++) {
      await connection.script(MIGRATIONS[version]!(schema))
    }
    await connection.script(`UPDATE ${schema}.meta SET version = greatest(version, ${upTo})`)
    for (const { role, rights } of await accessRows(connection, schema)) await grant(connection, schema, role, rights)
    await connection.script('COMMIT')
  } catch (error) {
    await connection.script('ROLLBACK').catch(() => connection.discard())
    const action = stateOf(error) === '42501' ? ': let its owner run indelible store setup' : ''
    throw postgresError(error, `cannot prepare schema ${schema}${action}`)
  }
}

type Rights = 'write' | 'read'

async function accessRows(connection: Connection, schema: string): Promise<{ role: string; rights: Rights }[]> {
  const rows = await connection.script(
    `SELECT DISTINCT a.role, a.rights FROM ${schema}.access a JOIN pg_roles r ON r.rolname = a.role`,
  )
  return rows as { role: string; rights: Rights }[]
}

const READ_TABLES = [
  ...['meta', 'logs', 'mine', 'entries', 'payloads', 'ids', 'subjects', 'tiles', 'checkpoints', 'head'],
  ...['index_state', 'index_rows', 'index_words', 'index_blocks', 'index_runs'],
]
const INSERT_TABLES = ['ids_all', 'subjects_all', 'index_rows_all', 'index_words_all']

/** Privileges on the tables; which rows a role sees is in `access`. */
async function grant(connection: Connection, schema: string, role: string, rights: Rights): Promise<void> {
  const name = quoted(role)
  const list = (tables: readonly string[]) => tables.map((table) => `${schema}.${table}`).join(', ')
  await connection.script(`GRANT USAGE ON SCHEMA ${schema} TO ${name}; GRANT SELECT ON ${list(READ_TABLES)} TO ${name}`)
  if (rights === 'read') return
  await connection.script(`
    GRANT INSERT ON ${list(INSERT_TABLES)} TO ${name};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${schema} TO ${name}`)
}

function quoted(role: string): string {
  return `"${role.replaceAll('"', '""')}"`
}

/** Who may do what with the logs of a schema. */
export interface AccessGrant {
  readonly role: string
  readonly rights: Rights
  /** One log; default all, those to come included. */
  readonly origin?: string
  /** Of a reader: entries of this tenant only. */
  readonly tenant?: string
}

export interface SetupOptions {
  readonly grants?: readonly AccessGrant[]
}

/**
 * Makes the tables, or brings them up to date, and lets roles write or read. To be run as the owner of the schema.
 *
 * @throws IndelibleError `ERR_STORE_DENIED`, `ERR_STORE_VERSION`, `ERR_STORE_MISSING` for an origin that is not there,
 * `ERR_CONFIG_INVALID` for a role that is not there
 */
export async function setupPostgres(url: string, { grants = [] }: SetupOptions = {}): Promise<void> {
  const place = parsePostgresUrl(url)
  const connection = new Connection(await loadDriver(), place.client)
  try {
    await connection.open()
    await prepareSchema(connection.query, connection, place, true)
    for (const one of grants) await addGrant(connection, place, one)
  } catch (error) {
    throw postgresError(error, `cannot set up ${place.name}`)
  } finally {
    await connection.close()
  }
}

async function addGrant(connection: Connection, { schema, name }: PostgresPlace, one: AccessGrant): Promise<void> {
  const { role, rights, origin, tenant = null } = one
  const [known] = await connection.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role])
  if (!known) throw new IndelibleError('ERR_CONFIG_INVALID', `${name} has no role ${role}: CREATE ROLE first`)
  let log: number | null = null
  if (origin !== undefined) {
    const [row] = await connection.query(`SELECT id FROM ${schema}.logs WHERE origin = $1`, [origin])
    if (!row) throw new IndelibleError('ERR_STORE_MISSING', `${name} has no log ${origin}`)
    log = row.id as number
  }
  await connection.query(
    `INSERT INTO ${schema}.access (role, rights, log, tenant) SELECT $1::text, $2::text, $3::int, $4::text WHERE NOT EXISTS (
       SELECT FROM ${schema}.access WHERE role = $1 AND rights = $2
         AND log IS NOT DISTINCT FROM $3 AND tenant IS NOT DISTINCT FROM $4)`,
    [role, rights, log, tenant],
  )
  await grant(connection, schema, role, rights)
  if (rights === 'read') return
  // Partitions that are there already; later ones come with the privilege.
  const parts = await connection.query(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent IN (to_regclass($1), to_regclass($2)) AND ($3::int IS NULL OR split_part(c.relname, '_', 2) = $3::text)`,
    [`${schema}.entries`, `${schema}.payloads`, log],
  )
  for (const part of parts) await connection.script(`GRANT INSERT ON ${schema}.${part.name} TO ${quoted(role)}`)
}
