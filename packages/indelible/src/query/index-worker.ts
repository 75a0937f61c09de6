/** Indexes a growing log in a thread of its own, so that whoever records is not slowed down. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { openQuery } from './home-query.ts'

const PAUSE_MS = 250

const stop = new AbortController()
parentPort!.once('message', () => stop.abort())

const query = await openQuery({ home: (workerData as { home: string }).home, update: false })
while (!stop.signal.aborted) {
  const indexed = await query.update({ signal: stop.signal })
  if (indexed === 0) await sleep(PAUSE_MS, undefined, { signal: stop.signal }).catch(() => {})
}
await query.close()
parentPort!.close()
