/** Ctrl-C and SIGTERM, for commands that have something to finish. */
import type { ExitCode } from './exit.ts'

const EXIT_CODES = { SIGINT: 128 + 2, SIGTERM: 128 + 15 } as const

/** Calls `stop` at the first signal; the second one ends the process at once. */
export class Interrupt implements Disposable {
  readonly #stop: () => void
  #exitCode: ExitCode | null = null

  constructor(stop: () => void) {
    this.#stop = stop
    for (const signal of SIGNALS) process.once(signal, this.#handle)
  }

  /** What a shell expects of a process that a signal ended; `null` if there was none. */
  get exitCode(): ExitCode | null {
    return this.#exitCode
  }

  readonly #handle = (signal: NodeJS.Signals) => {
    this.#exitCode = EXIT_CODES[signal as keyof typeof EXIT_CODES]
    this[Symbol.dispose]()
    this.#stop()
  };

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#handle)
  }
}

const SIGNALS = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[]
