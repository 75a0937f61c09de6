/** What the check of an evidence bundle says. */
import type { AnchoredBy } from './anchors.ts'

/** Every finding there is about a bundle. `docs/threat-model.md` has a row for each. */
export const BUNDLE_FINDING_CODES = [
  'bundle_malformed',
  'file_repeated',
  'file_missing',
  'file_unexpected',
  'file_altered',
  'file_too_large',
  'manifest_invalid',
  'manifest_mismatch',
  'checkpoint_invalid',
  'checkpoint_unverified',
  'checkpoint_mismatch',
  'rotation_invalid',
  'split_view',
  'anchor_missing',
  'anchor_invalid',
  'root_mismatch',
  'proof_invalid',
  'index_mismatch',
  'entry_unreadable',
  'entry_order',
  'id_repeated',
  'scope_mismatch',
  'disclosure_altered',
  'disclosure_unexpected',
  'disclosure_returned',
] as const
export type BundleFindingCode = (typeof BUNDLE_FINDING_CODES)[number]

export interface BundleFinding {
  readonly code: BundleFindingCode
  /** Which entry of the log, if it can be told. */
  readonly index?: number
  /** Which file of the bundle. */
  readonly file?: string
  /** For people. Never carries contents of entries. */
  readonly message: string
}

/**
 * `verified` means: against the policy handed in, every entry of the bundle is in the log, and every disclosure is what its
 * entry committed to; what stands in `not_checked` is left open. `failed` has findings. `incomplete` has none, and no entry.
 */
export interface BundleReport {
  readonly verdict: 'verified' | 'failed' | 'incomplete'
  readonly origin: string
  /** Entries that the accepted checkpoint covers, and its root (base64); 0 and empty if none was accepted. */
  readonly size: number
  readonly root: string
  /** vkey whose signature on that checkpoint counted. */
  readonly key: string
  /** Entries of the bundle that were checked, and the first and last of their indexes. */
  readonly entries: number
  readonly first: number | null
  readonly last: number | null
  /** Parts disclosed and checked; parts to which the bundle has commitments only. */
  readonly disclosed: number
  readonly withheld: number
  /** Of those withheld: parts that an `audit.erased` entry of the bundle lists. */
  readonly erased: number
  /** What the exporter says that it looked for and when: checked against nothing, but that entries of a run are of that run. */
  readonly claimed: { readonly created: string; readonly software: string; readonly scope: unknown } | null
  /** Who vouches for the log up to a size, by the anchors of the policy. */
  readonly anchored: readonly AnchoredBy[]
  readonly established: readonly string[]
  readonly findings: readonly BundleFinding[]
  /** Findings beyond those listed. */
  readonly more_findings: number
  readonly not_checked: readonly string[]
}

const MAX_LISTED = 200
const MAX_FILE_NAME = 200

export class BundleFindings {
  readonly listed: BundleFinding[] = []
  count = 0

  add(code: BundleFindingCode, message: string, detail: Omit<BundleFinding, 'code' | 'message'> = {}): void {
    this.count++
    if (this.listed.length >= MAX_LISTED) return
    // The name may be the manifest's, of any length.
    const { file } = detail
    this.listed.push({ code, ...detail, ...(file !== undefined && { file: file.slice(0, MAX_FILE_NAME) }), message })
  }
}
