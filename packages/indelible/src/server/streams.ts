/**
 * Tails of logs for many listeners. One reader for each log asks for its head and makes each entry's frame once; a listener costs
 * references to them. Whoever does not keep up is read for by himself, as fast as he takes it. Whoever takes nothing is told so and
 * let go, and cut off if he does not take that either: what waits for a connection that nobody reads must not wait for ever.
 */
import { setImmediate } from 'node:timers/promises'
import { concat, fromUtf8, utf8 } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import type { LogStore, StoredEntry } from '../store/store.ts'
import type { Service } from './service.ts'

export interface StreamLimits {
  /** Listeners at a time, over all logs. */
  readonly maxListeners: number
  /** Bytes that may wait for one listener. What waits for several who are live is the same memory. */
  readonly maxBytes: number
  /** Between two looks at a log, and between two signs of life, ms. */
  readonly pollMs: number
  readonly heartbeatMs: number
  /** How long one who was let go may take for what waits for him, ms. */
  readonly graceMs: number
}

export const STREAM_LIMITS: StreamLimits = {
  maxListeners: 10_000,
  maxBytes: 1024 * 1024,
  pollMs: 100,
  heartbeatMs: 15_000,
  graceMs: 5000,
}

/** Why the server ended a stream. A client goes on with `Last-Event-ID` after each but `forbidden`. */
export type EndReason = 'slow' | 'shutdown' | 'forbidden' | 'unavailable'

/** Rows that are read at a time for a listener who is behind. */
const CATCH_UP = 256
/** Frames go out together up to this share of what may wait; one who is behind has frames of his own, and only so much of them. */
const CHUNK_SHARE = 1 / 16

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>
  /** Asked at each sign of life: a key that was revoked hears no more. */
  readonly isAllowed: () => boolean
  /** Ends his connection. */
  readonly cutOff: () => void
  /** Index of the next entry that he gets. */
  next: number
  isGone: boolean
  /** Called when he has read something. */
  pull: () => void
  /** Bytes that he was given; that he had taken at the last sign of life; and whether some waited for him then. */
  given: number
  taken: number
  hadWaiting: boolean
}

export class Streams {
  readonly #service: Pick<Service, 'tenants' | 'logger'>
  readonly #limits: StreamLimits
  readonly #tails = new Map<string, Tail>()
  #listeners = 0
  /** Who was let go, and may still be taking what waits for him. */
  #leaving = 0
  #isClosed = false

  constructor(service: Pick<Service, 'tenants' | 'logger'>, limits: Partial<StreamLimits> = {}) {
    this.#service = service
    this.#limits = { ...STREAM_LIMITS, ...limits }
  }

  get listeners(): number {
    return this.#listeners
  }

  get isFull(): boolean {
    return this.#isClosed || this.#listeners + this.#leaving >= this.#limits.maxListeners
  }

  /**
   * Entries of the tenant's log from index `from` on, without end, as server-sent events.
   * @param cutOff ends the connection of one who was let go and takes nothing; it may be over already
   */
  open(tenant: string, from: number, isAllowed: () => boolean, cutOff?: () => void): ReadableStream<Uint8Array> {
    const known = this.#tails.get(tenant)
    const tail = known && !known.isEnded ? known : this.#start(tenant)
    let listener: Listener
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          listener = {
            controller,
            isAllowed,
            // Nothing that was not taken is kept.
            cutOff: cutOff ?? (() => controller.error(new Error('nobody reads'))),
            next: from,
            isGone: false,
            pull: () => {},
            given: 0,
            taken: 0,
            hadWaiting: false,
          }
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
    const leave = (listener: Listener) => {
      this.#leaving++
      const end = () => {
        this.#leaving--
        listener.cutOff()
      }
      setTimeout(end, this.#limits.graceMs).unref()
    }
    const tail = new Tail(this.#limits, () => this.#listeners--, leave)
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
  readonly #onDismissed: (listener: Listener) => void
  readonly #all = new Set<Listener>()
  readonly #live = new Set<Listener>()
  /** Entries below this have been given to everybody who is live. */
  #position: number | null = null
  #store: LogStore | null = null
  #isEnded = false
  #wake: () => void = () => {}
  #followed: Promise<void> = Promise.resolve()

  constructor(limits: StreamLimits, onGone: () => void, onDismissed: (listener: Listener) => void) {
    this.#limits = limits
    this.#onGone = onGone
    this.#onDismissed = onDismissed
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
      for (const chunk of chunksOf(rows, this.#limits.maxBytes * CHUNK_SHARE)) {
        const behind = [...this.#live].filter((listener) => !this.#give(listener, chunk))
        this.#position = chunk.end
        for (const listener of behind) {
          this.#live.delete(listener)
          void this.#catchUp(listener)
        }
        // Of much at once, connections take their share before the next: who reads must not look as if he did not.
        await setImmediate()
      }
    }
    // Rows that were purged are left out by the store.
    this.#position = Math.max(this.#position!, size)
  }

  /** Returns whether there was room for it. */
  #give(listener: Listener, { start, end, bytes, frames }: Chunk): boolean {
    if (end <= listener.next) return true
    if (this.#room(listener) <= 0) return false
    // He joined in the middle of it only if he was ahead of all others.
    if (listener.next > start) for (const frame of frames(listener.next)) this.#send(listener, frame)
    else this.#send(listener, bytes)
    listener.next = end
    return true
  }

  #send(listener: Listener, bytes: Uint8Array): void {
    listener.controller.enqueue(bytes)
    listener.given += bytes.length
  }

  /** Bytes that may still wait for him. */
  #room({ controller }: Listener): number {
    return controller.desiredSize ?? 0
  }

  /** Reads for one listener what came before he did, or while there was no room, as fast as he takes it, until he is where the others are. */
  async #catchUp(listener: Listener): Promise<void> {
    const most = this.#limits.maxBytes * CHUNK_SHARE
    try {
      while (!listener.isGone && listener.next < this.#position!) {
        const end = Math.min(this.#position!, listener.next + CATCH_UP)
        for await (const rows of this.#store!.entries(listener.next, end)) {
          for (const { bytes, end: after } of chunksOf(rows, most)) {
            while (!listener.isGone && this.#room(listener) < this.#limits.maxBytes - most) await this.#read(listener)
            if (listener.isGone) return
            this.#send(listener, bytes)
            listener.next = after
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
      const waits = this.#limits.maxBytes - this.#room(listener)
      const taken = listener.given - waits
      // Nothing taken between two signs of life: on a log where little happens, too little waits to tell otherwise.
      const isStuck = listener.hadWaiting && taken === listener.taken
      listener.taken = taken
      listener.hadWaiting = waits > 0
      if (!listener.isAllowed()) this.#dismiss(listener, 'forbidden')
      else if (isStuck) this.#dismiss(listener, 'slow')
      else if (waits < this.#limits.maxBytes) this.#send(listener, sign)
    }
  }

  #dismiss(listener: Listener, reason: EndReason): void {
    if (listener.isGone) return
    const data = JSON.stringify({ reason, next: listener.next })
    listener.controller.enqueue(utf8(`event: end\ndata: ${data}\n\n`))
    listener.controller.close()
    this.remove(listener)
    this.#onDismissed(listener)
  }
}

/** Frames of consecutive rows that go out together. */
interface Chunk {
  readonly start: number
  /** Index after the last. */
  readonly end: number
  readonly bytes: Uint8Array
  /** One by one, from an index on. */
  frames(from: number): Uint8Array[]
}

/** @param most bytes of a chunk of more than one frame */
function* chunksOf(rows: readonly StoredEntry[], most: number): Generator<Chunk> {
  let waiting: { readonly index: number; readonly frame: Uint8Array }[] = []
  let length = 0
  const chunk = (): Chunk => {
    const all = waiting
    const bytes = all.length === 1 ? all[0]!.frame : concat(...all.map(({ frame }) => frame))
    const frames = (from: number) => all.filter(({ index }) => index >= from).map(({ frame }) => frame)
    waiting = []
    length = 0
    return { start: all[0]!.index, end: all.at(-1)!.index + 1, bytes, frames }
  }
  for (const { index, entry } of rows) {
    const frame = frameOf(index, entry)
    if (waiting.length > 0 && length + frame.length > most) yield chunk()
    waiting.push({ index, frame })
    length += frame.length
  }
  if (waiting.length > 0) yield chunk()
}

/** The entry is canonical JSON: it has no line break. */
function frameOf(index: number, entry: Uint8Array): Uint8Array {
  return utf8(`id: ${index}\nevent: entry\ndata: {"index":${index},"entry":${fromUtf8(entry)}}\n\n`)
}
