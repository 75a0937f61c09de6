/** Retention in a long-lived process, by the clock. */
import { Cron } from 'croner'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Retention, RetentionRun } from './retention.ts'

export interface ScheduleOptions {
  /** Cron expression, in UTC. */
  readonly schedule: string
  readonly by: string
  readonly onRun?: (run: RetentionRun) => void
  /** A run that failed, or was refused. One that found another process at it is no failure. */
  readonly onError: (error: unknown) => void
}

/**
 * Runs retention when the clock says so. A run that takes longer than its interval is not begun a second time.
 * @returns what ends it
 * @throws IndelibleError `ERR_CONFIG_INVALID` for an expression that is none
 */
export function scheduleRetention(retention: Retention, { schedule, by, onRun, onError }: ScheduleOptions): () => void {
  let cron: Cron
  const work = async () => {
    try {
      onRun?.(await retention.run({ by }))
    } catch (error) {
      if (!isIndelibleError(error, 'ERR_STORE_BUSY')) onError(error)
    }
  }
  try {
    cron = new Cron(schedule, { timezone: 'UTC', protect: true, unref: true }, work)
  } catch (cause) {
    const message = `retention.schedule: expected a cron expression such as "0 3 * * *"`
    throw new IndelibleError('ERR_CONFIG_INVALID', message, { cause })
  }
  return () => cron.stop()
}
