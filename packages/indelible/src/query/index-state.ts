/** How far an index has come, asked without making, bringing up to date or repairing it. */
import { existsSync } from 'node:fs'
import { IndelibleError } from '../errors.ts'
import { connect, storeError } from '../store/sqlite-schema.ts'
import { INDEX_VERSION } from './sqlite-index.ts'

/**
 * Entries that the index at `path` has seen; `null` if there is none yet.
 * @throws IndelibleError `ERR_STORE_…` if it cannot be read, `ERR_STORE_VERSION` if the next query will make it anew
 */
export function indexedEntries(path: string): number | null {
  if (!existsSync(path)) return null
  const db = connect(path, { readOnly: true })
  try {
    const { version, size } = db.prepare('SELECT version, size FROM state').get() ?? {}
    if (version !== INDEX_VERSION || typeof size !== 'number') {
      throw new IndelibleError('ERR_STORE_VERSION', `${path} is of another version: the next query makes it anew`)
    }
    return size
  } catch (error) {
    throw storeError(error, `${path} cannot be read`)
  } finally {
    db.close()
  }
}
