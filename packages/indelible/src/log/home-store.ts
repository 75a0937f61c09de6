/** The store of a home, for those who read it and need no log. */
import type { Config } from '../config/config.ts'
import type { LogStore } from '../store/store.ts'
import { openStoreAt } from '../store/stores.ts'
import { openVaultToRead, protectPayloads } from './vault-home.ts'

/** The store that a configuration names. Payloads are opened as far as the vault is at hand; none is sealed. */
export async function openStore(
  home: string,
  config: Config,
  options: { readonly readOnly?: boolean } = {},
): Promise<LogStore> {
  const store = await openStoreAt(config.log.store, { home, origin: config.log.origin, ...options })
  return protectPayloads(store, openVaultToRead(home, config), config)
}
