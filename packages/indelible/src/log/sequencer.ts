/**
 * Gives entries their place. Groups of drafts wait in a queue; one batch at a time goes through the store's head lock.
 *
 * After any failure of the store the outcome counts as unknown until the head has been read again: nothing is reported as
 * durable that is not, and nothing as lost that is durable.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError, OutcomeUnknownError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import type { AuditType } from '../record/schema.ts'
import type { Batch, Head, LogStore } from '../store/store.ts'
import { auditEntry } from './batch.ts'
import { Group, GroupQueue, type Item, type Place, type Rotation, type Unsigned } from './groups.ts'
import { checkOpened } from './opened.ts'
import { type Attempt, type Clock, Sealer } from './sealer.ts'

export type { Item, Place, Rotation } from './groups.ts'
export type { Clock } from './sealer.ts'

/** Timers do not run while the machine sleeps, and the clock may be set: look again after this, ms. */
const MAX_TIMER_MS = 60_000

/** When to try again to seal an epoch after the store has failed, ms. */
const SEAL_RETRY_MS = 1000

/**
 * Most entries of a batch that the store writes in the background. Fewer than callers usually wait for, so that some of them
 * record their next event meanwhile.
 */
const AHEAD_BATCH = 512

/** Fewest entries for which it is worth it: handing a batch over costs what writing some rows does. */
const MIN_AHEAD = 64

/** Batches in a row that are large enough before the first goes ahead: a short burst needs no thread. */
const STEADY_BATCHES = 3

/** Batches to write under the lock after another writer was met: it may go on, and what was sealed for nothing is work. */
const BATCHES_AFTER_MEETING = 50

export interface SequencerOptions {
  /** Most entries of one batch. Default 1000. A larger group is a batch of its own. */
  readonly maxBatch?: number
  /** Most bytes that may wait in memory, roughly; more is refused. Default 256 MiB. */
  readonly maxPendingBytes?: number
  readonly clock?: Clock
}

/** What a log hands its entries to. */
export type Sequencing = Pick<Sequencer, 'open' | 'append' | 'enqueue' | 'audit' | 'notice' | 'flush' | 'close'>

export class Sequencer {
  readonly #store: LogStore
  readonly #keys: LogKeys
  readonly #clock: Clock
  readonly #sealer: Sealer
  readonly #maxBatch: number
  readonly #maxPendingBytes: number

  readonly #queue = new GroupQueue()
  #running: Promise<void> | null = null
  #closing: Promise<void> | null = null
  /** Epoch of the last head seen: what ends next. `null` for a log without entries. */
  #epoch: number | null = null
  #timer: NodeJS.Timeout | undefined
  /** Whether the log says already that the keys folder cannot be written. */
  #keysFail = false
  /** How far the clock of a store that all writers share is ahead of this machine's, ms. */
  #aheadMs = 0
  /** Large batches to write under the lock before one may go ahead. */
  #untilAhead = STEADY_BATCHES

  constructor(store: LogStore, keys: LogKeys, options: SequencerOptions = {}) {
    this.#store = store
    this.#keys = keys
    this.#clock = options.clock ?? (() => Date.now() + this.#aheadMs)
    this.#sealer = new Sealer(store, keys, this.#clock)
    this.#maxBatch = options.maxBatch ?? 1000
    this.#maxPendingBytes = options.maxPendingBytes ?? 256 * 1024 * 1024
  }

  /** Checks the head as it is and goes on from there. Reads the right edge only, never the log. */
  async open(): Promise<void> {
    const head = await this.#store.head()
    if (head) {
      this.#sealer.position = await this.#sealer.check(head)
      await checkOpened(this.#store, this.#keys)
      this.#epoch = head.epoch
      await this.#eraseSealed(head)
    } else {
      this.#sealer.checkEmpty()
    }
    this.#armTimer()
  }

  /**
   * Has an entry of the log about itself written, now if that is possible and otherwise before the next ones. Nobody needs
   * to wait for it; the result tells whether it was possible.
   */
  audit(type: AuditType, audit: Record<string, unknown>): Promise<unknown> {
    this.#sealer.notices.push(auditEntry(type, this.#clock(), audit))
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
   * @throws IndelibleError `ERR_OVERLOADED` (retryable; nothing was queued), `ERR_ID_CONFLICT`, `ERR_CLOCK_AHEAD`,
   * `ERR_CLOSED`, `ERR_OUTCOME_UNKNOWN` (retry with the same ids), and what the store or the check of its head throw
   */
  append(items: readonly Item[], rotation?: Rotation): Promise<readonly Place[]> {
    return new Promise((resolve, reject) => this.enqueue(items, rotation, resolve, reject))
  }

  /** {@link append} for a caller who has a promise of his own: one for each entry is what a busy log can spare. */
  enqueue(
    items: readonly Item[],
    rotation: Rotation | undefined,
    resolve: (places: readonly Place[]) => void,
    reject: (error: unknown) => void,
  ): void {
    if (this.#closing) reject(new IndelibleError('ERR_CLOSED', 'log is closed'))
    else this.#add(new Group(items, rotation, resolve, reject))
  }

  #add(group: Group): void {
    const refusal = this.#queue.add(group, this.#maxPendingBytes)
    if (refusal) group.reject(refusal)
    else this.#start()
  }

  /** Resolves once everything queued before the call is durable or refused; what is queued later is not waited for. */
  flush(): Promise<void> {
    return this.#queue.settled()
  }

  /** Refuses new entries, writes what waits, and publishes the last checkpoint. Waits as long as the store does. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer)
    const { notices, position } = this.#sealer
    if (notices.length > 0 && position) this.#add(new Group([], undefined, nothing, nothing))
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
    const own = this.#sealer.position?.head
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
      if (this.#canGoAhead() && (await this.#runAhead())) continue
      if (this.#untilAhead > 0 && this.#queue.entries >= MIN_AHEAD) this.#untilAhead--
      await this.#write(this.#queue.take(this.#maxBatch))
    } while (this.#queue.length > 0)
  }

  #canGoAhead(): boolean {
    const isSteady = this.#untilAhead === 0 && this.#store.appendAfter !== undefined
    return isSteady && this.#queue.entries >= MIN_AHEAD && !this.#queue.hasRotation
  }

  /**
   * Writes batch after batch in the background, as long as many entries wait: each is sealed on the head that this process
   * left. Once one is committed the next is sealed and handed over first, and only then are its callers answered: what they
   * record next is prepared while the next batch is written. Nothing is ever sealed on a batch that is not committed.
   *
   * @returns whether anything was taken from the queue
   */
  async #runAhead(): Promise<boolean> {
    let before: Attempt | null = null
    let taken = false
    while (this.#canGoAhead()) {
      const groups = this.#queue.take(Math.min(this.#maxBatch, AHEAD_BATCH))
      taken = true
      const next = await this.#writeAhead(groups, before)
      before = null
      if (next === null) break
      before = next
    }
    if (before) await this.#answer(before)
    return taken
  }

  /** Returns the attempt once it is committed; `null` if the groups were written or refused in another way. */
  async #writeAhead(groups: readonly Group[], before: Attempt | null): Promise<Attempt | null> {
    let attempt: Attempt | null = null
    let written: Promise<boolean> = Promise.resolve(false)
    try {
      attempt = await this.#sealer.sealAhead(groups)
      if (attempt?.batch) written = this.#store.appendAfter!(this.#sealer.position!.head, attempt.batch)
    } catch (error) {
      written = Promise.reject(error)
    }
    written.catch(nothing)
    if (before) await this.#answer(before)
    let isWritten: boolean
    try {
      isWritten = await written
    } catch (error) {
      const outcome = attempt?.batch ? await this.#outcome(attempt.batch) : 'refused'
      if (outcome !== 'committed') {
        this.#fail(groups, error, outcome)
        return null
      }
      isWritten = true
    }
    if (isWritten) {
      this.#commit(attempt!)
      return attempt
    }
    // Somebody else went on from the head, an id is in the log, or there is something to say first: all that is seen to
    // under the lock.
    if (attempt?.batch) this.#untilAhead = BATCHES_AFTER_MEETING
    await this.#write(groups)
    return null
  }

  async #write(groups: readonly Group[]): Promise<void> {
    try {
      while (await this.#writeBatch(groups)) {
        // What ended meanwhile is sealed in several batches; the loop turns in between.
        await new Promise((resolve) => setImmediate(resolve))
      }
    } catch (error) {
      this.#fail(groups, error)
    }
  }

  /** Returns whether the groups wait for another batch. */
  async #writeBatch(groups: readonly Group[]): Promise<boolean> {
    let attempt: Attempt | null = null
    let sealing = false
    let outcome: Outcome = 'committed'
    let error: unknown
    try {
      await this.#store.append(this.#idsOf(groups), async (locked) => {
        sealing = true
        if (locked.nowMs !== undefined) this.#aheadMs = locked.nowMs - Date.now()
        attempt = await this.#sealer.seal(groups, locked)
        sealing = false
        return attempt.batch
      })
    } catch (thrown) {
      error = thrown
      const { batch } = (attempt as Attempt | null) ?? { batch: null }
      outcome = sealing || !batch ? 'refused' : await this.#outcome(batch)
    }
    if (outcome !== 'committed') {
      this.#fail(groups, error, outcome)
      return false
    }
    const sealed = attempt! as Attempt
    this.#commit(sealed)
    await this.#answer(sealed)
    return sealed.isStep
  }

  /** Ids that may be in the log already. */
  #idsOf(groups: readonly Group[]): string[] {
    const ids: string[] = []
    for (const { items } of groups) for (const { id, idGiven } of items) if (idGiven) ids.push(id)
    // An earlier attempt may have left them in the log, without our being told.
    for (const { id } of this.#sealer.notices) ids.push(id)
    return ids
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

  /** The batch is in the log: the next one goes on from it. */
  #commit(attempt: Attempt): void {
    this.#sealer.committed(attempt)
    const { position } = attempt
    if (!position) return
    this.#epoch = position.head.epoch
    this.#keys.remember({ size: position.head.size, root: position.root })
  }

  /** Tells the callers of a committed batch. */
  async #answer({ batch, position, placed, builder }: Attempt): Promise<void> {
    const checkpoint = position?.head.checkpoint ?? ''
    for (const { group, outcome } of placed) {
      this.#queue.forget(group)
      if (outcome instanceof IndelibleError) group.reject(outcome)
      else group.resolve(outcome.map((place) => signed(place, checkpoint)))
    }
    await this.#saveKeys(async () => {
      // Seals are committed, by us or by somebody else: now, and not before, the keys of their epochs may go.
      await this.#keys.erase(builder.ratchet)
      if (batch?.publish) await this.#keys.persist()
    })
  }

  #fail(groups: readonly Group[], error: unknown, outcome: 'refused' | 'unknown' = 'refused'): void {
    // The head may be anybody's now: check it afresh.
    this.#sealer.position = null
    for (const group of groups) {
      this.#queue.forget(group)
      group.reject(outcome === 'refused' ? error : unknownOutcome(group, error))
    }
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
    const waitMs = Math.max(this.#endOf(this.#epoch) - this.#clock() + 1, this.#sealer.position ? 1 : SEAL_RETRY_MS)
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

type Outcome = 'committed' | 'refused' | 'unknown'

const nothing = () => {}

/** Spelled out: for every entry once. */
function signed({ index, leaf, duplicate, uncompared }: Unsigned, checkpoint: string): Place {
  return { index, leaf, checkpoint, duplicate, uncompared }
}

function unknownOutcome({ items }: Group, cause: unknown): OutcomeUnknownError {
  return new OutcomeUnknownError(
    items.map(({ id }) => id),
    { cause },
  )
}
