/**
 * From what a caller hands in to structured members and parts.
 *
 * Structured members are the integrator's: a bad value there is a clear error. What an agent or a tool can steer (a tool's
 * name, a call id, an error's type, attributes, texts) never makes an event unrecordable: what does not fit moves to a part.
 */
import type { z } from 'zod'
import { utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { canonicalize } from './jcs.ts'
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

/** Room for all attributes of one event together, in bytes of canonical JSON; the rest moves to a part. */
const MAX_ATTRIBUTES_BYTES = 8192

/**
 * Validates an event as handed in through a channel that vouches for at most `ceiling`.
 *
 * @throws IndelibleError `ERR_EVENT_INVALID` naming the member and what was expected there, never the value: unknown
 * members, an `audit.*` type (those come from the log alone), an assurance above the channel's, a part given twice
 */
export function prepareEvent(event: unknown, ceiling: Assurance): PreparedEvent {
  if (typeof event !== 'object' || event === null) {
    throw new IndelibleError('ERR_EVENT_INVALID', `event is ${event === null ? 'null' : typeof event}, not an object`)
  }
  const moved = new Map<string, PartInput>()
  const parsed = parseEvent(event as Record<string, unknown>, moved)
  const { parts: given = {}, subjects = [], error, policy, guardrail, time, assurance = ceiling, ...rest } = parsed

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
  const parts = new Map(Object.entries(given) as [string, PartInput][])
  if (parts.size > MAX_PARTS) {
    throw new IndelibleError('ERR_EVENT_INVALID', `parts: ${parts.size} of them, at most ${MAX_PARTS}`)
  }

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
  for (const [name, part] of moved) parts.set(freeName(name, parts), part)
  return { members: members as PreparedEvent['members'], parts, subjects }
}

/** @throws IndelibleError `ERR_EVENT_INVALID` */
function parseEvent(event: Record<string, unknown>, moved: Map<string, PartInput>): z.output<typeof eventSchema> {
  let parsed: z.ZodSafeParseResult<z.output<typeof eventSchema>>
  try {
    if (Array.isArray(event)) throw new IndelibleError('ERR_EVENT_INVALID', 'event is an array, not an object')
    const copy = moveUnfit(event, moved)
    for (const member of ['parts', 'usage'] as const) refuseProto(member, copy[member])
    parsed = eventSchema.safeParse(copy)
  } catch (error) {
    if (isIndelibleError(error)) throw error
    // No cause: what a getter or a proxy throws may quote what it guards.
    throw new IndelibleError('ERR_EVENT_INVALID', 'event: a member cannot be read')
  }
  if (!parsed.success) throw invalid(parsed.error.issues)
  return parsed.data
}

/** zod leaves such a member of a map out, without a word. */
function refuseProto(member: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, '__proto__')) return
  throw new IndelibleError('ERR_EVENT_INVALID', `${member}: __proto__ is no name that it can have`)
}

/** A copy of `event` in which everything that an agent may have steered fits the schema, or has moved to `moved`. */
function moveUnfit(event: Record<string, unknown>, moved: Map<string, PartInput>): Record<string, unknown> {
  const copy = withoutUndefined(event)
  for (const [member, value] of Object.entries(copy)) {
    // Not these: they may be a proxy that throws, and must be recorded all the same.
    if (member === 'attributes' || member === 'call') continue
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue
    copy[member] = withoutUndefined(value as Record<string, unknown>)
  }
  moveText(copy, 'call', 'call', moved)
  for (const [member, keys] of [
    ['tool', ['name']],
    ['error', ['type', 'code']],
  ] as const) {
    const inner = copy[member]
    if (typeof inner !== 'object' || inner === null) continue
    for (const key of keys) moveText(inner as Record<string, unknown>, key, `${member}.${key}`, moved)
  }
  if (typeof copy.attributes === 'object' && copy.attributes !== null) {
    copy.attributes = moveAttributes(copy.attributes as Record<string, unknown>, moved)
  }
  return copy
}

/** A copy in which a member that is undefined, such as the code of an error that has none, is absent. */
function withoutUndefined(object: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...object }
  for (const key of Object.keys(copy)) if (copy[key] === undefined) delete copy[key]
  return copy
}

/** Models answer with numbers where a name was asked for, and error codes are numbers as often as not. */
function moveText(object: Record<string, unknown>, key: string, part: string, moved: Map<string, PartInput>): void {
  const value = object[key]
  if (value === undefined) return
  if (typeof value === 'string' && value !== '' && value.length <= MAX_STRING && value.isWellFormed()) return
  moved.set(part, { value })
  object[key] = MOVED
}

function moveAttributes(attributes: Record<string, unknown>, moved: Map<string, PartInput>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  // Map entries, not an object: keys come from agents, and "__proto__" is one of them.
  const others: [string, unknown][] = []
  let entries: [string, unknown][]
  try {
    entries = Object.entries(attributes)
  } catch {
    moved.set('attributes', { value: attributes })
    return kept
  }
  let count = 0
  let room = MAX_ATTRIBUTES_BYTES
  for (const [key, value] of entries) {
    if (value === undefined) continue
    const bytes =
      count < MAX_ATTRIBUTES && isAttributeKey(key) && key !== '__proto__' ? attributeBytes(key, value) : room
    if (bytes < room) {
      kept[key] = value
      count++
      room -= bytes
    } else {
      others.push([key, value])
    }
  }
  if (others.length > 0) moved.set('attributes', { value: new Map(others) })
  return kept
}

/** Length in canonical JSON, or infinity if `value` is no attribute's. */
function attributeBytes(key: string, value: unknown): number {
  // Not asked of an object: it might be a proxy that throws.
  if (typeof value === 'object' && value !== null) return Number.POSITIVE_INFINITY
  if (!attributeValue.safeParse(value).success) return Number.POSITIVE_INFINITY
  return utf8(canonicalize({ [key]: value })).length
}

/** An agent that steers a member to move must not make it collide with a part of the caller's. */
function freeName(name: string, parts: ReadonlyMap<string, PartInput>): string {
  let free = name
  for (let i = 1; parts.has(free); i++) free = `${name}.moved${i === 1 ? '' : i}`
  return free
}

function addPart(parts: Map<string, PartInput>, name: string, value: unknown): void {
  if (parts.has(name)) {
    throw new IndelibleError('ERR_EVENT_INVALID', `parts.${name}: given twice, as a part and inside a member`)
  }
  parts.set(name, { value })
}

/** Most problems of one event that its error names. */
const MAX_NAMED = 3

/** Paths and expectations only: an issue's own message can quote a key, which may be data. */
function invalid(issues: readonly z.core.$ZodIssue[]): IndelibleError {
  const named = issues.slice(0, MAX_NAMED).map(problemText).join('; ')
  const more = issues.length > MAX_NAMED ? ` (and ${issues.length - MAX_NAMED} more)` : ''
  return new IndelibleError('ERR_EVENT_INVALID', `${named}${more}`)
}

function problemText(issue: z.core.$ZodIssue): string {
  const path = issue.path.map((key) => (/^[a-z_][a-z0-9_.]{0,63}$/.test(String(key)) ? String(key) : '*')).join('.')
  const what =
    issue.code === 'unrecognized_keys'
      ? `unknown member${issue.keys.length > 1 ? 's' : ''} ${issue.keys.filter((key) => /^[a-z_]{1,32}$/.test(key)).join(', ')}`.trimEnd()
      : issue.message.replace(/^Invalid input: (expected \w+), received undefined$/, '$1, found nothing')
  return `${path === '' ? 'event' : path}: ${what}`
}
