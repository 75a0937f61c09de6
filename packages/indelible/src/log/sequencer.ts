/**
 * Gives entries their place. Groups of drafts wait in a queue; one batch at a time goes through the store's head lock.
 *
 * After any failure of the store the outcome counts as unknown until the head has been read again: nothing is reported as
 * durable that is not, and nothing as lost that is durable.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual, toBase64Url } from '../bytes.ts'
import { epochAt } from '../chain/epoch.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import type { NoteSigner, VerifierKey } from '../note/signed-note.ts'
import { parseEntry } from '../record/entry.ts'
import type { AuditType } from '../record/schema.ts'
import { formatTime } from '../record/time.ts'
import type { Batch, Head, Locked, LogStore, StoredId } from '../store/store.ts'
import { auditEntry, BatchBuilder, type Sealable } from './batch.ts'
import { checkHead, isOwnHead, type Position } from './head-check.ts'

/** Wall clock, ms since 1970. */
export type Clock = () => number

/** A clock that jumps by more than this, either way, is recorded, ms. */
const CLOCK_JUMP_MS = 5000

/** Timers do not run while the machine sleeps, and the clock may be set: look again after this, ms. */
const MAX_TIMER_MS = 60_000

/** When to try again to seal an epoch after the store has failed, ms. */
const SEAL_RETRY_MS = 1000

/** How long after the last published checkpoint the next one is due while the log's clock stands still, ms. */
const PUBLISH_INTERVAL_MS = 1000

/** About what an item that waits takes in memory beside its texts, bytes: small ones add up to more than their texts. */
const ITEM_BYTES = 2048

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

/** A change of the signing key. The successor signs the checkpoint too. */
export interface Rotation {
  /** The group is refused if this is not the key that signs by then. */
  readonly from: VerifierKey
  readonly to: NoteSigner
}

/** Items that are appended together or not at all. */
interface Group {
  readonly items: readonly Item[]
  readonly bytes: number
  readonly rotation: Rotation | undefined
  resolve(places: Place[]): void
  reject(error: unknown): void
}

export interface SequencerOptions {
  /** Most entries of one batch. Default 1000. A larger group is a batch of its own. */
  readonly maxBatch?: number
  /** Most bytes that may wait in memory, roughly; more is refused. Default 256 MiB. */
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
  #closing: Promise<void> | null = null
  /** Settles with the group that was queued last. */
  #last: Promise<unknown> = Promise.resolve()
  /** `null` if the head has to be checked before anything is built on it. */
  #position: Position | null = null
  /** Epoch of the last head seen: what ends next. `null` for a log without entries. */
  #epoch: number | null = null
  #timer: NodeJS.Timeout | undefined
  /** When this process last published a checkpoint, by the monotonic clock. */
  #published = 0
  /** What the wall clock and the monotonic one said at the last batch: their difference shows a jump. */
  #lastTick: { wall: number; monotonic: number } | null = null
  /** Statements of the log that go before the next group, until one of them is known to be in the log. */
  #notices: Sealable[] = []
  /** Whether the log says already that the keys folder cannot be written. */
  #keysFail = false

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
    if (head) {
      this.#position = await this.#check(head)
      await checkOpened(this.#store, this.#keys)
      this.#epoch = head.epoch
      await this.#eraseSealed(head)
    } else if (this.#keys.remembered()) {
      throw new IndelibleError('ERR_ROLLED_BACK', 'log is empty, but this signer has signed entries of it')
    }
    this.#armTimer()
  }

  /**
   * Has an entry of the log about itself written, now if that is possible and otherwise before the next ones. Nobody needs
   * to wait for it; the result tells whether it was possible.
   */
  audit(type: AuditType, audit: Record<string, unknown>): Promise<unknown> {
    this.#notices.push(auditEntry(type, this.#clock(), audit))
    const written = this.append([])
    written.catch(() => {})
    return written
  }

  /** {@link audit} with an `audit.recovered` entry: something odd was found, and the log goes on. */
  notice(kind: string, detail: Record<string, unknown> = {}): Promise<unknown> {
    return this.audit('audit.recovered', { kind, ...detail })
  }

  /**
   * Appends `items` together or not at all. Resolves once they are durable and under a signed checkpoint.
   *
   * @param rotation if this is the entry of one: `ERR_KEY_MISMATCH` if somebody else was faster
   * @throws IndelibleError `ERR_OVERLOADED` (retryable; nothing was queued), `ERR_ID_CONFLICT`, `ERR_CLOSED`,
   * `ERR_OUTCOME_UNKNOWN` (retry with the same ids), and what the store or the check of its head throw
   */
  append(items: readonly Item[], rotation?: Rotation): Promise<Place[]> {
    if (this.#closing) return Promise.reject(new IndelibleError('ERR_CLOSED', 'log is closed'))
    return this.#enqueue(items, rotation)
  }

  #enqueue(items: readonly Item[], rotation?: Rotation): Promise<Place[]> {
    let bytes = 0
    for (const { draft, payloads } of items) {
      bytes += ITEM_BYTES + draft.bytes.length
      for (const { disclosure } of payloads) bytes += disclosure.length
    }
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes > this.#maxPendingBytes) {
      const message = `${this.#pendingBytes} bytes wait to be written, at most ${this.#maxPendingBytes}: slow down, retry`
      return Promise.reject(new IndelibleError('ERR_OVERLOADED', message))
    }
    this.#pendingBytes += bytes
    const settled = new Promise<Place[]>((resolve, reject) => {
      this.#queue.push({ items, bytes, rotation, resolve, reject })
      this.#start()
    })
    this.#last = settled
    return settled
  }

  /** Resolves once everything queued before the call is durable or refused; what is queued later is not waited for. */
  async flush(): Promise<void> {
    await this.#last.catch(() => {})
  }

  /** Refuses new entries, writes what waits, and publishes the last checkpoint. Waits as long as the store does. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#notices.length > 0 && this.#position) this.#enqueue([]).catch(() => {})
    while (this.#running) await this.#running
    for (const work of [() => this.#keys.persist(), () => this.#publishLast()]) {
      try {
        await work()
      } catch (error) {
        // The entries are durable; what takes no more writes must still close.
        if (!isIndelibleError(error)) throw error
      }
    }
  }

  /** Publishes the head's checkpoint, if nobody went on from it. */
  async #publishLast(): Promise<void> {
    const own = this.#position?.head
    const head = await this.#store.head()
    if (!own || own.checkpoint !== head?.checkpoint) return
    for await (const published of this.#store.checkpoints(head.size - 1, head.size)) if (published.length > 0) return
    await this.#store.publish({ size: head.size, note: head.checkpoint })
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = null
      if (this.#queue.length > 0) this.#start()
      else this.#armTimer()
    })
  }

  async #run(): Promise<void> {
    do {
      // Everything that is recorded in this turn of the event loop shares one commit. And the loop must turn between
      // batches: callers who record again as soon as they are answered would keep it from timers and I/O for good.
      await new Promise((resolve) => setImmediate(resolve))
      const groups = this.#take()
      try {
        await this.#write(groups)
      } catch (error) {
        this.#fail(groups, error)
      } finally {
        for (const { bytes } of groups) this.#pendingBytes -= bytes
      }
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
    // An earlier attempt may have left them in the log, without our being told.
    for (const { id } of this.#notices) ids.push(id)
    let outcome: Outcome = 'committed'
    let error: unknown
    try {
      await this.#store.append(ids, async (locked) => {
        sealing = true
        attempt = await this.#seal(groups, locked)
        sealing = false
        return attempt.batch
      })
    } catch (thrown) {
      error = thrown
      const { batch } = (attempt as Attempt | null) ?? { batch: null }
      outcome = sealing || !batch ? 'refused' : await this.#outcome(batch)
    }
    if (outcome === 'committed') {
      const sealed = attempt! as Attempt
      this.#settle(sealed)
      await this.#afterCommit(sealed)
    } else {
      this.#fail(groups, outcome === 'refused' ? error : unknownOutcome(error))
    }
  }

  /** Runs under the head lock. */
  async #seal(groups: readonly Group[], { head, known }: Locked): Promise<Attempt> {
    const position = await this.#goOnFrom(head)
    const wall = this.#clock()
    this.#watchClock(wall, head)
    // The log's clock never goes back. What the wall clock did shows in an entry of its own.
    const isBehind = head !== null && formatTime(wall) < head.observed
    const observed = isBehind ? head.observed : formatTime(wall)
    const builder = new BatchBuilder(position, this.#keys, observed, epochAt(this.#keys.clock, observed))
    const notices = position === null ? [] : [...this.#notices]
    for (const notice of notices) if (!known.has(notice.id)) builder.add(notice)

    const placed: Attempt['placed'] = []
    const signers: NoteSigner[] = []
    const inBatch = new Map<string, { item: Item; index: number; leaf: Uint8Array }>()
    for (const group of groups) {
      const outcome = isNew(group) ? addAll(group.items, builder) : await this.#place(group, known, inBatch, builder)
      placed.push({ group, outcome })
      if (group.rotation && Array.isArray(outcome)) signers.push(group.rotation.to)
    }
    const attempt = { placed, notices, builder, rotates: signers.length > 0 }
    if (builder.size === (head?.size ?? 0)) return { batch: null, position, ...attempt }
    const isDue = isBehind && performance.now() - this.#published >= PUBLISH_INTERVAL_MS
    return { ...(await builder.finish({ signers, publish: signers.length > 0 || isDue })), ...attempt }
  }

  /** Where the next batch begins. A head that this process did not write itself is checked first. */
  async #goOnFrom(head: Head | null): Promise<Position | null> {
    if (head === null) {
      if (!this.#keys.remembered()) return null
      throw new IndelibleError('ERR_ROLLED_BACK', 'log is empty, but this signer has signed entries of it')
    }
    // The head as it is now: others may have purged, and published, without going on from it.
    return isOwnHead(this.#position, head) ? { ...this.#position!, head } : await this.#check(head)
  }

  /** A group's places without checkpoint, or why the group is refused. */
  async #place(
    group: Group,
    known: ReadonlyMap<string, StoredId>,
    inBatch: Map<string, { item: Item; index: number; leaf: Uint8Array }>,
    builder: BatchBuilder,
  ): Promise<Unsigned[] | IndelibleError> {
    const { rotation } = group
    if (rotation && !isEqual(rotation.from.publicKey, this.#keys.signer.key.publicKey)) {
      return new IndelibleError('ERR_KEY_MISMATCH', 'signing key was replaced by somebody else meanwhile: rotate again')
    }
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
      const leaf = queued?.leaf ?? (await this.#leafAt(index))
      if (!leaf) return new IndelibleError('ERR_STORE_CORRUPT', `an id names entry ${index}, which is not there`)
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

  async #leafAt(index: number): Promise<Uint8Array | null> {
    try {
      return (await this.#store.leaves(index, index + 1))[0] ?? null
    } catch (error) {
      if (error instanceof RangeError) return null
      throw error
    }
  }

  /** Has a jump of the wall clock recorded, once. */
  #watchClock(wall: number, head: Head | null): void {
    const last = this.#lastTick
    this.#lastTick = { wall, monotonic: performance.now() }
    const add = (kind: string, byMs: number) => {
      if (Math.abs(byMs) <= CLOCK_JUMP_MS) return
      this.#notices.push(auditEntry('audit.recovered', wall, { kind, by_ms: Math.round(byMs) }))
    }
    if (last) add('clock_jump', wall - last.wall - (this.#lastTick.monotonic - last.monotonic))
    // Without a tick of our own, a head from the future is all that shows; with one, it was noticed when it happened.
    else if (head) add('clock_behind_log', Math.max(Date.parse(head.observed) - wall, 0))
  }

  async #check(head: Head): Promise<Position> {
    // Before the head is judged: another process of this home may have rotated the key, and ours signs no more.
    await this.#keys.refresh(async (id) => (await this.#store.findIds([id])).has(id))
    const position = await checkHead(head, this.#store, this.#keys)
    const { epoch } = this.#keys.ratchet()
    if (epoch > head.epoch) {
      const message = `log is in epoch ${head.epoch}, its keys in ${epoch}: the seals in between were rolled back or cut off`
      throw new IndelibleError('ERR_ROLLED_BACK', message)
    }
    return position
  }

  /**
   * A key of an epoch that the log has sealed is erased at once. It was there because a crash came between the seal and the
   * erasing, or because the keys folder came back from a backup: then whoever has that backup has the key as well.
   */
  async #eraseSealed(head: Head): Promise<void> {
    const ratchet = this.#keys.ratchet()
    const { epoch } = ratchet
    if (epoch >= head.epoch) return
    ratchet.advance(head.epoch)
    this.notice('old_key_found', { epoch, log_epoch: head.epoch })
    await this.#saveKeys(() => this.#keys.erase(ratchet))
  }

  /** Whether a batch whose append failed is in the log after all. */
  async #outcome({ from, head: own }: Batch): Promise<Outcome> {
    for (let attempt = 0; attempt < 5; attempt++) {
      if (attempt > 0) await sleep(25 * 2 ** attempt)
      try {
        const head = await this.#store.head()
        if (head?.checkpoint === own.checkpoint) return 'committed'
        if ((head?.size ?? 0) <= from) return 'refused'
        // Others went on from there, or instead of us. No id would tell: they may have recorded the same event.
        for await (const rows of this.#store.entries(own.size - 1, own.size)) {
          for (const { mac } of rows) if (isEqual(mac, own.mac)) return 'committed'
        }
        return 'refused'
      } catch {
        // Ask again.
      }
    }
    return 'unknown'
  }

  #settle({ batch, position, placed, notices, rotates }: Attempt): void {
    // After a rotation another key signs: the next batch goes over to it under the lock, before it signs anything.
    this.#position = rotates ? null : position
    this.#notices = this.#notices.filter((notice) => !notices.includes(notice))
    if (batch?.publish) this.#published = performance.now()
    if (position) {
      this.#epoch = position.head.epoch
      this.#keys.remember({ size: position.head.size, root: position.root })
    }
    const checkpoint = position?.head.checkpoint ?? ''
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

  #afterCommit({ batch, builder }: Attempt): Promise<void> {
    return this.#saveKeys(async () => {
      // Seals are committed, by us or by somebody else: now, and not before, the keys of their epochs may go.
      await this.#keys.erase(builder.ratchet)
      if (batch?.publish) await this.#keys.persist()
    })
  }

  /** What fails here comes again with the next batch, and entries are safe without it; but keys that stay are worth an entry. */
  async #saveKeys(save: () => Promise<void>): Promise<void> {
    try {
      await save()
      this.#keysFail = false
    } catch (error) {
      if (this.#keysFail) return
      this.#keysFail = true
      this.notice('keys_not_saved', isIndelibleError(error) ? { code: error.code } : {})
    }
  }

  /** Seals the epoch on time although nothing happens in it. */
  #armTimer(): void {
    clearTimeout(this.#timer)
    if (this.#epoch === null || this.#closing) return
    const waitMs = Math.max(this.#endOf(this.#epoch) - this.#clock() + 1, this.#position ? 1 : SEAL_RETRY_MS)
    this.#timer = setTimeout(() => this.#tick(), Math.min(waitMs, MAX_TIMER_MS))
    this.#timer.unref()
  }

  #tick(): void {
    if (this.#epoch === null || this.#closing) return
    // An empty group: the batch builder seals what has ended. Should it fail, the timer is armed again.
    if (this.#clock() >= this.#endOf(this.#epoch)) this.append([]).catch(() => {})
    else this.#armTimer()
  }

  #endOf(epoch: number): number {
    const { startMs, seconds } = this.#keys.clock
    return startMs + (epoch + 1) * seconds * 1000
  }
}

/**
 * Keys of another log would go on with a chain that no K_0 fits.
 * @throws IndelibleError `ERR_KEY_MISMATCH`
 */
async function checkOpened(store: LogStore, { macId, clock }: LogKeys): Promise<void> {
  for await (const rows of store.entries(0, 1)) {
    for (const { entry } of rows) {
      const { type, audit } = readOpened(entry)
      if (type !== 'audit.opened' || typeof audit?.mac_id !== 'string') return
      const isOurs =
        audit.mac_id === toBase64Url(macId) &&
        audit.epoch_start === formatTime(clock.startMs) &&
        audit.epoch_seconds === clock.seconds
      if (!isOurs) throw new IndelibleError('ERR_KEY_MISMATCH', 'keys are not those that entry 0 of the log names')
    }
  }
}

function readOpened(entry: Uint8Array): { readonly type?: string; readonly audit?: Record<string, unknown> } {
  try {
    return parseEntry(entry) as { type: string; audit?: Record<string, unknown> }
  } catch {
    return {} // altered: for verify to say
  }
}

type Outcome = 'committed' | 'refused' | 'unknown'

type Unsigned = Omit<Place, 'checkpoint'>

/** Whether nothing stands in a group's way: ids that the log has made are in no log yet. */
function isNew({ items, rotation }: Group): boolean {
  return rotation === undefined && items.every(({ idGiven }) => !idGiven)
}

function addAll(items: readonly Item[], builder: BatchBuilder): Unsigned[] {
  return items.map((item) => ({ ...builder.add(item), duplicate: false, uncompared: false }))
}

interface Attempt {
  readonly batch: Batch | null
  /** `null` if the log is still without entries. */
  readonly position: Position | null
  readonly placed: { readonly group: Group; readonly outcome: Unsigned[] | IndelibleError }[]
  readonly notices: readonly Sealable[]
  readonly builder: BatchBuilder
  /** Whether another key signs from here on. */
  readonly rotates: boolean
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
