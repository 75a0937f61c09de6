/**
 * The event that nearly everybody hands in (plain objects, ordinary strings, nothing that has to move to a part), straight
 * from what was handed in to canonical text. It takes a fifth of the time of the way through {@link prepareEvent}, which
 * stays the judge: whatever is not ordinary in any way is left to it, and a test holds the two against each other.
 */
import type { Draft } from './entry.ts'
import { draftOfText } from './entry.ts'
import { type Assurance, MAX_PARTS, type Mode, type PartInput } from './event.ts'
import { isId } from './id.ts'
import { quote } from './jcs.ts'
import {
  ASSURANCES,
  ENTRY_SCHEMA,
  isAttributeKey,
  isCarriable,
  isType,
  MAX_AMOUNTS,
  MAX_ATTRIBUTES,
  MAX_STRING,
  MAX_SUBJECTS,
  OUTCOMES,
  PART_NAME,
} from './schema.ts'
import { normalizeTime } from './time.ts'

/** An event that is ordinary in every way: the members of its record as canonical text, and all free text apart. */
export interface CommonEvent {
  readonly id: string
  /** Whether the producer chose the id. */
  readonly idGiven: boolean
  readonly type: string
  /** As entries hold it; `null` where the producer gave none. */
  readonly time: string | null
  /** Members of the record before `observed`, between it and `parts`, between that and `time`, and after. A comma ends each. */
  readonly texts: readonly [string, string, string, string]
  readonly parts: readonly (readonly [string, PartInput])[]
  readonly subjects: readonly string[]
}

/** Says of texts that an agent or a tool may have made up whether they can stay as they are. */
export interface SteeredTexts {
  isPlainAttribute(key: string, value: unknown): boolean
  isPlainName(text: string): boolean
}

const ALL_PLAIN: SteeredTexts = { isPlainAttribute: () => true, isPlainName: () => true }

/** Attributes that may be this long, in bytes, if every character takes six, have room in every record. */
const SURE_ATTRIBUTES_BYTES = 8000

/**
 * Reads `event` as one handed in through a channel that vouches for at most `ceiling`.
 *
 * @param makeId for an event without an id
 * @param steered what it does not call plain makes the event an unusual one
 * @returns `null` if anything about it is not ordinary, be it wrong or not: then {@link prepareEvent} says what it is
 */
export function readCommon(
  event: unknown,
  ceiling: Assurance,
  makeId: () => string,
  steered: SteeredTexts = ALL_PLAIN,
): CommonEvent | null {
  try {
    return isPlain(event) ? read(event, ceiling, makeId, steered) : null
  } catch {
    return null // a getter or a proxy threw
  }
}

/** The entry of a common event, but for `observed`; `null` if it is too large for one. */
export function draftCommon(
  { texts }: CommonEvent,
  time: string,
  parts: readonly { readonly name: string; readonly commit: string; readonly mode: Mode }[],
): Draft | null {
  let partsText = ''
  if (parts.length > 0) {
    const sorted = parts.length > 1 ? parts.toSorted((a, b) => (a.name < b.name ? -1 : 1)) : parts
    for (const { name, commit, mode } of sorted) {
      partsText += `${partsText === '' ? '"parts":{' : ','}"${name}":{"commit":"${commit}","mode":"${mode}"}`
    }
    partsText += '},'
  }
  const [before, outcome, middle, last] = texts
  return draftOfText(`{${before}`, `${outcome}${partsText}${middle}"time":"${time}",${last}`)
}

/** What a retry of the event must repeat: see `draftEntry`. */
export function stableText({ texts: [before, outcome, middle, last] }: CommonEvent, time: string | null): string {
  return `${before}${outcome}${middle}${time === null ? '' : `"time":"${time}",`}${last}`
}

/** What rules look at in a common event: as it was written down, for a getter may answer another time with something else. */
export function subjectOf({ texts: [, , middle, last] }: CommonEvent): {
  readonly type: string
  readonly tool?: { readonly name: string }
  readonly tenant?: string
} {
  return JSON.parse(`{${middle}${last.slice(0, -1)}}`) as { type: string; tool?: { name: string }; tenant?: string }
}

/** Names in the order of canonical JSON, each as it stands before its value, whether it must be there, and who makes it up. */
type Shape = readonly (readonly [name: string, label: string, isRequired: boolean, isSteered: boolean])[]

/** @param names with `!` behind one that must be there, `~` behind one that an agent or a tool may have made up */
const shape = (...names: string[]): Shape =>
  names.toSorted().map((name) => {
    const bare = name.replace(/[!~]+$/, '')
    return [bare, `,"${bare}":`, name.includes('!'), name.includes('~')] as const
  })

const ACTOR = shape('id!', 'name', 'on_behalf_of', 'type!', 'version')
/** As they stand in an actor's text, with what is before and after. */
const ACTOR_TYPE = /[,{]"type":"(agent|user|service|system)"(,"version":"[^"\\]*")?\}$/
const RUN = shape('id!', 'parent')
const TOOL = shape('kind', 'name!~', 'server', 'version')
const MODEL = shape('name!', 'provider', 'reasoning_effort', 'version')
const ERROR = shape('code~', 'type!~')
const POLICY = shape('decision!', 'id!', 'rule', 'version')
const SOURCE = shape('adapter', 'host', 'sdk')
const OUTCOME_SET: ReadonlySet<unknown> = new Set(OUTCOMES)

/** Members of which the text alone counts, and how it is made; `null` from these where a value is not ordinary. */
const TEXT_OF: ReadonlyMap<string, (value: unknown, steered: SteeredTexts) => string | null> = new Map<
  string,
  (value: unknown, steered: SteeredTexts) => string | null
>([
  ['actor', actorOf],
  ['attributes', attributesOf],
  ['call', nameOf],
  ['duration_ms', amountOf],
  ['error', (value, steered) => stringsOf(value, ERROR, steered)],
  ['model', (value) => stringsOf(value, MODEL)],
  ['outcome', (value) => (OUTCOME_SET.has(value) ? `"${value as string}"` : null)],
  ['policy', (value) => stringsOf(value, POLICY)],
  ['run', (value) => stringsOf(value, RUN)],
  ['session', stringOf],
  ['source', (value) => stringsOf(value, SOURCE)],
  ['tenant', stringOf],
  ['tool', (value, steered) => stringsOf(value, TOOL, steered)],
  ['type', typeOf],
  ['usage', usageOf],
])

/** Each with its key and a comma; empty where there is none. */
interface Texts {
  actor: string
  attributes: string
  call: string
  duration_ms: string
  error: string
  model: string
  outcome: string
  policy: string
  run: string
  session: string
  source: string
  tenant: string
  tool: string
  type: string
  usage: string
}

function read(
  event: Record<string, unknown>,
  ceiling: Assurance,
  makeId: () => string,
  steered: SteeredTexts,
): CommonEvent | null {
  const texts: Texts = {
    actor: '',
    attributes: '',
    call: '',
    duration_ms: '',
    error: '',
    model: '',
    outcome: '"outcome":"unknown",',
    policy: '',
    run: '',
    session: '',
    source: '',
    tenant: '',
    tool: '',
    type: '',
    usage: '',
  }
  let assurance: unknown = ceiling
  let id: unknown
  let time: string | null = null
  let parts: [string, PartInput][] | null = []
  let subjects: string[] | null = []
  for (const key of Object.keys(event)) {
    const value = event[key]
    if (value === undefined) continue
    const textOf = TEXT_OF.get(key)
    if (textOf !== undefined) {
      const text = textOf(value, steered)
      if (text === null) return null
      texts[key as keyof Texts] = `"${key}":${text},`
    } else if (key === 'parts') parts = partsOf(value)
    else if (key === 'subjects') subjects = subjectsOf(value)
    else if (key === 'id') id = value
    else if (key === 'assurance') assurance = value
    else if (key === 'time' && typeof value === 'string') {
      time = normalizeTime(value)
      if (time === null) return null
    } else return null
  }
  if (texts.actor === '' || texts.type === '' || parts === null || subjects === null) return null
  if (!isWithin(assurance, ceiling)) return null
  const idGiven = id !== undefined
  const own = idGiven ? id : makeId()
  if (typeof own !== 'string' || (idGiven && !isId(own))) return null
  const { actor, attributes, call, duration_ms: duration, error, model, outcome } = texts
  const { policy, run, session, source, tenant, tool, type, usage } = texts
  return {
    id: own,
    idGiven,
    // As it was written down, without key, quotes and comma: a getter may answer another time with something else.
    type: type.slice(TYPE_START, -2),
    time,
    // In the order of canonical JSON.
    texts: [
      `${actor}"assurance":"${assurance}",${attributes}${call}${duration}${error}"id":"${own}",${model}`,
      outcome,
      `${policy}${run}"schema":"${ENTRY_SCHEMA}",${session}${source}${tenant}`,
      `${tool}${type}${usage}`,
    ],
    parts,
    subjects,
  }
}

/** Where a type begins in its text, as {@link Texts} hold it. */
const TYPE_START = '"type":"'.length

function actorOf(value: unknown): string | null {
  const text = stringsOf(value, ACTOR)
  // Of the text and not of the object: a getter may answer another time with something else.
  return text !== null && ACTOR_TYPE.test(text) ? text : null
}

function typeOf(value: unknown): string | null {
  return typeof value === 'string' && isType(value) && !value.startsWith('audit.') ? `"${value}"` : null
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function isWithin(value: unknown, ceiling: Assurance): value is Assurance {
  return ASSURANCES.indexOf(value as Assurance) >= ASSURANCES.indexOf(ceiling)
}

/** A string of a structured member, as canonical JSON. */
function stringOf(value: unknown): string | null {
  if (typeof value !== 'string' || value === '' || value.length > MAX_STRING || !value.isWellFormed()) return null
  return quote(value)
}

/** A string that an agent or a tool may have made up. */
function nameOf(value: unknown, steered: SteeredTexts): string | null {
  const text = stringOf(value)
  return text !== null && steered.isPlainName(value as string) ? text : null
}

/** An object whose members are strings. */
function stringsOf(value: unknown, shape: Shape, steered = ALL_PLAIN): string | null {
  if (!isPlain(value)) return null
  let text = ''
  let found = 0
  for (const [name, label, isRequired, isSteered] of shape) {
    const one = value[name]
    if (one === undefined) {
      if (isRequired) return null
      continue
    }
    const quoted = isSteered ? nameOf(one, steered) : stringOf(one)
    if (quoted === null) return null
    text += label + quoted
    found++
  }
  // Of other names, or undefined.
  if (Object.keys(value).length !== found) return null
  return `{${text.slice(1)}}`
}

function amountOf(value: unknown): string | null {
  if (typeof value !== 'number' || !(value >= 0) || value === Number.POSITIVE_INFINITY || !isCarriable(value))
    return null
  return value === 0 ? '0' : String(value)
}

const USAGE_NAME = /^[a-z][a-z0-9_]{0,63}$/

function usageOf(value: unknown): string | null {
  if (!isPlain(value)) return null
  const names = Object.keys(value).sort()
  if (names.length > MAX_AMOUNTS) return null
  let text = ''
  for (const name of names) {
    const amount = USAGE_NAME.test(name) ? amountOf(value[name]) : null
    if (amount === null) return null
    text += `,"${name}":${amount}`
  }
  return `{${text.slice(1)}}`
}

function attributesOf(value: unknown, steered: SteeredTexts): string | null {
  if (!isPlain(value)) return null
  const keys = Object.keys(value).sort()
  if (keys.length > MAX_ATTRIBUTES) return null
  let text = ''
  let most = 0
  for (const key of keys) {
    if (!isAttributeKey(key) || key === '__proto__') return null
    const attribute = value[key]
    const one = attributeOf(attribute)
    if (one === null || !steered.isPlainAttribute(key, attribute)) return null
    text += `,"${key}":${one}`
    most += key.length + 6 * one.length + 8
  }
  return most < SURE_ATTRIBUTES_BYTES ? `{${text.slice(1)}}` : null
}

function attributeOf(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value.length <= MAX_STRING && value.isWellFormed() ? quote(value) : null
    case 'number':
      if (!Number.isFinite(value) || !isCarriable(value)) return null
      return value === 0 ? '0' : String(value)
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      return value === null ? 'null' : null
  }
}

function partsOf(value: unknown): [string, PartInput][] | null {
  if (!isPlain(value)) return null
  const names = Object.keys(value)
  if (names.length > MAX_PARTS) return null
  const parts: [string, PartInput][] = []
  for (const name of names) {
    const part = value[name]
    if (!PART_NAME.test(name) || !isPlain(part)) return null
    const keys = Object.keys(part)
    if (keys.length !== 1 || keys[0] !== 'value') return null
    parts.push([name, { value: part.value }])
  }
  return parts
}

function subjectsOf(value: unknown): string[] | null {
  if (!Array.isArray(value) || value.length > MAX_SUBJECTS) return null
  const subjects: string[] = []
  for (let i = 0; i < value.length; i++) {
    const subject: unknown = value[i]
    if (stringOf(subject) === null) return null
    subjects.push(subject as string)
  }
  return subjects
}
