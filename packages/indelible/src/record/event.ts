/**
 * From what a caller hands in to structured members and parts.
 *
 * Structured members are the integrator's: a bad value there is a clear error. What an agent or a tool can steer (a tool's
 * name, a call id, an error's type, attributes, texts) never makes an event unrecordable: what does not fit moves to a part.
 */
import type { z } from 'zod'
import { IndelibleError } from '../errors.ts'
import {
  ASSURANCES,
  type AuditRecord,
  attributeValue,
  eventSchema,
  isAttributeKey,
  MAX_ATTRIBUTES,
  MAX_STRING,
  type MODES,
} from './schema.ts'
import { normalizeTime } from './time.ts'

export type Assurance = (typeof ASSURANCES)[number]
export type Mode = (typeof MODES)[number]

/** A part before the privacy policy: a raw value, or what a client's own policy left of it. */
export type PartInput = { readonly value: unknown } | { readonly disclosure: string; readonly mode: Mode }

/** An event that passed validation: structured members, and all free text apart. */
export interface PreparedEvent {
  /** `time` and `id` are absent where the producer gave none. */
  readonly members: Omit<AuditRecord, 'schema' | 'observed' | 'parts' | 'id' | 'time'> & { id?: string; time?: string }
  readonly parts: ReadonlyMap<string, PartInput>
  readonly subjects: readonly string[]
}

/** What stands in a member whose value moved to the part of the same name. */
export const MOVED = '[moved to part]'

/** Most parts of one event. */
export const MAX_PARTS = 64

/** Room for all attributes of one event together, in UTF-16 code units; the rest moves to a part. */
const MAX_ATTRIBUTES_LENGTH = 8192

/**
 * Validates an event as handed in through a channel that vouches for at most `ceiling`.
 *
 * @throws IndelibleError `ERR_EVENT_INVALID` naming the member and what was expected there, never the value: unknown
 * members, an `audit.*` type (those come from the log alone), an assurance above the channel's, a part given twice
 */
export function prepareEvent(event: unknown, ceiling: Assurance): PreparedEvent {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    throw new IndelibleError('ERR_EVENT_INVALID', `event is ${event === null ? 'null' : typeof event}, not an object`)
  }
  const parts = new Map<string, PartInput>()
  const parsed = eventSchema.safeParse(moveUnfit(event as Record<string, unknown>, parts))
  if (!parsed.success) throw invalid(parsed.error.issues)
  const { parts: given = {}, subjects = [], error, policy, guardrail, time, assurance = ceiling, ...rest } = parsed.data

  if (rest.type.startsWith('audit.')) {
    throw new IndelibleError(
      'ERR_EVENT_INVALID',
      'type: audit.* entries come from the log itself; use x.* for your own',
    )
  }
  if (ASSURANCES.indexOf(assurance) < ASSURANCES.indexOf(ceiling)) {
    throw new IndelibleError(
      'ERR_EVENT_INVALID',
      `assurance: ${assurance} is more than this channel vouches for (${ceiling})`,
    )
  }
  for (const [name, part] of Object.entries(given)) parts.set(name, part as PartInput)

  const members: Record<string, unknown> = { outcome: 'unknown', ...rest, assurance }
  if (time !== undefined) {
    const normal = normalizeTime(time)
    if (normal === null) throw new IndelibleError('ERR_EVENT_INVALID', 'time: expected an RFC 3339 time')
    members.time = normal
  }
  if (error) {
    const { message, stack, ...structured } = error
    members.error = structured
    if (message !== undefined || stack !== undefined) addPart(parts, 'error', { message, ...(stack ? { stack } : {}) })
  }
  if (policy) {
    const { reason, ...structured } = policy
    members.policy = structured
    if (reason !== undefined) addPart(parts, 'reason', reason)
  }
  if (guardrail) {
    const { detail, ...structured } = guardrail
    members.guardrail = structured
    if (detail !== undefined) addPart(parts, 'detail', detail)
  }
  for (const key of Object.keys(members)) if (members[key] === undefined) delete members[key]
  if (parts.size > MAX_PARTS) {
    throw new IndelibleError('ERR_EVENT_INVALID', `parts: ${parts.size} of them, at most ${MAX_PARTS}`)
  }
  return { members: members as PreparedEvent['members'], parts, subjects }
}

/** A copy of `event` in which everything that an agent may have steered fits the schema, or has moved to `parts`. */
function moveUnfit(event: Record<string, unknown>, parts: Map<string, PartInput>): Record<string, unknown> {
  const copy: Record<string, unknown> = { ...event }
  moveString(copy, 'call', 'call', parts)
  for (const [member, keys] of [
    ['tool', ['name']],
    ['error', ['type', 'code']],
  ] as const) {
    const value = copy[member]
    if (typeof value !== 'object' || value === null) continue
    const inner = { ...(value as Record<string, unknown>) }
    for (const key of keys) moveString(inner, key, `${member}.${key}`, parts)
    copy[member] = inner
  }
  if (typeof copy.attributes === 'object' && copy.attributes !== null) {
    copy.attributes = moveAttributes(copy.attributes as Record<string, unknown>, parts)
  }
  return copy
}

function moveString(object: Record<string, unknown>, key: string, part: string, parts: Map<string, PartInput>): void {
  const value = object[key]
  if (typeof value !== 'string' || (value !== '' && value.length <= MAX_STRING && value.isWellFormed())) return
  parts.set(part, { value })
  object[key] = MOVED
}

function moveAttributes(attributes: Record<string, unknown>, parts: Map<string, PartInput>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  // Map entries, not an object: keys come from agents, and "__proto__" is one of them.
  const moved: [string, unknown][] = []
  let count = 0
  let length = 0
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined) continue
    const size = key.length + (typeof value === 'string' ? value.length : 8)
    const fits = count < MAX_ATTRIBUTES && length + size <= MAX_ATTRIBUTES_LENGTH
    if (fits && isAttributeKey(key) && key !== '__proto__' && attributeValue.safeParse(value).success) {
      kept[key] = value
      count++
      length += size
    } else {
      moved.push([key, value])
    }
  }
  if (moved.length > 0) parts.set('attributes', { value: new Map(moved) })
  return kept
}

function addPart(parts: Map<string, PartInput>, name: string, value: unknown): void {
  if (parts.has(name)) {
    throw new IndelibleError('ERR_EVENT_INVALID', `parts.${name}: given twice, as a part and inside a member`)
  }
  parts.set(name, { value })
}

/** Paths and expectations only: an issue's own message can quote a key, which may be data. */
function invalid(issues: readonly z.core.$ZodIssue[]): IndelibleError {
  const [first] = issues
  const path = first!.path.map((key) => (/^[a-z_][a-z0-9_.]{0,63}$/.test(String(key)) ? String(key) : '*')).join('.')
  const what =
    first!.code === 'unrecognized_keys'
      ? `unknown member${first!.keys.length > 1 ? 's' : ''} ${first!.keys.filter((key) => /^[a-z_]{1,32}$/.test(key)).join(', ')}`.trimEnd()
      : first!.message
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''
  return new IndelibleError('ERR_EVENT_INVALID', `${path === '' ? 'event' : path}: ${what}${more}`)
}
