/** Windows of a range, in order: settled ahead by a checker if there is one. */
import { type CheckedWindow, MAX_WINDOW, type WindowChecker } from './window-check.ts'

/** Windows that are asked for ahead: the checker's threads have one each to work on and one to begin with next. */
const AHEAD = 5

/** Entries that are not settled, in a window, beyond which all of it is looked at in one go. */
const MAX_UNSETTLED = 64

/** A window; `checked` is `null` if the verifier has to look at it himself. */
interface Window {
  readonly end: number
  readonly checked: CheckedWindow | null
}

export class WindowReader {
  readonly #checker: WindowChecker | undefined
  readonly #to: number
  readonly #size: number
  /** Where the window that is asked for next begins. */
  #at: number
  readonly #ahead: Promise<Window>[] = []

  /** @param size of windows that no checker looks at, in entries */
  constructor(checker: WindowChecker | undefined, from: number, to: number, size: number) {
    this.#checker = checker
    this.#at = from
    this.#to = to
    this.#size = size
  }

  /** The next window. Not to be called after the last one. */
  next(): Promise<Window> {
    while (this.#ahead.length < AHEAD && this.#at < this.#to) this.#ahead.push(this.#ask())
    return this.#ahead.shift()!
  }

  async #ask(): Promise<Window> {
    const start = this.#at
    const end = Math.min(this.#to, start + (this.#checker ? MAX_WINDOW : this.#size))
    this.#at = end
    const checked = await this.#checker?.check(start, end)
    return { end, checked: checked && isMostlySettled(checked) ? checked : null }
  }
}

function isMostlySettled({ settled }: CheckedWindow): boolean {
  let unsettled = 0
  for (const one of settled) unsettled += 1 - one
  return unsettled <= MAX_UNSETTLED
}

/** Where the entries end, from the one at `at` on, that are settled as it is, or not as it is not. */
export function endOfRun({ start, settled }: CheckedWindow, at: number, end: number): number {
  const first = settled[at - start]
  let until = at + 1
  while (until < end && settled[until - start] === first) until++
  return until
}
