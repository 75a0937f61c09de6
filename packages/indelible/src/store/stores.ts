/** Back-ends by the scheme of their URL. A new one is a file beside the others and a line here. */
import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import type { LogStore } from './store.ts'
import { folderFacts, type StoreFacts, sqliteFacts } from './store-facts.ts'

/** Whose store it is, and how it is wanted. */
export interface StoreUse {
  /** Folder that relative locations are in. */
  readonly home: string
  /** The log: a database may hold many. */
  readonly origin: string
  readonly readOnly?: boolean
}

interface Backend {
  /** For messages: `sqlite:PATH`. */
  readonly url: string
  /** Makes the store of a new log. */
  create(location: string, use: StoreUse): Promise<LogStore>
  /** @throws IndelibleError `ERR_STORE_MISSING` rather than making an empty store where a log was */
  open(location: string, use: StoreUse): Promise<LogStore>
  facts(location: string, use: StoreUse): Promise<StoreFacts>
}

/** Loaded when they are asked for: most processes use one. */
const BACKENDS: Readonly<Record<string, Backend>> = {
  sqlite: {
    url: 'sqlite:PATH',
    create: async (path, use) => (await import('./sqlite.ts')).openSqliteStore(inHome(use, path)),
    open: async (path, use) => {
      const { openSqliteStore } = await import('./sqlite.ts')
      return openSqliteStore(existing(inHome(use, path)), { readOnly: use.readOnly ?? false })
    },
    facts: async (path, use) => {
      const { SCHEMA_VERSION } = await import('./sqlite-schema.ts')
      const file = inHome(use, path)
      return sqliteFacts(file, SCHEMA_VERSION, dirname(file))
    },
  },
  ...Object.fromEntries(
    ['postgres', 'postgresql'].map((scheme) => [
      scheme,
      {
        url: `${scheme}://USER@HOST/DATABASE`,
        create: async (rest: string, { origin }: StoreUse) =>
          (await import('./postgres.ts')).openPostgresStore(`${scheme}:${rest}`, { origin, create: true }),
        open: async (rest: string, { origin, readOnly }: StoreUse) =>
          (await import('./postgres.ts')).openPostgresStore(`${scheme}:${rest}`, {
            origin,
            readOnly: readOnly ?? false,
          }),
        facts: async (rest: string, { origin }: StoreUse) =>
          (await import('./postgres-facts.ts')).postgresFacts(`${scheme}:${rest}`, origin),
      },
    ]),
  ),
  file: {
    url: 'file:DIR',
    create: async (location, use) => (await import('./file-url.ts')).createFileStore(location, use),
    open: async (location, use) => (await import('./file-url.ts')).openExistingFileStore(location, use),
    facts: async (location, use) => folderFacts((await import('./file-url.ts')).fileStoreFolder(location, use)),
  },
  null: {
    url: 'null:',
    create: async () => {
      throw new IndelibleError(
        'ERR_CONFIG_INVALID',
        'log.store: null: keeps no log: make one elsewhere and switch it off later',
      )
    },
    open: async () => new (await import('./null.ts')).NullStore(),
    facts: async () => ({ place: '', files: [], bytes: 0, folder: null, database: null, version: 'keeps nothing' }),
  },
}

/** URL of the store that keeps nothing. */
export const NULL_STORE = 'null:'

/** URL of the store of a log that says nothing about it. */
export const DEFAULT_STORE = 'sqlite:log.db'

/** @throws IndelibleError `ERR_CONFIG_INVALID` for a URL of no back-end, `ERR_STORE_MISSING`, and what the back-end throws */
export async function openStoreAt(url: string, use: StoreUse): Promise<LogStore> {
  const { backend, location } = find(url)
  return backend.open(location, use)
}

/** @throws IndelibleError `ERR_CONFIG_INVALID` for a URL of no back-end, and what the back-end throws */
export async function createStoreAt(url: string, use: StoreUse): Promise<LogStore> {
  const { backend, location } = find(url)
  return backend.create(location, use)
}

/** @throws IndelibleError `ERR_CONFIG_INVALID` for a URL of no back-end, and what the back-end or the file system throw */
export async function storeFacts(url: string, use: StoreUse): Promise<StoreFacts> {
  const { backend, location } = find(url)
  return backend.facts(location, use)
}

/** What comes before the first colon; empty if there is none. */
export function schemeOf(url: string): string {
  return url.slice(0, Math.max(url.indexOf(':'), 0))
}

function find(url: string): { backend: Backend; location: string } {
  const scheme = schemeOf(url)
  const location = url.slice(scheme.length + 1)
  if (!Object.hasOwn(BACKENDS, scheme) || (location === '') !== (scheme === 'null')) {
    const known = Object.values(BACKENDS).map((backend) => backend.url)
    // The rest of a URL may hold a password.
    throw new IndelibleError('ERR_CONFIG_INVALID', `log.store: expected ${known.join(' or ')}, found ${scheme}:`)
  }
  return { backend: BACKENDS[scheme]!, location }
}

/** A path as a URL gives it: relative ones are in the home. */
export function inHome({ home }: StoreUse, path: string): string {
  return isAbsolute(path) ? path : join(home, path)
}

function existing(path: string): string {
  if (existsSync(path)) return path
  throw new IndelibleError('ERR_STORE_MISSING', `${path} is missing: the log was deleted, moved or not restored`)
}
