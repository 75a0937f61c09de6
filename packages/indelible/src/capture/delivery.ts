/**
 * The way of drafts from the agent to the sink: a queue in memory, one batch at a time to the sink, and the spool while that
 * takes none. Handing in a draft is an enqueue; nothing here makes the agent wait that it did not ask for.
 *
 * Order is kept: while there is anything in the spool, what comes later goes behind it. Nothing is lost in silence: what
 * finds neither log nor spool nor memory is counted, and the count is stated in the log as `audit.gap`.
 */
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { blocked, codeOf, OF_THE_EVENT } from './delivery-errors.ts'
import { Losses } from './losses.ts'
import { Replay } from './replay.ts'
import type { Ack, EventDraft, Sink } from './sink.ts'
import type { Spool } from './spool.ts'

export interface DeliveryOptions {
  /** How long a required draft waits to be durable, ms. Default 10 s. */
  readonly timeoutMs?: number
  /** Most bytes that wait in memory. Default 64 MiB. */
  readonly maxPendingBytes?: number
  /** Longest pause between two attempts to reach the sink, ms. Default 5 s. */
  readonly retryMs?: number
}

/** How delivery stands. */
export interface DeliveryState {
  /** Events that wait in memory, and their bytes. */
  readonly pending: number
  readonly pendingBytes: number
  /** Whether the sink took nothing at the last attempt. */
  readonly isDown: boolean
  /** Code of the error that it failed with. */
  readonly lastError: string | null
  readonly spoolBytes: number
  readonly dropped: number
}

interface Waiting {
  readonly draft: EventDraft
  readonly isRequired: boolean
  settle(ack: Ack): void
  fail(error: unknown): void
  /** A copy of it is in the spool. */
  isSpooled: boolean
  /** Its outcome is known. */
  isSettled: boolean
  /** Nobody waits for it any more, and it must not be appended. */
  isGone: boolean
}

/** Most drafts of one call of the sink. */
const MAX_BATCH = 1000

const FIRST_RETRY_MS = 50

export class Delivery {
  readonly #sink: Sink
  readonly #spool: Spool | null
  readonly #timeoutMs: number
  readonly #maxBytes: number
  readonly #maxRetryMs: number
  readonly #losses: Losses
  readonly #replay: Replay | null
  #queue: Waiting[] = []
  #inFlight: Waiting[] = []
  #bytes = 0
  #running: Promise<void> | null = null
  /** Something came in since the queue was looked at. */
  #hasNew = false
  #isDown = false
  #failures = 0
  #lastError: string | null = null
  #retryMs = FIRST_RETRY_MS
  #retryAt = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  readonly #onFailed = new Set<() => void>()

  constructor(sink: Sink, spool: Spool | null, options: DeliveryOptions = {}) {
    this.#sink = sink
    this.#spool = spool
    this.#timeoutMs = options.timeoutMs ?? 10_000
    this.#maxBytes = options.maxPendingBytes ?? 64 * 1024 * 1024
    this.#maxRetryMs = options.retryMs ?? 5000
    this.#losses = new Losses(sink)
    this.#replay = spool && new Replay(sink, spool, this.#losses)
    atExit.add(this)
  }

  get state(): DeliveryState {
    return {
      pending: this.#queue.length + this.#inFlight.length,
      pendingBytes: this.#bytes,
      isDown: this.#isDown,
      lastError: this.#lastError,
      spoolBytes: this.#spool?.bytes ?? 0,
      dropped: this.#losses.total,
    }
  }

  /** Appends later what earlier processes have spooled. Nobody needs to wait for it. */
  resume(): void {
    if (!this.#spool) return
    this.#replay!.takeOver()
    if (this.#replay!.hasWork) this.#start()
  }

  /** Hands in a draft. Resolves when it is known what became of it; never rejects. */
  put(draft: EventDraft): Promise<Ack> {
    if (this.#isClosed) return Promise.resolve(this.#drop(draft))
    if (this.#bytes + draft.bytes > this.#maxBytes && this.#bytes > 0) {
      this.#spill()
      if (this.#bytes + draft.bytes > this.#maxBytes && this.#bytes > 0) return Promise.resolve(this.#drop(draft))
    }
    return new Promise((settle) => this.#enqueue(draft, { settle, fail: () => {} }, false))
  }

  /**
   * Hands in a draft that must be durable in the log, not in the spool, before the caller goes on.
   * @throws IndelibleError `ERR_CAPTURE_BLOCKED` if that could not be had in time; what the log says of the event itself
   */
  require(draft: EventDraft): Promise<Ack> {
    if (this.#isClosed) return Promise.reject(blocked(new IndelibleError('ERR_CLOSED', 'recorder is closed')))
    return new Promise((settle, fail) => {
      const waiting = this.#enqueue(draft, { settle, fail }, true)
      const timer = setTimeout(() => {
        // It may be on its way, and be recorded after all; what is only queued never will.
        waiting.isGone = true
        fail(blocked(new Error(`not durable after ${this.#timeoutMs} ms`)))
      }, this.#timeoutMs)
      const { settle: settleFirst, fail: failFirst } = waiting
      waiting.settle = (ack) => {
        clearTimeout(timer)
        settleFirst(ack)
      }
      waiting.fail = (error) => {
        clearTimeout(timer)
        failFirst(error)
      }
    })
  }

  /**
   * What became of an event, for a caller who waits. `null` if the sink fails and there is no spool, or after the time that
   * a required draft may take: the event is in memory, and nowhere else.
   */
  async outcome(ack: Promise<Ack>): Promise<Ack | null> {
    if (this.#isDown && !this.#spool) return null
    let given: () => void = () => {}
    const failed = new Promise<null>((resolve) => {
      given = () => resolve(null)
    })
    if (!this.#spool) this.#onFailed.add(given)
    const timer = setTimeout(given, this.#timeoutMs)
    try {
      return await Promise.race([ack, failed])
    } finally {
      clearTimeout(timer)
      this.#onFailed.delete(given)
    }
  }

  /** Whether memory is filling up: whoever can wait, should, with {@link drained}. */
  get isCrowded(): boolean {
    return this.#bytes > this.#maxBytes / 2
  }

  /** Resolves once there is room again, or after `ms`. */
  async drained(ms: number): Promise<void> {
    const deadline = performance.now() + ms
    while (this.isCrowded && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /**
   * Resolves once everything handed in so far is recorded, spooled, or known to be lost; after `timeoutMs` it spools what
   * still waits. Where there is no spool, what the sink does not take stays in memory.
   */
  async flush(timeoutMs: number = this.#timeoutMs): Promise<void> {
    if (this.#isClosed) return
    const deadline = performance.now() + timeoutMs
    const failures = this.#failures
    while (this.#queue.length > 0 || this.#inFlight.length > 0 || this.#replay?.hasWork) {
      this.#retryAt = 0
      this.#start()
      const isDone = await within(this.#running ?? Promise.resolve(), deadline - performance.now())
      if (!isDone) {
        this.#spill()
        break
      }
      // One attempt of our own, at least.
      if (this.#failures > failures) break
    }
    await this.#losses.record()
    await this.#spool?.sync().catch(() => {})
  }

  /** {@link flush}, and an end: what is handed in later is counted as lost. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.flush()
    this.#isClosed = true
    clearTimeout(this.#timer)
    atExit.delete(this)
    this.#leave()
  }

  /** At the end of the process, when nothing can be waited for. */
  leaveNow(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#leave()
  }

  #leave(): void {
    this.#spill()
    for (const waiting of this.#queue.splice(0)) this.#giveUp(waiting)
    if (!this.#spool) return
    const loss = this.#losses.pending
    if (loss && this.#spool.writeLoss(loss)) this.#losses.handedOn(loss)
    try {
      this.#spool.syncNow()
    } catch {
      // Said once more by whoever reads the segment, if it is damaged.
    }
    this.#spool.close()
  }

  #giveUp(waiting: Waiting): void {
    if (waiting.isRequired) waiting.fail(blocked(new IndelibleError('ERR_CLOSED', 'recorder is closed')))
    else waiting.settle(this.#drop(waiting.draft))
  }

  #drop(draft: EventDraft): Ack {
    this.#losses.add(draft)
    return { state: 'dropped', id: draft.id }
  }

  #enqueue(
    draft: EventDraft,
    outcome: { settle(ack: Ack): void; fail(error: unknown): void },
    isRequired: boolean,
  ): Waiting {
    const waiting: Waiting = { draft, isRequired, isSpooled: false, isSettled: false, isGone: false, ...outcome }
    this.#queue.push(waiting)
    this.#bytes += draft.bytes
    this.#hasNew = isRequired || !this.#isDown || this.#spool !== null
    if (this.#hasNew) this.#start()
    return waiting
  }

  #start(): void {
    if (this.#isClosed) return
    this.#running ??= this.#run().finally(() => {
      this.#running = null
      // Handed in while the rest was being shelved. What found no room waits for the timer.
      if (this.#hasNew) this.#start()
    })
  }

  async #run(): Promise<void> {
    do {
      // What is recorded in one turn of the event loop shares one append.
      await new Promise((resolve) => setImmediate(resolve))
      this.#hasNew = false
      const isWanted = this.#queue.some(({ isRequired }) => isRequired)
      if (this.#isDown && !isWanted && performance.now() < this.#retryAt) {
        await this.#shelve()
        break
      }
      try {
        await this.#replay?.run(() => this.#relieve())
        await this.#appendQueued()
        this.#isUp()
      } catch (error) {
        this.#failed(error)
        await this.#shelve()
        break
      }
      await this.#losses.record()
    } while (this.#queue.length > 0 || this.#replay?.hasWork)
  }

  /** While the spool is replayed, what comes in must not fill the memory. */
  async #relieve(): Promise<void> {
    if (this.isCrowded) this.#spill()
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Appends one batch. Throws what the sink threw, with the batch back in the queue. */
  async #appendQueued(): Promise<void> {
    const batch = this.#queue.splice(0, MAX_BATCH).filter((waiting) => !this.#isObsolete(waiting))
    if (batch.length === 0) return
    this.#inFlight = batch
    try {
      await this.#appendAll(batch)
    } catch (error) {
      this.#queue.unshift(...batch.filter((waiting) => !waiting.isSettled && !this.#isObsolete(waiting)))
      throw error
    } finally {
      this.#inFlight = []
    }
  }

  #isObsolete(waiting: Waiting): boolean {
    if (!waiting.isGone && !waiting.isSpooled) return false
    this.#bytes -= waiting.draft.bytes
    return true
  }

  async #appendAll(batch: readonly Waiting[]): Promise<void> {
    try {
      const receipts = await this.#sink.append(batch.map(({ draft }) => draft))
      for (const [i, waiting] of batch.entries()) this.#recorded(waiting, receipts[i]!.index)
    } catch (error) {
      if (!isIndelibleError(error, ...OF_THE_EVENT)) throw error
      if (batch.length === 1) this.#refuse(batch[0]!, error)
      // One of them is the reason: all or nothing was said of the call.
      else for (const waiting of batch) await this.#appendAll([waiting])
    }
  }

  #recorded(waiting: Waiting, index: number): void {
    this.#settled(waiting)
    waiting.settle({ state: 'recorded', id: waiting.draft.id, index })
  }

  #refuse(waiting: Waiting, error: IndelibleError): void {
    this.#settled(waiting)
    this.#losses.addRefused(waiting.draft, error.code)
    if (waiting.isRequired) waiting.fail(error)
    else waiting.settle({ state: 'refused', id: waiting.draft.id, code: error.code })
  }

  #settled(waiting: Waiting): void {
    this.#bytes -= waiting.draft.bytes
    waiting.isSettled = true
  }

  #isUp(): void {
    this.#isDown = false
    this.#lastError = null
    this.#retryMs = FIRST_RETRY_MS
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #failed(error: unknown): void {
    this.#isDown = true
    this.#failures++
    this.#lastError = codeOf(error)
    for (const tell of this.#onFailed) tell()
    this.#retryAt = performance.now() + this.#retryMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#spool?.touch()
      this.#start()
    }, this.#retryMs)
    // A log that is out of reach must not keep the host's process alive.
    this.#timer.unref()
    this.#retryMs = Math.min(this.#retryMs * 2, this.#maxRetryMs)
    for (const waiting of this.#queue) if (waiting.isRequired) waiting.fail(blocked(error))
    this.#queue = this.#queue.filter((waiting) => {
      if (waiting.isRequired) this.#bytes -= waiting.draft.bytes
      return !waiting.isRequired
    })
  }

  /** Writes what waits to the spool, and tells the callers once it is durable there. */
  async #shelve(): Promise<void> {
    for (let told: Promise<void> | null = this.#spill(); told !== null; told = this.#spill()) await told
  }

  /**
   * Writes to the spool what waits in memory, with what is on its way, which keeps the order. As much of it as there is room
   * for; `null` if that was nothing. Resolves once it is durable, and the callers know.
   */
  #spill(): Promise<void> | null {
    const spool = this.#spool
    if (!spool) return null
    const waiting = [...this.#inFlight, ...this.#queue]
    const spooled = this.#spoolAll(waiting.filter((one) => !one.isRequired && !one.isSpooled && !one.isSettled))
    if (spooled.length === 0) return null
    this.#queue = this.#queue.filter((one) => {
      // What is on its way is counted until it has come back.
      if (one.isSpooled) this.#bytes -= one.draft.bytes
      return !one.isSpooled
    })
    const tell = () => {
      for (const { draft, settle } of spooled) settle({ state: 'spooled', id: draft.id })
    }
    const tellLost = () => {
      for (const { draft, settle } of spooled) settle(this.#drop(draft))
    }
    return spool.sync().then(tell, tellLost)
  }

  /** In frames of some size, so that a reader needs little memory. Returns what was written. */
  #spoolAll(waiting: readonly Waiting[]): Waiting[] {
    const spooled: Waiting[] = []
    for (let at = 0; at < waiting.length; ) {
      let bytes = 0
      const chunk: Waiting[] = []
      while (at < waiting.length && (chunk.length === 0 || (bytes < FRAME_BYTES && chunk.length < MAX_BATCH))) {
        const next = waiting[at++]!
        bytes += next.draft.bytes
        chunk.push(next)
      }
      const events = chunk.map(({ draft }) => draft.toEvent())
      if (!this.#spool!.write(events, this.#sink.policyMark)) break
      for (const one of chunk) one.isSpooled = true
      spooled.push(...chunk)
    }
    return spooled
  }
}

const FRAME_BYTES = 2 * 1024 * 1024

/** Whether `work` is through within `ms`. */
async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms), false)
  })
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

/** One listener for all: a host that opens many logs must not be warned of too many. */
class AtExit {
  readonly #all = new Set<Delivery>()
  readonly #leave = () => {
    for (const delivery of this.#all) delivery.leaveNow()
  }

  add(delivery: Delivery): void {
    if (this.#all.size === 0) process.on('exit', this.#leave)
    this.#all.add(delivery)
  }

  delete(delivery: Delivery): void {
    this.#all.delete(delivery)
    if (this.#all.size === 0) process.off('exit', this.#leave)
  }
}
const atExit = new AtExit()
