/** How far an index has come, asked without making, bringing up to date or repairing it. */
import { existsSync } from 'node:fs'
import { connect, storeError } from '../store/sqlite-schema.ts'
import { INDEX_VERSION } from './sqlite-index.ts'

/**
 * Entries that the index at `path` has seen; `null` if there is none, or one of another version, which is as good as none.
 * @throws IndelibleError `ERR_STORE_…` if it cannot be read
 */
export function indexedEntries(path: string): number | null {
  if (!existsSync(path)) return null
  const db = connect(path, { readOnly: true })
  try {
    const { version, size } = db.prepare('SELECT version, size FROM state').get() ?? {}
    return version === INDEX_VERSION && typeof size === 'number' ? size : null
  } catch (error) {
    throw storeError(error, `${path} cannot be read`)
  } finally {
    db.close()
  }
}
