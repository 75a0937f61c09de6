/**
 * Verifies a log: evidence in, report out. Trusts the keys and the pin that it is handed, and nothing in the log; reports
 * every finding, and says what it could not establish as plainly as what it did.
 */
import { isEqual, toBase64, toBase64Url } from '../bytes.ts'
import { macKeyId } from '../chain/chain.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { formatVkey, parseNote } from '../note/signed-note.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { isTime, parseTime } from '../record/time.ts'
import { checkConsistency, proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { ChainCheck } from './chain-check.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence, TrustPolicy } from './evidence.ts'
import { IdSet } from './id-set.ts'
import { isUnverified, KeyHistory, SupersededKeyError } from './key-history.ts'
import { PartCheck } from './part-check.ts'
import { FindingList, type Range, type Report } from './report.ts'
import { TreeCheck } from './tree-check.ts'

/** Rows held in memory at a time. */
const WINDOW = 512

export interface VerifyLogOptions {
  /** First entry to check; hashes before it are taken from the tiles and held against the root. Default 0. */
  readonly from?: number
  /** End of the entries to check, exclusive. Default the log's size. */
  readonly to?: number
  /** Called now and then with how many entries have been checked, and of how many. */
  readonly onProgress?: (checked: number, total: number) => void
}

/**
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
  const findings = new FindingList()
  const head = await evidence.head()
  if (head === null || head.size === 0) {
    findings.add('log_missing', 'log is empty: every log begins with an audit.opened entry')
    return new LogVerification(evidence, policy, EMPTY_HEAD, findings, options).report(null)
  }
  return new LogVerification(evidence, policy, head, findings, options).run()
}

const EMPTY_HEAD: EvidenceHead = {
  size: 0,
  frontier: [],
  mac: new Uint8Array(32),
  epoch: 0,
  observed: '',
  checkpoint: '',
  minIndex: 0,
}

class LogVerification {
  readonly #evidence: LogEvidence
  readonly #policy: TrustPolicy
  readonly #head: EvidenceHead
  readonly #findings: FindingList
  readonly #options: VerifyLogOptions
  readonly #keys: KeyHistory
  readonly #parts: PartCheck
  readonly #ids = new IdSet()
  readonly #deferred: { size: number; note: string }[] = []
  /** Published checkpoints and the pin agreed up to this size. */
  #vouched = 0
  #purgeAllowed = 0
  #pinChecked = false
  #statedMacId: string | null = null

  constructor(
    evidence: LogEvidence,
    policy: TrustPolicy,
    head: EvidenceHead,
    findings: FindingList,
    options: VerifyLogOptions,
  ) {
    this.#evidence = evidence
    this.#policy = policy
    this.#head = head
    this.#findings = findings
    this.#options = options
    this.#keys = new KeyHistory(policy.origin, policy.keys)
    this.#parts = new PartCheck(policy.origin, findings)
  }

  get #from(): number {
    return this.#options.from ?? 0
  }

  get #to(): number {
    return this.#options.to ?? this.#size
  }

  /** Entries that the signed checkpoint speaks of; the head's own number if that cannot be read. */
  #size = 0

  async run(): Promise<Report> {
    const head = this.#head
    const claimed = this.#claimedCheckpoint()
    this.#size = claimed?.size ?? head.size
    if (this.#from < 0 || this.#to > this.#size || this.#from > this.#to) {
      throw new RangeError(`range ${this.#from} to ${this.#to} is not within a log of ${this.#size} entries`)
    }
    if (head.size !== this.#size) {
      this.#findings.add('size_mismatch', `head says ${head.size} entries, its checkpoint ${this.#size}`, {
        expected: String(this.#size),
        found: String(head.size),
      })
    }
    const tree = await TreeCheck.at(this.#from, this.#size, this.#evidence, this.#findings)
    await this.#checkEntries(tree)
    await tree.skipTo(this.#to)
    const accepted = this.#acceptHead()
    if (accepted) tree.finish(accepted.root, { ...head, size: this.#size }, this.#vouched)
    await this.#checkBeyond()
    this.#checkPinSize()
    if (accepted) await this.#provePin(accepted)
    this.#parts.finish()
    if (head.minIndex > this.#from && head.minIndex > this.#purgeAllowed) {
      this.#findings.add('purge_uncertified', `entries below ${head.minIndex} are gone without an audit.purge.intent`, {
        index: 0,
      })
    }
    for (const { size } of this.#deferred) this.#unverifiedPublished(size)
    return this.report(accepted)
  }

  /** What the head's checkpoint says, before it is known whether its key counts. */
  #claimedCheckpoint(): Checkpoint | null {
    try {
      return parseCheckpoint(parseNote(this.#head.checkpoint).text)
    } catch {
      return null // acceptHead says so
    }
  }

  /** After the entries, because a rotation among them may have changed whose signature counts. */
  #acceptHead(): Checkpoint | null {
    try {
      return this.#keys.open(this.#head.checkpoint)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      const code =
        error instanceof SupersededKeyError
          ? 'checkpoint_superseded'
          : isUnverified(error)
            ? 'checkpoint_unverified'
            : 'checkpoint_invalid'
      this.#findings.add(code, `latest checkpoint: ${error.message}`)
      return null
    }
  }

  async #checkEntries(tree: TreeCheck): Promise<void> {
    const { from, to } = { from: this.#from, to: this.#to }
    const chain = new ChainCheck(
      this.#policy.origin,
      this.#policy.macKey,
      this.#findings,
      from,
      from > 0 ? await this.#rowAt(from - 1) : null,
    )
    const published = this.#published(from, to)
    let next = await published.next()
    for (let start = from; start < to; start += WINDOW) {
      const end = Math.min(to, start + WINDOW)
      const rows = await this.#rows(start, end)
      const payloads = await this.#payloads(start, end)
      for (let index = start; index < end; index++) {
        while (!next.done && next.value.size <= index) next = await this.#comparePublished(next.value, tree, published)
        this.#comparePin(index, tree)
        await this.#checkEntry(index, rows.get(index) ?? null, payloads.get(index) ?? NO_DISCLOSURES, tree, chain)
      }
      this.#options.onProgress?.(end - from, to - from)
    }
    while (!next.done) next = await this.#comparePublished(next.value, tree, published)
    this.#comparePin(to, tree)
    if (to === this.#size && to > from) chain.finish(this.#head)
  }

  async #checkEntry(
    index: number,
    row: EvidenceEntry | null,
    disclosures: ReadonlyMap<string, string>,
    tree: TreeCheck,
    chain: ChainCheck,
  ): Promise<void> {
    if (row === null && index < this.#head.minIndex) {
      await tree.purged(index)
      chain.missing()
      return
    }
    const record = row && this.#parse(row)
    const rootBefore = record?.type === 'audit.epoch.sealed' ? tree.root() : null
    const leaf = await tree.entry(index, row)
    if (row === null || leaf === null) {
      chain.missing()
      return
    }
    if (record && index === 0) this.#checkOpened(record, chain)
    chain.entry(row, leaf, record, rootBefore)
    if (!record) return
    if (!this.#ids.add(record.id)) {
      this.#findings.add('id_repeated', `entry ${index} has the id of an earlier one`, { index })
    }
    if (record.type === 'audit.key.rotated') this.#rotate(index, record)
    if (record.type === 'audit.purge.intent') this.#allowPurge(record)
    this.#parts.entry(index, record, disclosures)
  }

  #parse({ index, entry }: EvidenceEntry): ReadRecord | null {
    try {
      return parseEntry(entry)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#findings.add('entry_unreadable', `entry ${index}: ${error.message}`, { index })
      return null
    }
  }

  #checkOpened(record: ReadRecord, chain: ChainCheck): void {
    const { origin, epoch_start: start, epoch_seconds: seconds, mac_id: macId } = record.audit ?? {}
    const isOpened =
      record.type === 'audit.opened' &&
      origin === this.#policy.origin &&
      typeof start === 'string' &&
      isTime(start) &&
      typeof seconds === 'number'
    if (!isOpened) {
      this.#findings.add('opened_invalid', 'entry 0 does not open this log', { index: 0 })
      return
    }
    chain.useStatedClock({ startMs: parseTime(start), seconds })
    this.#statedMacId = typeof macId === 'string' ? macId : null
    const { macKey } = this.#policy
    if (!macKey) return
    if (toBase64Url(macKeyId(macKey.key, macKey.origin)) !== macId) {
      throw new IndelibleError('ERR_KEY_MISMATCH', 'mac key is not the one that this log was opened with')
    }
    if (parseTime(start) !== macKey.clock.startMs || seconds !== macKey.clock.seconds) {
      this.#findings.add('opened_invalid', 'entry 0 states other epochs than the verification key', { index: 0 })
    }
  }

  #rotate(index: number, record: ReadRecord): void {
    const statement = record.audit?.statement
    try {
      this.#keys.rotate(index, typeof statement === 'string' ? statement : '')
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#findings.add('rotation_invalid', `entry ${index}: ${error.message}`, { index })
      return
    }
    for (const { size, note } of this.#deferred.splice(0)) {
      try {
        this.#keys.open(note)
      } catch {
        this.#deferred.push({ size, note })
      }
    }
  }

  #allowPurge(record: ReadRecord): void {
    const below = record.audit?.below
    if (typeof below === 'number') this.#purgeAllowed = Math.max(this.#purgeAllowed, below)
  }

  /** Compares a published checkpoint whose size has been reached, and steps to the next. */
  async #comparePublished(
    published: { size: number; note: string },
    tree: TreeCheck,
    rest: AsyncGenerator<{ size: number; note: string }, void>,
  ): Promise<IteratorResult<{ size: number; note: string }, void>> {
    const { size, note } = published
    const root = tree.root()
    let stated: Checkpoint | null = null
    try {
      stated = parseCheckpoint(parseNote(note).text)
      this.#keys.open(note)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      // An older key may turn out to be vouched for by a rotation further on.
      if (isUnverified(error) && this.#deferred.length < 100_000) this.#deferred.push(published)
      else this.#unverifiedPublished(size)
    }
    if (stated && (stated.size !== size || (root && !isEqual(stated.root, root)))) {
      this.#findings.add('published_checkpoint_altered', `published checkpoint of size ${size} is not of these entries`)
    } else if (stated && root) {
      this.#vouched = Math.max(this.#vouched, size)
    }
    return rest.next()
  }

  #unverifiedPublished(size: number): void {
    const message = `published checkpoint of size ${size} is not signed by a key that counts at that size`
    this.#findings.add('checkpoint_unverified', message)
  }

  #comparePin(size: number, tree: TreeCheck): void {
    const { pin } = this.#policy
    if (!pin || pin.size !== size || this.#pinChecked) return
    const root = tree.root()
    if (!root) return
    this.#pinChecked = true
    if (isEqual(root, pin.root)) {
      this.#vouched = Math.max(this.#vouched, size)
      return
    }
    this.#findings.add('split_view', `the first ${size} entries are not those of the pinned checkpoint`, {
      expected: toBase64(pin.root),
      found: toBase64(root),
    })
  }

  /** A range that the pin lies outside of: the tiles must prove that the log continues it. */
  async #provePin({ size, root }: Checkpoint): Promise<void> {
    const { pin } = this.#policy
    if (!pin || this.#pinChecked || pin.size > size || this.#findings.count > 0) return
    try {
      const proof = await proveConsistency(pin.size, size, sourceNodeReader(this.#evidence, size))
      checkConsistency({ size1: pin.size, root1: pin.root, size2: size, root2: root, proof })
      this.#pinChecked = true
    } catch {
      this.#findings.add('split_view', `log of ${size} entries does not continue the pinned checkpoint of ${pin.size}`)
    }
  }

  #checkPinSize(): void {
    const { pin } = this.#policy
    if (!pin || pin.size <= this.#size) return
    this.#findings.add(
      'rolled_back',
      `log has ${this.#size} entries, the pinned checkpoint ${pin.size}: its end is gone`,
      {
        expected: String(pin.size),
        found: String(this.#size),
      },
    )
  }

  /** Entries that no signature covers. */
  async #checkBeyond(): Promise<void> {
    for await (const rows of this.#evidence.entries(this.#size, Math.max(this.#head.size, this.#size) + WINDOW)) {
      for (const { index } of rows) {
        this.#findings.add('entry_unexpected', `entry ${index} is beyond the checkpoint`, { index })
      }
    }
  }

  async *#published(above: number, upTo: number): AsyncGenerator<{ size: number; note: string }, void> {
    for await (const chunk of this.#evidence.checkpoints(above, upTo)) yield* chunk
  }

  async #rows(start: number, end: number): Promise<Map<number, EvidenceEntry>> {
    const rows = new Map<number, EvidenceEntry>()
    for await (const chunk of this.#evidence.entries(start, end)) for (const row of chunk) rows.set(row.index, row)
    return rows
  }

  async #rowAt(index: number): Promise<EvidenceEntry | null> {
    return (await this.#rows(index, index + 1)).get(index) ?? null
  }

  async #payloads(start: number, end: number): Promise<Map<number, Map<string, string>>> {
    const payloads = new Map<number, Map<string, string>>()
    for await (const chunk of this.#evidence.payloads(start, end)) {
      for (const { index, name, disclosure } of chunk) {
        const parts = payloads.get(index) ?? new Map<string, string>()
        payloads.set(index, parts.set(name, disclosure))
      }
    }
    return payloads
  }

  report(accepted: Checkpoint | null): Report {
    if (!accepted) this.#checkPinSize()
    const failed = this.#findings.count > 0
    const unestablished = !failed && this.#policy.pin !== undefined && !this.#pinChecked
    return {
      verdict: failed ? 'failed' : unestablished ? 'incomplete' : 'verified',
      origin: this.#policy.origin,
      size: accepted?.size ?? 0,
      root: accepted ? toBase64(accepted.root) : '',
      key: accepted ? formatVkey(this.#keys.current(accepted.size)!) : '',
      ranges: accepted && !failed ? this.#ranges() : [],
      findings: this.#findings.listed,
      more_findings: this.#findings.count - this.#findings.listed.length,
      not_checked: this.#notChecked(),
    }
  }

  #ranges(): Range[] {
    const ranges: Range[] = []
    const add = (start: number, end: number, state: Range['state']) => {
      if (start < end) ranges.push({ start, end, state })
    }
    const { from, to } = { from: this.#from, to: this.#to }
    const purged = Math.min(Math.max(this.#head.minIndex, from), to)
    const pinned = this.#pinChecked ? Math.min(Math.max(this.#policy.pin!.size, purged), to) : purged
    add(0, from, 'unchecked')
    add(from, purged, 'purged')
    add(purged, pinned, 'pinned')
    add(pinned, to, 'signed')
    add(to, this.#size, 'unchecked')
    return ranges
  }

  #notChecked(): string[] {
    const open: string[] = []
    const { pin, macKey } = this.#policy
    if (this.#from > 0) open.push(`entries before ${this.#from}: only their hashes were used`)
    if (this.#to < this.#size) open.push(`entries from ${this.#to} on: only their hashes were used`)
    if (!macKey) {
      const named = this.#statedMacId ? ' (its holder can run verify --mac-key)' : ''
      open.push(`HMAC chain and epoch seals: no mac key was given${named}`)
    }
    if (!pin) open.push('truncation and roll-back: no checkpoint of this log was known before (first sight)')
    else if (!this.#pinChecked)
      open.push(`the pinned checkpoint of size ${pin.size}: it lies outside the range checked`)
    else open.push('truncation and roll-back since the pinned checkpoint: no anchor vouches for the end of the log')
    open.push('events that were never handed to the log')
    return open
  }
}

const NO_DISCLOSURES: ReadonlyMap<string, string> = new Map()
