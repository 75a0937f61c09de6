/**
 * Whether those whom the verifier's policy names have signed the purges of a log. A policy counts from when it was adopted on,
 * and that is the verifier's word and not the log's: he names the tree that the log had then. Whoever would have a later purge
 * pass for an older one has to place its intent in a tree that is fixed.
 */
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { openNote, type VerifierKey } from '../note/signed-note.ts'
import { checkConsistency, proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { LogEvidence, Pin } from './evidence.ts'
import type { PurgedPrefix } from './purge-check.ts'
import { formatPurgeApproval } from './purge-statement.ts'
import type { FindingList } from './report.ts'
import { orMissing } from './tree-check.ts'

/** People of whom so many must have signed each purge. */
export interface PurgeApprovers {
  readonly keys: readonly VerifierKey[]
  readonly quorum: number
  /** The log when this was adopted: purges whose intent stands below are older. Default: it counts from the beginning. */
  readonly since?: Pin
}

/**
 * Signatures that the verifier's policy demands, of every purge: the last one must not cover up for those before it.
 *
 * Each purge is judged by the approvers who were adopted last before its intent. Approvers whose `since` is not a tree that
 * this log had count from the beginning: nothing shows then what is older. A purge that a later one left no word of is signed by
 * nobody, and as new as it can be.
 */
export async function checkPurgeApprovals(
  evidence: LogEvidence,
  tree: { readonly origin: string; readonly size: number; readonly root: Uint8Array },
  { purges, untold, intent: last }: PurgedPrefix,
  policies: readonly PurgeApprovers[],
  findings: FindingList,
): Promise<void> {
  const periods: PurgeApprovers[] = []
  const always: PurgeApprovers[] = []
  for (const policy of policies) {
    const isTold = !policy.since || (await wasTree(evidence, tree, policy.since))
    if (isTold) periods.push(policy)
    else always.push(policy)
  }
  periods.sort((a, b) => sizeOf(a) - sizeOf(b))
  for (const { index, intent } of purges) {
    const text = formatPurgeApproval(tree.origin, intent)
    const inForce = periods.findLast((policy) => sizeOf(policy) <= index)
    for (const { keys, quorum } of inForce ? [inForce, ...always] : always) {
      const signed = distinct(keys.filter((key) => (intent.approvals ?? []).some((line) => isSigned(text, line, key))))
      if (signed.length >= quorum) continue
      findings.add(
        'purge_unapproved',
        `purge of entry ${index} is signed by ${signed.length} approvers of the policy`,
        {
          index,
          expected: String(quorum),
          found: String(signed.length),
        },
      )
    }
  }
  if (untold > 0 && (always.length > 0 || periods.some((policy) => sizeOf(policy) < last.below))) {
    findings.add('purge_unapproved', `nothing shows who signed the purges of what was before entry ${untold}`, {
      index: 0,
    })
  }
}

/** Whoever stands in a policy twice is one approver. */
function distinct(keys: readonly VerifierKey[]): VerifierKey[] {
  return keys.filter((key, i) => keys.findIndex((one) => isEqual(one.publicKey, key.publicKey)) === i)
}

function sizeOf({ since }: PurgeApprovers): number {
  return since?.size ?? 0
}

async function wasTree(
  evidence: LogEvidence,
  { size, root }: { readonly size: number; readonly root: Uint8Array },
  { size: size1, root: root1 }: Pin,
): Promise<boolean> {
  if (size1 < 1 || size1 > size) return false
  const proof = await orMissing(proveConsistency(size1, size, sourceNodeReader(evidence, size)))
  try {
    if (!proof) throw new IndelibleError('ERR_PROOF_INVALID', 'no proof')
    checkConsistency({ size1, root1, size2: size, root2: root, proof })
    return true
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return false
  }
}

function isSigned(text: string, line: string, key: VerifierKey): boolean {
  try {
    return openNote(`${text}\n${line}`, [key]).verified.length > 0
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return false
  }
}
