/** Threads that look at entries ahead of a verification, each with the store opened for itself. */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Config } from '../config/config.ts'
import type { LogStore } from '../store/store.ts'
import { schemeOf } from '../store/stores.ts'
import type { CheckedWindow, WindowChecker } from '../verify/window-check.ts'

/** Fewer entries are verified sooner without. */
const MIN_ENTRIES = 20_000

/** Stores that any number may read without a connection to a server. */
const LOCAL: ReadonlySet<string> = new Set(['sqlite', 'file'])

/** Two keep the thread that verifies busy. */
const MAX_THREADS = 2

/** What a thread is started with. */
export interface VerifyThreadStart {
  readonly home: string
  readonly config: Config
  /** Whether payloads may be sealed. */
  readonly hasVault: boolean
}

/** Asked of a thread, one after the other. */
export interface WindowQuestion {
  readonly start: number
  readonly end: number
}

/** `null` if the thread cannot say. */
export type WindowAnswer = CheckedWindow | null

export class VerifyThreads implements WindowChecker {
  readonly #threads: Thread[]

  /** @returns `null` where they would not help */
  static async start(home: string, config: Config, store: LogStore): Promise<VerifyThreads | null> {
    const isLocal = LOCAL.has(schemeOf(config.log.store))
    if (!isLocal || availableParallelism() < 2 || ((await store.head())?.size ?? 0) < MIN_ENTRIES) return null
    return new VerifyThreads({ home, config, hasVault: existsSync(join(home, 'vault.json')) })
  }

  private constructor(start: VerifyThreadStart) {
    this.#threads = Array.from({ length: MAX_THREADS }, () => new Thread(start))
  }

  check(start: number, end: number): Promise<CheckedWindow | null> {
    const thread = this.#threads.reduce((best, one) => (one.waiting < best.waiting ? one : best))
    return thread.check({ start, end })
  }

  /** Ends the threads. What was asked and is not answered yet is `null`. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()))
  }
}

class Thread {
  readonly #worker: Worker
  readonly #waiting: ((answer: WindowAnswer) => void)[] = []
  #ended = false

  constructor(start: VerifyThreadStart) {
    // Sources run as they are under a test runner.
    const file = import.meta.url.endsWith('.ts') ? './verify-worker.ts' : './verify-worker.js'
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData: start,
      // Not the main thread's: Node refuses some of them for a thread that is a file.
      execArgv: [],
      name: 'indelible-verify',
      // What a window leaves behind is garbage at once. No limit of the old generation: a thread that meets it where a part is
      // huge takes the process with it.
      resourceLimits: { maxYoungGenerationSizeMb: 6 },
    })
    this.#worker.on('message', (answer: WindowAnswer) => this.#waiting.shift()?.(answer))
    // The verifier looks for himself, and meets what is wrong there.
    this.#worker.on('error', () => this.#end())
    this.#worker.on('exit', () => this.#end())
  }

  /** Questions that are not answered; infinitely many of a thread that has ended. */
  get waiting(): number {
    return this.#ended ? Number.POSITIVE_INFINITY : this.#waiting.length
  }

  check(question: WindowQuestion): Promise<CheckedWindow | null> {
    if (this.#ended) return Promise.resolve(null)
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#worker.postMessage(question)
    })
  }

  async close(): Promise<void> {
    this.#end()
    await this.#worker.terminate()
  }

  #end(): void {
    this.#ended = true
    for (const resolve of this.#waiting.splice(0)) resolve(null)
  }
}
