/** Queries on the log of a home. */
import { loadConfig } from '../config/config.ts'
import { resolveHome } from '../log/home-paths.ts'
import { openStore } from '../log/home-store.ts'
import type { LogStore } from '../store/store.ts'
import type { EntryFilter } from './filter.ts'
import { openIndex } from './indexes.ts'
import { pseudonymTranslator } from './pseudonyms.ts'
import { type DerivedIndex, QueryEngine, type UpdateOptions } from './query.ts'

export interface OpenQueryOptions extends UpdateOptions {
  readonly home?: string
  /** Whether the index first takes in what the log has gained. Default true; without, that is scanned by each query. */
  readonly update?: boolean
}

/** Answers questions; see {@link QueryEngine}. */
export class HomeQuery extends QueryEngine {
  readonly origin: string
  readonly store: LogStore
  readonly #index: DerivedIndex

  constructor(origin: string, store: LogStore, index: DerivedIndex, translate?: (filter: EntryFilter) => EntryFilter) {
    super(store, index, translate)
    this.origin = origin
    this.store = store
    this.#index = index
  }

  /** Takes in what the log has gained since. */
  update(options: UpdateOptions = {}): Promise<number> {
    return this.#index.update(this.store, options)
  }

  /** Makes the index anew. */
  async rebuild(options: UpdateOptions = {}): Promise<number> {
    await this.#index.reset()
    return this.update(options)
  }

  /** Entries that the index has seen. */
  indexed(): Promise<number> {
    return this.#index.size()
  }

  override async close(): Promise<void> {
    await super.close()
    await this.store.close()
  }
}

/** @throws IndelibleError `ERR_HOME_NOT_FOUND`, `ERR_CONFIG_INVALID`, `ERR_STORE_…` */
export async function openQuery(options: OpenQueryOptions = {}): Promise<HomeQuery> {
  const home = resolveHome(options.home)
  const config = loadConfig(home)
  const store = await openStore(home, config, { readOnly: true })
  try {
    const index = await openIndex({ home, url: config.log.store, origin: config.log.origin }, store)
    const query = new HomeQuery(config.log.origin, store, index, pseudonymTranslator(home, config))
    if (options.update !== false) await query.update(options)
    return query
  } catch (error) {
    await store.close()
    throw error
  }
}
