/**
 * Gives entries their place. Groups of drafts wait in a queue; one batch at a time goes through the store's head lock.
 *
 * After any failure of the store the outcome counts as unknown until the head has been read again: nothing is reported as
 * durable that is not, and nothing as lost that is durable.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { epochAt } from '../chain/epoch.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import type { NoteSigner } from '../note/signed-note.ts'
import { formatTime } from '../record/time.ts'
import type { Batch, Head, Locked, LogStore, StoredId } from '../store/store.ts'
import { auditEntry, BatchBuilder, type Sealable } from './batch.ts'
import { checkHead, isOwnHead, type Position } from './head-check.ts'

/** Wall clock, ms since 1970. */
export type Clock = () => number

/** A clock that jumps by more than this, either way, is recorded, ms. */
const CLOCK_JUMP_MS = 5000

/** A Node timer cannot wait longer, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** One entry that a caller waits for. */
export interface Item extends Sealable {
  /** Whether the producer chose the id: only such an id can be in the log already. */
  readonly idGiven: boolean
}

/** Where an entry stands; `checkpoint` covers it. */
export interface Place {
  readonly index: number
  readonly leaf: Uint8Array
  readonly checkpoint: string
  /** The id was in the log: this is the first receipt's place. */
  readonly duplicate: boolean
  /** Whether the two events could no longer be compared, because the digest was erased or is of another privacy policy. */
  readonly uncompared: boolean
}

/** Items that are appended together or not at all. */
interface Group {
  readonly items: readonly Item[]
  readonly bytes: number
  readonly signers: readonly NoteSigner[]
  resolve(places: Place[]): void
  reject(error: unknown): void
}

export interface SequencerOptions {
  /** Most entries of one batch. Default 1000. A larger group is a batch of its own. */
  readonly maxBatch?: number
  /** Most bytes that may wait in memory; more is refused. Default 256 MiB. */
  readonly maxPendingBytes?: number
  readonly clock?: Clock
}

export class Sequencer {
  readonly #store: LogStore
  readonly #keys: LogKeys
  readonly #clock: Clock
  readonly #maxBatch: number
  readonly #maxPendingBytes: number

  #queue: Group[] = []
  #pendingBytes = 0
  #running: Promise<void> | null = null
  #closed = false
  #position: Position | null = null
  #timer: NodeJS.Timeout | undefined
  /** What the wall clock and the monotonic one said at the last batch: their difference shows a jump. */
  #lastTick: { wall: number; monotonic: number } | null = null
  /** Statements of the log that go before the next group. */
  #notices: { kind: string; detail: Record<string, unknown> }[] = []

  constructor(store: LogStore, keys: LogKeys, options: SequencerOptions = {}) {
    this.#store = store
    this.#keys = keys
    this.#clock = options.clock ?? Date.now
    this.#maxBatch = options.maxBatch ?? 1000
    this.#maxPendingBytes = options.maxPendingBytes ?? 256 * 1024 * 1024
  }

  /** Checks the head as it is and goes on from there. Reads the right edge only, never the log. */
  async open(): Promise<void> {
    const head = await this.#store.head()
    if (head) this.#position = await this.#check(head)
    else if (this.#keys.remembered()) {
      throw new IndelibleError('ERR_ROLLED_BACK', 'log is empty, but this signer has signed entries of it')
    }
    this.#armTimer()
  }

  /** Has an `audit.recovered` entry written before the next ones. */
  notice(kind: string, detail: Record<string, unknown> = {}): void {
    this.#notices.push({ kind, detail })
  }

  /**
   * Appends `items` together or not at all. Resolves once they are durable and under a signed checkpoint.
   *
   * @param signers sign the checkpoint too: the successor's key, in a rotation
   * @throws IndelibleError `ERR_OVERLOADED` (retryable; nothing was queued), `ERR_ID_CONFLICT`, `ERR_CLOSED`,
   * `ERR_OUTCOME_UNKNOWN` (retry with the same ids), and what the store or the check of its head throw
   */
  append(items: readonly Item[], signers: readonly NoteSigner[] = []): Promise<Place[]> {
    if (this.#closed) return Promise.reject(new IndelibleError('ERR_CLOSED', 'log is closed'))
    let bytes = 0
    for (const { draft, payloads } of items) {
      bytes += draft.before.length + draft.after.length
      for (const { disclosure } of payloads) bytes += disclosure.length
    }
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes > this.#maxPendingBytes) {
      const message = `${this.#pendingBytes} bytes wait to be written, at most ${this.#maxPendingBytes}: slow down, retry`
      return Promise.reject(new IndelibleError('ERR_OVERLOADED', message))
    }
    this.#pendingBytes += bytes
    return new Promise((resolve, reject) => {
      this.#queue.push({ items, bytes, signers, resolve, reject })
      this.#start()
    })
  }

  /** Resolves once everything queued before the call is durable or refused. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running
  }

  /** Refuses new entries, writes what waits, and publishes the last checkpoint. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.flush()
    const head = this.#position?.head
    if (!head || !(await this.#isOwn(head))) return
    if (head.published !== head.observed) {
      try {
        await this.#store.publish({ size: head.size, note: head.checkpoint })
      } catch (error) {
        // The entries are durable; a store that takes no more writes must still close.
        if (!isIndelibleError(error)) throw error
      }
    }
    await this.#keys.persist()
  }

  async #isOwn(head: Head): Promise<boolean> {
    const stored = await this.#store.head()
    return stored !== null && stored.checkpoint === head.checkpoint
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = null
      if (this.#queue.length > 0) this.#start()
      else if (!this.#closed) this.#armTimer()
    })
  }

  async #run(): Promise<void> {
    // Everything that is recorded in this turn of the event loop shares one commit.
    await new Promise((resolve) => setImmediate(resolve))
    do {
      await this.#write(this.#take())
    } while (this.#queue.length > 0)
  }

  #take(): Group[] {
    let count = 0
    let groups = 0
    for (const { items } of this.#queue) {
      if (groups > 0 && count + items.length > this.#maxBatch) break
      count += items.length
      groups++
    }
    return this.#queue.splice(0, groups)
  }

  async #write(groups: readonly Group[]): Promise<void> {
    let attempt: Attempt | null = null
    let sealing = false
    const ids = groups.flatMap(({ items }) => items.filter(({ idGiven }) => idGiven).map(({ id }) => id))
    try {
      await this.#store.append(ids, async (locked) => {
        sealing = true
        attempt = await this.#seal(groups, locked)
        sealing = false
        return attempt.batch
      })
      this.#settle(attempt!)
    } catch (error) {
      const sealed = attempt as Attempt | null
      const outcome = sealing || !sealed?.batch ? 'refused' : await this.#outcome(sealed.batch)
      if (outcome === 'committed') this.#settle(sealed!)
      else this.#fail(groups, outcome === 'refused' ? error : unknownOutcome(error))
    } finally {
      for (const { bytes } of groups) this.#pendingBytes -= bytes
    }
    try {
      await this.#afterCommit(attempt)
    } catch {
      // Erasing old keys and remembering the checkpoint come again with the next batch; entries are safe without them.
    }
  }

  /** Runs under the head lock. */
  async #seal(groups: readonly Group[], { head, known }: Locked): Promise<Attempt> {
    const position = head === null ? null : isOwnHead(this.#position, head) ? this.#position : await this.#check(head)
    if (head === null && this.#keys.remembered()) {
      throw new IndelibleError('ERR_ROLLED_BACK', 'log is empty, but this signer has signed entries of it')
    }
    const wall = this.#clock()
    // The log's clock never goes back. What the wall clock did shows in an entry of its own.
    const observed = head && formatTime(wall) < head.observed ? head.observed : formatTime(wall)
    const builder = new BatchBuilder(position, this.#keys, observed, epochAt(this.#keys.clock, observed))
    const notices = position === null ? [] : [...this.#notices, ...this.#clockNotices(wall, position.head)]
    for (const { kind, detail } of notices) builder.add(auditEntry('audit.recovered', wall, { kind, ...detail }))

    const placed: Attempt['placed'] = []
    const signers: NoteSigner[] = []
    const inBatch = new Map<string, { item: Item; index: number; leaf: Uint8Array }>()
    for (const group of groups) {
      const outcome = await this.#place(group, known, inBatch, builder)
      placed.push({ group, outcome })
      if (Array.isArray(outcome)) signers.push(...group.signers)
    }
    if (builder.size === (head?.size ?? 0)) return { batch: null, position: position!, placed, wall, builder }
    const finished = await builder.finish({ signers, publish: signers.length > 0 })
    return { ...finished, placed, wall, builder }
  }

  /** A group's places without checkpoint, or why the group is refused. */
  async #place(
    group: Group,
    known: ReadonlyMap<string, StoredId>,
    inBatch: Map<string, { item: Item; index: number; leaf: Uint8Array }>,
    builder: BatchBuilder,
  ): Promise<Unsigned[] | IndelibleError> {
    const earlier = new Map<string, Unsigned>()
    const own = new Set<string>()
    for (const item of group.items) {
      const stored = known.get(item.id)
      const queued = inBatch.get(item.id)
      if (own.has(item.id)) return conflict('appears twice in one call')
      own.add(item.id)
      const digest = stored ? stored.digest : queued?.item.digest
      if (!stored && !queued) continue
      const same = compareDigests(digest ?? null, item.digest)
      if (same === 'different') return conflict('names another event already')
      const index = stored?.index ?? queued!.index
      const leaf = queued?.leaf ?? (await this.#store.leaves(index, index + 1))[0]!
      earlier.set(item.id, { index, leaf, duplicate: true, uncompared: same === 'uncompared' })
    }
    return group.items.map((item) => {
      const first = earlier.get(item.id)
      if (first) return first
      const place = builder.add(item)
      inBatch.set(item.id, { item, ...place })
      return { ...place, duplicate: false, uncompared: false }
    })
  }

  #clockNotices(wall: number, head: Head): { kind: string; detail: Record<string, unknown> }[] {
    const behind = Date.parse(head.observed) - wall
    const last = this.#lastTick
    const jump = last ? wall - last.wall - (performance.now() - last.monotonic) : 0
    if (Math.abs(jump) > CLOCK_JUMP_MS) return [{ kind: 'clock_jump', detail: { by_ms: Math.round(jump) } }]
    // Without a tick of our own, a head from the future is all that shows; with one, it was noticed when it happened.
    if (!last && behind > CLOCK_JUMP_MS) return [{ kind: 'clock_behind_log', detail: { by_ms: Math.round(behind) } }]
    return []
  }

  async #check(head: Head): Promise<Position> {
    // Before the head is judged: another process of this home may have rotated the key, and ours signs no more.
    await this.#keys.refresh(async (id) => (await this.#store.findIds([id])).has(id))
    return await checkHead(head, this.#store, this.#keys)
  }

  /** Whether a batch whose append failed is in the log after all. */
  async #outcome(batch: Batch): Promise<'committed' | 'refused' | 'unknown'> {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        const head = await this.#store.head()
        if (head?.checkpoint === batch.head.checkpoint) return 'committed'
        if ((head?.size ?? 0) <= batch.from) return 'refused'
        // Others went on from there, or instead of us.
        const first = batch.ids[0]!
        const found = (await this.#store.findIds([first.id])).get(first.id)
        return found?.index === first.index ? 'committed' : 'refused'
      } catch {
        await sleep(50 * 2 ** attempt)
      }
    }
    return 'unknown'
  }

  #settle({ batch, position, placed, wall }: Attempt): void {
    this.#position = position
    this.#keys.remember({ size: position.head.size, root: position.root })
    this.#lastTick = { wall, monotonic: performance.now() }
    if (batch) this.#notices = []
    const { checkpoint } = position.head
    for (const { group, outcome } of placed) {
      if (Array.isArray(outcome)) group.resolve(outcome.map((place) => ({ ...place, checkpoint })))
      else group.reject(outcome)
    }
  }

  #fail(groups: readonly Group[], error: unknown): void {
    // The head may be anybody's now: check it afresh.
    this.#position = null
    for (const { reject } of groups) reject(error)
  }

  async #afterCommit(attempt: Attempt | null): Promise<void> {
    if (!attempt?.batch || this.#position !== attempt.position) return
    // Seals are committed: now, and not before, the keys of their epochs may go.
    await this.#keys.erase(attempt.builder.ratchet)
    if (attempt.batch.publish) await this.#keys.persist()
  }

  /** Seals the epoch on time although nothing happens in it. */
  #armTimer(): void {
    clearTimeout(this.#timer)
    const head = this.#position?.head
    if (!head || this.#closed) return
    const { startMs, seconds } = this.#keys.clock
    const endMs = startMs + (head.epoch + 1) * seconds * 1000
    this.#timer = setTimeout(() => this.#tick(), Math.min(Math.max(endMs - this.#clock(), 0) + 1, MAX_TIMER_MS))
    this.#timer.unref()
  }

  #tick(): void {
    if (this.#closed) return
    if (epochAt(this.#keys.clock, formatTime(this.#clock())) <= this.#position!.head.epoch) {
      this.#armTimer()
      return
    }
    // An empty group: the batch builder seals what has ended. Should it fail, the next entry seals.
    this.append([]).catch(() => {})
  }
}

type Unsigned = Omit<Place, 'checkpoint'>

interface Attempt {
  readonly batch: Batch | null
  readonly position: Position
  readonly placed: { readonly group: Group; readonly outcome: Unsigned[] | IndelibleError }[]
  readonly wall: number
  readonly builder: BatchBuilder
}

/** Digests are a 4-byte mark of the privacy policy and an HMAC: of different policies they say nothing of each other. */
function compareDigests(a: Uint8Array | null, b: Uint8Array | null): 'same' | 'different' | 'uncompared' {
  if (a === null || b === null) return 'uncompared'
  if (a.length === 0 || b.length === 0) return 'different'
  if (!isEqual(a.subarray(0, 4), b.subarray(0, 4))) return 'uncompared'
  return isEqual(a, b) ? 'same' : 'different'
}

function conflict(why: string): IndelibleError {
  return new IndelibleError('ERR_ID_CONFLICT', `an event's id ${why}: give each event its own`)
}

function unknownOutcome(cause: unknown): IndelibleError {
  const message = 'the store failed and cannot say whether the entries were kept: retry with the same ids'
  return new IndelibleError('ERR_OUTCOME_UNKNOWN', message, { cause })
}
