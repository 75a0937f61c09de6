/** Epochs: spans of the log's clock, each under a mac key of its own. */
import { IndelibleError } from '../errors.ts'
import { parseTime } from '../record/time.ts'

/** How a deployment counts its epochs. Fixed at `init`; a verifier takes it from the verification key, not from the log. */
export interface EpochClock {
  /** Start of epoch 0, ms since 1970. */
  readonly startMs: number
  /** Length of every epoch, in seconds. */
  readonly seconds: number
}

/** Default length of an epoch, in seconds: one hour. */
export const DEFAULT_EPOCH_SECONDS = 3600

/**
 * The epoch that an entry accepted at `observed` (RFC 3339) belongs to.
 * @throws IndelibleError `ERR_ENTRY_INVALID` if it is before epoch 0
 */
export function epochAt(clock: EpochClock, observed: string): number {
  const epoch = Math.floor((parseTime(observed) - clock.startMs) / (clock.seconds * 1000))
  if (epoch < 0) throw new IndelibleError('ERR_ENTRY_INVALID', 'observed before the first epoch of the deployment')
  return epoch
}
