/** Who vouches for the checkpoint of an evidence bundle, or for one that it continues: judged by the verifier's own policy. */
import { fromBase64 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { quote } from '../note/text.ts'
import { parseJson } from '../record/jcs.ts'
import { formatTime } from '../record/time.ts'
import { checkConsistency } from '../tree/proof.ts'
import type { Anchored } from './anchor-check.ts'
import type { AnchorReceipt } from './anchors.ts'
import { ANCHORS } from './bundle-format.ts'
import type { BundleFindings } from './bundle-report.ts'
import type { TrustPolicy } from './evidence.ts'
import type { KeyHistory } from './key-history.ts'

interface Line {
  readonly receipt: AnchorReceipt
  readonly consistency: readonly Uint8Array[]
}

/**
 * How old a voucher is does not count here: what a bundle proves was so then.
 *
 * @param text of `anchors.jsonl`, `null` if the bundle has none
 * @param checkpoint the bundle's, signed by a key of the policy or a successor
 */
export async function checkBundleAnchors(
  text: string | null,
  note: string,
  checkpoint: Checkpoint,
  policy: Pick<TrustPolicy, 'anchors'> & { readonly keys: KeyHistory },
  findings: BundleFindings,
): Promise<Anchored[]> {
  const lines = parseLines(text, note, checkpoint, findings)
  const anchored: Anchored[] = []
  for (const verifier of policy.anchors ?? []) {
    const { name, kind, required } = verifier
    let newest: Anchored | null = null
    for (const line of lines) {
      try {
        const voucher = await verifier.check(line.receipt, policy.keys.keys)
        if (!voucher?.counts) continue
        const { checkpoint: older } = policy.keys.open(voucher.note)
        const ends = { size1: older.size, root1: older.root, size2: checkpoint.size, root2: checkpoint.root }
        checkConsistency({ ...ends, proof: line.consistency })
        if (newest && newest.size >= older.size) continue
        const time = voucher.time === null ? null : formatTime(voucher.time * 1000)
        newest = { anchor: name, kind, by: voucher.by, time, size: older.size }
      } catch (error) {
        if (!isIndelibleError(error)) throw error
        findings.add('anchor_invalid', `anchor ${name}: ${error.message}`, { file: ANCHORS })
      }
    }
    if (newest) anchored.push(newest)
    else if (required)
      findings.add('anchor_missing', `anchor ${name}: the policy requires it, and it vouches for nothing here`)
  }
  return anchored
}

/** The bundle's own checkpoint may have cosignatures too. */
function parseLines(text: string | null, note: string, { origin, size }: Checkpoint, findings: BundleFindings): Line[] {
  const own = { anchor: '', kind: 'witness', origin, size, root: '', checkpoint: note, received: '', proof: {} }
  const lines: Line[] = [{ receipt: own, consistency: [] }]
  for (const [i, line] of (text ?? '').split('\n').entries()) {
    if (line === '') continue
    try {
      const { receipt, consistency } = parseJson(line) as unknown as { receipt: AnchorReceipt; consistency: string[] }
      if (typeof receipt.checkpoint !== 'string' || typeof receipt.kind !== 'string') throw new TypeError()
      if (typeof receipt.proof !== 'object' || receipt.proof === null || consistency.length > 64) throw new TypeError()
      lines.push({ receipt, consistency: consistency.map(fromBase64) })
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof RangeError || error instanceof IndelibleError)) throw error
      findings.add('anchor_invalid', `${ANCHORS}, line ${quote(String(i + 1))}, is no receipt`, { file: ANCHORS })
    }
  }
  return lines
}
