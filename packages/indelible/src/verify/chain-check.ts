/** Epochs, seals, the order of time and, with K_0, every mac. */
import type { MacKey } from '#crypto'
import { fromBase64Url, isEqual, toBase64Url } from '../bytes.ts'
import { entryMac, GENESIS_MAC, Ratchet, sealMac } from '../chain/chain.ts'
import { type EpochClock, epochAt } from '../chain/epoch.ts'
import type { MacVerificationKey } from '../chain/verification-key.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { EvidenceEntry, EvidenceHead } from './evidence.ts'
import type { FindingList } from './report.ts'

export class ChainCheck {
  readonly #findings: FindingList
  readonly #origin: string
  readonly #ratchet: Ratchet | null
  #clock: EpochClock | null
  #macKey: MacKey | null = null
  /** The mac before the next entry; `null` where it is not known, so that the next one cannot be checked. */
  #previous: Uint8Array | null
  #epoch: number | null = null
  /** Every epoch below this one is sealed. */
  #sealedTo: number | null = null
  #observed = ''
  #sealRun: { readonly size: number; readonly root: string | null; readonly next: number } | null = null

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
  ) {
    this.#origin = origin
    this.#findings = findings
    this.#ratchet = key ? new Ratchet(0, key.key) : null
    this.#clock = key?.clock ?? null
    this.#previous = start === 0 ? GENESIS_MAC : (previous?.mac ?? null)
    this.#epoch = start === 0 ? 0 : (previous?.epoch ?? null)
    this.#sealedTo = this.#epoch
  }

  /** The clock that `audit.opened` states, for want of one from the verifier's side. */
  useStatedClock(clock: EpochClock): void {
    this.#clock ??= clock
  }

  /** A gap in the entries: the next mac's predecessor is not known. */
  missing(): void {
    this.#previous = null
  }

  /**
   * @param leaf recomputed from the entry
   * @param root of the tree before this entry; needed for seals only, `null` where it could not be computed
   */
  entry(row: EvidenceEntry, leaf: Uint8Array, record: ReadRecord | null, root: Uint8Array | null): void {
    const { index, epoch } = row
    if (record) this.#time(index, epoch, record)
    this.#epochs(index, epoch, record, root)
    this.#mac(row, leaf)
  }

  #time(index: number, epoch: number, { observed }: ReadRecord): void {
    if (observed < this.#observed) {
      this.#findings.add('time_decreased', `entry ${index} was accepted before the one ahead of it`, { index })
    }
    this.#observed = observed
    if (!this.#clock) return
    let expected: number
    try {
      expected = epochAt(this.#clock, observed)
    } catch {
      this.#findings.add('epoch_mismatch', `entry ${index} was accepted before the deployment began, or at no time`, {
        index,
      })
      return
    }
    if (expected !== epoch) {
      this.#findings.add('epoch_mismatch', `entry ${index} stands in epoch ${epoch}, its time is in ${expected}`, {
        index,
        expected: String(expected),
        found: String(epoch),
      })
    }
  }

  /** Every epoch that has ended is sealed by the first entries of the next one, and by nothing else. */
  #epochs(index: number, epoch: number, record: ReadRecord | null, root: Uint8Array | null): void {
    if (!Number.isSafeInteger(epoch) || epoch < 0) {
      this.#findings.add('epoch_mismatch', `entry ${index} stands in no epoch`, { index })
      return
    }
    if (this.#epoch !== null && epoch < this.#epoch) {
      this.#findings.add('epoch_decreased', `entry ${index} stands in epoch ${epoch}, after one of ${this.#epoch}`, {
        index,
      })
      return
    }
    this.#sealedTo ??= epoch
    this.#epoch = epoch
    if (record?.type === 'audit.epoch.sealed') this.#seals(index, epoch, record.audit ?? {}, root)
    else if (this.#sealedTo < epoch) {
      const missing = `epochs ${this.#sealedTo} to ${epoch - 1}`
      this.#findings.add('seal_missing', `${missing} ended unsealed before entry ${index}`, { index })
      this.#sealedTo = epoch
    }
    if (this.#ratchet) {
      if (this.#ratchet.epoch < epoch) this.#ratchet.advance(epoch)
      this.#macKey = this.#keyOf(epoch)
    }
  }

  #lastKeyEpoch = -1
  #keyOf(epoch: number): MacKey | null {
    if (!this.#ratchet || this.#ratchet.epoch !== epoch) return null
    if (this.#lastKeyEpoch !== epoch || !this.#macKey) {
      this.#macKey = this.#ratchet.macKey(this.#origin)
      this.#lastKeyEpoch = epoch
    }
    return this.#macKey
  }

  #seals(index: number, epoch: number, audit: Record<string, unknown>, root: Uint8Array | null): void {
    const { first_epoch: first, size, root: stated, seals } = audit
    const invalid = (why: string) => this.#findings.add('seal_invalid', `seal at entry ${index} ${why}`, { index })
    if (typeof first !== 'number' || !Array.isArray(seals) || typeof size !== 'number' || typeof stated !== 'string') {
      invalid('has not the members of one')
      return
    }
    if (first !== this.#sealedTo) invalid(`begins with epoch ${first}, expected ${this.#sealedTo}`)
    if (first + seals.length > epoch) invalid(`covers epoch ${first + seals.length - 1}, which had not ended`)
    // After a long sleep several seal entries stand in a row; all state the tree before the first of them.
    const run = this.#sealRun?.next === index ? this.#sealRun : { size: index, root: root && toBase64Url(root) }
    this.#sealRun = { ...run, next: index + 1 }
    if (size !== run.size) invalid(`is over ${size} entries, expected ${run.size}`)
    if (run.root !== null && stated !== run.root) invalid('states another root than the entries make')
    this.#sealedTo = Math.max(this.#sealedTo ?? 0, Math.min(first + seals.length, epoch))
    const ratchet = this.#ratchet
    if (!ratchet || ratchet.epoch > first) return
    for (const [i, seal] of seals.entries()) {
      if (first + i >= epoch) break
      ratchet.advance(first + i)
      const expected = sealMac(ratchet.macKey(this.#origin), first + i, size, bytesOf(stated))
      if (!isEqual(expected, bytesOf(seal))) invalid(`does not carry the mac of epoch ${first + i}`)
    }
  }

  #mac({ index, epoch, mac }: EvidenceEntry, leaf: Uint8Array): void {
    const previous = this.#previous
    this.#previous = mac.length === GENESIS_MAC.length ? mac : null
    if (!this.#ratchet || !previous) return
    const key = this.#keyOf(epoch)
    const expected = key && entryMac(key, epoch, index, previous, leaf)
    if (!expected || !isEqual(expected, mac)) {
      this.#findings.add('mac_mismatch', `entry ${index} does not carry the mac that its epoch's key makes`, { index })
    }
  }

  /** The head repeats the last row. */
  finish(head: EvidenceHead): void {
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

function bytesOf(text: unknown): Uint8Array {
  try {
    return typeof text === 'string' ? fromBase64Url(text) : new Uint8Array(0)
  } catch {
    return new Uint8Array(0)
  }
}
