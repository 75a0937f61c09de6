/**
 * Turns groups of drafts into a sealed batch, on the head that the store shows under its lock or on the one that this
 * process left. A head that it did not write itself is checked first.
 */
import { performance } from 'node:perf_hooks'
import { isEqual } from '../bytes.ts'
import { epochAt } from '../chain/epoch.ts'
import { IndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import type { NoteSigner } from '../note/signed-note.ts'
import { formatTime } from '../record/time.ts'
import type { Batch, Head, Locked, LogStore, StoredId } from '../store/store.ts'
import { auditEntry, BatchBuilder, type Sealable } from './batch.ts'
import type { Group, Item, Unsigned } from './groups.ts'
import { checkHead, isOwnHead, type Position } from './head-check.ts'

/** Wall clock, ms since 1970. */
export type Clock = () => number

/** A clock that jumps by more than this, either way, is recorded, ms. */
const CLOCK_JUMP_MS = 5000

/** How long after the last published checkpoint the next one is due while the log's clock stands still, ms. */
const PUBLISH_INTERVAL_MS = 1000

/**
 * Most epochs that one batch seals. Each takes about 20 µs, under the head lock and in one go; and a verifier walks no more
 * than 10,000 at once without having seen their seals.
 */
export const MAX_SEALED = 8192

/** No clock that is right is ahead of the log by more epochs than this: 114 years of hours, eleven days of seconds. */
export const MAX_EPOCHS_AHEAD = 1_000_000

/** A batch in the making: what becomes of each group, and of the log, once it is committed. */
export interface Attempt {
  readonly batch: Batch | null
  /** `null` if the log is still without entries. */
  readonly position: Position | null
  readonly placed: readonly { readonly group: Group; readonly outcome: Unsigned[] | IndelibleError }[]
  readonly notices: readonly Sealable[]
  readonly builder: BatchBuilder
  /** Whether another key signs from here on. */
  readonly rotates: boolean
  /** Whether the groups wait for another batch, because this one only seals some of the epochs that have ended. */
  readonly isStep: boolean
}

export class Sealer {
  readonly #store: LogStore
  readonly #keys: LogKeys
  readonly #clock: Clock
  /** Where this process left the log. `null` if the head has to be checked before anything is built on it. */
  position: Position | null = null
  /** Statements of the log that go before the next group, until one of them is known to be in the log. */
  notices: Sealable[] = []
  /** When this process last published a checkpoint, by the monotonic clock. */
  #published = 0
  /** What the wall clock and the monotonic one said at the last batch: their difference shows a jump. */
  #lastTick: { wall: number; monotonic: number } | null = null

  constructor(store: LogStore, keys: LogKeys, clock: Clock) {
    this.#store = store
    this.#keys = keys
    this.#clock = clock
  }

  /** A batch of `groups` on the head as it is. Runs under the head lock. */
  async seal(groups: readonly Group[], { head, known }: Locked): Promise<Attempt> {
    const position = await this.#goOnFrom(head)
    const { observed, isBehind } = this.#observe(head)
    const epoch = epochAt(this.#keys.clock, observed)
    const step = this.#stepTo(position, epoch)
    if (step !== null) return this.#sealStep(position!, step)
    const builder = new BatchBuilder(position, this.#keys, observed, epoch)
    const notices = position === null ? [] : [...this.notices]
    for (const notice of notices) if (!known.has(notice.id)) builder.add(notice)
    return this.#finish(groups, known, builder, { position, notices, isBehind })
  }

  /**
   * A batch of `groups` on the head that this process left, before the lock is had: whoever writes it makes sure that the head
   * is still that one, and that no id is in the log.
   * @returns `null` where the head has to be seen first
   */
  async sealAhead(groups: readonly Group[]): Promise<Attempt | null> {
    const { position } = this
    if (position === null || this.notices.length > 0) return null
    const { observed, isBehind } = this.#observe(position.head)
    const epoch = epochAt(this.#keys.clock, observed)
    // Seals, and what the clock has to say, are written under the lock.
    if (epoch !== position.head.epoch || this.notices.length > 0) return null
    const builder = new BatchBuilder(position, this.#keys, observed, epoch)
    return this.#finish(groups, NONE_KNOWN, builder, { position, notices: [], isBehind })
  }

  /** The batch is in the log. */
  committed({ batch, position, notices, rotates }: Attempt): void {
    // After a rotation another key signs: the next batch goes over to it under the lock, before it signs anything.
    this.position = rotates ? null : position
    if (notices.length > 0) this.notices = this.notices.filter((notice) => !notices.includes(notice))
    if (batch?.publish) this.#published = performance.now()
  }

  /**
   * A head that somebody else wrote.
   * @throws IndelibleError see {@link checkHead}, and `ERR_ROLLED_BACK` if the keys are ahead of it
   */
  async check(head: Head): Promise<Position> {
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

  /** @throws IndelibleError `ERR_ROLLED_BACK` if this signer has signed entries of an empty log */
  checkEmpty(): void {
    if (!this.#keys.remembered()) return
    throw new IndelibleError('ERR_ROLLED_BACK', 'log is empty, but this signer has signed entries of it')
  }

  /** Where the next batch begins. A head that this process did not write itself is checked first. */
  async #goOnFrom(head: Head | null): Promise<Position | null> {
    if (head === null) {
      this.checkEmpty()
      return null
    }
    // The head as it is now: others may have purged, and published, without going on from it.
    return isOwnHead(this.position, head) ? { ...this.position!, head } : await this.check(head)
  }

  /** The log's clock never goes back. What the wall clock did shows in an entry of its own. */
  #observe(head: Head | null): { observed: string; isBehind: boolean } {
    const wall = this.#clock()
    this.#watchClock(wall, head)
    const now = formatTime(wall)
    return head !== null && now < head.observed
      ? { observed: head.observed, isBehind: true }
      : { observed: now, isBehind: false }
  }

  /** Has a jump of the wall clock recorded, once. */
  #watchClock(wall: number, head: Head | null): void {
    const last = this.#lastTick
    this.#lastTick = { wall, monotonic: performance.now() }
    const add = (kind: string, byMs: number) => {
      if (Math.abs(byMs) <= CLOCK_JUMP_MS) return
      this.notices.push(auditEntry('audit.recovered', wall, { kind, by_ms: Math.round(byMs) }))
    }
    if (last) add('clock_jump', wall - last.wall - (this.#lastTick.monotonic - last.monotonic))
    // Without a tick of our own, a head from the future is all that shows; with one, it was noticed when it happened.
    else if (head) add('clock_behind_log', Math.max(Date.parse(head.observed) - wall, 0))
  }

  /**
   * The epoch up to which a batch of seals goes first, if more have ended than one batch may seal.
   * @throws IndelibleError `ERR_CLOCK_AHEAD`: what was sealed cannot be taken back, and the log would stay in that future
   */
  #stepTo(position: Position | null, epoch: number): number | null {
    const ended = position ? epoch - position.head.epoch : 0
    if (ended > MAX_EPOCHS_AHEAD) {
      const message = `clock is ${ended} epochs ahead of the log, at most ${MAX_EPOCHS_AHEAD}: set it right`
      throw new IndelibleError('ERR_CLOCK_AHEAD', message)
    }
    return ended > MAX_SEALED ? position!.head.epoch + MAX_SEALED : null
  }

  /** Seals what has ended up to `epoch`, at the time at which that began: other writers get the lock in between. */
  async #sealStep(position: Position, epoch: number): Promise<Attempt> {
    const { startMs, seconds } = this.#keys.clock
    const observed = new Date(startMs + epoch * seconds * 1000).toISOString()
    const builder = new BatchBuilder(position, this.#keys, observed, epoch)
    return { ...(await builder.finish()), placed: [], notices: [], builder, rotates: false, isStep: true }
  }

  async #finish(
    groups: readonly Group[],
    known: ReadonlyMap<string, StoredId>,
    builder: BatchBuilder,
    { position, notices, isBehind }: { position: Position | null; notices: readonly Sealable[]; isBehind: boolean },
  ): Promise<Attempt> {
    const placed: { group: Group; outcome: Unsigned[] | IndelibleError }[] = []
    const signers: NoteSigner[] = []
    const inBatch = new Map<string, Queued>()
    for (const group of groups) {
      const outcome = isNew(group) ? addAll(group.items, builder) : await this.#place(group, known, inBatch, builder)
      placed.push({ group, outcome })
      if (group.rotation && Array.isArray(outcome)) signers.push(group.rotation.to)
    }
    const attempt = { placed, notices, builder, rotates: signers.length > 0, isStep: false }
    if (builder.size === (position?.head.size ?? 0)) return { batch: null, position, ...attempt }
    const isDue = isBehind && performance.now() - this.#published >= PUBLISH_INTERVAL_MS
    return { ...(await builder.finish({ signers, publish: signers.length > 0 || isDue })), ...attempt }
  }

  /** A group's places without checkpoint, or why the group is refused. */
  async #place(
    group: Group,
    known: ReadonlyMap<string, StoredId>,
    inBatch: Map<string, Queued>,
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
      const index = stored?.index ?? queued!.place.index
      const leaf = queued?.place.leaf ?? (await this.#leafAt(index))
      if (!leaf) return new IndelibleError('ERR_STORE_CORRUPT', `an id names entry ${index}, which is not there`)
      earlier.set(item.id, { index, leaf, duplicate: true, uncompared: same === 'uncompared' })
    }
    return group.items.map((item) => {
      const first = earlier.get(item.id)
      if (first) return first
      const place = addOne(item, builder)
      inBatch.set(item.id, { item, place })
      return place
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
}

interface Queued {
  readonly item: Item
  readonly place: Unsigned
}

const NONE_KNOWN: ReadonlyMap<string, StoredId> = new Map()

/** Whether nothing stands in a group's way: ids that the log has made are in no log yet. */
function isNew({ items, rotation }: Group): boolean {
  return rotation === undefined && items.every(({ idGiven }) => !idGiven)
}

function addAll(items: readonly Item[], builder: BatchBuilder): Unsigned[] {
  return items.map((item) => addOne(item, builder))
}

function addOne(item: Item, builder: BatchBuilder): Unsigned {
  const index = builder.size
  return { index, leaf: builder.add(item), duplicate: false, uncompared: false }
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
