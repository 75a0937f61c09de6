/** Who beside the log vouches for the checkpoint of a proof file: its cosignatures, judged by the verifier's own policy. */
import { IndelibleError } from '../errors.ts'
import { parseTlogProof } from '../note/tlog-proof.ts'
import { formatTime } from '../record/time.ts'
import type { AnchoredBy, AnchorReceipt } from './anchors.ts'
import { UNWITNESSED } from './check-proof.ts'
import type { TrustPolicy } from './evidence.ts'
import { claimedCheckpoint } from './evidence-reader.ts'

export interface ProofAnchors {
  readonly anchored: readonly AnchoredBy[]
  /** Anchors of the policy that a proof file cannot carry, and others that are not required and not there. */
  readonly not_checked: readonly string[]
}

/**
 * A proof says that an entry was in the log then, however old it is: the age that a policy allows an anchor is for whole logs.
 *
 * @param proof text of a `.tlog-proof` file that `checkProof` accepts
 * @throws IndelibleError `ERR_NOTE_UNVERIFIED` if a required quorum has not cosigned; `ERR_NOTE_INVALID` if a cosignature of
 * the policy's witnesses does not verify
 */
export async function checkProofAnchors(
  proof: string,
  { origin, keys, anchors = [] }: Pick<TrustPolicy, 'origin' | 'keys' | 'anchors'>,
): Promise<ProofAnchors> {
  const { checkpoint } = parseTlogProof(proof)
  const size = claimedCheckpoint(checkpoint)?.size ?? 0
  const anchored: AnchoredBy[] = []
  const open: string[] = []
  for (const verifier of anchors) {
    const { name, kind, required } = verifier
    if (kind !== 'witness') {
      open.push(`anchor ${name}: a proof file does not carry what it gives`)
      continue
    }
    const receipt: AnchorReceipt = { anchor: name, kind, origin, size, root: '', checkpoint, received: '', proof: {} }
    const voucher = await verifier.check(receipt, keys)
    if (voucher?.counts) {
      const time = voucher.time === null ? null : formatTime(voucher.time * 1000)
      anchored.push({ anchor: name, kind, by: voucher.by, time })
    } else if (required) {
      const who = voucher ? `only ${voucher.by.join(', ')} cosigned` : 'nobody of it cosigned'
      throw new IndelibleError('ERR_NOTE_UNVERIFIED', `the policy requires ${name}, and ${who} this checkpoint`)
    } else {
      open.push(`anchor ${name}: it has not cosigned this checkpoint`)
    }
  }
  if (anchored.length === 0) open.push(UNWITNESSED)
  return { anchored, not_checked: open }
}
