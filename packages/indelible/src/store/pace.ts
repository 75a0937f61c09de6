/** Long work under a lock that others need too, in steps. */

/** How long one step may keep others waiting, ms. */
const STEP_MS = 8
/** Long enough that whoever asks again every few milliseconds gets in. */
const LEAST_PAUSE_MS = 1
const MOST_PAUSE_MS = 25

/** Sizes steps so that each takes some milliseconds, and says how long to leave the lock to others in between. */
export class Pace {
  #size: number
  readonly #most: number

  /** @param first size of the first step; `most` that of any */
  constructor(first: number, most: number) {
    this.#size = first
    this.#most = most
  }

  /** How much to do in the next step. */
  get size(): number {
    return this.#size
  }

  /**
   * @param tookMs what the last step took while it had the lock
   * @param isWanted whether somebody else has written since the step before
   * @returns how long to pause, ms
   */
  next(tookMs: number, isWanted: boolean): number {
    const factor = Math.min(2, Math.max(0.25, STEP_MS / Math.max(tookMs, 0.1)))
    this.#size = Math.max(1, Math.min(this.#most, Math.floor(this.#size * factor)))
    return isWanted ? Math.min(MOST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, tookMs)) : LEAST_PAUSE_MS
  }
}
