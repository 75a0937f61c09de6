/** Indexes a growing log in a thread of its own, so that whoever records is not slowed down. */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { openQuery } from './home-query.ts'

/** After nothing was new. */
const PAUSE_MS = 250

/** After something was: of a log that grows fast, a few large pieces cost far less than many small ones. */
const SHORT_PAUSE_MS = 100

/** By `setpriority`: a tenth of the processor time of whoever records, where the two want the same one. */
const NICENESS = 10

/** A query scans what is not indexed; whoever records waits for nothing else. Where threads have no priority, nothing happens. */
function stepBack(): void {
  try {
    // On Linux a thread has a number and a priority of its own; elsewhere there is no such link.
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), NICENESS)
  } catch {
    // As before.
  }
}

const stop = new AbortController()
parentPort!.once('message', () => stop.abort())

stepBack()
const query = await openQuery({ home: (workerData as { home: string }).home, update: false })
while (!stop.signal.aborted) {
  const indexed = await query.update({ signal: stop.signal })
  await sleep(indexed === 0 ? PAUSE_MS : SHORT_PAUSE_MS, undefined, { signal: stop.signal }).catch(() => {})
}
await query.close()
parentPort!.close()
