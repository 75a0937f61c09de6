/** Entries: a record as exactly one byte string, RFC 8785 canonical JSON of at most 65,535 bytes. */
import { concat, fromUtf8, utf8, utf8Length } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { isId } from './id.ts'
import { canonicalize, type Json, parseCanonical } from './jcs.ts'
import { ASSURANCES, type AuditRecord, ENTRY_SCHEMA, OUTCOMES } from './schema.ts'
import { isTime } from './time.ts'

/** Longest entry, in bytes: what a C2SP tlog-tiles entry bundle can hold. */
export const MAX_ENTRY_BYTES = 65_535

/**
 * A record that waits for its `observed` time: the entry with a gap. So it is encoded once, outside the log's lock, although
 * the log decides within it when the entry was accepted; and what waits is bytes, not a tree of strings for the collector.
 */
export interface Draft {
  /** The entry with {@link GAP} in place of the time. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Where the time goes. */
  readonly gap: number
}

/** As long as a time with milliseconds, which is what clocks give. */
export const GAP = '0000-00-00T00:00:00.000Z'

/**
 * @param record without `observed`
 * @param given whether the producer gave `time`; a time that we filled in differs between retries and is no part of `stable`
 * @returns the draft, and the canonical text of the members without `observed` and `parts`: what a retry must repeat
 * @throws IndelibleError `ERR_ENTRY_TOO_LARGE` naming the largest member, `ERR_JSON_INVALID`
 */
export function draftEntry(
  record: Omit<AuditRecord, 'observed'>,
  given: { readonly time: boolean },
): { draft: Draft; stable: string } {
  let before = '{'
  let after = ''
  let stable = ''
  const members = record as unknown as Record<string, Json>
  for (const key of Object.keys(members).sort()) {
    const text = `"${key}":${canonicalize(members[key])},`
    if (key < 'observed') before += text
    else after += text
    if (key === 'decision') stable += stableDecision(record)
    else if (key !== 'parts' && (key !== 'time' || given.time)) stable += text
  }
  const start = `${before}"observed":"`
  const bytes = utf8(`${start}${GAP}",${after.slice(0, -1)}}`)
  const draft = draftOfBytes(bytes, bytes.length, utf8Length(start))
  if (draft === null) throw tooLarge(`${before}${after}`, members)
  return { draft, stable }
}

/**
 * A draft of the entry with {@link GAP} in it that stands in the first `length` of `bytes`, which are copied.
 * @returns `null` if the entry would be too large
 */
export function draftOfBytes(bytes: Uint8Array, length: number, gap: number): Draft | null {
  // A time with microseconds is three bytes longer.
  if (length + 3 > MAX_ENTRY_BYTES) return null
  const own = room(length)
  own.set(bytes.subarray(0, length))
  return { bytes: own, gap }
}

/** A signature covers commitments, which differ between retries by their salts. */
function stableDecision({ decision }: Omit<AuditRecord, 'observed'>): string {
  const { signature, ...rest } = decision ?? {}
  return canonicalize(rest)
}

function tooLarge(text: string, members: Record<string, Json>): IndelibleError {
  // With `observed`, which is longest with microseconds; the brace takes the place of the last comma.
  const bytes = utf8Length(text) + '"observed":"",'.length + GAP.length + 3
  let largest = ''
  let most = -1
  for (const [key, value] of Object.entries(members)) {
    const length = utf8Length(canonicalize(value))
    if (length > most) [largest, most] = [key, length]
  }
  return new IndelibleError(
    'ERR_ENTRY_TOO_LARGE',
    `entry has ${bytes} bytes, at most ${MAX_ENTRY_BYTES}; its largest member is ${largest} with ${most}: pass it as a part`,
  )
}

/** The entry accepted at `observed`: bytes of its own, for a draft whose batch failed is sealed again, and a hashed entry never changes. */
export function sealDraft({ bytes, gap }: Draft, observed: string): Uint8Array<ArrayBuffer> {
  if (observed.length !== GAP.length) {
    return concat(bytes.subarray(0, gap), utf8(observed), bytes.subarray(gap + GAP.length))
  }
  const entry = room(bytes.length)
  entry.set(bytes)
  for (let i = 0; i < GAP.length; i++) entry[gap + i] = observed.charCodeAt(i)
  return entry
}

const SLAB_BYTES = 65_536
let slab = new Uint8Array(0)
let used = 0

/** A new array; small ones share one allocation, which takes a third of the time. */
function room(length: number): Uint8Array<ArrayBuffer> {
  if (length > SLAB_BYTES / 16) return new Uint8Array(length)
  if (used + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES)
    used = 0
  }
  used += length
  return slab.subarray(used - length, used)
}

/** An entry as read: known members typed, unknown ones kept. */
export type ReadRecord = AuditRecord & { readonly [unknown: string]: unknown }

const REQUIRED = ['schema', 'id', 'time', 'observed', 'type', 'outcome', 'assurance'] as const

/**
 * Reads an entry. Bytes that are not the one canonical form of their value are refused, so that nobody can show two
 * readers of one entry two meanings; members that this version does not know are kept.
 *
 * @throws IndelibleError `ERR_ENTRY_INVALID`
 */
export function parseEntry(entry: Uint8Array): ReadRecord {
  if (entry.length > MAX_ENTRY_BYTES) throw invalid(`has ${entry.length} bytes, at most ${MAX_ENTRY_BYTES}`)
  let record: Record<string, Json>
  try {
    record = parseCanonical(fromUtf8(entry)) as Record<string, Json>
  } catch (cause) {
    throw new IndelibleError('ERR_ENTRY_INVALID', 'entry is not canonical JSON', { cause })
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) throw invalid('is not an object')
  if (record.schema !== ENTRY_SCHEMA) throw invalid(`has another schema than ${ENTRY_SCHEMA}`)
  for (const member of REQUIRED) if (typeof record[member] !== 'string') throw invalid(`has no ${member}`)
  // What the verifier tells entries apart and orders them by must have its one spelling.
  if (!isId(record.id as string)) throw invalid('has an id that is no UUIDv7 in lower case')
  if (!isTime(record.time as string) || !isTime(record.observed as string)) throw invalid('has a time of another form')
  if (!(OUTCOMES as readonly Json[]).includes(record.outcome!)) throw invalid('has an unknown outcome')
  if (!(ASSURANCES as readonly Json[]).includes(record.assurance!)) throw invalid('has an unknown assurance')
  const { actor, parts } = record as { actor?: { id?: Json }; parts?: Record<string, { commit?: Json; mode?: Json }> }
  if (typeof actor?.id !== 'string') throw invalid('has no actor')
  if (parts !== undefined) {
    if (typeof parts !== 'object' || parts === null || Array.isArray(parts)) throw invalid('has no object of parts')
    for (const part of Object.values(parts)) {
      if (typeof part?.commit !== 'string' || typeof part.mode !== 'string')
        throw invalid('has a part without a commitment')
    }
  }
  return record as unknown as ReadRecord
}

function invalid(why: string): IndelibleError {
  return new IndelibleError('ERR_ENTRY_INVALID', `entry ${why}`)
}
