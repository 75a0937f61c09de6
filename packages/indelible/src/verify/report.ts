/** What a verification says. */
import { toBase64 } from '../bytes.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { formatVkey, type VerifierKey } from '../note/signed-note.ts'
import type { AnchorChecks, Anchored } from './anchor-check.ts'
import type { AnchoredBy } from './anchors.ts'
import type { DecisionCheck } from './decision-check.ts'
import type { TrustPolicy } from './evidence.ts'
import { type SplitViewJson, splitViewJson } from './split-view.ts'

/** Every finding there is. `docs/threat-model.md` has a row for each. */
export const FINDING_CODES = [
  'log_missing',
  'store_altered',
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
  'id_altered',
  'disclosure_missing',
  'disclosure_altered',
  'disclosure_unexpected',
  'disclosure_returned',
  'purge_uncertified',
  'purge_invalid',
  'purge_unapproved',
  'signature_invalid',
  'signer_unknown',
  'anchor_missing',
  'anchor_stale',
  'anchor_invalid',
  'receipt_mismatch',
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

/**
 * How far a stretch of the log is vouched for. `unanchored`: signed by the log, and not by those anchors that the policy has;
 * `signed` where the policy has none.
 */
export type RangeState = 'anchored' | 'signed' | 'unanchored' | 'pinned' | 'purged' | 'unchecked'

export interface Range {
  readonly start: number
  readonly end: number
  readonly state: RangeState
  /** Who vouches for it, and since when; of a range that is anchored. */
  readonly by?: readonly AnchoredBy[]
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
  /** Two checkpoints that the log signed and that do not fit together, with what convinces a third party. */
  readonly split_view?: SplitViewJson
}

/** Most findings of one code that a report lists: a wholly rewritten log has one for each entry, and others worth reading. */
const MAX_LISTED = 100

export class FindingList {
  readonly listed: Finding[] = []
  readonly #counts = new Map<FindingCode, number>()
  count = 0

  add(code: FindingCode, message: string, detail: Omit<Finding, 'code' | 'message'> = {}): void {
    this.count++
    const ofCode = (this.#counts.get(code) ?? 0) + 1
    this.#counts.set(code, ofCode)
    if (ofCode <= MAX_LISTED) this.listed.push({ code, ...detail, message })
  }
}

/** What a verification found out. */
export interface Outcome {
  readonly policy: TrustPolicy
  readonly findings: FindingList
  readonly accepted: { readonly checkpoint: Checkpoint; readonly key: VerifierKey } | null
  /** Of the log as claimed. */
  readonly size: number
  readonly from: number
  readonly to: number
  readonly minIndex: number
  readonly isPinChecked: boolean
  readonly isWrongKey: boolean
  readonly statedMacId: string | null
  readonly erased: number
  readonly decisions: DecisionCheck
  /** Parts that are encrypted under keys which are not at hand. */
  readonly sealed: number
  readonly unsettled: readonly string[]
  readonly anchors: Pick<AnchorChecks, 'anchored' | 'splitView'>
}

export function writeReport(outcome: Outcome): Report {
  const { policy, findings, accepted, isPinChecked, unsettled } = outcome
  const isFailed = findings.count > 0 || accepted === null
  const isIncomplete = (policy.pin !== undefined && !isPinChecked) || unsettled.length > 0
  return {
    verdict: isFailed ? 'failed' : isIncomplete ? 'incomplete' : 'verified',
    origin: policy.origin,
    size: accepted?.checkpoint.size ?? 0,
    root: accepted ? toBase64(accepted.checkpoint.root) : '',
    key: accepted ? formatVkey(accepted.key) : '',
    ranges: isFailed ? [] : rangesOf(outcome),
    findings: findings.listed,
    more_findings: findings.count - findings.listed.length,
    not_checked: openPoints(outcome),
    ...(outcome.anchors.splitView && { split_view: splitViewJson(outcome.anchors.splitView) }),
  }
}

/** The report on a log of which nothing can be read that would mean anything. */
export function failedReport(origin: string, finding: Finding): Report {
  return {
    verdict: 'failed',
    origin,
    size: 0,
    root: '',
    key: '',
    ranges: [],
    findings: [finding],
    more_findings: 0,
    not_checked: ['everything else'],
  }
}

function rangesOf({ policy, size, from, to, minIndex, isPinChecked, anchors }: Outcome): Range[] {
  const ranges: Range[] = []
  const add = (start: number, end: number, state: RangeState) => {
    if (start < end)
      ranges.push(...(state === 'pinned' || state === 'signed' ? split(start, end, state) : [{ start, end, state }]))
  }
  const split = (start: number, end: number, state: RangeState) =>
    splitByAnchors(start, end, state, anchors.anchored, policy)
  const purged = Math.min(Math.max(minIndex, from), to)
  const pinned = isPinChecked ? Math.min(Math.max(policy.pin!.size, purged), to) : purged
  add(0, from, 'unchecked')
  add(from, purged, 'purged')
  add(purged, pinned, 'pinned')
  add(pinned, to, 'signed')
  add(to, size, 'unchecked')
  return joinRanges(ranges)
}

/** Neighbours that are vouched for alike are one range. */
function joinRanges(ranges: readonly Range[]): Range[] {
  const joined: Range[] = []
  for (const range of ranges) {
    const last = joined.at(-1)
    if (last && JSON.stringify([last.state, last.by]) === JSON.stringify([range.state, range.by])) {
      joined[joined.length - 1] = { ...last, end: range.end }
    } else {
      joined.push(range)
    }
  }
  return joined
}

/** A stretch parted where anchors end. What is pinned stays so; the rest of it is without the policy's anchors. */
function splitByAnchors(
  start: number,
  end: number,
  state: RangeState,
  anchored: readonly Anchored[],
  { anchors = [] }: TrustPolicy,
): Range[] {
  const rest = state === 'signed' && (anchors.length > 0 || anchored.length > 0) ? 'unanchored' : state
  const edges = [...new Set([start, end, ...anchored.map(({ size }) => size)])].filter((at) => at >= start && at <= end)
  edges.sort((a, b) => a - b)
  return edges.slice(1).map((edge, i) => {
    const by = anchored.filter(({ size }) => size >= edge).map(({ size: _, ...who }) => who)
    return { start: edges[i]!, end: edge, ...(by.length > 0 ? { state: 'anchored', by } : { state: rest }) }
  })
}

function openPoints(outcome: Outcome): string[] {
  const { policy, size, from, to, isPinChecked, isWrongKey, statedMacId, unsettled } = outcome
  const { erased, sealed, decisions } = outcome
  const { pin, macKey } = policy
  const open: string[] = [...unsettled]
  if (from > 0) open.push(`entries before ${from}: only their hashes were used`)
  if (to < size) open.push(`entries from ${to} on: only their hashes were used`)
  if (erased > 0) open.push(`the values of ${erased} parts that were erased: audit.erased entries account for them`)
  if (sealed > 0)
    open.push(`the values of ${sealed} parts that are encrypted: the vault with their keys is not at hand`)
  if (decisions.unknown > 0) open.push(`signatures of people whose key is not known: ${decisions.unknown}`)
  if (decisions.isSelfVouched && decisions.checked > 0) {
    open.push(
      `whose the keys are that signed ${decisions.checked} decisions: the log names them itself, no policy does`,
    )
  }
  if (isWrongKey) {
    open.push('HMAC chain and epoch seals: entry 0 names another mac key than the one that was given')
  } else if (!macKey) {
    const named = statedMacId ? ' (its holder can run verify --mac-key)' : ''
    open.push(`HMAC chain and epoch seals: no mac key was given${named}`)
  }
  const { macEpochs, anchors = [] } = policy
  if (macEpochs) open.push(`macs of other epochs than ${epochsText(macEpochs)}: the policy does not count them`)
  const newest = Math.max(-1, ...outcome.anchors.anchored.map(({ size }) => size))
  if (newest >= 0) open.push(anchorsText(newest, size))
  else if (anchors.length > 0) open.push('truncation and roll-back: no anchor of the policy vouches for anything')
  if (!pin && newest >= 0) open.push('what was pinned: no checkpoint of this log was known before (first sight)')
  else if (!pin) open.push('truncation and roll-back: no checkpoint of this log was known before (first sight)')
  else if (!isPinChecked) open.push(`the pinned checkpoint of size ${pin.size}: it lies outside the range checked`)
  else if (newest < 0) {
    open.push('truncation and roll-back since the pinned checkpoint: no anchor vouches for the end of the log')
  }
  open.push('events that were never handed to the log')
  return open
}

function epochsText({ from = 0, to }: NonNullable<TrustPolicy['macEpochs']>): string {
  return to === undefined ? `from ${from} on` : `${from} to ${to - 1}`
}

function anchorsText(newest: number, size: number): string {
  if (newest >= size) return 'truncation and roll-back since the anchors vouched for all of it'
  return `truncation and roll-back of entries from ${newest} on: the anchors vouch for those before`
}
