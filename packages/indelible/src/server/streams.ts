/**
 * Tails of logs for many listeners. One reader for each log asks for its head and makes each entry's frame once; a listener
 * costs its buffer. Whoever does not keep up is told so and let go: with the last id that he saw he goes on where he was.
 */
import { fromUtf8, utf8 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { LogStore } from '../store/store.ts'
import type { Service } from './service.ts'

export interface StreamLimits {
  /** Listeners at a time, over all logs. */
  readonly maxListeners: number
  /** Bytes that may wait for one listener. */
  readonly maxBytes: number
  /** Between two looks at a log, and between two signs of life, ms. */
  readonly pollMs: number
  readonly heartbeatMs: number
}

export const STREAM_LIMITS: StreamLimits = {
  maxListeners: 10_000,
  maxBytes: 1024 * 1024,
  pollMs: 100,
  heartbeatMs: 15_000,
}

/** Why the server ended a stream. A client goes on with `Last-Event-ID` after each but `forbidden`. */
export type EndReason = 'slow' | 'shutdown' | 'forbidden' | 'unavailable'

/** Rows that are read at a time for a listener who is behind. */
const CATCH_UP = 256

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>
  /** Asked at each sign of life: a key that was revoked hears no more. */
  readonly isAllowed: () => boolean
  /** Index of the next entry that he gets. */
  next: number
  isLive: boolean
  isGone: boolean
  /** Called when he has read something. */
  pull: () => void
}

export class Streams {
  readonly #service: Pick<Service, 'tenants' | 'logger'>
  readonly #limits: StreamLimits
  readonly #tails = new Map<string, Tail>()
  #listeners = 0
  #isClosed = false

  constructor(service: Pick<Service, 'tenants' | 'logger'>, limits: Partial<StreamLimits> = {}) {
    this.#service = service
    this.#limits = { ...STREAM_LIMITS, ...limits }
  }

  get listeners(): number {
    return this.#listeners
  }

  get isFull(): boolean {
    return this.#isClosed || this.#listeners >= this.#limits.maxListeners
  }

  /** Entries of the tenant's log from index `from` on, without end, as server-sent events. */
  open(tenant: string, from: number, isAllowed: () => boolean): ReadableStream<Uint8Array> {
    const known = this.#tails.get(tenant)
    const tail = known && !known.isEnded ? known : this.#start(tenant)
    let listener: Listener
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          listener = { controller, isAllowed, next: from, isLive: false, isGone: false, pull: () => {} }
          this.#listeners++
          tail.add(listener)
        },
        pull: () => listener.pull(),
        cancel: () => tail.remove(listener),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: this.#limits.maxBytes }),
    )
  }

  /** Ends every stream. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#tails.values()].map((tail) => tail.end('shutdown')))
  }

  #start(tenant: string): Tail {
    const tail = new Tail(this.#limits, () => this.#listeners--)
    this.#tails.set(tenant, tail)
    const follow = async ({ log: { store } }: { readonly log: { readonly store: LogStore } }) => tail.follow(store)
    const done = async () => {
      try {
        await this.#service.tenants.use(tenant, follow)
      } catch (error) {
        this.#service.logger.error(
          { error: isIndelibleError(error) ? error.code : (error as Error).name },
          'tail failed',
        )
      }
      if (this.#tails.get(tenant) === tail) this.#tails.delete(tenant)
      tail.dismiss('unavailable')
    }
    void done()
    return tail
  }
}

/** One log, read once for all who listen. */
class Tail {
  readonly #limits: StreamLimits
  readonly #onGone: () => void
  readonly #all = new Set<Listener>()
  readonly #live = new Set<Listener>()
  /** Entries below this have been given to everybody who is live. */
  #position: number | null = null
  #store: LogStore | null = null
  #isEnded = false
  #wake: () => void = () => {}
  #followed: Promise<void> = Promise.resolve()

  constructor(limits: StreamLimits, onGone: () => void) {
    this.#limits = limits
    this.#onGone = onGone
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  add(listener: Listener): void {
    this.#all.add(listener)
    if (this.#position !== null) void this.#catchUp(listener)
  }

  remove(listener: Listener): void {
    if (!this.#all.delete(listener)) return
    this.#live.delete(listener)
    listener.isGone = true
    listener.pull()
    this.#onGone()
    if (this.#all.size > 0) return
    // The next who listens begins another.
    this.#isEnded = true
    this.#wake()
  }

  async end(reason: EndReason): Promise<void> {
    this.#isEnded = true
    this.dismiss(reason)
    this.#wake()
    await this.#followed
  }

  dismiss(reason: EndReason): void {
    for (const listener of [...this.#all]) this.#dismiss(listener, reason)
  }

  /** Resolves once nobody listens any more. */
  follow(store: LogStore): Promise<void> {
    this.#followed = this.#follow(store)
    return this.#followed
  }

  async #follow(store: LogStore): Promise<void> {
    this.#store = store
    const unsubscribe = store.subscribe?.(() => this.#wake())
    const beat = setInterval(() => this.#beat(), this.#limits.heartbeatMs)
    try {
      this.#position = (await store.head())?.size ?? 0
      for (const listener of this.#all) void this.#catchUp(listener)
      while (!this.#isEnded) {
        await this.#advance(store)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, this.#limits.pollMs)
          this.#wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    } finally {
      clearInterval(beat)
      await unsubscribe?.()
    }
  }

  async #advance(store: LogStore): Promise<void> {
    const size = (await store.head())?.size ?? 0
    for await (const rows of store.entries(this.#position!, size)) {
      for (const { index, entry } of rows) {
        const frame = frameOf(index, entry)
        for (const listener of this.#live) this.#give(listener, index, frame)
        this.#position = index + 1
      }
    }
    // Rows that were purged are left out by the store.
    this.#position = Math.max(this.#position!, size)
  }

  #give(listener: Listener, index: number, frame: Uint8Array): void {
    if (index < listener.next) return
    if ((listener.controller.desiredSize ?? 0) <= 0) {
      this.#dismiss(listener, 'slow')
      return
    }
    listener.controller.enqueue(frame)
    listener.next = index + 1
  }

  /** Reads for one listener what came before he did, as fast as he takes it, until he is where the others are. */
  async #catchUp(listener: Listener): Promise<void> {
    try {
      while (!listener.isGone && listener.next < this.#position!) {
        const end = Math.min(this.#position!, listener.next + CATCH_UP)
        for await (const rows of this.#store!.entries(listener.next, end)) {
          for (const { index, entry } of rows) {
            while (!listener.isGone && (listener.controller.desiredSize ?? 0) <= 0) await this.#read(listener)
            if (listener.isGone) return
            listener.controller.enqueue(frameOf(index, entry))
          }
        }
        listener.next = end
      }
    } catch {
      this.#dismiss(listener, 'unavailable')
      return
    }
    // In one turn with the comparison above: no entry comes between.
    if (!listener.isGone) this.#live.add(listener)
  }

  #read(listener: Listener): Promise<void> {
    return new Promise((resolve) => {
      listener.pull = () => {
        listener.pull = () => {}
        resolve()
      }
    })
  }

  #beat(): void {
    const sign = utf8(': \n\n')
    for (const listener of [...this.#all]) {
      if (!listener.isAllowed()) this.#dismiss(listener, 'forbidden')
      else if ((listener.controller.desiredSize ?? 0) > 0) listener.controller.enqueue(sign)
    }
  }

  #dismiss(listener: Listener, reason: EndReason): void {
    if (listener.isGone) return
    const data = JSON.stringify({ reason, next: listener.next })
    listener.controller.enqueue(utf8(`event: end\ndata: ${data}\n\n`))
    listener.controller.close()
    this.remove(listener)
  }
}

/** The entry is canonical JSON: it has no line break. */
function frameOf(index: number, entry: Uint8Array): Uint8Array {
  return utf8(`id: ${index}\nevent: entry\ndata: {"index":${index},"entry":${fromUtf8(entry)}}\n\n`)
}
