/** The thread of {@link SqliteBackground}: takes the lock, looks at the head, writes, commits, answers. */
import { parentPort, workerData } from 'node:worker_threads'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type PackedBatch, unpackBatch } from './packed-batch.ts'
import type { BackgroundAnswer, BackgroundStart } from './sqlite-background.ts'
import { Connection, readHead, writeBatch } from './sqlite-rows.ts'
import { connect, DEFAULT_LOCK_TIMEOUT_MS, isBusy, storeError } from './sqlite-schema.ts'
import type { Head } from './store.ts'

const { path, options } = workerData as BackgroundStart
const port = parentPort!
const pause = new Int32Array(new SharedArrayBuffer(4))
let connection: Connection | null = null

port.on('message', (packed: PackedBatch | null) => {
  if (packed === null) {
    connection?.db.close()
    port.close()
    return
  }
  port.postMessage(answerTo(packed))
})

function answerTo(packed: PackedBatch): BackgroundAnswer {
  try {
    connection ??= open()
    return { written: append(connection, packed) }
  } catch (error) {
    const known = storeError(error, 'append failed')
    const code = isIndelibleError(known) ? known.code : 'ERR_STORE_FAILED'
    return { error: { code, message: known.message } }
  }
}

function open(): Connection {
  const opened = new Connection(connect(path, options))
  opened.exec('PRAGMA busy_timeout = 0')
  return opened
}

function append(connection: Connection, packed: PackedBatch): boolean {
  begin(connection)
  try {
    const head = readHead(connection)
    if (head === null || !isSameHead(head, packed.after)) return false
    writeBatch(connection, unpackBatch(packed), head.size)
    connection.statement('COMMIT').run()
    return true
  } catch (error) {
    // An id that the log has; what the head said was compared.
    if (isIndelibleError(error, 'ERR_STORE_CONFLICT')) return false
    throw error
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

/** All but `minIndex`, which others may raise without going on from the head. */
function isSameHead(a: Head, b: Head): boolean {
  return (
    a.size === b.size &&
    a.checkpoint === b.checkpoint &&
    a.epoch === b.epoch &&
    a.observed === b.observed &&
    a.published === b.published &&
    isEqual(a.mac, b.mac) &&
    a.frontier.length === b.frontier.length &&
    a.frontier.every((hash, i) => isEqual(hash, b.frontier[i]!))
  )
}
