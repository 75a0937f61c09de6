/**
 * Verifies a log: evidence in, report out. Trusts the keys and the pin that it is handed, and nothing in the log; reports
 * every finding, and says what it could not establish as plainly as what it did.
 */
import { toBase64Url } from '../bytes.ts'
import { macKeyId } from '../chain/chain.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import type { VerifierKey } from '../note/signed-note.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { type Skimmed, skimEntry } from '../record/skim.ts'
import { isTime, parseTime } from '../record/time.ts'
import { HASH_BYTES, leafHash } from '../tree/hash.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { AnchorChecks } from './anchor-check.ts'
import { checkBeyond } from './beyond-check.ts'
import { ChainCheck } from './chain-check.ts'
import { DecisionCheck } from './decision-check.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence, TrustPolicy } from './evidence.ts'
import { claimedCheckpoint, EMPTY_HEAD, readDisclosures, readRow, readRows } from './evidence-reader.ts'
import { type Growth, readGrowth, readRotations } from './growth.ts'
import { ID_WORDS, IdSet } from './id-set.ts'
import { isUnverified, KeyHistory, SupersededKeyError } from './key-history.ts'
import { PartCheck } from './part-check.ts'
import { PinCheck } from './pin-check.ts'
import { PublishedCheck } from './published-check.ts'
import { PurgedRange } from './purged-range.ts'
import { FindingList, type Report, writeReport } from './report.ts'
import { orMissing, TreeCheck } from './tree-check.ts'
import { type CheckedWindow, PAYLOAD_WINDOW, type WindowChecker } from './window-check.ts'
import { endOfRun, WindowReader } from './window-reader.ts'

/** Rows held in memory at a time. */
const WINDOW = 256

/** After so many entries in a row of which nothing is left the rest is not looked at: anybody can write a huge size. */
const MAX_LOST = 100_000

export interface VerifyLogOptions {
  /** First entry to check; hashes before it are taken from the tiles and held against the root. Default 0. */
  readonly from?: number
  /** End of the entries to check, exclusive. Default the log's size. */
  readonly to?: number
  /** Called now and then with how many entries have been checked, and of how many. */
  readonly onProgress?: (checked: number, total: number) => void
  /** Looks at entries ahead, of the same evidence, in other threads. Default: none. */
  readonly checker?: WindowChecker | undefined
}

/**
 * The log may grow meanwhile; what it has grown by is not part of the report.
 *
 * @throws IndelibleError `ERR_KEY_MISMATCH` if `policy.macKey` is another log's: that says nothing about tampering.
 * RangeError if `from` and `to` are no range of the log. What the evidence's source throws is thrown on: then nothing is
 * known.
 */
export async function verifyLog(
  evidence: LogEvidence,
  policy: TrustPolicy,
  options: VerifyLogOptions = {},
): Promise<Report> {
  if (policy.macKey && policy.macKey.origin !== policy.origin) {
    throw new IndelibleError('ERR_KEY_MISMATCH', `mac key is of log ${policy.macKey.origin}, not ${policy.origin}`)
  }
  // Before the head: see there.
  const anchors = await AnchorChecks.collect(evidence, policy)
  return new LogVerification(evidence, policy, (await evidence.head()) ?? EMPTY_HEAD, options, anchors).run()
}

class LogVerification {
  readonly #evidence: LogEvidence
  readonly #policy: TrustPolicy
  readonly #head: EvidenceHead
  readonly #options: VerifyLogOptions
  readonly #findings = new FindingList()
  readonly #parts: PartCheck
  readonly #decisions: DecisionCheck
  readonly #ids = new IdSet()
  #keys: KeyHistory
  /** What the head's checkpoint says, before it is known whether its key counts. */
  readonly #claimed: Checkpoint | null
  /** Entries that the signed checkpoint speaks of; the head's own number if that cannot be read. */
  readonly #size: number
  readonly #from: number
  readonly #to: number
  readonly #purge: PurgedRange
  readonly #pin: PinCheck
  #isWrongKey = false
  #statedMacId: string | null = null
  #growth: Promise<Growth | null> | null = null
  /** What the policy asks for and could not be established. */
  readonly #unsettled: string[] = []
  readonly #anchors: AnchorChecks

  constructor(
    evidence: LogEvidence,
    policy: TrustPolicy,
    head: EvidenceHead,
    options: VerifyLogOptions,
    anchors: AnchorChecks,
  ) {
    this.#anchors = anchors
    this.#evidence = evidence
    this.#policy = policy
    this.#head = head
    this.#options = options
    this.#keys = new KeyHistory(policy.origin, policy.keys)
    this.#parts = new PartCheck(policy.origin, this.#findings)
    this.#claimed = claimedCheckpoint(head.checkpoint)
    this.#size = this.#claimed?.size ?? (Number.isSafeInteger(head.size) ? Math.max(0, head.size) : 0)
    const { from = 0, to = this.#size } = options
    this.#from = from
    this.#pin = new PinCheck(policy.pin, this.#findings)
    this.#purge = new PurgedRange(evidence, policy, this.#findings, from, head.minIndex)
    // Of a log that was cut off, what is left of the range.
    this.#to = to > this.#size && this.#pin.isBeyond(this.#size) ? this.#size : to
    this.#decisions = new DecisionCheck(policy.origin, policy.identities ?? null, this.#findings, {
      isPartial: () => from > 0 || !this.#purge.isTold,
    })
  }

  async run(): Promise<Report> {
    const [head, size, from, to] = [this.#head, this.#size, this.#from, this.#to]
    this.#pin.checkSize(size)
    if (size === 0) {
      this.#findings.add('log_missing', 'log is empty: every log begins with an audit.opened entry')
      await this.#checkAnchors(null)
      return this.#report(null)
    }
    const isRange = Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from < to && to <= size
    if (!isRange && !this.#pin.isBeyond(size)) {
      throw new RangeError(`range ${from} to ${to} is not within a log of ${size} entries`)
    }
    if (!isRange) return this.#report(null)
    if (head.size !== size) {
      this.#findings.add('size_mismatch', `head says ${head.size} entries, its checkpoint ${size}`, {
        expected: String(size),
        found: String(head.size),
      })
    }
    if (this.#claimed) await this.#purge.read(size, this.#claimed.root)
    const tree = await TreeCheck.at(from, size, this.#evidence, this.#findings)
    const published = new PublishedCheck(this.#evidence, this.#keys, this.#findings, from, to)
    await this.#checkEntries(tree, published)
    await tree.skipTo(to)
    if (
      this.#isPartial &&
      (published.isWaiting || this.#keys.unresolved.length > 0 || !this.#counts(head.checkpoint))
    ) {
      await this.#readAllRotations()
    }
    const accepted = this.#acceptHead()
    tree.finish(accepted?.checkpoint.root ?? null, { ...head, size }, published.vouched)
    await published.finish(this.#keys)
    for (const index of this.#keys.unresolved) {
      const message = `entry ${index}: rotation statement is between keys that the policy does not lead to`
      this.#findings.add('rotation_invalid', message, { index })
    }
    await checkBeyond({
      evidence: this.#evidence,
      findings: this.#findings,
      size,
      isSigned: (note) => this.#counts(note),
      grownTo: async () => (await this.#grown(tree))?.size ?? size,
    })
    if (accepted) await this.#pin.prove(accepted.checkpoint, this.#evidence)
    await this.#checkAnchors(accepted?.checkpoint ?? null)
    await this.#finishParts(tree)
    await this.#purge.finish(size, (note) => this.#counts(note))
    if (this.#isWrongKey && this.#findings.count === 0) {
      // Only now: an entry 0 that was tampered with may name any key.
      throw new IndelibleError('ERR_KEY_MISMATCH', 'mac key is not the one that this log was opened with')
    }
    return this.#report(accepted)
  }

  get #isPartial(): boolean {
    return this.#from > 0 || this.#to < this.#size
  }

  /** After the entries, because a rotation among them may have changed whose signature counts. */
  #acceptHead(): { checkpoint: Checkpoint; key: VerifierKey } | null {
    try {
      return this.#keys.open(this.#head.checkpoint)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      const isSuperseded = error instanceof SupersededKeyError
      const code = isSuperseded
        ? 'checkpoint_superseded'
        : isUnverified(error)
          ? 'checkpoint_unverified'
          : 'checkpoint_invalid'
      this.#findings.add(code, `latest checkpoint: ${error.message}`)
      return null
    }
  }

  #counts(checkpoint: string): boolean {
    try {
      this.#keys.open(checkpoint)
      return true
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return false
    }
  }

  async #checkEntries(tree: TreeCheck, published: PublishedCheck): Promise<void> {
    const [from, to] = [this.#from, this.#to]
    const before = from > 0 ? await readRow(this.#evidence, from - 1) : null
    const chain = new ChainCheck(this.#policy.origin, this.#policy.macKey, this.#findings, from, before, tree)
    if (from > 0) await this.#readOpening(chain)
    const windows = new WindowReader(this.#options.checker, from, to, WINDOW)
    let lost = 0
    for (let start = from; start < to && lost <= MAX_LOST; ) {
      const { end, checked } = await windows.next()
      for (let at = start; at < end && lost <= MAX_LOST; ) {
        const until = checked ? endOfRun(checked, at, end) : Math.min(end, at + WINDOW)
        await tree.prepare(at, until)
        const isSettled = checked?.settled[at - start] === 1
        if (isSettled) await this.#checkSettled(checked, at, until, tree, chain, published)
        lost = isSettled ? 0 : await this.#checkRows(at, until, lost, tree, chain, published)
        at = until
      }
      start = end
      this.#options.onProgress?.(end - from, to - from)
    }
    if (lost > MAX_LOST) {
      this.#findings.add('entry_missing', `nothing is left of over ${MAX_LOST} entries: the rest was not looked at`)
      tree.abandon()
    }
    await published.upTo(to, tree)
    this.#pin.compare(to, tree)
    if (to < this.#size) chain.stop()
    else if (lost <= MAX_LOST) chain.finish(this.#head)
  }

  /**
   * Looks at each of the entries `[start, end)`, the tiles of which are prepared.
   * @param lost entries in a row, before these, of which nothing is left
   * @returns the same, after these
   */
  async #checkRows(
    start: number,
    end: number,
    lost: number,
    tree: TreeCheck,
    chain: ChainCheck,
    published: PublishedCheck,
  ): Promise<number> {
    const rows = await readRows(this.#evidence, start, end)
    const ids = new Map<string, number>()
    let disclosures = new Map<number, ReadonlyMap<string, string>>()
    for (let index = start; index < end; index++) {
      if ((index - start) % PAYLOAD_WINDOW === 0) {
        disclosures = await readDisclosures(this.#evidence, index, Math.min(end, index + PAYLOAD_WINDOW))
      }
      if (published.isDue(index)) await published.upTo(index, tree)
      this.#pin.compare(index, tree)
      const row = rows.get(index) ?? null
      const record = row && this.#parse(row)
      if (record) ids.set(record.id, index)
      // Nothing is awaited for an entry that is there: they are many.
      if (row) this.#checkEntry(index, row, record, disclosures.get(index) ?? NO_DISCLOSURES, tree, chain)
      lost = row || (await this.#checkGone(index, tree, chain)) ? 0 : lost + 1
      // At once: how much is told of a log that is gone must not depend on how it is cut into windows.
      if (lost > MAX_LOST) return lost
    }
    await this.#checkIds(ids)
    return lost
  }

  /** Takes entries that were looked at elsewhere: what is left is how they stand to the others. */
  async #checkSettled(
    checked: CheckedWindow,
    start: number,
    end: number,
    tree: TreeCheck,
    chain: ChainCheck,
    published: PublishedCheck,
  ): Promise<void> {
    const { leaves, macs, epochs, ids, times, timeOf } = checked
    for (let index = start; index < end; index++) {
      if (published.isDue(index)) await published.upTo(index, tree)
      this.#pin.compare(index, tree)
      const i = index - checked.start
      const leaf = leaves.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
      tree.settled(index, leaf)
      if (!this.#ids.addWords(ids, i * ID_WORDS)) this.#idRepeated(index)
      const mac = macs.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
      chain.entry({ index, mac, epoch: epochs[i]! }, leaf, { type: '', observed: times[timeOf[i]!]! }, null)
    }
  }

  /** Returns whether anything is left of an entry that is not there. */
  async #checkGone(index: number, tree: TreeCheck, chain: ChainCheck): Promise<boolean> {
    if (await this.#purge.has(index)) {
      const onCarried = (at: number, record: ReadRecord) => this.#checkStatement(at, record, chain)
      return this.#purge.entry(index, tree, chain, onCarried)
    }
    chain.missing()
    return tree.entry(index, null) !== null
  }

  #checkEntry(
    index: number,
    row: EvidenceEntry,
    record: ReadRecord | Skimmed | null,
    disclosures: ReadonlyMap<string, string>,
    tree: TreeCheck,
    chain: ChainCheck,
  ): void {
    const rootsBefore = record?.type === 'audit.epoch.sealed' ? tree.roots() : null
    const leaf = tree.entry(index, row)!
    if (record) {
      if (!this.#ids.add(record.id)) this.#idRepeated(index)
      this.#parts.entry(index, record, disclosures)
      // Neither a decision nor a statement of the log is ever skimmed.
      if (isWhole(record)) this.#checkStatement(index, record, chain)
      else if (index === 0) this.#openedInvalid()
    }
    chain.entry(row, leaf, record, rootsBefore)
  }

  #idRepeated(index: number): void {
    this.#findings.add('id_repeated', `entry ${index} has the id of an earlier one`, { index })
  }

  #checkStatement(index: number, record: ReadRecord, chain: ChainCheck): void {
    this.#decisions.entry(index, record)
    if (index === 0) this.#checkOpened(record, chain)
    if (record.type === 'audit.key.rotated') this.#rotate(index, record)
  }

  #parse({ index, entry }: EvidenceEntry): ReadRecord | Skimmed | null {
    try {
      return skimEntry(entry) ?? parseEntry(entry)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#findings.add('entry_unreadable', `entry ${index}: ${error.message}`, { index })
      return null
    }
  }

  /** `ids` answers whether an event was recorded already, and where: a wrong answer loses events or shows other ones. */
  async #checkIds(ids: ReadonlyMap<string, number>): Promise<void> {
    const found = await this.#evidence.findIds?.([...ids.keys()])
    if (!found) return
    for (const [id, index] of ids) {
      if (found.get(id)?.index !== index) {
        this.#findings.add('id_altered', `the id of entry ${index} is not known to be there`, { index })
      }
    }
  }

  /** A range that begins later takes the epochs and the name of the mac key from entry 0 too, if that is in the tree. */
  async #readOpening(chain: ChainCheck): Promise<void> {
    const row = await readRow(this.#evidence, 0)
    const [size, root] = [this.#size, this.#claimed?.root]
    const proof = await orMissing(proveInclusion(0, size, sourceNodeReader(this.#evidence, size)))
    if (!row || !root || !proof) return
    let record: ReadRecord
    try {
      checkInclusion({ leaf: leafHash(row.entry), index: 0, size, root, proof })
      record = parseEntry(row.entry)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return
    }
    this.#checkOpened(record, chain)
  }

  #checkOpened(record: ReadRecord, chain: ChainCheck): void {
    const { origin, epoch_start: start, epoch_seconds: seconds, mac_id: macId } = record.audit ?? {}
    const isOpened =
      record.type === 'audit.opened' &&
      origin === this.#policy.origin &&
      typeof start === 'string' &&
      isTime(start) &&
      typeof seconds === 'number' &&
      seconds > 0
    if (!isOpened) {
      this.#openedInvalid()
      return
    }
    this.#statedMacId = typeof macId === 'string' ? macId : null
    if (this.#policy.macId !== undefined && this.#policy.macId !== macId) {
      this.#findings.add('opened_invalid', 'entry 0 names another mac key than the trust policy', { index: 0 })
    }
    const clock = { startMs: parseTime(start), seconds }
    const { macKey } = this.#policy
    if (macKey && toBase64Url(macKeyId(macKey.key, macKey.origin)) !== macId) {
      this.#isWrongKey = true
      chain.dropKey()
    } else if (macKey && (clock.startMs !== macKey.clock.startMs || seconds !== macKey.clock.seconds)) {
      this.#findings.add('opened_invalid', 'entry 0 states other epochs than the verification key', { index: 0 })
    }
    chain.useStatedClock(clock)
  }

  #openedInvalid(): void {
    this.#findings.add('opened_invalid', 'entry 0 does not open this log', { index: 0 })
  }

  #rotate(index: number, record: ReadRecord): void {
    const statement = record.audit?.statement
    try {
      this.#keys.rotate(index, typeof statement === 'string' ? statement : '')
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#findings.add('rotation_invalid', `entry ${index}: ${error.message}`, { index })
    }
  }

  async #readAllRotations(): Promise<void> {
    this.#keys = new KeyHistory(this.#policy.origin, this.#policy.keys)
    await readRotations(this.#evidence, Math.min(this.#size, this.#head.size), this.#keys)
  }

  #checkAnchors(accepted: Checkpoint | null): Promise<void> {
    const { checkpoint: head } = this.#head
    return this.#anchors.check({ keys: this.#keys, findings: this.#findings, size: this.#size, head, accepted })
  }

  #grown(tree: TreeCheck): Promise<Growth | null> {
    const frontier = tree.frontier()
    this.#growth ??= (async () =>
      frontier && readGrowth(this.#evidence, await this.#evidence.head(), frontier, this.#keys))()
    return this.#growth
  }

  /** Erased and purged lawfully counts only what an entry of the tree says. */
  async #finishParts(tree: TreeCheck): Promise<void> {
    if (this.#parts.missing > 0) {
      for (const record of (await this.#grown(tree))?.statements ?? []) this.#parts.statement(record)
    }
    if (this.#parts.missing > 0 && this.#to < this.#size) {
      this.#unsettled.push(
        `disclosures of ${this.#parts.missing} parts that are gone: entries after the range may say why`,
      )
    } else {
      this.#parts.finish()
    }
    await this.#parts.checkGone(
      async (index) => (await readDisclosures(this.#evidence, index, index + 1)).get(index) ?? NO_DISCLOSURES,
    )
    if (this.#parts.unlisted > 0) {
      this.#unsettled.push(`whether ${this.#parts.unlisted} parts that were erased are gone: too many to look up again`)
    }
    if (this.#parts.forgotten > 0) {
      this.#unsettled.push(
        `disclosures of ${this.#parts.forgotten} parts that are gone: too many to hold against entries`,
      )
    }
  }

  #report(accepted: { checkpoint: Checkpoint; key: VerifierKey } | null): Report {
    return writeReport({
      policy: this.#policy,
      findings: this.#findings,
      accepted,
      size: this.#size,
      from: this.#from,
      to: this.#to,
      minIndex: this.#purge.below,
      isPinChecked: this.#pin.isChecked,
      isWrongKey: this.#isWrongKey,
      statedMacId: this.#statedMacId,
      erased: this.#parts.erased,
      decisions: this.#decisions,
      sealed: this.#parts.sealed,
      unsettled: [...this.#unsettled, ...this.#anchors.unsettled],
      anchors: this.#anchors,
    })
  }
}

const NO_DISCLOSURES: ReadonlyMap<string, string> = new Map()

function isWhole(record: ReadRecord | Skimmed): record is ReadRecord {
  return 'schema' in record
}
