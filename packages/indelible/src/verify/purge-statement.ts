/**
 * What makes a purge lawful. An `audit.purge.intent` entry names the entries that go and says what of them is still needed: the
 * epoch of each, for the HMAC chain, and where the `audit.purge.carried` entries stand, which repeat verbatim what the log was
 * opened with, key rotations, people, holds, earlier purges. A copy counts because its hash is the leaf that stays in the tiles.
 */
import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { derivedId } from '../record/id.ts'
import { canonicalize } from '../record/jcs.ts'

export const PURGE_APPROVAL = 'indelible/purge@1'

/** Members of `audit` in an `audit.purge.intent` entry. */
export interface PurgeIntent {
  /** Entries `[from, below)` go; what is before `from` went earlier. Both multiples of 256. */
  readonly from: number
  readonly below: number
  /** See {@link encodeEpochs}. */
  readonly epochs: string
  /** Mac of entry `below - 1`, base64url. */
  readonly mac: string
  /** Indexes of the `audit.purge.carried` entries of this purge. */
  readonly carried: readonly number[]
  /** Entries by type. */
  readonly types: Readonly<Record<string, number>>
  /** `observed` of the first and the last. */
  readonly first: string
  readonly last: string
  /** Why: a rule, a law. */
  readonly basis: string
  /** Who authorised it. */
  readonly by: string
  /** Size of the checkpoint that vouched for all of it before it went, and by whom: `pin`, or names of anchors. */
  readonly vouched: { readonly size: number; readonly by: readonly string[] }
  /** Signature lines of approvers over {@link formatPurgeApproval}. */
  readonly approvals?: readonly string[]
}

/** Copy of an entry, and where it stood. */
export type CarriedEntry = readonly [index: number, entry: string]

/**
 * The id of the intent to purge below `below`: the same for everybody, so that two who purge at once write one entry, and a
 * verifier finds the entry without reading the log.
 */
export function purgeEntryId(kind: 'intent' | 'done' | 'carried', origin: string, below: number, part = 0): string {
  return derivedId(canonicalize(['indelible/purge-id@1', kind, origin, below, part]))
}

/** What approvers sign. */
export function formatPurgeApproval(origin: string, { from, below, mac, basis, by }: PurgeIntent): string {
  return `${PURGE_APPROVAL}\n${origin}\n${canonicalize({ from, below, mac, basis, by })}\n`
}

/** Epochs of `[from, below)`: pairs of how many entries stand in one, and how much later it is than the one before (from 0). */
export function encodeEpochs(runs: readonly (readonly [count: number, epoch: number])[]): string {
  const bytes: number[] = []
  let before = 0
  for (const [count, epoch] of runs) {
    pushVarint(bytes, count)
    pushVarint(bytes, epoch - before)
    before = epoch
  }
  return toBase64Url(Uint8Array.from(bytes))
}

/** @returns runs of entries and their epoch; `null` unless it is exactly what {@link encodeEpochs} gives, for `count` entries */
export function decodeEpochs(text: string, count: number): (readonly [count: number, epoch: number])[] | null {
  let bytes: Uint8Array
  try {
    bytes = fromBase64Url(text)
  } catch {
    return null
  }
  const numbers: number[] = []
  for (let at = 0; at < bytes.length; ) {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = bytes[at++]
      if (byte === undefined || scale > 2 ** 42) return null
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 128
    }
    numbers.push(value)
  }
  const runs: (readonly [number, number])[] = []
  let [total, epoch] = [0, 0]
  for (let i = 0; i < numbers.length; i += 2) {
    epoch += numbers[i + 1] ?? 0
    total += numbers[i]!
    runs.push([numbers[i]!, epoch])
  }
  const isExact = numbers.length % 2 === 0 && total === count && runs.every(([some]) => some > 0)
  return isExact && encodeEpochs(runs) === text ? runs : null
}

function pushVarint(bytes: number[], value: number): void {
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128)
  bytes.push(value)
}

/** The intent in a record, if it has all that one needs. */
export function readPurgeIntent(audit: Readonly<Record<string, unknown>> | undefined): PurgeIntent | null {
  const { from, below, epochs, mac, carried, approvals } = audit ?? {}
  const isEdge = (value: unknown): value is number =>
    Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) % 256 === 0
  const isWhole =
    isEdge(from) &&
    isEdge(below) &&
    from < below &&
    typeof epochs === 'string' &&
    typeof mac === 'string' &&
    Array.isArray(carried) &&
    carried.every((index) => Number.isSafeInteger(index)) &&
    (approvals === undefined || (Array.isArray(approvals) && approvals.every((line) => typeof line === 'string')))
  return isWhole ? (audit as unknown as PurgeIntent) : null
}

/** Copies in an `audit.purge.carried` entry; what is none is left out. */
export function readCarried(audit: Readonly<Record<string, unknown>> | undefined): CarriedEntry[] {
  const entries: unknown = audit?.entries
  if (!Array.isArray(entries)) return []
  return (entries as unknown[]).filter(
    (one): one is CarriedEntry => Array.isArray(one) && Number.isSafeInteger(one[0]) && typeof one[1] === 'string',
  )
}

/** Types of entries that are needed after they were purged. */
export function isCarriedType(type: string): boolean {
  return CARRIED.has(type)
}
const CARRIED = new Set([
  'audit.opened',
  'audit.key.rotated',
  'audit.identity.added',
  'audit.identity.revoked',
  'audit.hold.placed',
  'audit.hold.released',
  'audit.purge.intent',
])
