/** Which index answers for a log: a file in the home, or tables beside the log's own where the store is a server. */
import { join } from 'node:path'
import type { LogStore } from '../store/store.ts'
import { schemeOf } from '../store/stores.ts'
import { indexedEntries } from './index-state.ts'
import type { DerivedIndex } from './query.ts'

/** Whose index it is. */
export interface IndexPlace {
  readonly home: string
  /** Of the store. */
  readonly url: string
  readonly origin: string
}

interface IndexKind {
  open(place: IndexPlace, store: LogStore): Promise<DerivedIndex>
  /** Entries seen, asked without making or changing anything; `null` if there is no index. */
  indexed(place: IndexPlace): Promise<number | null>
  /** The file that it is in, if it is one. */
  file(place: IndexPlace): string | null
}

const fileIndex: IndexKind = {
  open: async ({ home }, store) => (await import('./sqlite-index.ts')).SqliteIndex.open(join(home, 'index.db'), store),
  indexed: async ({ home }) => indexedEntries(join(home, 'index.db')),
  file: ({ home }) => join(home, 'index.db'),
}

const postgresIndex: IndexKind = {
  open: async ({ url, origin }, store) => (await import('./postgres-index.ts')).PostgresIndex.open(url, origin, store),
  indexed: async ({ url, origin }) => (await import('./postgres-index.ts')).postgresIndexed(url, origin),
  file: () => null,
}

/** By the scheme of the store's URL; every other has the file. */
const KINDS: Readonly<Record<string, IndexKind>> = { postgres: postgresIndex, postgresql: postgresIndex }

function kindOf({ url }: IndexPlace): IndexKind {
  const scheme = schemeOf(url)
  return Object.hasOwn(KINDS, scheme) ? KINDS[scheme]! : fileIndex
}

/** Opens the index of a log, making it or making it anew where it does not fit. */
export function openIndex(place: IndexPlace, store: LogStore): Promise<DerivedIndex> {
  return kindOf(place).open(place, store)
}

/**
 * Entries that the index of a log has seen; `null` if there is none.
 * @throws IndelibleError `ERR_STORE_…` if it cannot be read
 */
export function indexedSize(place: IndexPlace): Promise<number | null> {
  return kindOf(place).indexed(place)
}

/** The file that the index of a log is in; `null` if it is in the store. */
export function indexFile(place: IndexPlace): string | null {
  return kindOf(place).file(place)
}
