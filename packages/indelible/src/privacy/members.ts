/**
 * Texts that stay in the entry. Attributes and names are declared free of personal data, but agents and tools steer them:
 * what the redactor finds there is replaced like anywhere else.
 */
import { MOVED, type PreparedEvent } from '../record/event.ts'
import type { Json } from '../record/jcs.ts'
import { isAttributeKey, MAX_STRING } from '../record/schema.ts'
import type { PartRedactor, RedactedValue } from './policy.ts'

/** Stands for a text that the redactor failed on. */
const WITHHELD = '[WITHHELD]'

/** Nothing that any pattern looks for is made of a few letters alone. */
const PLAIN_WORD = /^[A-Za-z_-]{0,32}$/
/** Identifiers: what call ids, names of tools and codes of errors are made of. A false find would cost their correlation. */
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_.:/-]{0,63}$/
/** Members whose names alone may have their values dropped. */
const TELLING_KEY = /pass|secret|token|track|key|card/i
const CODE_KEY = /cv[vc2]|csc|pin/i
/** A number of so many digits may be an identifier. */
const SMALL = 10_000_000

type Members = PreparedEvent['members']

/**
 * Redacts the attributes of an event and the names that an agent or a tool may have made up. Members that change are
 * replaced, not written to: they may be the caller's.
 *
 * @returns a promise if the redactor gives one
 */
export function redactMembers(members: Members, redactor: PartRedactor): null | Promise<null> {
  const attributes = needsLook(members.attributes) ? (members.attributes as Json) : {}
  const names = namesIn(members)
  if (attributes !== members.attributes && names.length === 0) return null
  const texts = names.map(({ text }) => text)
  let left: RedactedValue | Promise<RedactedValue>
  try {
    left = redactor.redact([attributes, texts])
  } catch {
    left = FAILED
  }
  if (!('then' in left)) return put(members, names, left)
  return left.then(
    (settled) => put(members, names, settled),
    () => put(members, names, FAILED),
  )
}

const FAILED: RedactedValue = { value: null, counts: {}, failed: true }

function needsLook(attributes: Members['attributes']): boolean {
  return Object.entries(attributes ?? {}).some(([key, value]) => !isPlainAttribute(key, value))
}

/** Whether there is nothing in an attribute that a redactor could find. */
export function isPlainAttribute(key: string, value: unknown): boolean {
  if (typeof value === 'string') return PLAIN_WORD.test(value) && !TELLING_KEY.test(key) && !CODE_KEY.test(key)
  return typeof value !== 'number' || (Math.abs(value) < SMALL && !CODE_KEY.test(key))
}

/** Whether a name that an agent or a tool may have made up is an identifier, in which nothing is looked for. */
export function isPlainName(text: string): boolean {
  return IDENTIFIER.test(text)
}

interface Name {
  readonly text: string
  readonly put: (text: string) => void
}

function namesIn(members: Members): Name[] {
  const { call, tool, error } = members
  const names: Name[] = []
  const add = (text: string | undefined, put: Name['put']) => {
    if (text !== undefined && text !== MOVED && !isPlainName(text)) names.push({ text, put })
  }
  add(call, (text) => {
    members.call = text
  })
  add(tool?.name, (text) => {
    members.tool = { ...members.tool!, name: text }
  })
  add(error?.type, (text) => {
    members.error = { ...members.error!, type: text }
  })
  add(error?.code, (text) => {
    members.error = { ...members.error!, code: text }
  })
  return names
}

function put(members: Members, names: readonly Name[], { value, failed }: RedactedValue): null {
  const [attributes, texts] = !failed && Array.isArray(value) ? (value as readonly Json[]) : []
  const isWhole = Array.isArray(texts) && texts.length === names.length
  for (const [i, name] of names.entries()) name.put(fitting(isWhole ? (texts as readonly Json[])[i] : undefined))
  if (needsLook(members.attributes)) members.attributes = fittingAttributes(members.attributes!, attributes)
  return null
}

function fittingAttributes(before: NonNullable<Members['attributes']>, after: Json | undefined): Members['attributes'] {
  const isObject = typeof after === 'object' && after !== null && !Array.isArray(after)
  if (!isObject) return Object.fromEntries(Object.entries(before).map(([key]) => [key, WITHHELD]))
  // A key that was redacted is the name of no attribute any more.
  const kept = Object.entries(after).filter(([key]) => isAttributeKey(key))
  const values = kept.map(([key, value]) => [key, typeof value === 'string' ? cut(value) : value])
  return Object.fromEntries(values) as NonNullable<Members['attributes']>
}

/** What a redactor puts in may be longer than what it takes out. */
function fitting(text: Json | undefined): string {
  return typeof text === 'string' && text !== '' ? cut(text) : WITHHELD
}

function cut(text: string): string {
  if (text.length <= MAX_STRING) return text
  const head = text.slice(0, MAX_STRING)
  return head.isWellFormed() ? head : head.slice(0, -1)
}
