/** What a verification looks at, and what it holds that against. */
import type { MacVerificationKey } from '../chain/verification-key.ts'
import type { VerifierKey } from '../note/signed-note.ts'
import type { TileSource } from '../tree/source.ts'
import type { AnchorReceipt, AnchorVerifier } from './anchors.ts'
import type { PurgeApprovers } from './purge-approval.ts'
import type { KeptReceipt } from './receipts-check.ts'

export interface EvidenceHead {
  readonly size: number
  readonly frontier: readonly Uint8Array[]
  readonly mac: Uint8Array
  readonly epoch: number
  readonly observed: string
  readonly checkpoint: string
  readonly minIndex: number
}

export interface EvidenceEntry {
  readonly index: number
  readonly entry: Uint8Array
  readonly leaf: Uint8Array
  readonly mac: Uint8Array
  readonly epoch: number
}

/** A whole log as somebody shows it. Nothing in it is believed. Every store has this shape. */
export interface LogEvidence extends TileSource {
  head(): Promise<EvidenceHead | null>
  entries(start: number, end: number): AsyncIterable<readonly EvidenceEntry[]>
  payloads(
    start: number,
    end: number,
  ): AsyncIterable<readonly { readonly index: number; readonly name: string; readonly disclosure: string }[]>
  checkpoints(above: number, upTo: number): AsyncIterable<readonly { readonly size: number; readonly note: string }[]>
  /** Where the log says that ids are, if it has such a table. */
  findIds?(ids: readonly string[]): Promise<ReadonlyMap<string, { readonly index: number }>>
  /** Whether {@link findIds} would say so of each: the first at `start`, the next behind it. `false` if it cannot tell. */
  areIdsAt?(ids: readonly string[], start: number): Promise<boolean>
  /** What the log says that others vouch for. */
  anchors?(): AsyncIterable<readonly AnchorReceipt[]>
}

/** A checkpoint that the verifier accepted before. */
export interface Pin {
  readonly size: number
  readonly root: Uint8Array
}

/**
 * Whom the verifier believes, and what it demands. All of it comes from the verifier's side: never from the log.
 */
export interface TrustPolicy {
  readonly origin: string
  /** Keys that speak for the log. A successor counts from the rotation that one of these signed. */
  readonly keys: readonly VerifierKey[]
  /** The largest checkpoint accepted so far: the log may have grown since, and nothing else. */
  readonly pin?: Pin
  /** K_0, for the HMAC chain. */
  readonly macKey?: MacVerificationKey
  /** Who must have signed purges: each is judged by those who were adopted last before it. */
  readonly purgeApprovers?: readonly PurgeApprovers[]
  /** People whose signatures on decisions count, by the name of the key. Without, the log's own register names them. */
  readonly identities?: readonly VerifierKey[]
  /** Id of the mac key that the log must have been opened with, base64url. */
  readonly macId?: string
  /** Epochs `[from, to)` whose macs count as evidence. Default all. */
  readonly macEpochs?: { readonly from?: number | undefined; readonly to?: number | undefined }
  /** Who else has to vouch for the log, or may. */
  readonly anchors?: readonly AnchorVerifier[]
  /** Receipts that callers kept. */
  readonly receipts?: readonly KeptReceipt[]
  /** Wall clock of the verifier, ms since 1970: how fresh a voucher is. Needed where an anchor has an age. */
  readonly nowMs?: number
}
