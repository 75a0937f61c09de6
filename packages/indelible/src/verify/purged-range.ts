/** What a purge let go of, within the range that is verified: the tree is made of its leaf hashes, and the purge must be lawful. */
import type { ReadRecord } from '../record/entry.ts'
import type { ChainCheck } from './chain-check.ts'
import type { LogEvidence, TrustPolicy } from './evidence.ts'
import { claimedCheckpoint } from './evidence-reader.ts'
import { checkPurgeApprovals } from './purge-approval.ts'
import { checkPurgedMac, type PurgedPrefix, readPurge } from './purge-check.ts'
import type { FindingList } from './report.ts'
import type { TreeCheck } from './tree-check.ts'

export class PurgedRange {
  readonly #evidence: LogEvidence
  readonly #policy: TrustPolicy
  readonly #findings: FindingList
  /** Where the range begins. */
  readonly #from: number
  #minIndex: number
  /** The purge that let go of what is below `#minIndex`, if it is lawful. */
  #purged: PurgedPrefix | null = null
  #epochs: Generator<number, null> | null = null
  #carriedAt = 0

  /**
   * @param from first entry that is verified
   * @param minIndex first entry that the log says it still has
   */
  constructor(evidence: LogEvidence, policy: TrustPolicy, findings: FindingList, from: number, minIndex: number) {
    this.#evidence = evidence
    this.#policy = policy
    this.#findings = findings
    this.#from = from
    this.#minIndex = minIndex
  }

  /** Entries below this are gone, as the log says. */
  get below(): number {
    return this.#minIndex
  }

  /**
   * Whether nothing is gone, or a purge that counts says what of it is still needed: all registrations of people among that.
   * One that came while the log was verified says it in entries that are not looked at.
   */
  get isTold(): boolean {
    return this.#minIndex === 0 || this.#purged?.intent.below === this.#minIndex
  }

  /** Before everything else: what the log was opened with, and whose keys counted, may stand in what it carries over. */
  async read(size: number, root: Uint8Array): Promise<void> {
    if (this.#minIndex === 0 || this.#minIndex <= this.#from) return
    const { origin, purgeApprovers, macKey } = this.#policy
    const purged = await readPurge(this.#evidence, { origin, size, root }, this.#minIndex)
    if (!purged) return
    this.#purged = purged
    if (purgeApprovers) {
      await checkPurgeApprovals(this.#evidence, { origin, size, root }, purged, purgeApprovers, this.#findings)
    }
    if (purged.epochs === null && macKey) {
      const message = `purge of entry ${purged.intentIndex} does not say in which epochs its entries stood`
      this.#findings.add('purge_invalid', message, { index: purged.intentIndex })
    }
    this.#epochs = purged.epochs && epochsOf(purged.epochs)
  }

  /** Whether an entry that is not there was purged, perhaps only now. */
  async has(index: number): Promise<boolean> {
    if (index < this.#minIndex) return true
    const minIndex = (await this.#evidence.head())?.minIndex ?? 0
    if (minIndex > this.#minIndex) this.#minIndex = minIndex
    return index < this.#minIndex
  }

  /**
   * The next entry that was purged.
   * @param onCarried called for statements of the log that the purge carried over, up to this one
   * @returns whether its leaf hash is left
   */
  entry(
    index: number,
    tree: TreeCheck,
    chain: ChainCheck,
    onCarried: (index: number, record: ReadRecord) => void,
  ): boolean {
    const leaf = tree.purged(index)
    const epoch = this.#from === 0 ? (this.#epochs?.next().value ?? null) : null
    const mac = chain.purged(index, leaf, epoch)
    const purged = this.#purged
    if (purged) {
      while (this.#carriedAt < purged.carried.length && purged.carried[this.#carriedAt]!.index <= index) {
        const { index: at, record } = purged.carried[this.#carriedAt++]!
        onCarried(at, record)
      }
      if (mac && index === purged.intent.below - 1) checkPurgedMac(purged, mac, this.#findings)
    }
    return leaf !== null
  }

  /**
   * A log that was purged while it was verified has the intent among what it has grown by, or has not been read to its end.
   * @param size that was verified
   * @param counts whether a note is signed by a key that counts
   */
  async finish(size: number, counts: (note: string) => boolean): Promise<void> {
    const minIndex = this.#minIndex
    if (minIndex <= this.#from || this.#purged?.intent.below === minIndex) return
    const head = await this.#evidence.head()
    const claimed = head && claimedCheckpoint(head.checkpoint)
    if (head && claimed && claimed.size > size && counts(head.checkpoint)) {
      const tree = { origin: this.#policy.origin, size: claimed.size, root: claimed.root }
      if (await readPurge(this.#evidence, tree, minIndex)) return
    }
    const message = `entries below ${minIndex} are gone without an audit.purge.intent`
    this.#findings.add('purge_uncertified', message, { index: 0 })
  }
}

function* epochsOf(runs: readonly (readonly [count: number, epoch: number])[]): Generator<number, null> {
  for (const [count, epoch] of runs) for (let i = 0; i < count; i++) yield epoch
  return null
}
