/** Copies beside the log that an erasure has to reach. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { idTimeMs, isId } from '../record/id.ts'
import { isTime, parseTime } from '../record/time.ts'
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

/**
 * What waits for people to decide stands there in clear. It does not say whom it concerns: what has expired goes, and what has
 * not keeps the erasure pending, if it was there when that was asked for.
 */
export function approvalsPlace(directory: string): ErasurePlace {
  return {
    clean: async (sinceMs) => {
      const left = removeExpiredRequests(directory).filter((id) => idTimeMs(id) <= sinceMs)
      return left.length === 0 ? [] : [`approvals: ${left.length} requests wait to be decided`]
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

/**
 * Removes requests for approval that can be decided no more, and what cannot be read.
 * @param directory where requests wait, a file `ID.json` each with its `expires`
 * @param graceMs for how long after that they are left alone, ms
 * @returns ids of those that are left
 */
export function removeExpiredRequests(directory: string, graceMs = 0): string[] {
  if (!existsSync(directory)) return []
  const ids = new Set(readdirSync(directory).map((name) => name.slice(0, name.indexOf('.'))))
  return [...ids].filter((id) => {
    if (!isId(id) || !existsSync(join(directory, `${id}.json`))) return false
    const expires = readExpires(join(directory, `${id}.json`))
    if (expires !== null && Date.now() < expires + graceMs) return true
    for (const kind of ['json', 'decisions']) rmSync(join(directory, `${id}.${kind}`), { force: true })
    return false
  })
}

function readExpires(path: string): number | null {
  try {
    const { expires } = JSON.parse(readFileSync(path, 'utf8')) as { expires?: unknown }
    return typeof expires === 'string' && isTime(expires) ? parseTime(expires) : null
  } catch {
    // Used meanwhile, or damaged: then nobody can decide it either.
    return null
  }
}
