/** What others vouch for, in an evidence bundle: receipts, each with the proof that leads from it to the bundle's checkpoint. */
import { fromBase64, toBase64 } from '../bytes.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { checkConsistency, type NodeReader, proveConsistency } from '../tree/proof.ts'
import type { AnchorReceipt } from '../verify/anchors.ts'

/**
 * The text of `anchors.jsonl`, of the receipts that are of a tree no larger than the checkpoint's; empty if none is.
 * @throws IndelibleError `ERR_PROOF_INVALID` if the log does not continue what was anchored: then it is not exported
 */
export async function formatBundleAnchors(
  receipts: readonly AnchorReceipt[],
  { size, root }: Checkpoint,
  read: NodeReader,
): Promise<string> {
  const lines: string[] = []
  for (const receipt of receipts) {
    if (receipt.size === 0 || receipt.size > size) continue
    const proof = await proveConsistency(receipt.size, size, read)
    checkConsistency({ size1: receipt.size, root1: fromBase64(receipt.root), size2: size, root2: root, proof })
    lines.push(`${JSON.stringify({ receipt, consistency: proof.map(toBase64) })}\n`)
  }
  return lines.join('')
}
