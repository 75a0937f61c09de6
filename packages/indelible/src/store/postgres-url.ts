/** What the URL of a `postgres:` store says: which server and database, and the few settings that are ours. */
import type { ClientConfig } from 'pg'
import { IndelibleError } from '../errors.ts'

export interface PostgresPlace {
  /** For the driver. Holds the password: never to be shown. */
  readonly client: ClientConfig
  /** For a connection that must not go through a pooler; `null` if the URL says that there is none. */
  readonly direct: ClientConfig | null
  /** Schema that the tables are in. */
  readonly schema: string
  /** Entries of one partition, for logs that are made. */
  readonly partition: number
  /** How long an append waits for the lock, for a server that restarts included, ms. */
  readonly lockTimeoutMs: number
  /** How long one statement may take, ms. */
  readonly statementTimeoutMs: number
  /** `host:port/database`, for messages: holds no password. */
  readonly name: string
}

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Takes a URL apart, beginning with `postgres:` or `postgresql:`. Ours among its parameters are `schema`, `partition`,
 * `lock_timeout` and `statement_timeout` (seconds), and `listen`: `off`, or `HOST:PORT` of the server behind a pooler.
 *
 * @throws IndelibleError `ERR_CONFIG_INVALID`; the message does not repeat the URL, which may hold a password
 */
export function parsePostgresUrl(text: string): PostgresPlace {
  let url: URL
  try {
    url = new URL(text)
    decodeURIComponent(url.username + url.password)
  } catch {
    throw invalid('expected postgres://USER@HOST:PORT/DATABASE, with special characters of a password as %XX')
  }
  const take = (name: string): string | null => {
    const value = url.searchParams.get(name)
    url.searchParams.delete(name)
    return value
  }
  const schema = take('schema') ?? 'indelible'
  if (!/^[a-z_][a-z0-9_]{0,47}$/.test(schema)) throw invalid('schema: expected small letters, digits and _')
  const partition = numberOf('partition', take('partition'), 1_048_576)
  if (partition % 256 !== 0) throw invalid('partition: expected a multiple of 256')
  const lockTimeoutMs = 1000 * numberOf('lock_timeout', take('lock_timeout'), 30)
  const statementTimeoutMs = 1000 * numberOf('statement_timeout', take('statement_timeout'), 300)
  const listen = take('listen')
  const client = configOf(url)
  const host = url.searchParams.get('host') ?? url.hostname
  const name = `${host || 'localhost'}${url.port && `:${url.port}`}${url.pathname}`
  return { client, direct: directOf(listen, url, client), schema, partition, lockTimeoutMs, statementTimeoutMs, name }
}

function directOf(listen: string | null, url: URL, client: ClientConfig): ClientConfig | null {
  if (listen === null) return client
  if (listen === 'off') return null
  const match = /^([^:/@]+):([0-9]{1,5})$/.exec(listen)
  if (!match) throw invalid('listen: expected off, or HOST:PORT of the server itself')
  const direct = new URL(url)
  direct.hostname = match[1]!
  direct.port = match[2]!
  return configOf(direct)
}

function configOf(url: URL): ClientConfig {
  return {
    connectionString: url.href,
    application_name: 'indelible',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  }
}

function numberOf(name: string, text: string | null, otherwise: number): number {
  if (text === null) return otherwise
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw invalid(`${name}: expected a whole number`)
  return Number(text)
}

function invalid(why: string): IndelibleError {
  return new IndelibleError('ERR_CONFIG_INVALID', `log.store: ${why}`)
}
