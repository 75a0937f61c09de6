/**
 * Canonical JSON (RFC 8785, JCS) of I-JSON values (RFC 7493): one text for each value, and the readers that accept it.
 *
 * Stricter than the RFC where it leaves room: nothing is dropped, rounded or rewritten in silence. What has no exact text
 * is refused with `ERR_JSON_INVALID`. The message names the place, never a value, and a key only if it looks like one of
 * ours (`[a-z_]{1,32}`): keys may come from agents, and errors travel where the privacy policy does not reach. For the
 * same reason no error carries a `cause`: the messages of `JSON.parse` and of foreign getters quote what they saw.
 *
 * Making arbitrary values fit is the job of `carry.ts`.
 */
import { fromUtf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'

/**
 * What I-JSON can carry. Objects that come out of a parser here may have an own member called `__proto__`: copy their
 * members with `Object.defineProperty` or into a `Map`, never by assignment.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** How many arrays and objects may stand inside each other, the outermost included. */
export const MAX_DEPTH = 64

/**
 * Canonical text of `value`: no white space, members sorted by the UTF-16 code units of their keys, numbers and strings
 * as ECMAScript writes them (RFC 8785 §3.2). `-0` is written `0`. Members are the own enumerable ones with string keys;
 * getters are read once. Objects that stand in several places are written in each; a cycle ends at the depth limit.
 *
 * @throws IndelibleError `ERR_JSON_INVALID` for NaN and infinities, integers beyond ±(2^53-1), lone surrogates, undefined
 * (as a member too), holes, bigint, functions, symbols, symbol keys, objects that are not plain, and nesting beyond
 * {@link MAX_DEPTH}
 */
export function canonicalize(value: unknown): string {
  try {
    return textOf(value, 1)
  } catch (error) {
    const { what, path } = inside(error, '')
    throw invalid(`no canonical JSON for ${what}${path === '' ? '' : ` at ${path.replace(/^\./, '')}`}`)
  }
}

/**
 * Text of a finite number, RFC 8785 §3.2.2.3. Unlike {@link canonicalize} it takes integers beyond 2^53.
 *
 * @throws IndelibleError `ERR_JSON_INVALID` for NaN and infinities
 */
export function canonicalNumber(value: number): string {
  if (!Number.isFinite(value)) throw invalid('no canonical JSON for a number that is not finite')
  return value === 0 ? '0' : String(value)
}

/**
 * Value of a text that is exactly the canonical one of its value; any other spelling is refused.
 *
 * @throws IndelibleError `ERR_JSON_INVALID`
 */
export function parseCanonical(text: string): Json {
  const value = parse(text)
  // JSON.stringify escapes strings and writes numbers just as RFC 8785 does (which took both from ECMAScript), and is much
  // faster than canonicalize(). It is the wrong judge of some texts, which isOrdinary() leaves to the second test: it
  // writes keys such as "10" before all others, escapes lone surrogates, and knows no bounds.
  if (isOrdinary(value, 1) && !text.includes('\\ud') && JSON.stringify(value) === text) return value
  if (canonicalize(value) !== text) throw invalid('not the canonical text of its value (RFC 8785)')
  return value
}

/**
 * Value of the UTF-8 bytes of a canonical text; see {@link parseCanonical}. A byte order mark is refused.
 *
 * @throws IndelibleError `ERR_JSON_INVALID`
 */
export function parseCanonicalBytes(bytes: Uint8Array): Json {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch {
    throw invalid('not UTF-8')
  }
  return parseCanonical(text)
}

/**
 * Value of I-JSON text in any spelling, for what others wrote. Refuses what `JSON.parse` alters in silence: duplicate
 * keys, of which it keeps the last, and integers that a double rounds (`9007199254740993`). A number with a fraction or
 * an exponent is taken as a double. So a result may hold integers beyond 2^53, each exact, which {@link canonicalize}
 * refuses.
 *
 * @throws IndelibleError `ERR_JSON_INVALID`, also for lone surrogates, numbers beyond the range of a double and nesting
 * beyond {@link MAX_DEPTH}
 */
export function parseJson(text: string): Json {
  const value = parse(text)
  const members = countMembers(value, 1, /\\u[dD]/.test(text) || !text.isWellFormed())
  // A duplicate key, and all that stood under the first of its values, is in the text but not in the value.
  if (scan(text) !== members) throw invalid('duplicate key')
  return value
}

function invalid(message: string): IndelibleError {
  return new IndelibleError('ERR_JSON_INVALID', message)
}

/** Why a value has no canonical text, and where; the path grows as the walk unwinds. */
class Flaw {
  readonly what: string
  readonly path: string
  constructor(what: string, path = '') {
    this.what = what
    this.path = path
  }
}

function inside(error: unknown, segment: string): Flaw {
  if (error instanceof Flaw) return new Flaw(error.what, segment + error.path)
  return new Flaw('a value that cannot be read or is too long', segment)
}

function textOf(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'number':
      if (Number.isSafeInteger(value)) return value === 0 ? '0' : `${value}`
      if (Number.isInteger(value)) throw new Flaw('an integer beyond 2^53-1')
      if (!Number.isFinite(value)) throw new Flaw('a number that is not finite')
      return `${value}`
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      if (depth > MAX_DEPTH) throw new Flaw(`nesting deeper than ${MAX_DEPTH}`)
      return Array.isArray(value) ? textOfArray(value, depth) : textOfObject(value as Record<string, unknown>, depth)
    default:
      throw new Flaw(typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`)
  }
}

function textOfArray(value: readonly unknown[], depth: number): string {
  let out = '['
  let i = 0
  try {
    for (; i < value.length; i++) out += (i === 0 ? '' : ',') + textOf(value[i], depth + 1)
  } catch (error) {
    throw inside(error, `[${i}]`)
  }
  return `${out}]`
}

function textOfObject(value: Record<string, unknown>, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw new Flaw('an object that is not plain')
  if (Object.getOwnPropertySymbols(value).length > 0) throw new Flaw('a symbol key')
  const keys = Object.keys(value)
  // Both compare UTF-16 code units, RFC 8785 §3.2.3.
  if (!isSorted(keys)) keys.sort()
  let out = '{'
  let key = ''
  try {
    for (let i = 0; i < keys.length; i++) {
      key = keys[i]!
      out += (i === 0 ? '' : ',') + member(key) + textOf(value[key], depth + 1)
    }
  } catch (error) {
    throw inside(error, /^[a-z_]{1,32}$/.test(key) ? `.${key}` : '.*')
  }
  return `${out}}`
}

function isSorted(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return false
  return true
}

const NEEDS_CARE = /[^ !#-[\]-~]/

/** Canonical text of a string; {@link canonicalize} says what it throws. */
export function quote(text: string): string {
  if (!NEEDS_CARE.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw new Flaw('a lone surrogate')
  return JSON.stringify(text)
}

// Entries repeat few keys. Bounded, because the keys of parts come from agents.
const members = new Map<string, string>()

function member(key: string): string {
  let text = members.get(key)
  if (text === undefined) {
    text = `${quote(key)}:`
    if (members.size >= 4096) members.clear()
    if (key.length <= 64) members.set(key, text)
  }
  return text
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw invalid('not JSON')
  }
}

/** Whether `JSON.stringify` can tell if the text of a parsed value was canonical. */
function isOrdinary(value: Json, depth: number): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) || !Number.isInteger(value)
  if (typeof value !== 'object' || value === null) return true
  if (depth > MAX_DEPTH) return false
  if (isArray(value)) {
    for (const element of value) if (!isOrdinary(element, depth + 1)) return false
    return true
  }
  let last = ''
  for (const key of Object.keys(value)) {
    if (key < last || !isOrdinary(value[key]!, depth + 1)) return false
    last = key
  }
  return true
}

/** Counts the members of all objects in a parsed value, and refuses what no I-JSON value holds. */
function countMembers(value: Json, depth: number, checkStrings: boolean): number {
  if (typeof value === 'string' && checkStrings && !value.isWellFormed()) throw invalid('lone surrogate')
  if (typeof value === 'number' && !Number.isFinite(value)) throw invalid('number beyond the range of a double')
  if (typeof value !== 'object' || value === null) return 0
  if (depth > MAX_DEPTH) throw invalid(`nesting deeper than ${MAX_DEPTH}`)
  let count = 0
  if (isArray(value)) {
    for (const element of value) count += countMembers(element, depth + 1, checkStrings)
    return count
  }
  for (const key of Object.keys(value)) {
    if (checkStrings && !key.isWellFormed()) throw invalid('lone surrogate')
    count += 1 + countMembers(value[key]!, depth + 1, checkStrings)
  }
  return count
}

/** Counts the members that JSON text spells out, and refuses integers that a double rounds. */
function scan(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x3a) count++
    else if (code === 0x22) i = endOfString(text, i)
    else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) i = endOfNumber(text, i)
  }
  return count
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes++
    if (escapes % 2 === 0) return end
  }
}

function endOfNumber(text: string, start: number): number {
  let end = start + 1
  while (end < text.length && !endsNumber(text.charCodeAt(end))) end++
  // Any 15 digits fit in a double.
  if (end - start > 15) {
    const literal = text.slice(start, end)
    if (/^-?[0-9]+$/.test(literal) && !isExact(literal)) throw invalid('integer that a double rounds')
  }
  return end - 1
}

function endsNumber(code: number): boolean {
  return code <= 0x20 || code === 0x2c || code === 0x5d || code === 0x7d
}

function isExact(integer: string): boolean {
  const value = Number(integer)
  return Number.isFinite(value) && BigInt(integer) === BigInt(value)
}

function isArray(value: object): value is readonly Json[] {
  return Array.isArray(value)
}
