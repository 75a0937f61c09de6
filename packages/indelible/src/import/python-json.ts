/**
 * JSON as Python's `json` module reads and writes it: with `NaN` and `Infinity`, integers of any length, and floats spelled
 * as `repr` does. What hashes over Python's spelling needs the very literals, so numbers are kept as such.
 */
import { isExact } from './json.ts'
import { Malformed } from './values.ts'

/** Objects are maps: keys are foreign, and `__proto__` is one of them. */
export type PythonValue =
  | null
  | boolean
  | string
  | PythonNumber
  | readonly PythonValue[]
  | ReadonlyMap<string, PythonValue>

/** A number as it was spelled. */
export class PythonNumber {
  readonly literal: string
  constructor(literal: string) {
    this.literal = literal
  }

  get isInteger(): boolean {
    return /^-?[0-9]+$/.test(this.literal)
  }
}

/** Python's own parser gives up at about a thousand. */
const MAX_DEPTH = 1000

/** @throws Malformed for what `json.loads` refuses, and for a key that stands twice in one object, which it does not */
export function parsePython(text: string): PythonValue {
  const reader = new Reader(text)
  const value = reader.value(1)
  reader.end()
  return value
}

/** The value in plain JavaScript: `bigint` for integers that a double rounds, everything else as `JSON.parse` gives it. */
export function plainOf(value: PythonValue): unknown {
  if (value instanceof PythonNumber) {
    return isExact(value.literal) ? Number(value.literal) : BigInt(value.literal)
  }
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, member]) => [key, plainOf(member)]))
  return Array.isArray(value) ? value.map(plainOf) : value
}

/** `json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)` */
export function stablePythonJson(value: PythonValue): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return quote(value)
  if (value instanceof PythonNumber) return numberText(value)
  if (Array.isArray(value)) return `[${value.map(stablePythonJson).join(',')}]`
  const members = [...(value as ReadonlyMap<string, PythonValue>)].sort(([a], [b]) => compareCodePoints(a, b))
  return `{${members.map(([key, member]) => `${quote(key)}:${stablePythonJson(member)}`).join(',')}}`
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): PythonValue {
    if (depth > MAX_DEPTH) throw new Malformed('nested too deeply')
    this.#space()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      default:
        return this.#literal()
    }
  }

  end(): void {
    this.#space()
    if (this.#at < this.#text.length) throw this.#fault()
  }

  #object(depth: number): PythonValue {
    const members = new Map<string, PythonValue>()
    this.#at++
    for (this.#space(); !this.#takes('}'); this.#space()) {
      if (members.size > 0 && !this.#takes(',')) throw this.#fault()
      this.#space()
      if (this.#text[this.#at] !== '"') throw this.#fault()
      const key = this.#string()
      if (members.has(key)) throw new Malformed('a key stands twice in one object')
      this.#space()
      if (!this.#takes(':')) throw this.#fault()
      members.set(key, this.value(depth + 1))
    }
    return members
  }

  #array(depth: number): PythonValue {
    const elements: PythonValue[] = []
    this.#at++
    for (this.#space(); !this.#takes(']'); this.#space()) {
      if (elements.length > 0 && !this.#takes(',')) throw this.#fault()
      elements.push(this.value(depth + 1))
    }
    return elements
  }

  #string(): string {
    const start = this.#at
    let end = this.#text.indexOf('"', start + 1)
    while (end >= 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1)
    if (end < 0) throw this.#fault()
    this.#at = end + 1
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string
    } catch {
      this.#at = start
      throw this.#fault()
    }
  }

  #isEscaped(at: number): boolean {
    let before = at
    while (this.#text[before - 1] === '\\') before--
    return (at - before) % 2 === 1
  }

  #literal(): PythonValue {
    LITERAL.lastIndex = this.#at
    const [literal] = LITERAL.exec(this.#text) ?? []
    if (literal === undefined) throw this.#fault()
    this.#at += literal.length
    if (literal === 'null') return null
    return literal === 'true' || literal === 'false' ? literal === 'true' : new PythonNumber(literal)
  }

  #space(): void {
    while (SPACE.has(this.#text.charCodeAt(this.#at))) this.#at++
  }

  #takes(character: string): boolean {
    const isThere = this.#text[this.#at] === character
    if (isThere) this.#at++
    return isThere
  }

  #fault(): Malformed {
    return new Malformed(`not JSON (at character ${this.#at + 1})`)
  }
}

const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d])
const LITERAL = /null|true|false|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y

function numberText(number: PythonNumber): string {
  const { literal } = number
  if (number.isInteger) return literal === '-0' ? '0' : literal
  const value = Number(literal)
  if (!Number.isFinite(value)) return String(value)
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  // Both languages take the fewest digits that give the same double; they differ in where the exponent begins.
  const [, sign, first, more = '', power] = /^(-?)(\d)(?:\.(\d+))?e([-+]\d+)$/.exec(value.toExponential())!
  const exponent = Number(power)
  const digits = `${first}${more}`
  if (exponent < -4 || exponent >= 16) {
    const fraction = more === '' ? '' : `.${more}`
    return `${sign}${first}${fraction}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`
}

/** With `ensure_ascii`: JSON.stringify's escapes, and `\uXXXX` for each code unit that is not printable ASCII. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Python sorts strings by code points, JavaScript by UTF-16 code units. */
function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; ) {
    const [left, right] = [a.codePointAt(i)!, b.codePointAt(i)!]
    if (left !== right) return left - right
    i += left > 0xffff ? 2 : 1
  }
  return a.length - b.length
}
