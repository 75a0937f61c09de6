/** Every part that an entry commits to is there and is the one committed to, or an `audit.erased` entry says that it went. */
import { isIndelibleError } from '../errors.ts'
import { checkCommitment } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import { isSealed } from '../record/sealed.ts'
import type { Skimmed } from '../record/skim.ts'
import { readErasure } from './erased-list.ts'
import { PartSet } from './part-set.ts'
import type { FindingList } from './report.ts'

/** Parts remembered that are there although an erasure lists them: it may not be done yet. */
const MAX_LISTED = 100_000

interface ListedPart {
  readonly index: number
  readonly name: string
}

export class PartCheck {
  readonly #origin: string
  readonly #findings: FindingList
  readonly #missing = new PartSet()
  readonly #sealed = new PartSet()
  /** By erasure: parts that it lists and that were not missing. */
  readonly #listed = new Map<string, ListedPart[]>()
  #listedCount = 0
  readonly #done = new Set<string>()
  /** Parts that an `audit.erased` entry lists. */
  erased = 0
  /** Missing parts beyond those remembered: nothing can be said of them. */
  forgotten = 0
  /** Parts that erasures list, beyond those that can be looked up again. */
  unlisted = 0

  constructor(origin: string, findings: FindingList) {
    this.#origin = origin
    this.#findings = findings
  }

  /** Parts that are encrypted under keys which are not at hand: there, and not to be checked. */
  get sealed(): number {
    return this.#sealed.size + this.#moreSealed
  }
  #moreSealed = 0

  /** Missing parts that no `audit.erased` entry has accounted for yet. */
  get missing(): number {
    return this.#missing.size
  }

  /** @param disclosures what the store has for this entry, by part name */
  entry(index: number, record: ReadRecord | Skimmed, disclosures: ReadonlyMap<string, string>): void {
    const parts = record.parts ?? {}
    for (const name of Object.keys(parts)) {
      const disclosure = disclosures.get(name)
      if (disclosure === undefined) {
        if (!this.#missing.add(index, name)) this.forgotten++
        continue
      }
      if (isSealed(disclosure)) {
        if (!this.#sealed.add(index, name)) this.#moreSealed++
        continue
      }
      try {
        checkCommitment(disclosure, { commit: parts[name]!.commit, origin: this.#origin, id: record.id, name })
      } catch (error) {
        if (!isIndelibleError(error)) throw error
        this.#findings.add('disclosure_altered', `entry ${index}: ${error.message}`, { index })
      }
    }
    for (const name of disclosures.keys()) {
      if (!Object.hasOwn(parts, name)) {
        this.#findings.add('disclosure_unexpected', `entry ${index} commits to no such part`, { index })
      }
    }
    this.statement(record, index)
  }

  /**
   * An `audit.erased` entry accounts for parts of entries before it; one that says `done` for all that its erasure listed.
   * @param at its index; left out for one behind the range
   */
  statement(record: ReadRecord | Skimmed, at = Number.POSITIVE_INFINITY): void {
    const statement = readErasure(record, at)
    if (!statement) return
    const { erasure, isDone, parts } = statement
    if (erasure !== null && isDone) this.#done.add(erasure)
    for (const { index, name } of parts) {
      if (this.#missing.delete(index, name) || this.#sealed.delete(index, name)) this.erased++
      else if (erasure !== null) this.#list(erasure, { index, name })
    }
  }

  #list(erasure: string, part: ListedPart): void {
    if (this.#listedCount >= MAX_LISTED) {
      this.unlisted++
      return
    }
    this.#listedCount++
    const parts = this.#listed.get(erasure)
    if (parts) parts.push(part)
    else this.#listed.set(erasure, [part])
  }

  /** A part that was erased and is there again, or still, makes the log's word untrue. */
  async checkGone(read: (index: number) => Promise<ReadonlyMap<string, string>>): Promise<void> {
    for (const [erasure, parts] of this.#listed) {
      if (!this.#done.has(erasure)) continue
      for (const { index, name } of parts) {
        if (!(await read(index)).has(name)) continue
        const message = `entry ${index} has a part that the log says was erased`
        this.#findings.add('disclosure_returned', message, { index })
      }
    }
  }

  finish(): void {
    for (const { index } of this.#missing) {
      const message = `entry ${index} commits to a part whose disclosure is gone, and no audit.erased entry says so`
      this.#findings.add('disclosure_missing', message, { index })
    }
  }
}
