/** Search by the real identifier, for those who may read the vault. */
import { type Config, loadConfig } from '../config/config.ts'
import { openVaultToRead } from '../log/vault-home.ts'
import type { EntryFilter } from './filter.ts'

/** Columns that may hold pseudonyms, and of what kind. */
const COLUMNS = { actor: 'person', on_behalf_of: 'person', session: 'session' } as const

export interface PseudonymReader {
  /** The token of an identifier, if it has one. */
  token(kind: 'person' | 'session', id: string): string | null
}

/** The filter that also finds whoever is asked for under a pseudonym. Entries from before there were pseudonyms still answer. */
export function withPseudonyms(filter: EntryFilter, vault: PseudonymReader): EntryFilter {
  const wider: Record<string, readonly string[]> = {}
  for (const [column, kind] of Object.entries(COLUMNS) as [keyof typeof COLUMNS, 'person' | 'session'][]) {
    const asked = filter[column]
    if (asked === undefined) continue
    const ids = typeof asked === 'string' ? [asked] : asked
    const tokens = ids.map((id) => vault.token(kind, id)).filter((token) => token !== null)
    if (tokens.length > 0) wider[column] = [...ids, ...tokens]
  }
  return { ...filter, ...wider }
}

/** {@link withPseudonyms} with the vault of a home; the filter as it is where there is none that can be read. */
export function pseudonymTranslator(
  home: string,
  config: Config = loadConfig(home),
): (filter: EntryFilter) => EntryFilter {
  return (filter) => {
    if (Object.keys(COLUMNS).every((column) => filter[column as keyof typeof COLUMNS] === undefined)) return filter
    const vault = openVaultToRead(home, config)
    if (!vault) return filter
    try {
      return withPseudonyms(filter, vault)
    } finally {
      vault.close()
    }
  }
}
