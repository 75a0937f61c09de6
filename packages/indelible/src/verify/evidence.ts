/** What a verification looks at, and what it holds that against. */
import type { MacVerificationKey } from '../chain/verification-key.ts'
import type { VerifierKey } from '../note/signed-note.ts'
import type { TileSource } from '../tree/source.ts'

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
  /** People whose signatures on decisions count, by the name of the key. Without, the log's own register names them. */
  readonly identities?: readonly VerifierKey[]
}
