/**
 * What others vouch for, as a verifier sees it. Kinds of anchors bring an {@link AnchorVerifier} each; the verification
 * knows none of them. Nothing in a receipt is believed: it is what the log shows.
 */
import type { VerifierKey } from '../note/signed-note.ts'

/** What an anchor gave for a checkpoint, kept with the log and handed on with evidence. */
export interface AnchorReceipt {
  /** Name of the anchor in the log's configuration, and its kind. */
  readonly anchor: string
  readonly kind: string
  readonly origin: string
  readonly size: number
  /** RFC 6962 root hash, base64. */
  readonly root: string
  /** Signed note that was vouched for, with the cosignatures that it got. */
  readonly checkpoint: string
  /** When it was received, RFC 3339, by the log's own clock: for people. No verifier believes it. */
  readonly received: string
  /** What else the kind needs to prove it: strings by name, binary ones in base64. */
  readonly proof: Readonly<Record<string, string>>
}

/** A checkpoint that an anchor vouches for. */
export interface Voucher {
  /** Signed note; its own signatures by the log are checked by whoever gets this. */
  readonly note: string
  /** Who, as the trust policy names them. At least one. */
  readonly by: readonly string[]
  /** When, POSIX seconds, by the anchor's clock; `null` if the anchor states no time. Never from the log's clock. */
  readonly time: number | null
  /**
   * Whether this is enough to count as anchored. What is not enough, such as one witness where two are asked for, still
   * speaks against a log that it does not fit.
   */
  readonly counts: boolean
}

/** How a verifier judges one anchor of its trust policy. */
export interface AnchorVerifier {
  /** As the trust policy names it. */
  readonly name: string
  readonly kind: string
  /** A log without a voucher of this anchor does not verify. */
  readonly required: boolean
  /** A required voucher must not be older than this, in seconds. */
  readonly maxAgeSeconds?: number
  /**
   * Whether it vouches for nothing but what the log's own key signed. Then its word is enough where the log no longer shows
   * the rotation that leads to that key.
   */
  readonly checksSignature?: boolean
  /**
   * What this anchor vouches for in `receipt`; `null` if it is not of this anchor.
   *
   * @param logKeys keys that may have signed the checkpoint: a signature of another type may need to be known from these
   * @throws IndelibleError if it claims to be of this anchor and does not hold
   */
  check(receipt: AnchorReceipt, logKeys: readonly VerifierKey[]): Voucher | null | Promise<Voucher | null>
  /**
   * What the anchor itself says when it is asked: a log can hide its receipts, and not these. Left out where the policy does
   * not say how to ask.
   *
   * @throws IndelibleError `ERR_ANCHOR_FAILED` if it cannot be asked, `ERR_ANCHOR_REFUSED` if what it says does not hold
   */
  ask?(origin: string): Promise<readonly Voucher[]>
}

/** The newest that an anchor of the policy vouches for, and what of it the report tells. */
export interface AnchoredBy {
  readonly anchor: string
  readonly kind: string
  readonly by: readonly string[]
  /** RFC 3339, by the anchor's clock; `null` if it states none. */
  readonly time: string | null
}
