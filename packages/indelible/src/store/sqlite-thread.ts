/** The thread that writes to a log in SQLite: takes the lock, looks at the head, writes, commits. */
import { workerData } from 'node:worker_threads'
import { IndelibleError } from '../errors.ts'
import { serve } from './background-thread.ts'
import { isSameHead } from './same-head.ts'
import { Connection, readHead, writeBatch } from './sqlite-rows.ts'
import { connect, DEFAULT_LOCK_TIMEOUT_MS, isBusy, type SqliteOptions, storeError } from './sqlite-schema.ts'
import type { Batch, Head } from './store.ts'

/** What the thread is started with. */
export interface SqliteThreadStart {
  readonly path: string
  readonly options: SqliteOptions
}

const { path, options } = workerData as SqliteThreadStart
const pause = new Int32Array(new SharedArrayBuffer(4))
let connection: Connection | null = null

serve(
  {
    async append(after, batch) {
      connection ??= open()
      return append(connection, after, batch)
    },
    close: () => connection?.db.close(),
  },
  (error) => storeError(error, 'append failed'),
)

function open(): Connection {
  const opened = new Connection(connect(path, options))
  opened.exec('PRAGMA busy_timeout = 0')
  return opened
}

function append(connection: Connection, after: Head, batch: Batch): boolean {
  begin(connection)
  try {
    if (!isSameHead(readHead(connection), after)) return false
    writeBatch(connection, batch, after.size)
    connection.statement('COMMIT').run()
    return true
  } finally {
    if (connection.db.isTransaction) connection.exec('ROLLBACK')
  }
}

/** Not SQLite's own busy handler: its pauses grow to a tenth of a second, and other writers would always be faster. */
function begin(connection: Connection): void {
  const deadline = performance.now() + (options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS)
  for (let pauseMs = 0.5; ; pauseMs = Math.min(pauseMs * 1.5, 10)) {
    try {
      connection.statement('BEGIN IMMEDIATE').run()
      return
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) {
        const known = storeError(error, 'cannot lock the log')
        throw known instanceof IndelibleError ? known : error
      }
    }
    Atomics.wait(pause, 0, 0, pauseMs * (0.5 + Math.random()))
  }
}
