/** Which run the code at hand belongs to. It follows `await`, timers and callbacks, not module state. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Run } from './run.ts'

const storage = new AsyncLocalStorage<Run>()

/** The run within which this code was called, if there is one. */
export function currentRun(): Run | undefined {
  return storage.getStore()
}

/** Calls `work` as part of `run`. */
export function withinRun<T>(run: Run, work: () => T): T {
  return storage.run(run, work)
}
