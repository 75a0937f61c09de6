/**
 * Somebody else who vouches for a checkpoint. A log in its operator's own hands cannot show its own truncation or roll-back:
 * what an anchor keeps, or signs, does.
 *
 * A kind of anchor has two halves. {@link Anchor} is the log's: it hands a checkpoint over and brings a receipt back.
 * `AnchorVerifier` (verify/anchors.ts) is the verifier's, made from the verifier's own trust policy and from nothing that the
 * log says. A kind is done when `describeAnchor` of `indelible/testing` passes unchanged.
 */
import type { AnchorConfig } from '../config/anchors-section.ts'
import type { WitnessPolicy } from '../note/policy.ts'
import type { LogStore } from '../store/store.ts'
import type { AnchorReceipt, AnchorVerifier } from '../verify/anchors.ts'
import type { AnchorTrust } from '../verify/trust.ts'

/** A checkpoint that is about to be anchored. The runner has read its entries again and hashed them. */
export interface AnchoredCheckpoint {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
  /** Signed note, verbatim. */
  readonly note: string
}

/** The log as an anchor may read it: hashes for proofs, entries for copies. Disclosures are out of reach. */
export type AnchorTree = Pick<LogStore, 'tile' | 'tileRoots' | 'leaves' | 'entries'>

export interface AnchorTask {
  readonly checkpoint: AnchoredCheckpoint
  readonly tree: AnchorTree
  /** First index whose entry can be read: what is below was purged. Hashes are there from 0 on. */
  readonly minIndex: number
  /** The last receipt of this anchor, `null` before the first or if it was lost: the anchor must cope with that. */
  readonly previous: AnchorReceipt | null
  /** Fires when there is no more time. */
  readonly signal: AbortSignal
}

/** What an anchor gave. */
export interface AnchorResult {
  /** The checkpoint with the cosignatures it got. Default: the note of the task. */
  readonly note?: string
  /** What a verifier needs beside the note; see {@link AnchorReceipt.proof}. */
  readonly proof?: Readonly<Record<string, string>>
  /** What went wrong on the way although enough went right, for `anchor status`. Carries no secrets. */
  readonly warnings?: readonly string[]
}

/** One anchor of a log, ready to use. Calls come one at a time. */
export interface Anchor {
  readonly name: string
  readonly kind: string
  /**
   * Has the checkpoint vouched for. Anchoring the same checkpoint again is no error.
   *
   * @throws IndelibleError `ERR_ANCHOR_FAILED` if the anchor could not be reached or answered with garbage: try again later.
   * `ERR_ANCHOR_REFUSED` if it said no, which a person has to look into: a wrong key, an unknown log, a missing guarantee.
   * `ERR_ROLLED_BACK` if it holds a larger checkpoint of this log, `ERR_SPLIT_VIEW` if it holds one that does not fit
   */
  anchor(task: AnchorTask): Promise<AnchorResult>
  /**
   * Whether the anchor is what it has to be, asked once before it is first used and when it is added. Left out where there is
   * nothing to ask. Throws as {@link anchor} does.
   */
  probe?(signal: AbortSignal): Promise<void>
  close?(): Promise<void>
}

/** Where a kind takes what is not in its options from. */
export interface AnchorUse {
  /** Folder that relative paths are in: the home, or that of the trust file. */
  readonly directory: string
  /** Identity of the log. */
  readonly origin: string
  readonly env: NodeJS.ProcessEnv
  readonly fetch: typeof fetch
  /** Wall clock, ms since 1970. */
  readonly clock: () => number
}

/** A kind of anchor: how one is opened for a log, and how a verifier judges one. */
export interface AnchorKind {
  readonly kind: string
  /**
   * @throws IndelibleError `ERR_CONFIG_INVALID` naming the option, and for a file that an option names what reading it throws.
   * Nothing is asked over the network
   */
  open(config: AnchorConfig, use: AnchorUse): Promise<Anchor>
  /**
   * @param trust what the verifier's trust policy says of this anchor
   * @throws IndelibleError `ERR_POLICY_INVALID` naming the member
   */
  verifier(trust: AnchorTrust, use: AnchorUse): Promise<AnchorVerifier>
  /** The witnesses that such an anchor asks, with their quorum, for those who read the log's evidence. Throws as {@link open}. */
  policy?(config: AnchorConfig, directory: string): WitnessPolicy
}
