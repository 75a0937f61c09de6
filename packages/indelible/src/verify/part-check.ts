/** Every part that an entry commits to is there and is the one committed to, or an `audit.erased` entry says that it went. */
import { isIndelibleError } from '../errors.ts'
import { checkCommitment } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import { isSealed } from '../record/sealed.ts'
import type { FindingList } from './report.ts'

/** Missing disclosures remembered until an `audit.erased` entry may account for them. */
const MAX_MISSING = 1_000_000

export class PartCheck {
  readonly #origin: string
  readonly #findings: FindingList
  readonly #missing = new Map<string, number>()
  readonly #sealed = new Set<string>()
  /** Parts that an `audit.erased` entry lists. */
  erased = 0
  /** Missing parts beyond those remembered: nothing can be said of them. */
  forgotten = 0

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
  entry(index: number, record: ReadRecord, disclosures: ReadonlyMap<string, string>): void {
    const parts = record.parts ?? {}
    for (const name of Object.keys(parts)) {
      const disclosure = disclosures.get(name)
      if (disclosure === undefined) {
        if (this.#missing.size < MAX_MISSING) this.#missing.set(`${index}/${name}`, index)
        else this.forgotten++
        continue
      }
      if (isSealed(disclosure)) {
        if (this.#sealed.size < MAX_MISSING) this.#sealed.add(`${index}/${name}`)
        else this.#moreSealed++
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
    this.statement(record)
  }

  /** An `audit.erased` entry accounts for parts of entries before it. */
  statement(record: ReadRecord): void {
    const parts: unknown = record.type === 'audit.erased' && record.audit?.parts
    if (!Array.isArray(parts)) return
    for (const part of parts as unknown[]) {
      if (!Array.isArray(part)) continue
      const [index, name] = part as unknown[]
      const place = `${String(index)}/${String(name)}`
      if (this.#missing.delete(place) || this.#sealed.delete(place)) this.erased++
    }
  }

  finish(): void {
    for (const index of this.#missing.values()) {
      const message = `entry ${index} commits to a part whose disclosure is gone, and no audit.erased entry says so`
      this.#findings.add('disclosure_missing', message, { index })
    }
  }
}
