/** The witnesses of a trust policy as one anchor: enough of them must have cosigned the same checkpoint. */
import { isIndelibleError } from '../errors.ts'
import { type Cosigner, checkQuorum, type WitnessPolicy } from '../note/policy.ts'
import { openNote } from '../note/signed-note.ts'
import type { AnchorReceipt, AnchorVerifier, Voucher } from './anchors.ts'

export interface QuorumOptions {
  readonly name: string
  readonly required: boolean
  readonly maxAgeSeconds?: number | undefined
}

/** Judges receipts by the cosignatures of `policy`'s witnesses. A receipt of another kind may have them too. */
export class QuorumVerifier implements AnchorVerifier {
  readonly kind = 'witness'
  // C2SP tlog-witness: it verifies the signature of the log before it cosigns.
  readonly checksSignature = true
  readonly name: string
  readonly required: boolean
  readonly maxAgeSeconds?: number
  readonly policy: WitnessPolicy

  constructor(policy: WitnessPolicy, { name, required, maxAgeSeconds }: QuorumOptions) {
    this.policy = policy
    this.name = name
    this.required = required
    if (maxAgeSeconds !== undefined) this.maxAgeSeconds = maxAgeSeconds
  }

  check({ checkpoint }: AnchorReceipt): Voucher | null {
    return vouchedBy(this.policy, checkpoint)
  }
}

/**
 * What the witnesses of `policy` say by the cosignatures on `note`; `null` if none of them cosigned.
 *
 * @throws IndelibleError `ERR_NOTE_INVALID` if the note is malformed or the cosignature of a witness does not verify
 */
export function vouchedBy(policy: WitnessPolicy, note: string): Voucher | null {
  const keys = Array.from(policy.witnesses.values(), ({ key }) => key)
  try {
    const opened = openNote(note, keys)
    const cosigners = checkQuorum({ ...policy, quorum: 'none' }, opened)
    const by = cosigners.map(({ witness }) => witness)
    if (by.length === 0) return null
    const time = quorumTime(policy, cosigners)
    return { note, by, time, counts: time !== null }
  } catch (error) {
    if (isIndelibleError(error, 'ERR_NOTE_UNVERIFIED')) return null
    throw error
  }
}

/**
 * The latest time at which a quorum stood by the checkpoint: those who cosigned at or after it are a quorum. One witness with
 * a clock in the future cannot make a checkpoint look fresh where others are needed too. `null` if they are no quorum.
 */
function quorumTime(policy: WitnessPolicy, cosigners: readonly Cosigner[]): number | null {
  const newestFirst = cosigners.toSorted((a, b) => b.timestamp - a.timestamp)
  const present = new Set<string>()
  for (const { witness, timestamp } of newestFirst) {
    present.add(witness)
    if (isQuorum(policy, present)) return timestamp
  }
  return null
}

function isQuorum({ groups, quorum }: WitnessPolicy, witnesses: ReadonlySet<string>): boolean {
  if (quorum === 'none') return witnesses.size > 0
  const present = new Set(witnesses)
  for (const [name, { members, threshold }] of groups) {
    if (members.filter((member) => present.has(member)).length >= threshold) present.add(name)
  }
  return present.has(quorum)
}
