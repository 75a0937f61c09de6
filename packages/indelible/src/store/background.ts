/** Writes batches in a thread of its own, with a handle of its own, while this one goes on with other work. */
import { Worker } from 'node:worker_threads'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'
import type { PackedBatch } from './packed-batch.ts'

/** What the thread answers to a batch. */
export type BackgroundAnswer =
  | { readonly written: boolean }
  | { readonly error: { readonly code: IndelibleErrorCode; readonly message: string } }

interface Waiting {
  resolve(written: boolean): void
  reject(error: unknown): void
}

/** The other end is `background-thread.ts`. */
export class BackgroundWriter {
  readonly #script: string
  readonly #start: unknown
  #worker: Worker | null = null
  #waiting: Waiting | null = null

  /**
   * @param script name of the file beside this one that the thread runs, without its ending
   * @param start what the thread is started with, once the first batch comes
   */
  constructor(script: string, start: unknown) {
    this.#script = script
    this.#start = start
  }

  /**
   * Writes a batch; one at a time.
   * @returns `false` if the head was another one, or the log had one of its ids: then nothing was written
   * @throws IndelibleError what the store throws; `ERR_STORE_FAILED` if the thread has ended, and then nobody writes any more
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

  /** Ends the thread, once its handle is closed. */
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
    const file = `./${this.#script}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: this.#start,
      name: 'indelible-writer',
      // Not the main thread's: Node refuses some of them for a thread that is a file.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 12 },
    })
    let failure: unknown
    worker.on('message', (answer: BackgroundAnswer) => {
      const waiting = this.#take(worker)
      if ('written' in answer) waiting?.resolve(answer.written)
      else waiting?.reject(new IndelibleError(answer.error.code, answer.error.message))
    })
    worker.on('error', (cause) => {
      failure = cause
    })
    // Not before: until it has ended it may still write.
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = null
      const message = 'the thread that writes has ended'
      this.#take(worker)?.reject(new IndelibleError('ERR_STORE_FAILED', message, { cause: failure }))
    })
    return worker
  }

  #take(worker: Worker): Waiting | null {
    const waiting = this.#waiting
    this.#waiting = null
    worker.unref()
    return waiting
  }
}
