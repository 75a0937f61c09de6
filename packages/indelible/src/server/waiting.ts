/** What waits for the log at a time, over all keys: how many requests, and how many bytes of their bodies. The rest is told to come again. */
import type { ServerConfig } from '../config/server-section.ts'
import { HttpProblem } from './problem.ts'

/**
 * Counts bytes of a body that is being read.
 * @throws HttpProblem 503 if there are too many of all bodies together
 */
export type Grow = (bytes: number) => void

export class Waiting {
  readonly #limits: () => Pick<ServerConfig, 'max_waiting' | 'max_waiting_bytes'>
  #requests = 0
  #bytes = 0

  /** @param limits asked each time: they can change */
  constructor(limits: () => Pick<ServerConfig, 'max_waiting' | 'max_waiting_bytes'>) {
    this.#limits = limits
  }

  /**
   * Does `work` for a request; what it counts is given back when it is over.
   * @throws HttpProblem 503 if too many requests wait
   */
  async hold<T>(work: (grow: Grow) => Promise<T>): Promise<T> {
    if (this.#requests >= this.#limits().max_waiting) throw overloaded('too many requests wait for the log')
    let own = 0
    const grow = (bytes: number) => {
      own += bytes
      this.#bytes += bytes
      // One that is alone is bounded by what a body may have.
      const isAlone = this.#bytes === own
      if (this.#bytes > this.#limits().max_waiting_bytes && !isAlone) {
        throw overloaded('too many bytes wait for the log')
      }
    }
    this.#requests++
    try {
      return await work(grow)
    } finally {
      this.#requests--
      this.#bytes -= own
    }
  }
}

function overloaded(message: string): HttpProblem {
  return new HttpProblem(503, 'ERR_OVERLOADED', message, 1)
}
