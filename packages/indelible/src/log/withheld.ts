/** Parts that were withheld because the redactor failed: each is counted, and now and then the log says so. */

/** One entry about it in this time is enough, ms. */
const NOTICE_INTERVAL_MS = 10 * 60_000

export class WithheldParts {
  /** Since the log was opened. */
  total = 0
  #unstated = 0
  #stated = Number.NEGATIVE_INFINITY
  readonly #state: (parts: number) => Promise<unknown>

  /** @param state has an entry written */
  constructor(state: (parts: number) => Promise<unknown>) {
    this.#state = state
  }

  add(parts: number): void {
    this.total += parts
    this.#unstated += parts
    if (performance.now() - this.#stated < NOTICE_INTERVAL_MS) return
    this.stateRest()
  }

  /** Has those stated that no entry has counted yet. */
  stateRest(): void {
    if (this.#unstated === 0) return
    this.#stated = performance.now()
    // The statement waits for the next batch if the log takes none now.
    this.#state(this.#unstated).catch(() => {})
    this.#unstated = 0
  }
}
