/** The log must continue what the verifier accepted before. */
import { toBase64 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { checkConsistency, proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { LogEvidence, Pin } from './evidence.ts'
import type { FindingList } from './report.ts'
import { orMissing, type TreeCheck } from './tree-check.ts'

export class PinCheck {
  readonly #pin: Pin | undefined
  readonly #findings: FindingList
  /** Whether the pin was held against the log. */
  isChecked = false

  constructor(pin: Pin | undefined, findings: FindingList) {
    this.#pin = pin
    this.#findings = findings
  }

  /** Whether the pin is of a larger log: this one was rolled back. */
  isBeyond(size: number): boolean {
    return this.#pin !== undefined && this.#pin.size > size
  }

  /** @param size of the log */
  checkSize(size: number): void {
    if (!this.isBeyond(size)) return
    const pinned = this.#pin!.size
    const message = `log has ${size} entries, the pinned checkpoint ${pinned}: its end is gone`
    this.#findings.add('rolled_back', message, { expected: String(pinned), found: String(size) })
  }

  /** Holds the pin against the tree, if that has its size by now. */
  compare(size: number, tree: TreeCheck): void {
    const pin = this.#pin
    if (!pin || pin.size !== size || this.isChecked) return
    const roots = tree.roots()
    if (!roots) return
    this.isChecked = true
    const differs = () => {
      this.#findings.add('split_view', `the first ${size} entries are not those of the pinned checkpoint`, {
        expected: toBase64(pin.root),
        found: toBase64(roots.entries),
      })
    }
    if (!tree.isRoot(pin.root, roots, differs)) differs()
  }

  /** A range that the pin lies outside of: the tiles must prove that the log continues it. */
  async prove({ size, root }: Checkpoint, evidence: LogEvidence): Promise<void> {
    const pin = this.#pin
    if (!pin || this.isChecked || pin.size > size || this.#findings.count > 0) return
    const nodes = sourceNodeReader(evidence, size)
    const proof = pin.size === 0 ? [] : await orMissing(proveConsistency(pin.size, size, nodes))
    try {
      if (!proof) throw new IndelibleError('ERR_PROOF_INVALID', 'no proof')
      checkConsistency({ size1: pin.size, root1: pin.root, size2: size, root2: root, proof })
      this.isChecked = true
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#findings.add('split_view', `log of ${size} entries does not continue the pinned checkpoint of ${pin.size}`)
    }
  }
}
