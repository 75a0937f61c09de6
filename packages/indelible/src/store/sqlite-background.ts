/** Writes batches in a thread of its own, with a connection of its own, while this one goes on with other work. */
import { Worker } from 'node:worker_threads'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import type { PackedBatch } from './packed-batch.ts'
import type { SqliteOptions } from './sqlite-schema.ts'

/** What the thread answers to a batch. */
export type BackgroundAnswer =
  | { readonly written: boolean }
  | { readonly error: { readonly code: IndelibleErrorCode; readonly message: string } }

/** What the thread is started with. */
export interface BackgroundStart {
  readonly path: string
  readonly options: SqliteOptions
}

interface Waiting {
  resolve(written: boolean): void
  reject(error: unknown): void
}

export class SqliteBackground {
  readonly #start: BackgroundStart
  #worker: Worker | null = null
  #waiting: Waiting | null = null

  constructor(path: string, options: SqliteOptions) {
    this.#start = { path, options }
  }

  /**
   * Writes a batch; one at a time.
   * @returns `false` if the head was another one, or the log had one of its ids: then nothing was written
   */
  append(packed: PackedBatch): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#worker ??= this.#open()
      // The process must not end while somebody waits.
      this.#worker.ref()
      this.#worker.postMessage(packed, [packed.bytes])
    })
  }

  /** Ends the thread, once its connection is closed. */
  async close(): Promise<void> {
    const worker = this.#worker
    if (!worker) return
    this.#worker = null
    worker.ref()
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve())
      worker.postMessage(null)
    })
  }

  #open(): Worker {
    // Sources run as they are under a test runner.
    const file = import.meta.url.endsWith('.ts') ? './sqlite-writer.ts' : './sqlite-writer.js'
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: this.#start,
      name: 'indelible-writer',
      // Not the main thread's: Node refuses some of them for a thread that is a file.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 12 },
    })
    worker.on('message', (answer: BackgroundAnswer) => {
      const waiting = this.#take(worker)
      if ('written' in answer) waiting?.resolve(answer.written)
      else waiting?.reject(new IndelibleError(answer.error.code, answer.error.message))
    })
    const failed = (cause?: unknown) => {
      if (this.#worker === worker) this.#worker = null
      const message = 'the thread that writes has ended'
      this.#take(worker)?.reject(new IndelibleError('ERR_STORE_FAILED', message, { cause }))
    }
    worker.on('error', failed)
    worker.on('exit', () => failed())
    return worker
  }

  #take(worker: Worker): Waiting | null {
    const waiting = this.#waiting
    this.#waiting = null
    worker.unref()
    return waiting
  }
}
