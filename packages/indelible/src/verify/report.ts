/** What a verification says. */

/** Every finding there is. `docs/threat-model.md` has a row for each. */
export const FINDING_CODES = [
  'log_missing',
  'rolled_back',
  'split_view',
  'checkpoint_invalid',
  'checkpoint_unverified',
  'checkpoint_superseded',
  'published_checkpoint_altered',
  'size_mismatch',
  'frontier_altered',
  'root_mismatch',
  'entry_missing',
  'entry_unexpected',
  'entry_altered',
  'entry_unreadable',
  'leaf_altered',
  'tile_altered',
  'tile_missing',
  'mac_mismatch',
  'mac_head_mismatch',
  'epoch_mismatch',
  'epoch_decreased',
  'seal_missing',
  'seal_invalid',
  'time_decreased',
  'opened_invalid',
  'rotation_invalid',
  'id_repeated',
  'disclosure_missing',
  'disclosure_altered',
  'disclosure_unexpected',
  'purge_uncertified',
] as const
export type FindingCode = (typeof FINDING_CODES)[number]

export interface Finding {
  readonly code: FindingCode
  /** Where, if it can be told. */
  readonly index?: number
  readonly expected?: string
  readonly found?: string
  /** For people. Never carries record contents. */
  readonly message: string
}

/** How far a stretch of the log is vouched for. */
export type RangeState = 'signed' | 'pinned' | 'purged' | 'unchecked'

export interface Range {
  readonly start: number
  readonly end: number
  readonly state: RangeState
}

/**
 * `verified` means: against the policy handed in, and with what stands in `not_checked` left open. `failed` has findings.
 * `incomplete` has none, but something that the policy asked for could not be established.
 */
export interface Report {
  readonly verdict: 'verified' | 'failed' | 'incomplete'
  readonly origin: string
  /** Entries that the accepted checkpoint covers, and its root (base64); 0 and empty if none was accepted. */
  readonly size: number
  readonly root: string
  /** vkey whose signature on that checkpoint counted. */
  readonly key: string
  readonly ranges: readonly Range[]
  readonly findings: readonly Finding[]
  /** Findings beyond those listed. */
  readonly more_findings: number
  readonly not_checked: readonly string[]
}

/** Most findings that a report lists; a wholly rewritten log has one per entry. */
const MAX_FINDINGS = 200

export class FindingList {
  readonly listed: Finding[] = []
  count = 0

  add(code: FindingCode, message: string, detail: Omit<Finding, 'code' | 'message'> = {}): void {
    this.count++
    if (this.listed.length < MAX_FINDINGS) this.listed.push({ code, ...detail, message })
  }

  has(code: FindingCode): boolean {
    return this.listed.some((finding) => finding.code === code)
  }
}
