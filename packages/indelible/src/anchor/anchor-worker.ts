/** Anchors a growing log in a thread of its own, so that whoever records is not slowed down. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { isIndelibleError } from '../errors.ts'
import { AnchorRunner } from './runner.ts'

/** How often the log is looked at where entries are counted, and otherwise at most, ms. */
const COUNT_MS = 1000
const IDLE_MS = 60_000

/** What the thread tells its log. */
export interface AnchorNews {
  readonly anchor: string
  readonly code: string
}

const stop = new AbortController()
parentPort!.once('message', () => stop.abort())

await using runner = await AnchorRunner.open((workerData as { home: string }).home)
while (!stop.signal.aborted) {
  try {
    for (const { name, error, isNews } of (await runner.run()) ?? []) {
      if (error && isNews) parentPort!.postMessage({ anchor: name, code: error.code } satisfies AnchorNews)
    }
  } catch (error) {
    // A store that cannot be read now may be later; what records will say so by itself.
    if (!isIndelibleError(error)) throw error
  }
  const pause = Math.min(Math.max(runner.nextDue() - Date.now(), COUNT_MS), runner.countsEntries ? COUNT_MS : IDLE_MS)
  await sleep(pause, undefined, { signal: stop.signal }).catch(() => {})
}
parentPort!.close()
