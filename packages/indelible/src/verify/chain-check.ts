/** Epochs, seals, the order of time and, with K_0, every mac. */
import type { MacKey } from '#crypto'
import { fromBase64Url, isEqual } from '../bytes.ts'
import { entryMac, GENESIS_MAC, MAC_BYTES, Ratchet, sealMac } from '../chain/chain.ts'
import { type EpochClock, epochAt } from '../chain/epoch.ts'
import type { MacVerificationKey } from '../chain/verification-key.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { Skimmed } from '../record/skim.ts'
import type { EvidenceEntry, EvidenceHead } from './evidence.ts'
import type { FindingList } from './report.ts'
import type { Roots, TreeCheck } from './tree-check.ts'

/**
 * How many epochs the ratchet walks at once without having seen their seals. Within a log there are none; only the way to
 * where a range begins, or what a purge has left, can be long. A forged number must not cost hours of hashing.
 */
const MAX_UNSEALED = 10_000
const MAX_LEAD = 100_000_000

/** What the chain is made of. */
type ChainRow = Pick<EvidenceEntry, 'index' | 'mac' | 'epoch'>
type ChainRecord = Pick<ReadRecord | Skimmed, 'type' | 'observed' | 'audit'>

interface ChainedMac {
  readonly index: number
  readonly epoch: number | null
  readonly previous: Uint8Array
  readonly leaf: Uint8Array
  readonly mac: Uint8Array
}

export class ChainCheck {
  readonly #findings: FindingList
  readonly #origin: string
  readonly #tree: Pick<TreeCheck, 'isRoot'>
  #ratchet: Ratchet | null
  #clock: EpochClock | null
  /** Macs whose epoch the ratchet has not reached: after a long sleep the seals on the way fill several entries of that epoch. */
  readonly #waiting: ChainedMac[] = []
  #macKey: { readonly epoch: number; readonly key: MacKey } | null = null
  /** The mac before the next entry; `null` where it is not known, so that the next one cannot be checked. */
  #previous: Uint8Array | null
  #epoch: number | null
  /** Every epoch below this one is sealed. */
  #sealedTo: number | null
  #observed = ''
  /** Whether entries before the next one were not seen: seals may be among them. */
  #isAfterGap: boolean
  #sealRun: { size: number; roots: Roots | null; next: number; epoch: number } | null = null

  /**
   * @param key K_0 with the clock of the deployment; without it the clock that the log's first entry states is used, which
   * says less: whoever forged the log chose it
   * @param start index of the first entry that will come; its predecessor's mac is `previous`
   */
  constructor(
    origin: string,
    key: MacVerificationKey | undefined,
    findings: FindingList,
    start: number,
    previous: EvidenceEntry | null,
    tree: Pick<TreeCheck, 'isRoot'>,
  ) {
    this.#origin = origin
    this.#tree = tree
    this.#findings = findings
    this.#ratchet = key ? new Ratchet(0, key.key) : null
    this.#clock = key?.clock ?? null
    this.#previous = start === 0 ? GENESIS_MAC : previous && macOf(previous)
    this.#epoch = start === 0 ? 0 : previous && epochOf(previous)
    this.#sealedTo = this.#epoch
    this.#isAfterGap = start > 0
  }

  /** The clock that `audit.opened` states, for want of one from the verifier's side. */
  useStatedClock(clock: EpochClock): void {
    this.#clock ??= clock
  }

  /** The key that was given is another log's: what it says of macs, seals and epochs is no finding. */
  dropKey(): void {
    this.#ratchet = null
    this.#clock = null
  }

  /** A gap in the entries: the next mac's predecessor is not known, nor what was sealed. */
  missing(): void {
    this.#checkWaiting()
    this.#previous = null
    this.#sealedTo = null
    this.#sealRun = null
    this.#isAfterGap = true
  }

  /**
   * An entry that was purged: its mac follows from its leaf hash and its epoch.
   * @param epoch as the purge states it, `null` if it is not known
   * @returns the mac, `null` where it cannot be made
   */
  purged(index: number, leaf: Uint8Array | null, epoch: number | null): Uint8Array | null {
    const previous = this.#previous
    this.missing()
    if (!leaf || !previous || epoch === null || !this.#advance(epoch)) return null
    const key = this.#keyOf(epoch)
    if (!key) return null
    this.#epoch = epoch
    this.#previous = entryMac(key, epoch, index, previous, leaf)
    return this.#previous
  }

  /**
   * @param leaf recomputed from the entry
   * @param roots of the tree before this entry; needed for seals only, `null` where they could not be computed
   */
  entry(row: ChainRow, leaf: Uint8Array, record: ChainRecord | null, roots: Roots | null): void {
    const epoch = this.#epochOf(row, record)
    if (epoch !== null) this.#epochs(row.index, epoch, record, roots)
    this.#mac(row, epoch, leaf)
  }

  /** The epoch as which the entry counts, so that one wrong number is one finding and not one for every entry after it. */
  #epochOf(row: ChainRow, record: ChainRecord | null): number | null {
    const { index } = row
    const stated = epochOf(row)
    if (stated === null) this.#findings.add('epoch_mismatch', `entry ${index} stands in no epoch`, { index })
    const expected = record && this.#time(index, record)
    if (expected === null || stated === null || expected === stated) return expected ?? stated
    this.#findings.add('epoch_mismatch', `entry ${index} stands in epoch ${stated}, its time is in ${expected}`, {
      index,
      expected: String(expected),
      found: String(stated),
    })
    const possible = [expected, stated].filter((epoch) => epoch >= (this.#epoch ?? 0))
    return possible.length === 0 ? stated : Math.min(...possible)
  }

  /** Time must not decrease. Returns the epoch that it lies in, if the clock is known. */
  #time(index: number, { observed }: ChainRecord): number | null {
    if (withMicroseconds(observed) < withMicroseconds(this.#observed)) {
      this.#findings.add('time_decreased', `entry ${index} was accepted before the one ahead of it`, { index })
    }
    this.#observed = observed
    if (!this.#clock) return null
    const epoch = this.#epochAt(observed)
    if (epoch === null) {
      const message = `entry ${index} was accepted before the deployment began, or at no time`
      this.#findings.add('epoch_mismatch', message, { index })
    }
    return epoch
  }

  #lastEpoch: { readonly observed: string; readonly epoch: number | null } = { observed: '', epoch: null }

  /** All entries of one batch have one time. */
  #epochAt(observed: string): number | null {
    if (this.#lastEpoch.observed === observed) return this.#lastEpoch.epoch
    let epoch: number | null
    try {
      epoch = epochAt(this.#clock!, observed)
    } catch {
      epoch = null
    }
    this.#lastEpoch = { observed, epoch }
    return epoch
  }

  /** Every epoch that has ended is sealed by the first entries of the next one, and by nothing else. */
  #epochs(index: number, epoch: number, record: ChainRecord | null, roots: Roots | null): void {
    if (this.#epoch !== null && epoch < this.#epoch) {
      this.#findings.add('epoch_decreased', `entry ${index} stands in epoch ${epoch}, after one of ${this.#epoch}`, {
        index,
      })
      return
    }
    this.#epoch = epoch
    if (record?.type === 'audit.epoch.sealed') this.#seals(index, epoch, record.audit ?? {}, roots)
    this.#sealedTo ??= epoch
    if (record?.type !== 'audit.epoch.sealed' && this.#sealedTo < epoch) {
      this.#unsealed(`before entry ${index}`, { index })
      this.#sealedTo = epoch
    }
    if (this.#sealedTo === epoch) this.#advance(epoch)
    this.#isAfterGap = false
  }

  /** Moves the ratchet to `epoch`. Returns whether it stands there. */
  #advance(epoch: number): boolean {
    const ratchet = this.#ratchet
    const most = this.#isAfterGap ? MAX_LEAD : MAX_UNSEALED
    if (!ratchet || ratchet.epoch > epoch || epoch - ratchet.epoch > most) return false
    ratchet.advance(epoch)
    return true
  }

  #unsealed(where: string, detail: { index?: number } = {}): void {
    this.#findings.add(
      'seal_missing',
      `epochs ${this.#sealedTo} to ${this.#epoch! - 1} ended unsealed ${where}`,
      detail,
    )
  }

  #seals(index: number, epoch: number, audit: Record<string, unknown>, roots: Roots | null): void {
    const { first_epoch: first, size, root: stated, seals } = audit
    const invalid = (why: string) => this.#findings.add('seal_invalid', `seal at entry ${index} ${why}`, { index })
    if (!isCount(first) || !isCount(size) || typeof stated !== 'string' || !Array.isArray(seals)) {
      invalid('has not the members of one')
      return
    }
    const due = this.#isAfterGap ? Math.min(this.#sealedTo ?? first, first) : this.#sealedTo
    if (first !== due) {
      invalid(`begins with epoch ${first}, expected ${due}`)
      return
    }
    if (seals.length === 0) invalid('seals nothing')
    if (first + seals.length > epoch) invalid(`covers epoch ${first + seals.length - 1}, which had not ended`)
    // After a long sleep several seal entries of one epoch stand in a row; all state the tree before the first of them.
    let run = this.#sealRun
    if (run?.next !== index || run.epoch !== epoch) {
      run = { size: index, roots, next: index, epoch }
      // The first of them was not seen.
      if (this.#isAfterGap && size < index) run = { size, roots: null, next: index, epoch }
    }
    this.#sealRun = { ...run, next: index + 1 }
    if (size !== run.size) invalid(`is over ${size} entries, expected ${run.size}`)
    const rootDiffers = () => invalid('states another root than the entries make')
    if (run.roots && !this.#tree.isRoot(bytesOf(stated), run.roots, rootDiffers)) rootDiffers()
    this.#sealedTo = Math.min(first + seals.length, epoch)
    for (let at = first; at < this.#sealedTo && this.#advance(at); at++) {
      const expected = sealMac(this.#ratchet!.macKey(this.#origin), at, size, bytesOf(stated))
      if (!isEqual(expected, bytesOf(seals[at - first]))) invalid(`does not carry the mac of epoch ${at}`)
    }
  }

  #mac(row: ChainRow, epoch: number | null, leaf: Uint8Array): void {
    const { index } = row
    const previous = this.#previous
    const mac = macOf(row)
    this.#previous = mac
    const isReached = epoch === null || this.#sealedTo === null || this.#sealedTo >= epoch
    if (isReached) this.#checkWaiting()
    if (mac === null) this.#mismatch(index)
    if (mac === null || !this.#ratchet || !previous) return
    const one = { index, epoch, previous, leaf, mac }
    if (isReached) this.#checkMac(one)
    else this.#waiting.push(one)
  }

  #checkWaiting(): void {
    for (const one of this.#waiting.splice(0)) this.#checkMac(one)
  }

  #checkMac({ index, epoch, previous, leaf, mac }: ChainedMac): void {
    const key = epoch === null ? null : this.#keyOf(epoch)
    if (!key || !isEqual(entryMac(key, epoch!, index, previous, leaf), mac)) this.#mismatch(index)
  }

  #mismatch(index: number): void {
    this.#findings.add('mac_mismatch', `entry ${index} does not carry the mac that its epoch's key makes`, { index })
  }

  #keyOf(epoch: number): MacKey | null {
    if (this.#ratchet?.epoch !== epoch) return null
    if (this.#macKey?.epoch !== epoch) this.#macKey = { epoch, key: this.#ratchet.macKey(this.#origin) }
    return this.#macKey.key
  }

  /** The range ends here, perhaps among seals. */
  stop(): void {
    this.#isAfterGap = true
    if (this.#waiting.length > 0) this.#advance(this.#epoch!)
    this.#checkWaiting()
  }

  /** The log ends here. The head repeats the last row. */
  finish(head: EvidenceHead): void {
    if (this.#sealedTo !== null && this.#epoch !== null && this.#sealedTo < this.#epoch) {
      this.#unsealed('at the end of the log')
      this.#advance(this.#epoch)
    }
    this.#checkWaiting()
    if (this.#previous && !isEqual(this.#previous, head.mac)) {
      this.#findings.add('mac_head_mismatch', 'head holds another mac than the last entry')
    }
    if (this.#epoch !== null && this.#epoch !== head.epoch) {
      this.#findings.add('mac_head_mismatch', `head says epoch ${head.epoch}, the last entry ${this.#epoch}`)
    }
    if (this.#observed !== '' && this.#observed !== head.observed) {
      this.#findings.add('mac_head_mismatch', 'head says another time than the last entry')
    }
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function epochOf({ epoch }: ChainRow): number | null {
  return isCount(epoch) ? epoch : null
}

function macOf({ mac }: ChainRow): Uint8Array | null {
  return mac.length === MAC_BYTES ? mac : null
}

/** A time whose order as text is its order in time: `…123Z` stands after `…123456Z` otherwise. */
function withMicroseconds(time: string): string {
  return time.length === 24 ? `${time.slice(0, 23)}000Z` : time
}

function bytesOf(text: unknown): Uint8Array {
  try {
    return typeof text === 'string' ? fromBase64Url(text) : new Uint8Array(0)
  } catch {
    return new Uint8Array(0)
  }
}
