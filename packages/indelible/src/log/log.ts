/** The log as its users see it: record, read, prove, verify. The one place where the stages meet. */
import { toBase64Url } from '../bytes.ts'
import type { RunOptions } from '../capture/members.ts'
import { type ObserveOptions, observe } from '../capture/observe.ts'
import { Recorder, type RecorderOptions } from '../capture/recorder.ts'
import type { Run } from '../capture/run.ts'
import type { Sink } from '../capture/sink.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { LogKeys } from '../keys/log-keys.ts'
import { formatVkey, signNote } from '../note/signed-note.ts'
import { formatTlogProof } from '../note/tlog-proof.ts'
import type { PrivacyPolicy } from '../privacy/policy.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { newId } from '../record/id.ts'
import type { AgentEvent, AuditType } from '../record/schema.ts'
import type { Head, LogStore } from '../store/store.ts'
import { formatRotation } from '../verify/key-history.ts'
import { proofCheckpoint } from './anchoring.ts'
import { auditEntry } from './batch.ts'
import type { ConfigChange } from './config-change.ts'
import { Eraser } from './erase.ts'
import { bareSite, type EraseRequest, type ErasureReceipt, type ErasureSite } from './erasure.ts'
import { findRow, proveRow } from './find-row.ts'
import type { Identities } from './identities.ts'
import { LogDraft } from './log-draft.ts'
import { ItemMaker, type RecordOptions } from './log-items.ts'
import { NullSequencer } from './null-sequencer.ts'
import { type ReadFacts, readItem } from './reads.ts'
import { type Clock, type Item, type Place, Sequencer, type SequencerOptions, type Sequencing } from './sequencer.ts'
import type { SubjectFinder } from './subject-finder.ts'
import { subjectMac } from './subjects.ts'
import { WithheldParts } from './withheld.ts'

export type { RecordOptions } from './log-items.ts'

/** The log's promise that an entry is durable and under a signed checkpoint. */
export interface Receipt {
  readonly origin: string
  readonly index: number
  readonly id: string
  /** Leaf hash, base64url. */
  readonly leaf: string
  /** Signed note that covers the entry. */
  readonly checkpoint: string
  /** The same event was recorded before; this is its receipt. */
  readonly duplicate?: true
  /** As `duplicate`, but whether it was the same event could no longer be told: a part of it was erased, or rules changed. */
  readonly uncompared?: true
}

/** An entry as it stands in the log, read back. */
export interface LogEntry {
  readonly index: number
  /** The entry, verbatim. */
  readonly entry: Uint8Array
  readonly record: ReadRecord
  /** Disclosures by part name, verbatim; a part that was erased is missing. */
  readonly disclosures: ReadonlyMap<string, string>
}

/** An entry and what proves to a stranger that it is in the log. */
export interface ProvenEntry {
  readonly index: number
  readonly entry: Uint8Array
  /** Text of a `.tlog-proof` file (C2SP tlog-proof): inclusion proof and signed checkpoint. */
  readonly proof: string
}

/** What a log is made of. `openLog` puts it together from a home. */
export interface LogParts {
  readonly store: LogStore
  readonly keys: LogKeys
  readonly privacy: PrivacyPolicy
  /** Where persons are recorded under pseudonyms. */
  readonly identities?: Identities | null
  /** Recording is switched off: what comes in is checked, counted and forgotten. */
  readonly forgets?: boolean
  readonly options?: SequencerOptions
  /** How runs are recorded. Default: failure mode `continue`, without a spool. */
  readonly capture?: RecorderOptions
  /** What erasures reach besides the store. Default: nothing, and what is under way is in memory only. */
  readonly site?: ErasureSite
  /** Persons that the configuration finds in events. */
  readonly subjects?: SubjectFinder | null
  /** The newest checkpoint with cosignatures that covers at least `size` entries, if there is one. */
  readonly cosigned?: (size: number) => string | null
  /** Whether {@link Log.read} of disclosed parts is an entry. Default false. */
  readonly reads?: boolean
}

export class Log implements Sink<LogDraft, Receipt> {
  readonly origin: string
  readonly #store: LogStore
  readonly #keys: LogKeys
  readonly #items: ItemMaker
  readonly #sequencer: Sequencing
  readonly #clock: Clock
  readonly #withheld = new WithheldParts((parts) => this.notice('redactor_failed', { parts }))
  readonly #redacting = new Set<Promise<unknown>>()
  readonly #eraser: Eraser
  readonly #cosigned: (size: number) => string | null
  readonly #areReadsRecorded: boolean
  readonly #onClose: (() => void)[] = []
  readonly #capture: RecorderOptions
  #recorder: Recorder | null = null
  #closing: Promise<void> | null = null

  private constructor(made: LogParts) {
    const { store, keys, privacy, options = {}, capture = {} } = made
    const { site = bareSite(), reads = false, forgets, cosigned = () => null } = made
    this.origin = keys.origin
    this.#store = store
    this.#keys = keys
    this.#clock = options.clock ?? Date.now
    const { identities = null, subjects = null } = made
    const onWithheld = (parts: number) => this.#withheld.add(parts)
    this.#items = new ItemMaker({ keys, privacy, identities, subjects, clock: this.#clock, onWithheld })
    this.#cosigned = cosigned
    this.#sequencer = forgets ? new NullSequencer(this.#clock) : new Sequencer(store, keys, options)
    this.#capture = capture
    const sequencer = this.#sequencer
    this.#eraser = new Eraser({ store, keys, sequencer, clock: this.#clock, site })
    this.#areReadsRecorded = reads
  }

  /**
   * Opens a log for writing: checks its head, never scans it.
   * @throws IndelibleError `ERR_HEAD_FORGED`, `ERR_ROLLED_BACK`, `ERR_STORE_CORRUPT`, and what the store throws
   */
  static async open(parts: LogParts): Promise<Log> {
    const log = new Log(parts)
    await log.#sequencer.open()
    return log
  }

  /**
   * Records one event. Resolves when it is durable and under a signed checkpoint.
   *
   * Nothing that an agent or a tool puts into part values, attributes or texts makes this fail; see `docs/format.md`.
   *
   * @throws IndelibleError `ERR_EVENT_INVALID` for a bad structured member (nothing was written), `ERR_ENTRY_TOO_LARGE`,
   * `ERR_ID_CONFLICT`, `ERR_OVERLOADED` (retry), `ERR_OUTCOME_UNKNOWN` (retry with the same id), `ERR_HEAD_FORGED`,
   * `ERR_ROLLED_BACK`, `ERR_CLOSED`, `ERR_STORE_…`
   */
  record(event: AgentEvent, options: RecordOptions = {}): Promise<Receipt> {
    let made: Item | Promise<Item>
    try {
      this.#refuseClosed()
      made = this.#items.make(event, options)
    } catch (error) {
      return Promise.reject(error)
    }
    return 'then' in made ? this.#awaited(made).then((item) => this.#append(item)) : this.#append(made)
  }

  /** Apart, so that what waits for its batch does not keep the caller's event in memory. */
  #append(item: Item): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      this.#sequencer.enqueue([item], undefined, ([place]) => resolve(this.#receipt(item.id, place!)), reject)
    })
  }

  /** Records events together: all of them, in consecutive entries and in this order, or none. Throws as {@link record}. */
  async recordMany(events: readonly AgentEvent[], options: RecordOptions = {}): Promise<Receipt[]> {
    this.#refuseClosed()
    const made = events.map((event) => {
      const item = this.#items.make(event, options)
      // Should a later one be refused at once, nobody asks for this one any more.
      if ('then' in item) item.catch(() => {})
      return item
    })
    if (made.length === 0) return []
    const isMade = made.every((item) => !('then' in item))
    const items = isMade ? (made as Item[]) : await this.#awaited(Promise.all(made))
    const places = await this.#sequencer.append(items)
    return places.map((place, i) => this.#receipt(items[i]!.id, place))
  }

  /**
   * One event after validation and privacy, for {@link append}. Throws as {@link record}.
   *
   * Where the redactor answers later, appending waits for it; what must be written elsewhere before that has no text.
   */
  draft(event: AgentEvent, options: RecordOptions = {}): LogDraft {
    const item = this.#items.make(event, options)
    if (!('then' in item)) return new LogDraft(item)
    item.catch(() => {})
    // Both are to be one event, and the redactor may take longer than the spool can wait.
    const named = event.id === undefined ? { ...event, id: newId(this.#clock()) } : event
    const later = named === event ? item : (this.#items.make(named, options) as Promise<Item>)
    return new LogDraft(this.#items.withoutText(named, options), this.#awaited(later))
  }

  /** Names the privacy rules in force: what was spooled under them need not be judged again. */
  get policyMark(): string {
    return this.#items.policyMark
  }

  /** {@link draft} of an event that this log drafted before, under the same {@link policyMark}, and spooled. */
  restore(event: AgentEvent): LogDraft {
    const item = this.#items.restore(event)
    return item ? new LogDraft(item) : this.draft(event, { assurance: 'enforced' })
  }

  /** Makes drafts durable: all of them, in consecutive entries and in this order, or none. Rejects as {@link record}. */
  async append(drafts: readonly LogDraft[]): Promise<Receipt[]> {
    if (drafts.length === 0) return []
    const late = drafts.flatMap(({ ready }) => ready ?? [])
    if (late.length > 0) await Promise.all(late)
    const places = await this.#sequencer.append(drafts.map(({ item }) => item))
    return places.map((place, i) => this.#receipt(drafts[i]!.id, place))
  }

  /** What records runs: with a failure mode, and a spool where there is one. Where {@link record} rejects, it goes on. */
  get recorder(): Recorder {
    this.#recorder ??= new Recorder(this, this.#capture)
    return this.#recorder
  }

  /** Begins a run of an agent: see {@link Recorder.run}. */
  run(options: RunOptions): Run
  run<T>(options: RunOptions, work: (run: Run) => T | Promise<T>): Promise<T>
  run<T>(options: RunOptions, work?: (run: Run) => T | Promise<T>): Run | Promise<T> {
    return work ? this.recorder.run(options, work) : this.recorder.run(options)
  }

  /** Records what goes through a stream of agent events, and passes it on unchanged: see {@link observe}. */
  observe<T>(stream: AsyncIterable<T>, options?: ObserveOptions<T>): AsyncIterable<T> {
    return observe(this.recorder, stream, options)
  }

  /** Resolves once everything recorded so far is durable or refused, and what a run recorded is spooled at least. */
  async flush(): Promise<void> {
    await this.#recorder?.flush()
    if (this.#redacting.size > 0) await Promise.allSettled(this.#redacting)
    await this.#sequencer.flush()
  }

  /** Parts recorded through this handle that nothing was kept of because the redactor failed. */
  get withheldParts(): number {
    return this.#withheld.total
  }

  /** The latest signed checkpoint, as a note. `null` for a log without entries. */
  async checkpoint(): Promise<string | null> {
    return (await this.#store.head())?.checkpoint ?? null
  }

  /**
   * One entry, by index or id.
   * @throws IndelibleError `ERR_ENTRY_NOT_FOUND`, `ERR_ENTRY_INVALID`
   */
  async read(which: number | string): Promise<LogEntry> {
    const row = await findRow(this.#store, which)
    const record = parseEntry(row.entry)
    const disclosures = new Map<string, string>()
    for (const name of Object.keys(record.parts ?? {})) {
      const disclosure = await this.#store.payload(row.index, name)
      if (disclosure !== null) disclosures.set(name, disclosure)
    }
    if (this.#areReadsRecorded && disclosures.size > 0) {
      const { index } = row
      await this.recordRead({
        command: 'log.read',
        entries: 1,
        first: index,
        last: index,
        parts: [...disclosures.keys()],
      })
    }
    return { index: row.index, entry: new Uint8Array(row.entry), record, disclosures }
  }

  /** Has an `audit.read` or `audit.exported` entry written, for a reader of parts that is not {@link read}. */
  async recordRead(facts: ReadFacts): Promise<void> {
    await this.#sequencer.append([readItem(facts, this.#clock)])
  }

  /**
   * Proves to somebody who has nothing but the vkey that an entry is in the log.
   *
   * The proof is checked before it is given out: a store that lies makes this fail, not the stranger. It leads to the newest
   * checkpoint that witnesses have cosigned, if that covers the entry, and otherwise to the latest one.
   * @throws IndelibleError `ERR_ENTRY_NOT_FOUND`, `ERR_PROOF_INVALID`
   */
  async prove(which: number | string): Promise<ProvenEntry> {
    const { index, entry } = await findRow(this.#store, which)
    return { index, entry: new Uint8Array(entry), proof: await this.proveCopy(index, entry) }
  }

  /**
   * Proves of a copy of an entry, such as one that was purged, that it is the one that stood at `index`.
   * @returns text of a `.tlog-proof` file
   * @throws IndelibleError `ERR_PROOF_INVALID` if it is not, `ERR_ENTRY_NOT_FOUND` for an empty log
   */
  async proveCopy(index: number, entry: Uint8Array): Promise<string> {
    const head = await this.#headOrFail()
    // Another writer may have rotated the key that signed this head.
    await this.#refreshKeys()
    const policy = { origin: this.origin, keys: this.#keys.trusted }
    const { note, checkpoint } = proofCheckpoint(
      head.checkpoint,
      this.#cosigned(index + 1),
      policy,
      this.#keys.signer.key,
    )
    const proof = await proveRow(this.#store, index, entry, checkpoint)
    return formatTlogProof({ index, proof, checkpoint: note })
  }

  /** What keeps the log. For the parts of this package that change what is kept, and for reading. */
  get store(): LogStore {
    return this.#store
  }

  /** How the store names a person: a keyed hash, 16 bytes. */
  subjectMac(id: string): Uint8Array {
    return subjectMac(this.#keys, id)
  }

  /**
   * Replaces the signing key. The rotation is an entry signed by both keys, under a checkpoint signed by both; whoever
   * trusts the old key can follow it to the new one. The old private key is deleted.
   *
   * @returns the new vkey, to hand out
   * @throws IndelibleError `ERR_KEY_MISMATCH` if another writer has replaced the key meanwhile, and as {@link record}
   */
  async rotateKey(): Promise<string> {
    return this.#keys.rotating(async () => {
      // What an interrupted rotation left is finished first: its successor may be the key that counts by now.
      await this.#refreshKeys()
      const { signer } = this.#keys
      const id = newId(this.#clock())
      const next = await this.#keys.prepareRotation(id)
      try {
        const statement = await signNote(formatRotation(this.origin, signer.key, next.key), [signer, next])
        const entry = auditEntry('audit.key.rotated', this.#clock(), { statement }, id)
        await this.#sequencer.append([{ ...entry, idGiven: false }], { from: signer.key, to: next })
      } catch (error) {
        // Of an unknown outcome the key is kept: the next batch finds out.
        const isKept = isIndelibleError(error, 'ERR_OUTCOME_UNKNOWN') || (await this.#mayHave(id))
        if (!isKept) await this.#keys.abandonRotation()
        throw error
      }
      await this.#keys.refresh(async (committed) => committed === id)
      return formatVkey(next.key)
    })
  }

  /**
   * Erases parts for good: lists them in an `audit.erased` entry, deletes their disclosures, digests, keys and traces in
   * derived files, and makes sure that no file holds them any more. Entries and proofs stay as they are. If something is in
   * the way, such as a reader of an older state, the erasure is `pending` and goes on with {@link resumeErasures}.
   *
   * @throws IndelibleError `ERR_ERASURE_INVALID`, `ERR_ERASURE_UNAPPROVED`, `ERR_NOTHING_TO_ERASE`, `ERR_ENTRY_NOT_FOUND`, what
   * a guard throws, and as {@link record}: then nothing was deleted
   */
  async erase(request: EraseRequest): Promise<ErasureReceipt> {
    return this.#eraser.erase(request)
  }

  /** Goes on with erasures that were interrupted or had to wait. `openLog` does so by itself. */
  resumeErasures(): Promise<ErasureReceipt[]> {
    return this.#eraser.resume()
  }

  /** Indexes of the entries that concern a person, ascending. */
  async *subjectEntries(subject: string): AsyncGenerator<number> {
    for await (const chunk of this.#store.subjectEntries(subjectMac(this.#keys, subject))) yield* chunk
  }

  /** Has an `audit.config.changed` entry written: see {@link Sequencer.audit}. */
  noticeConfigChange(changed: readonly ConfigChange[]): Promise<unknown> {
    return this.#sequencer.audit('audit.config.changed', { changed })
  }

  /** Has an `audit.recovered` entry of this kind written: see {@link Sequencer.notice}. */
  notice(kind: string, detail: Record<string, unknown> = {}): Promise<unknown> {
    return this.#sequencer.notice(kind, detail)
  }

  /**
   * Has an `audit.gap` entry written: what is known to be missing, and why. A gap of an id that the log has is not written again.
   * @param audit `cause`, and members by cause; no record contents
   */
  recordGap(audit: Readonly<Record<string, unknown>>, id?: string): Promise<Receipt> {
    return this.recordAudit('audit.gap', audit, id)
  }

  /**
   * Has an `audit.*` entry written: a statement of the log about itself. For the parts of this package that make them.
   * @param audit no record contents
   */
  async recordAudit(type: AuditType, audit: Readonly<Record<string, unknown>>, id?: string): Promise<Receipt> {
    const entry = auditEntry(type, this.#clock(), { ...audit }, id)
    const [place] = await this.#sequencer.append([{ ...entry, idGiven: id !== undefined }])
    return this.#receipt(entry.id, place!)
  }

  /** Runs `work` when the log has closed. */
  onClose(work: () => void): void {
    this.#onClose.push(work)
  }

  /** Writes what waits, publishes the last checkpoint and lets go of the store. A second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** While a log closes, its own parts still write what they owe; nobody else does. */
  #refuseClosed(): void {
    if (this.#closing) throw new IndelibleError('ERR_CLOSED', 'log is closed')
  }

  async #close(): Promise<void> {
    try {
      if (this.#recorder) await this.#recorder.close()
      if (this.#redacting.size > 0) await Promise.allSettled(this.#redacting)
      this.#withheld.stateRest()
      await this.#eraser.settled()
      await this.#sequencer.close()
    } finally {
      try {
        await this.#store.close()
      } finally {
        for (const work of this.#onClose.splice(0)) work()
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What the redactor still has: whoever flushes or closes waits for it as well. */
  #awaited<T>(work: Promise<T>): Promise<T> {
    this.#redacting.add(work)
    return work.finally(() => this.#redacting.delete(work))
  }

  async #mayHave(id: string): Promise<boolean> {
    return this.#store.findIds([id]).then(
      (found) => found.has(id),
      () => true,
    )
  }

  async #refreshKeys(): Promise<void> {
    await this.#keys.refresh(async (id) => (await this.#store.findIds([id])).has(id))
  }

  async #headOrFail(): Promise<Head> {
    const head = await this.#store.head()
    if (!head) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', 'log has no entries')
    return head
  }

  #receipt(id: string, { index, leaf, checkpoint, duplicate, uncompared }: Place): Receipt {
    const receipt = { origin: this.origin, index, id, leaf: toBase64Url(leaf), checkpoint }
    if (!duplicate && !uncompared) return receipt
    return {
      ...receipt,
      ...(duplicate && { duplicate }),
      ...(uncompared && { uncompared }),
    }
  }
}
