/**
 * What a verifier looks at in an ordinary entry, without making objects of all of it: a third of the time of
 * {@link parseEntry}, which stays the judge. One pass proves that the bytes are the canonical text of an object; whatever is
 * not ordinary (escapes, unusual numbers, statements of the log, decisions, anything wrong) is left to the judge, and a
 * test holds the two against each other.
 */
import { fromUtf8 } from '../bytes.ts'
import { MAX_ENTRY_BYTES, type ReadRecord } from './entry.ts'
import { isId } from './id.ts'
import { ASSURANCES, ENTRY_SCHEMA, OUTCOMES } from './schema.ts'
import { isTime } from './time.ts'

/** The members of an ordinary entry that tell where it belongs and what belongs to it. */
export type Skimmed = Pick<ReadRecord, 'id' | 'time' | 'observed' | 'type' | 'parts'> & {
  readonly audit?: undefined
  readonly decision?: undefined
}

/** Nesting at which the judge is asked. */
const MAX_DEPTH = 32
const OUTCOME_SET: ReadonlySet<string> = new Set(OUTCOMES)
const ASSURANCE_SET: ReadonlySet<string> = new Set(ASSURANCES)

/** @returns `null` if anything about the entry is not ordinary: `parseEntry` takes it, or says what is wrong */
export function skimEntry(entry: Uint8Array): Skimmed | null {
  if (entry.length > MAX_ENTRY_BYTES) return null
  let text: string
  try {
    text = fromUtf8(entry)
  } catch {
    return null
  }
  return new Skim(text).entry()
}

class Skim {
  readonly #text: string
  /** Where the pass stands; -1 after something that is not ordinary. */
  #at = 0
  #hasId = false

  constructor(text: string) {
    this.#text = text
  }

  entry(): Skimmed | null {
    const text = this.#text
    let [id, time, observed, type, outcome, assurance, schema] = ['', '', '', '', '', '', '']
    let parts: ReadRecord['parts'] | null
    let hasActor = false
    if (text.charCodeAt(0) !== OPEN_BRACE) return null
    this.#at = 1
    let last = ''
    for (;;) {
      const key = this.#key()
      if (this.#at < 0 || key <= last) return null
      last = key
      const start = this.#at
      this.#hasId = false
      this.#value(2)
      if (this.#at < 0) return null
      switch (key) {
        case 'id':
          id = this.#string(start)
          break
        case 'time':
          time = this.#string(start)
          break
        case 'observed':
          observed = this.#string(start)
          break
        case 'type':
          type = this.#string(start)
          break
        case 'outcome':
          outcome = this.#string(start)
          break
        case 'assurance':
          assurance = this.#string(start)
          break
        case 'schema':
          schema = this.#string(start)
          break
        case 'actor':
          hasActor = this.#hasId && text.charCodeAt(start) === OPEN_BRACE
          break
        case 'parts':
          parts = partsOf(text.slice(start, this.#at))
          break
        case 'audit':
        case 'decision':
          return null
      }
      const end = text.charCodeAt(this.#at++)
      if (end === COMMA) continue
      if (end !== CLOSE_BRACE || this.#at !== text.length) return null
      break
    }
    if (schema !== ENTRY_SCHEMA || !hasActor || parts === null) return null
    if (!OUTCOME_SET.has(outcome) || !ASSURANCE_SET.has(assurance)) return null
    if (type === '' || type.startsWith('audit.') || type.startsWith('decision.')) return null
    if (!isId(id) || !isTime(time) || !isObserved(observed)) return null
    return parts === undefined ? { id, time, observed, type } : { id, time, observed, type, parts }
  }

  /** The string that begins at `start` and ends where the pass stands; empty if it is none. */
  #string(start: number): string {
    return this.#text.charCodeAt(start) === QUOTE ? this.#text.slice(start + 1, this.#at - 1) : ''
  }

  /** A key and its colon. */
  #key(): string {
    const start = this.#at + 1
    this.#skipString()
    if (this.#at < 0) return ''
    if (this.#text.charCodeAt(this.#at++) !== COLON) {
      this.#at = -1
      return ''
    }
    return this.#text.slice(start, this.#at - 2)
  }

  #skipString(): void {
    const text = this.#text
    let at = this.#at
    if (text.charCodeAt(at) !== QUOTE) {
      this.#at = -1
      return
    }
    for (;;) {
      const code = text.charCodeAt(++at)
      if (code === QUOTE) break
      // An escape, a control character, or the end of the text, which is not a number.
      if (!(code >= 0x20) || code === BACKSLASH) {
        this.#at = -1
        return
      }
    }
    this.#at = at + 1
  }

  /** @param depth at which it stands if it is an array or an object */
  #value(depth: number): void {
    const code = this.#text.charCodeAt(this.#at)
    if (code === QUOTE) this.#skipString()
    else if (code === OPEN_BRACE) this.#object(depth)
    else if (code === OPEN_BRACKET) this.#array(depth)
    else if (code === MINUS || (code >= ZERO && code <= NINE)) this.#number()
    else if (code === 0x74) this.#word('true')
    else if (code === 0x66) this.#word('false')
    else if (code === 0x6e) this.#word('null')
    else this.#at = -1
  }

  #object(depth: number): void {
    const text = this.#text
    if (depth > MAX_DEPTH) {
      this.#at = -1
      return
    }
    this.#at++
    if (text.charCodeAt(this.#at) === CLOSE_BRACE) {
      this.#at++
      return
    }
    let last = ''
    for (let isFirst = true; ; isFirst = false) {
      const key = this.#key()
      // Both compare UTF-16 code units, RFC 8785 §3.2.3.
      if (this.#at < 0 || (!isFirst && key <= last)) {
        this.#at = -1
        return
      }
      last = key
      if (depth === 2 && key === 'id' && text.charCodeAt(this.#at) === QUOTE) this.#hasId = true
      this.#value(depth + 1)
      if (this.#at < 0) return
      const end = text.charCodeAt(this.#at++)
      if (end === CLOSE_BRACE) return
      if (end !== COMMA) {
        this.#at = -1
        return
      }
    }
  }

  #array(depth: number): void {
    if (depth > MAX_DEPTH) {
      this.#at = -1
      return
    }
    this.#at++
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACKET) {
      this.#at++
      return
    }
    for (;;) {
      this.#value(depth + 1)
      if (this.#at < 0) return
      const end = this.#text.charCodeAt(this.#at++)
      if (end === CLOSE_BRACKET) return
      if (end !== COMMA) {
        this.#at = -1
        return
      }
    }
  }

  /** Up to 15 digits are the canonical text of an integer if they do not begin with a zero; of other numbers ECMAScript knows. */
  #number(): void {
    const text = this.#text
    const start = this.#at
    let at = start
    let code = text.charCodeAt(at)
    let isInteger = true
    while ((code >= ZERO && code <= NINE) || code === MINUS || code === 0x2b || code === 0x2e || code === 0x65) {
      if (code < ZERO || code > NINE) isInteger = false
      code = text.charCodeAt(++at)
    }
    this.#at = at
    const length = at - start
    if (isInteger && length <= 15 && (length === 1 || text.charCodeAt(start) !== ZERO)) return
    const literal = text.slice(start, at)
    const value = Number(literal)
    const isExact = !Number.isInteger(value) || Number.isSafeInteger(value)
    if (!Number.isFinite(value) || !isExact || String(value) !== literal) this.#at = -1
  }

  #word(word: string): void {
    this.#at = this.#text.startsWith(word, this.#at) ? this.#at + word.length : -1
  }
}

/** Commitments by part name, of text that is canonical JSON. */
function partsOf(text: string): ReadRecord['parts'] | null {
  if (text.charCodeAt(0) !== OPEN_BRACE) return null
  const parts = JSON.parse(text) as NonNullable<ReadRecord['parts']>
  for (const part of Object.values(parts) as { commit?: unknown; mode?: unknown }[]) {
    if (typeof part?.commit !== 'string' || typeof part.mode !== 'string') return null
  }
  return parts
}

/** All entries of a batch have one. */
function isObserved(text: string): boolean {
  if (text === lastObserved) return true
  if (!isTime(text)) return false
  lastObserved = text
  return true
}
let lastObserved = ''

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
