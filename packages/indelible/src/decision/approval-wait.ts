/** Waiting for people to decide, without asking the log all the time. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApprovalBox } from './approval-box.ts'

/** First pause, ms: of one who decides in this moment. */
const FIRST_MS = 200

/** Longest pause, ms: people take minutes, and the box says when something happens, where the system can tell it. */
const LONGEST_MS = 2000

/** Pauses that grow, and end early when the box says that something happened to a request. */
export class Pauses {
  readonly #stop: () => void
  #nextMs = FIRST_MS
  #isWoken = false
  #wake = () => {}

  constructor(box: ApprovalBox, id: string) {
    this.#stop =
      box.watch?.(id, () => {
        this.#isWoken = true
        this.#wake()
      }) ?? (() => {})
  }

  /** Something was new: what comes next may come soon. */
  restart(): void {
    this.#nextMs = FIRST_MS
  }

  /**
   * Resolves after a while, or earlier.
   * @param mostMs no longer than this
   * @throws the reason of `signal`
   */
  async pause(mostMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (!this.#isWoken) {
      const early = new AbortController()
      this.#wake = () => early.abort()
      const ends = signal ? AbortSignal.any([early.signal, signal]) : early.signal
      const ms = Math.max(1, Math.min(this.#nextMs, mostMs))
      await sleep(ms, undefined, { signal: ends }).catch(() => signal?.throwIfAborted())
      this.#nextMs = Math.min(this.#nextMs * 1.5, LONGEST_MS)
    }
    this.#isWoken = false
  }

  close(): void {
    this.#stop()
  }
}
