/** Checks that one entry is in a log, from a proof file, the entry and a key: offline, without the log. */
import { toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { parseTlogProof } from '../note/tlog-proof.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion } from '../tree/proof.ts'
import type { TrustPolicy } from './evidence.ts'

/** What `checkProof` leaves open, and `checkProofAnchors` may settle. */
export const UNWITNESSED = 'whether others are shown another log: no witness vouches for this checkpoint'

export interface CheckedProof {
  readonly index: number
  readonly record: ReadRecord
  readonly checkpoint: Checkpoint
  readonly not_checked: readonly string[]
}

/**
 * Establishes that `entry` is entry `index` of the log whose checkpoint a key of `policy` signed.
 *
 * @param proof text of a `.tlog-proof` file
 * @param entry the entry, byte for byte
 * @throws IndelibleError `ERR_PROOF_INVALID`, `ERR_NOTE_INVALID`, `ERR_NOTE_UNVERIFIED`, `ERR_CHECKPOINT_INVALID`,
 * `ERR_ENTRY_INVALID`; `ERR_SPLIT_VIEW` if the checkpoint is of the pin's size and has another root
 */
export function checkProof(
  proof: string,
  entry: Uint8Array,
  policy: Pick<TrustPolicy, 'origin' | 'keys' | 'pin'>,
): CheckedProof {
  const { index, proof: hashes, checkpoint: note } = parseTlogProof(proof)
  const { checkpoint } = openCheckpoint(note, policy)
  const { size, root } = checkpoint
  checkInclusion({ leaf: leafHash(entry), index, size, root, proof: hashes })
  const { pin } = policy
  if (pin && pin.size === size && toBase64(pin.root) !== toBase64(root)) {
    throw new IndelibleError('ERR_SPLIT_VIEW', `log signed two trees of ${size} entries: this one and the pinned one`)
  }
  return {
    index,
    record: parseEntry(entry),
    checkpoint,
    not_checked: [
      'whether the log still holds this entry, or has grown or been cut off since this checkpoint',
      UNWITNESSED,
      'the values of parts: the entry holds commitments to them',
    ],
  }
}
