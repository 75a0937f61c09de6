/**
 * Makes deleted rows physically gone from a SQLite log.
 *
 * `secure_delete` alone does not: it overwrites a deleted cell where it stands, but when SQLite balances a b-tree it moves
 * cells between pages, and may leave a copy of one in the unused middle of the page that it came from. Deleting the cell
 * later does not find that copy. (Measured: about one in a thousand deleted disclosures of mixed lengths.) `VACUUM` builds
 * every page from live rows alone.
 */
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { isBusy, storeError } from './sqlite-schema.ts'

/** How long a reader that is just finishing is waited for, ms. */
const READER_MS = 500

/** What the worker answers. */
export type Rewritten = { readonly done: true } | { readonly errcode: number }

/**
 * Writes the database at `path` anew, in a thread of its own: it takes as long as writing the log, and the agent goes on.
 * @returns `false` if another process kept the lock for longer than `timeoutMs`
 * @throws IndelibleError `ERR_STORE_FULL`: it needs room for the database twice more, `ERR_STORE_…`
 */
export async function rewriteDatabase(path: string, timeoutMs: number): Promise<boolean> {
  const file = import.meta.url.endsWith('.ts') ? './sqlite-scrub-worker.ts' : './sqlite-scrub-worker.js'
  const worker = new Worker(new URL(file, import.meta.url), { workerData: { path, timeoutMs } })
  const answer = await new Promise<Rewritten>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('worker ended without an answer')))
  }).catch((error) => {
    throw storeError(error, 'cannot write the database anew')
  })
  if ('done' in answer) return true
  if (isBusy(answer)) return false
  throw storeError(answer, 'cannot write the database anew')
}

/**
 * Moves the WAL into the database and cuts it to nothing.
 * @returns `false` if a reader still needs it
 */
export async function emptyWal(db: DatabaseSync): Promise<boolean> {
  const deadline = performance.now() + READER_MS
  for (;;) {
    try {
      if (db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()!.busy === 0) return true
    } catch (error) {
      if (!isBusy(error)) throw storeError(error, 'cannot empty the WAL')
    }
    if (performance.now() > deadline) return false
    await sleep(20)
  }
}
