/**
 * The event that nearly everybody hands in (plain objects, ordinary strings, nothing that has to move to a part), straight
 * from what was handed in to the bytes of an entry. It takes a tenth of the time of the way through {@link prepareEvent},
 * which stays the judge: whatever is not ordinary in any way is left to it, and a test holds the two against each other.
 */
import { concat, utf8 } from '../bytes.ts'
import { type Draft, draftOfBytes, GAP } from './entry.ts'
import { type Assurance, MAX_PARTS, type Mode, type PartInput } from './event.ts'
import { isId } from './id.ts'
import { isPlain, JsonBytes, sortedKeys } from './json-bytes.ts'
import {
  ASSURANCES,
  ENTRY_SCHEMA,
  isAttributeKey,
  isType,
  MAX_AMOUNTS,
  MAX_ATTRIBUTES,
  MAX_STRING,
  MAX_SUBJECTS,
  OUTCOMES,
  PART_NAME,
} from './schema.ts'
import { normalizeTime } from './time.ts'

/** What is kept of a part. */
export interface CommonPart {
  readonly name: string
  readonly commit: string
  readonly mode: Mode
}

/** An event that is ordinary in every way, as what will be written down of it. */
export interface CommonDraft<Part extends CommonPart = CommonPart> {
  readonly id: string
  /** Whether the producer chose the id. */
  readonly idGiven: boolean
  readonly draft: Draft
  readonly kept: readonly Part[]
  readonly subjects: readonly string[]
  /** What a retry must repeat, in UTF-8: see `draftEntry`. `null` for an id of ours: there is no retry. */
  readonly stable: Uint8Array | null
}

/** What privacy rules look at in an event. */
export interface CommonSubject {
  readonly type: string
  readonly tool?: { readonly name: string }
  readonly tenant?: string
}

/** Says of texts that an agent or a tool may have made up whether they can stay as they are. */
export interface SteeredTexts {
  isPlainAttribute(key: string, value: unknown): boolean
  isPlainName(text: string): boolean
}

const ALL_PLAIN: SteeredTexts = { isPlainAttribute: () => true, isPlainName: () => true }

export interface CommonOptions<Part extends CommonPart> {
  /** The most that the channel vouches for. */
  readonly ceiling: Assurance
  /** For an event without an id. */
  readonly makeId: () => string
  /** For an event without a time, as entries hold it. */
  readonly now: string
  /** Whether the time that an event states was filled in: it may come again with another. */
  readonly isTimeFilledIn?: (() => boolean) | undefined
  /** What it does not call plain makes the event an unusual one. */
  readonly steered?: SteeredTexts | undefined
  /** Whether `keep` looks at more than the type. */
  readonly hasRules: boolean
  /** What is kept of a part; `null` makes the event an unusual one. */
  readonly keep: (id: string, name: string, part: PartInput, subject: CommonSubject) => Part | null
}

/** Attributes of this length have room in every record, even if every character of them takes six bytes. */
const SURE_ATTRIBUTES_BYTES = 8000

// Twice the largest entry. Nothing is written beyond its end, and that it was too small shows in the length.
const out = new JsonBytes(131_072)
let isWriting = false

/**
 * The entry of `event`, but for `observed`.
 * @returns `null` if anything about it is not ordinary, be it wrong or not: then {@link prepareEvent} says what it is
 */
export function draftCommon<Part extends CommonPart>(
  event: unknown,
  options: CommonOptions<Part>,
): CommonDraft<Part> | null {
  // A getter inside an event, or a redactor, that has another one recorded: there is one buffer.
  if (isWriting) return null
  isWriting = true
  try {
    return isPlain(event) ? draft(event, options) : null
  } catch {
    return null // a getter or a proxy threw
  } finally {
    isWriting = false
  }
}

/** What was handed in, each member read once: a getter may answer another time with something else. */
class Members {
  actor: unknown
  assurance: unknown
  attributes: unknown
  call: unknown
  duration_ms: unknown
  error: unknown
  id: unknown
  model: unknown
  outcome: unknown
  parts: unknown
  policy: unknown
  run: unknown
  session: unknown
  source: unknown
  subjects: unknown
  tenant: unknown
  time: unknown
  tool: unknown
  type: unknown
  usage: unknown
}
const MEMBERS: ReadonlySet<string> = new Set(Object.keys(new Members()))

function draft<Part extends CommonPart>(
  event: Record<string, unknown>,
  options: CommonOptions<Part>,
): CommonDraft<Part> | null {
  const { ceiling, steered = ALL_PLAIN } = options
  const given = new Members()
  for (const key of Object.keys(event)) {
    if (!MEMBERS.has(key)) return null
    given[key as keyof Members] = event[key]
  }
  const { type, assurance = ceiling, outcome = 'unknown', tenant } = given
  if (typeof type !== 'string' || !isType(type) || type.startsWith('audit.')) return null
  if (!isWithin(assurance, ceiling) || !OUTCOME_SET.has(outcome)) return null
  const idGiven = given.id !== undefined
  const id = idGiven ? given.id : options.makeId()
  if (typeof id !== 'string' || (idGiven && !isId(id))) return null
  const time = given.time === undefined ? options.now : timeOf(given.time)
  const parts = given.parts === undefined ? NONE : partsOf(given.parts)
  const subjects = given.subjects === undefined ? NONE : subjectsOf(given.subjects)
  if (time === null || parts === null || subjects === null) return null
  if (options.hasRules && isPlain(given.tool)) given.tool = { ...given.tool }

  // In the order of canonical JSON.
  out.reset()
  out.ascii('{"actor":')
  if (!actor(given.actor, steered)) return null
  text(',"assurance":"', assurance)
  if (!member(ATTRIBUTES, given.attributes, attributes, steered)) return null
  if (!member(CALL, given.call, steeredString, steered)) return null
  if (!member(DURATION, given.duration_ms, amount)) return null
  if (!member(ERROR, given.error, error, steered)) return null
  text(',"id":"', id)
  if (!member(MODEL, given.model, model)) return null
  const observedAt = out.at
  out.put(OBSERVED)
  const outcomeAt = out.at
  text(',"outcome":"', outcome as string)
  const partsAt = out.at
  const kept: Part[] = []
  if (parts.length > 0) {
    const subject = options.hasRules ? ({ type, tool: given.tool, tenant } as CommonSubject) : { type }
    for (let i = 0; i < parts.length; i++) {
      const one = options.keep(id, parts[i]!.name, parts[i]!.part, subject)
      if (one === null) return null
      kept.push(one)
    }
    commitments(kept)
  }
  const policyAt = out.at
  if (!member(POLICY, given.policy, policy)) return null
  if (!member(RUN, given.run, run)) return null
  out.put(SCHEMA)
  if (!member(SESSION, given.session, string)) return null
  if (!member(SOURCE, given.source, source)) return null
  if (!member(TENANT, tenant, string)) return null
  const timeAt = out.at
  text(',"time":"', time)
  const toolAt = out.at
  if (!member(TOOL, given.tool, tool, steered)) return null
  text(',"type":"', type)
  if (!member(USAGE, given.usage, usage)) return null
  out.ascii('}')

  const { bytes, at } = out
  const made = draftOfBytes(bytes, at, observedAt + OBSERVED_LABEL.length)
  if (made === null) return null
  if (!idGiven) return { id, idGiven, draft: made, kept, subjects, stable: null }
  const isTimed = given.time !== undefined && !options.isTimeFilledIn?.()
  // Each member with the comma behind it rather than the one before.
  const stable = concat(
    bytes.subarray(1, observedAt),
    bytes.subarray(outcomeAt, partsAt),
    bytes.subarray(policyAt, isTimed ? toolAt : timeAt),
    bytes.subarray(toolAt, at - 1),
    COMMA,
  )
  return { id, idGiven, draft: made, kept, subjects, stable }
}

/** A member's name as it stands before its value. */
const label = (name: string): Uint8Array => utf8(`,"${name}":`).slice()

const [ATTRIBUTES, CALL, DURATION, ERROR] = [label('attributes'), label('call'), label('duration_ms'), label('error')]
const [MODEL, POLICY, RUN, SESSION] = [label('model'), label('policy'), label('run'), label('session')]
const [SOURCE, TENANT, TOOL, USAGE] = [label('source'), label('tenant'), label('tool'), label('usage')]
const OBSERVED_LABEL = ',"observed":"'
const OBSERVED = utf8(`${OBSERVED_LABEL}${GAP}"`).slice()
const SCHEMA = utf8(`,"schema":"${ENTRY_SCHEMA}"`).slice()
const COMMA = utf8(',').slice()
const OUTCOME_SET: ReadonlySet<unknown> = new Set(OUTCOMES)
const NONE: readonly never[] = []

/** Writes a member whose value needs no care. */
function text(before: string, value: string): void {
  out.ascii(before)
  out.ascii(value)
  out.ascii('"')
}

/** Writes a value; `false` if it is not ordinary. */
type Write = (value: unknown, steered: SteeredTexts) => boolean

/** Writes a member, if there is one. */
function member(name: Uint8Array, value: unknown, write: Write, steered = ALL_PLAIN): boolean {
  if (value === undefined) return true
  out.put(name)
  return write(value, steered)
}

/** An object whose members are strings. Names with `!` behind must be there; an agent or a tool may make up those with `~`. */
function strings(names: readonly string[], allowed: { readonly [name: string]: ReadonlySet<unknown> } = {}): Write {
  // In the order of canonical JSON; a comma before each.
  const shape = names.toSorted().map((stated) => {
    const name = stated.replace(/[!~]+$/, '')
    const [isRequired, isSteered] = [stated.includes('!'), stated.includes('~')]
    return { name, label: label(name), isRequired, isSteered, values: allowed[name] ?? null }
  })
  return (value, steered) => {
    if (!isPlain(value)) return false
    const start = out.at
    let found = 0
    for (const { name, label, isRequired, isSteered, values } of shape) {
      const one = value[name]
      if (one === undefined) {
        if (isRequired) return false
        continue
      }
      if (values !== null && !values.has(one)) return false
      out.put(label)
      if (!(isSteered ? steeredString(one, steered) : string(one))) return false
      found++
    }
    return closes(value, start, found)
  }
}

/** Whether an object has no other members, nor undefined ones: makes its first comma a brace, and closes it. */
function closes(value: object, start: number, found: number): boolean {
  if (Object.keys(value).length !== found) return false
  if (found === 0) out.ascii('{')
  else out.bytes[start] = 0x7b
  out.ascii('}')
  return true
}

const actor = strings(['id!', 'name', 'on_behalf_of', 'type!', 'version'], {
  type: new Set(['agent', 'user', 'service', 'system']),
})
const error = strings(['code~', 'type!~'])
const model = strings(['name!', 'provider', 'reasoning_effort', 'version'])
const policy = strings(['decision!', 'id!', 'rule', 'version'])
const run = strings(['id!', 'parent'])
const source = strings(['adapter', 'host', 'sdk'])
const tool = strings(['kind', 'name!~', 'server', 'version'])

/** A string of a structured member. */
function string(value: unknown): boolean {
  return isString(value) && out.string(value)
}

/** A string that an agent or a tool may have made up. */
function steeredString(value: unknown, steered: SteeredTexts): boolean {
  return isString(value) && steered.isPlainName(value) && out.string(value)
}

function isString(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_STRING
}

function amount(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && out.number(value)
}

/** Writes a name that needs no care, as it stands before its value. */
function nameOf(key: string): void {
  out.ascii(',"')
  out.ascii(key)
  out.ascii('":')
}

const USAGE_NAME = /^[a-z][a-z0-9_]{0,63}$/

function usage(value: unknown): boolean {
  if (!isPlain(value)) return false
  const names = sortedKeys(value)
  if (names.length > MAX_AMOUNTS) return false
  const start = out.at
  for (const name of names) {
    if (!USAGE_NAME.test(name)) return false
    nameOf(name)
    if (!amount(value[name])) return false
  }
  return closes(value, start, names.length)
}

function attributes(value: unknown, steered: SteeredTexts): boolean {
  if (!isPlain(value)) return false
  const keys = sortedKeys(value)
  if (keys.length > MAX_ATTRIBUTES) return false
  const start = out.at
  for (const key of keys) {
    if (!isAttributeKey(key) || key === '__proto__') return false
    const attribute = value[key]
    nameOf(key)
    if (
      typeof attribute === 'string'
        ? attribute.length > MAX_STRING
        : typeof attribute === 'object' && attribute !== null
    )
      return false
    if (!out.value(attribute) || !steered.isPlainAttribute(key, attribute)) return false
  }
  return 6 * (out.at - start) < SURE_ATTRIBUTES_BYTES && closes(value, start, keys.length)
}

function isWithin(value: unknown, ceiling: Assurance): value is Assurance {
  return ASSURANCES.indexOf(value as Assurance) >= ASSURANCES.indexOf(ceiling)
}

function timeOf(value: unknown): string | null {
  return typeof value === 'string' ? normalizeTime(value) : null
}

function commitments(kept: readonly CommonPart[]): void {
  const sorted = kept.length > 1 ? kept.toSorted((a, b) => (a.name < b.name ? -1 : 1)) : kept
  out.ascii(',"parts":{')
  for (let i = 0; i < sorted.length; i++) {
    const { name, commit, mode } = sorted[i]!
    out.ascii(i === 0 ? '"' : '},"')
    out.ascii(name)
    out.ascii('":{"commit":"')
    out.ascii(commit)
    out.ascii('","mode":"')
    out.ascii(mode)
    out.ascii('"')
  }
  out.ascii('}}')
}

function partsOf(value: unknown): readonly { readonly name: string; readonly part: PartInput }[] | null {
  if (!isPlain(value)) return null
  const names = Object.keys(value)
  if (names.length > MAX_PARTS) return null
  const parts: { name: string; part: PartInput }[] = []
  for (const name of names) {
    const part = value[name]
    if (!PART_NAME.test(name) || !isPlain(part)) return null
    const keys = Object.keys(part)
    if (keys.length !== 1 || keys[0] !== 'value') return null
    parts.push({ name, part: { value: part.value } })
  }
  return parts
}

function subjectsOf(value: unknown): readonly string[] | null {
  if (!Array.isArray(value) || value.length > MAX_SUBJECTS) return null
  const subjects: string[] = []
  for (let i = 0; i < value.length; i++) {
    const subject: unknown = value[i]
    if (!isString(subject) || !subject.isWellFormed()) return null
    subjects.push(subject)
  }
  return subjects
}
