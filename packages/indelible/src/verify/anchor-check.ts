/**
 * Holds what anchors vouch for against the log: each checkpoint must be of the log's own past, and what the policy requires
 * must be there, and fresh. A checkpoint that the log signed speaks against it even where it does not count as anchored.
 */
import { isEqual, toBase64 } from '../bytes.ts'
import { isIndelibleError, type SplitView } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { formatTime } from '../record/time.ts'
import { type NodeReader, proveOlderRoot, rootFromConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { AnchoredBy, AnchorReceipt, AnchorVerifier, Voucher } from './anchors.ts'
import type { LogEvidence, TrustPolicy } from './evidence.ts'
import type { KeyHistory } from './key-history.ts'
import { checkKeptReceipts, ReceiptsVerifier } from './receipts-check.ts'
import type { FindingList } from './report.ts'
import { orMissing } from './tree-check.ts'

/** A clock of an anchor may be so far ahead of the verifier's, seconds. */
const SKEW_SECONDS = 300

/** Vouchers that one verifier got, and what it could not make of receipts. */
interface Collected {
  readonly verifier: AnchorVerifier
  readonly vouchers: readonly Voucher[]
  readonly faults: readonly string[]
  /** Why it could not be asked. */
  readonly unasked: string | null
}

/** The newest checkpoint that an anchor vouches for and that the log continues. */
export interface Anchored extends AnchoredBy {
  readonly size: number
}

/** What is known of the log when its entries have been looked at. */
export interface CheckedLog {
  readonly keys: KeyHistory
  readonly findings: FindingList
  /** Entries that the log claims, and its latest checkpoint as a note. */
  readonly size: number
  readonly head: string
  /** `null` if no key that counts signed that. */
  readonly accepted: Checkpoint | null
}

/** What the anchors of a policy have to say of one log. */
export class AnchorChecks {
  /** What each anchor vouches for, after {@link check}. */
  anchored: readonly Anchored[] = []
  unsettled: readonly string[] = []
  /** The first two checkpoints that do not fit together. */
  splitView: SplitView | null = null
  readonly #evidence: LogEvidence
  readonly #policy: TrustPolicy
  readonly #collected: readonly Collected[]

  private constructor(evidence: LogEvidence, policy: TrustPolicy, collected: readonly Collected[]) {
    this.#evidence = evidence
    this.#policy = policy
    this.#collected = collected
  }

  /**
   * Collects before the head of the log is looked at: of a log in use, a newer receipt than its head would look like a log
   * whose end is gone. Throws `TypeError` if the policy asks how fresh an anchor is, and has no clock.
   */
  static async collect(evidence: LogEvidence, policy: TrustPolicy): Promise<AnchorChecks> {
    const { nowMs } = policy
    const anchors: AnchorVerifier[] = [
      ...(policy.anchors ?? []),
      ...(policy.receipts ? [new ReceiptsVerifier(policy.receipts)] : []),
    ]
    if (nowMs === undefined && anchors.some(({ maxAgeSeconds }) => maxAgeSeconds !== undefined)) {
      throw new TypeError('policy asks how fresh an anchor is, and has no clock')
    }
    const receipts: AnchorReceipt[] = []
    if (anchors.length > 0 && evidence.anchors) {
      for await (const chunk of evidence.anchors())
        receipts.push(...chunk.filter((one) => one.origin === policy.origin))
    }
    const collected = await Promise.all(anchors.map((verifier) => collect(verifier, receipts, policy)))
    return new AnchorChecks(evidence, policy, collected)
  }

  /** Adds findings. */
  async check(log: CheckedLog): Promise<void> {
    const check = new AnchorCheck(this.#evidence, this.#policy, log)
    const anchored: Anchored[] = []
    for (const collected of this.#collected) {
      const newest = await check.one(collected)
      if (newest) anchored.push(newest)
    }
    if (this.#policy.receipts) {
      const { size, findings } = log
      const { origin, receipts } = this.#policy
      await checkKeptReceipts(receipts, { evidence: this.#evidence, size, origin, findings })
    }
    this.anchored = anchored
    this.unsettled = check.unsettled
    this.splitView = check.splitView
  }
}

async function collect(
  verifier: AnchorVerifier,
  receipts: readonly AnchorReceipt[],
  { origin, keys }: TrustPolicy,
): Promise<Collected> {
  const vouchers: Voucher[] = []
  const faults: string[] = []
  for (const receipt of receipts) {
    try {
      const voucher = await verifier.check(receipt, keys)
      if (voucher) vouchers.push(voucher)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      faults.push(`receipt of size ${receipt.size}: ${error.message}`)
    }
  }
  let unasked: string | null = null
  try {
    vouchers.push(...((await verifier.ask?.(origin)) ?? []))
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    if (error.code === 'ERR_ANCHOR_FAILED') unasked = error.message
    else faults.push(error.message)
  }
  return { verifier, vouchers, faults, unasked }
}

class AnchorCheck {
  readonly unsettled: string[] = []
  splitView: SplitView | null = null
  readonly #policy: TrustPolicy
  readonly #log: CheckedLog
  readonly #read: NodeReader
  /** Answers by note: several anchors vouch for one checkpoint, and one of them often again. */
  readonly #fits = new Map<string, Promise<boolean | null>>()

  constructor(evidence: LogEvidence, policy: TrustPolicy, log: CheckedLog) {
    this.#policy = policy
    this.#log = log
    this.#read = sourceNodeReader(evidence, log.size)
  }

  async one({ verifier, vouchers, faults, unasked }: Collected): Promise<Anchored | null> {
    const { findings } = this.#log
    const { name } = verifier
    for (const fault of faults) findings.add('anchor_invalid', `anchor ${name}: ${fault}`)
    if (unasked !== null) this.unsettled.push(`what anchor ${name} saw last: ${unasked}`)
    let newest: { checkpoint: Checkpoint; voucher: Voucher } | null = null
    let latest: Voucher | null = null
    for (const voucher of vouchers) {
      const checkpoint = statedIn(voucher.note)
      if (checkpoint?.origin !== this.#policy.origin) continue
      const text = `${voucher.counts}\n${voucher.note.slice(0, voucher.note.lastIndexOf('\n\n'))}`
      const fits = this.#fits.get(text) ?? this.#compare(checkpoint, voucher, verifier)
      this.#fits.set(text, fits)
      if (!(await fits) || !voucher.counts) continue
      if (!latest || (voucher.time ?? 0) > (latest.time ?? 0)) latest = voucher
      const isNewer =
        !newest ||
        checkpoint.size > newest.checkpoint.size ||
        (checkpoint.size === newest.checkpoint.size && (voucher.time ?? 0) > (newest.voucher.time ?? 0))
      if (isNewer) newest = { checkpoint, voucher }
    }
    this.#require(verifier, latest)
    if (!newest) return null
    const { by, time } = newest.voucher
    return {
      anchor: name,
      kind: verifier.kind,
      by,
      time: time === null ? null : formatTime(time * 1000),
      size: newest.checkpoint.size,
    }
  }

  /** Whether the log is a continuation of `older`; `null` if that cannot be told. */
  async #compare(older: Checkpoint, voucher: Voucher, verifier: AnchorVerifier): Promise<boolean | null> {
    const { size, accepted, findings, head } = this.#log
    const { name } = verifier
    if (!this.#isSigned(voucher) && !(verifier.checksSignature && voucher.counts)) {
      this.unsettled.push(
        `the checkpoint of ${older.size} entries that anchor ${name} has: no key that counts signed it`,
      )
      return null
    }
    if (older.size > size) {
      const message = `log has ${size} entries, anchor ${name} vouches for ${older.size}: its end is gone`
      findings.add('rolled_back', message, { expected: String(older.size), found: String(size) })
      return false
    }
    if (!accepted || older.size === 0) return accepted === null ? null : true
    const proof = await orMissing(proveOlderRoot(older.size, size, this.#read))
    const implied = proof && rootOrNull({ size1: older.size, size2: size, root2: accepted.root, proof })
    if (!implied) {
      this.unsettled.push(
        `the checkpoint of ${older.size} entries that anchor ${name} vouches for: tiles do not prove it`,
      )
      return null
    }
    if (isEqual(implied, older.root)) return true
    const message = `the first ${older.size} entries are not those that anchor ${name} vouches for`
    findings.add('split_view', message, { expected: toBase64(older.root), found: toBase64(implied) })
    this.splitView ??= { older: voucher.note, newer: head, proof }
    return false
  }

  /** Whether the log signed it too, with a key that counts at its size. */
  #isSigned({ note }: Voucher): boolean {
    try {
      this.#log.keys.open(note)
      return true
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return false
    }
  }

  #require({ name, required, maxAgeSeconds }: AnchorVerifier, latest: Voucher | null): void {
    if (!required) return
    const { findings } = this.#log
    if (!latest) {
      findings.add('anchor_missing', `anchor ${name}: the policy requires it, and it vouches for nothing of this log`)
      return
    }
    if (maxAgeSeconds === undefined) return
    const nowSeconds = (this.#policy.nowMs ?? Number.NaN) / 1000
    const stale = (message: string) => findings.add('anchor_stale', `anchor ${name} ${message}`)
    if (latest.time === null) stale('states no time, and the policy asks for how fresh it is')
    else if (latest.time > nowSeconds + SKEW_SECONDS) stale('vouched in the future: a clock is wrong, its or ours')
    else if (!(nowSeconds - latest.time <= maxAgeSeconds)) {
      const age = Math.floor(nowSeconds - latest.time)
      stale(`vouched ${age} s ago, the policy asks for ${maxAgeSeconds}`)
    }
  }
}

function statedIn(note: string): Checkpoint | null {
  try {
    return parseCheckpoint(parseNote(note).text)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return null
  }
}

function rootOrNull(claim: Parameters<typeof rootFromConsistency>[0]): Uint8Array | null {
  try {
    return rootFromConsistency(claim)
  } catch (error) {
    if (!isIndelibleError(error, 'ERR_PROOF_INVALID')) throw error
    return null
  }
}
