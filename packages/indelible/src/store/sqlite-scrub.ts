/**
 * Makes deleted rows physically gone from a SQLite log.
 *
 * `secure_delete` alone does not: it overwrites a deleted cell where it stands, but when SQLite balances a b-tree it moves
 * cells between pages, and may leave a copy of one in the unused middle of the page that it came from. Deleting the cell
 * later does not find that copy. (Measured: about one in a thousand deleted disclosures of mixed lengths.) So what is unused
 * is overwritten in steps, see `sqlite-cleaner.ts`. Where that cannot be done, `VACUUM` builds every page from live rows alone;
 * it keeps appends waiting for as long as it takes to write the log.
 */
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { isReadMeanwhile } from './sqlite-cleaner.ts'
import { keptDescriptor } from './sqlite-descriptor.ts'
import { isBusy, storeError } from './sqlite-schema.ts'

/** How long a reader that is just finishing is waited for, ms. */
const READER_MS = 500

/** What the worker is started with. */
export interface CleaningStart {
  readonly path: string
  readonly fd: number | null
  readonly timeoutMs: number
  readonly wanted: Int32Array
}

/** What the worker answers. */
type Cleaned = { readonly done: true } | { readonly errcode: number }

/**
 * Cleans the database at `path` in a thread of its own, and notes up to which deletion that was done.
 * @param wanted shared with that thread: its first element is 1 while it waits for the lock
 * @returns what is in the way: a `writer` that kept the lock for longer than `timeoutMs`, or a `reader` of an older state
 * @throws IndelibleError `ERR_STORE_FULL` where it has to be written anew, which needs room for it twice more; `ERR_STORE_…`
 */
export async function cleanDatabase(
  path: string,
  timeoutMs: number,
  wanted: Int32Array,
): Promise<'writer' | 'reader' | null> {
  const file = import.meta.url.endsWith('.ts') ? './sqlite-scrub-worker.ts' : './sqlite-scrub-worker.js'
  const workerData: CleaningStart = { path, fd: keptDescriptor(path), timeoutMs, wanted }
  // Not the main thread's arguments: Node refuses some of them for a thread that is a file.
  const worker = new Worker(new URL(file, import.meta.url), { workerData, execArgv: [], trackUnmanagedFds: false })
  const answer = await new Promise<Cleaned>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('worker ended without an answer')))
  }).catch((error) => {
    throw storeError(error, 'cannot clean the database')
  })
  if ('done' in answer) return null
  if (isReadMeanwhile(answer)) return 'reader'
  if (isBusy(answer)) return 'writer'
  throw storeError(answer, 'cannot clean the database')
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
