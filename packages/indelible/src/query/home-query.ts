/** Queries on the log of a home. */
import { join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { openStore, resolveHome } from '../log/home.ts'
import type { LogStore } from '../store/store.ts'
import { QueryEngine } from './query.ts'
import { SqliteIndex, type UpdateOptions } from './sqlite-index.ts'

export interface OpenQueryOptions extends UpdateOptions {
  readonly home?: string
  /** Whether the index first takes in what the log has gained. Default true; without, that is scanned by each query. */
  readonly update?: boolean
}

/** Answers questions; see {@link QueryEngine}. */
export class HomeQuery extends QueryEngine {
  readonly origin: string
  readonly store: LogStore
  readonly #index: SqliteIndex

  constructor(origin: string, store: LogStore, index: SqliteIndex) {
    super(store, index)
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
    this.#index.reset()
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
    const query = new HomeQuery(config.log.origin, store, await SqliteIndex.open(join(home, 'index.db'), store))
    if (options.update !== false) await query.update(options)
    return query
  } catch (error) {
    await store.close()
    throw error
  }
}
