/**
 * Two checkpoints of one log that no append-only log can have, as a file (`indelible/split-view@1`) that convinces a third
 * party who has nothing but the log's key. Both notes are verbatim, so that they can be checked with other tools too.
 */
import { fromBase64, isEqual, toBase64 } from '../bytes.ts'
import { IndelibleError, type SplitView } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import type { VerifierKey } from '../note/signed-note.ts'
import { parseJson } from '../record/jcs.ts'
import { rootFromConsistency } from '../tree/proof.ts'

export const SPLIT_VIEW_FORMAT = 'indelible/split-view@1'

/** A split view as JSON carries it: hashes in base64. */
export interface SplitViewJson {
  readonly format: typeof SPLIT_VIEW_FORMAT
  readonly older: string
  readonly newer: string
  readonly proof: readonly string[]
}

export function splitViewJson({ older, newer, proof }: SplitView): SplitViewJson {
  return { format: SPLIT_VIEW_FORMAT, older, newer, proof: proof.map(toBase64) }
}

export function formatSplitView(view: SplitView): string {
  return `${JSON.stringify(splitViewJson(view), null, 2)}\n`
}

/** Reads what {@link formatSplitView} gives; verifies nothing. Throws `ERR_PROOF_INVALID`. */
export function parseSplitView(text: string): SplitView {
  try {
    const { format, older, newer, proof } = parseJson(text) as Record<string, unknown>
    if (format !== SPLIT_VIEW_FORMAT || typeof older !== 'string' || typeof newer !== 'string') throw new TypeError()
    if (!Array.isArray(proof) || proof.length > 64) throw new TypeError()
    return { older, newer, proof: proof.map((hash) => fromBase64(String(hash))) }
  } catch (cause) {
    throw new IndelibleError('ERR_PROOF_INVALID', 'not an evidence file of a split view', { cause })
  }
}

/**
 * Establishes that whoever holds `keys` signed two histories of the log `origin`.
 *
 * @returns the two checkpoints, and the root of the older size that the newer one implies
 * @throws IndelibleError `ERR_PROOF_INVALID` if the two are consistent, or the proof is not one; and as `openCheckpoint`
 */
export function checkSplitView(
  view: SplitView,
  policy: { readonly origin: string; readonly keys: readonly VerifierKey[] },
): { readonly older: Checkpoint; readonly newer: Checkpoint; readonly implied: Uint8Array } {
  const { checkpoint: older } = openCheckpoint(view.older, policy)
  const { checkpoint: newer } = openCheckpoint(view.newer, policy)
  const implied = rootFromConsistency({
    size1: older.size,
    size2: newer.size,
    root2: newer.root,
    proof: view.proof,
  })
  if (isEqual(implied, older.root)) {
    throw new IndelibleError('ERR_PROOF_INVALID', 'the two checkpoints are of one log: this is no split view')
  }
  return { older, newer, implied }
}
