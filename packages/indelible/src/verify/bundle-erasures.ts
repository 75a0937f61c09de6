/** What the `audit.erased` entries of a bundle say of its other entries. They count no more than the rest of the bundle. */
import type { ReadRecord } from '../record/entry.ts'
import type { BundleFindings } from './bundle-report.ts'
import { readErasure } from './erased-list.ts'
import { PartSet } from './part-set.ts'

/** Most parts that are disclosed although an erasure lists them which are remembered until it is done. */
const MAX_LISTED = 100_000

export class BundleErasures {
  readonly #findings: BundleFindings
  readonly #withheld = new PartSet()
  readonly #disclosed = new PartSet()
  readonly #listed = new Map<string, { readonly index: number; readonly name: string }[]>()
  #listedCount = 0
  /** Withheld parts that an entry of the bundle says were erased. */
  erased = 0

  constructor(findings: BundleFindings) {
    this.#findings = findings
  }

  part(index: number, name: string, isDisclosed: boolean): void {
    const parts = isDisclosed ? this.#disclosed : this.#withheld
    parts.add(index, name)
  }

  /** To be called for every entry in the order of the log, after its parts. */
  entry(record: ReadRecord, at: number): void {
    const statement = readErasure(record, at)
    if (!statement) return
    const { erasure, isDone, parts } = statement
    for (const { index, name } of parts) {
      if (this.#withheld.delete(index, name)) this.erased++
      else if (erasure !== null && this.#disclosed.delete(index, name) && this.#listedCount++ < MAX_LISTED) {
        const listed = this.#listed.get(erasure)
        if (listed) listed.push({ index, name })
        else this.#listed.set(erasure, [{ index, name }])
      }
    }
    if (erasure === null || !isDone) return
    for (const { index } of this.#listed.get(erasure) ?? []) {
      const message = `entry ${index} has a part that the log says was erased`
      this.#findings.add('disclosure_returned', message, { index })
    }
    this.#listed.delete(erasure)
  }
}
