/** Copies beside the log that an erasure has to reach. */
import { existsSync, readdirSync } from 'node:fs'
import { idTimeMs, isId } from '../record/id.ts'
import { forgetDerived } from '../store/derived-scrub.ts'
import { connect, isBusy, storeError } from '../store/sqlite-schema.ts'
import type { ErasurePlace } from './erasure.ts'

/** The index beside the log: emptied, and filled again from what is left. */
export function indexPlace(path: string): ErasurePlace {
  return { clean: () => forgetDerived(path, 'index') }
}

/**
 * Events that wait to be replayed, or were set aside as damaged. They are encrypted, and which person they concern is not to
 * be seen: those that were there when the erasure was asked for keep it pending until they are replayed or removed.
 */
export function spoolPlace(directory: string): ErasurePlace {
  return {
    clean: async (sinceMs) => {
      if (!existsSync(directory)) return []
      const waiting = readdirSync(directory).filter((name) => {
        const id = name.slice(0, name.indexOf('.'))
        return /\.(spool|damaged)$/.test(name) && (!isId(id) || idTimeMs(id) <= sinceMs)
      })
      return waiting.length === 0 ? [] : [`spool: ${waiting.length} segments wait to be replayed, or are damaged`]
    },
  }
}

/** A vault: a key that was destroyed must not live on in the free space of its file. */
export function vaultPlace(path: string): ErasurePlace {
  return {
    clean: async () => {
      if (!existsSync(path)) return []
      const db = connect(path, {})
      try {
        db.exec('VACUUM')
        return []
      } catch (error) {
        if (isBusy(error)) return ['vault: locked by another process']
        throw storeError(error, 'cannot write the vault anew')
      } finally {
        db.close()
      }
    },
  }
}
