/**
 * What a verifier looks at in an ordinary entry, without making objects of all of it: a third of the time of
 * {@link parseEntry}, which stays the judge. One pass proves that the bytes are the canonical text of an object; whatever is
 * not ordinary (escapes, unusual numbers, statements of the log, decisions, anything wrong) is left to the judge, and a
 * test holds the two against each other.
 */
import { fromUtf8, utf8 } from '../bytes.ts'
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
  return new Skim(entry, text).entry()
}

/** Goes over the bytes: what JSON is made of is ASCII, and bytes of other characters stand in strings only. */
class Skim {
  readonly #bytes: Uint8Array
  /** The same as text, if it is all ASCII, so that places in one are places in the other. */
  readonly #text: string | null
  /** Where the pass stands; -1 after something that is not ordinary. */
  #at = 0
  /** Where the key ends that was read last. */
  #keyEnd = 0
  #hasId = false

  constructor(bytes: Uint8Array, text: string) {
    this.#bytes = bytes
    this.#text = text.length === bytes.length ? text : null
  }

  entry(): Skimmed | null {
    const bytes = this.#bytes
    let [id, time, observed, type, outcome, assurance, schema] = ['', '', '', '', '', '', '']
    let parts: ReadRecord['parts']
    let hasActor = false
    if (bytes[0] !== OPEN_BRACE) return null
    this.#at = 1
    let last = -1
    let lastEnd = -1
    for (;;) {
      const key = this.#key()
      const keyEnd = this.#keyEnd
      if (this.#at < 0 || !this.#ascends(last, lastEnd, key, keyEnd)) return null
      last = key
      lastEnd = keyEnd
      const start = this.#at
      this.#hasId = false
      if (this.#isKey(PARTS)) {
        const read = this.#parts()
        if (read === null) return null
        parts = read
      } else this.#value(2)
      if (this.#at < 0) return null
      this.#keyEnd = keyEnd
      switch (keyEnd - key) {
        case 2:
          if (this.#isKeyAt(key, ID)) id = this.#string(start)
          break
        case 4:
          if (this.#isKeyAt(key, TIME)) time = this.#string(start)
          else if (this.#isKeyAt(key, TYPE)) type = this.#string(start)
          break
        case 5:
          if (this.#isKeyAt(key, ACTOR)) hasActor = this.#hasId && bytes[start] === OPEN_BRACE
          else if (this.#isKeyAt(key, AUDIT)) return null
          break
        case 6:
          if (this.#isKeyAt(key, SCHEMA)) schema = this.#string(start)
          break
        case 7:
          if (this.#isKeyAt(key, OUTCOME)) outcome = this.#string(start)
          break
        case 8:
          if (this.#isKeyAt(key, OBSERVED)) observed = this.#string(start)
          else if (this.#isKeyAt(key, DECISION)) return null
          break
        case 9:
          if (this.#isKeyAt(key, ASSURANCE)) assurance = this.#string(start)
          break
      }
      const end = bytes[this.#at++]
      if (end === COMMA) continue
      if (end !== CLOSE_BRACE || this.#at !== bytes.length) return null
      break
    }
    if (schema !== ENTRY_SCHEMA || !hasActor) return null
    if (!OUTCOME_SET.has(outcome) || !ASSURANCE_SET.has(assurance)) return null
    if (type === '' || type.startsWith('audit.') || type.startsWith('decision.')) return null
    if (!isId(id) || !isEventTime(time) || !isObserved(observed)) return null
    return parts === undefined ? { id, time, observed, type } : { id, time, observed, type, parts }
  }

  /** `{"name":{"commit":"…","mode":"…"},…}`, and nothing else. */
  #parts(): NonNullable<ReadRecord['parts']> | null {
    const bytes = this.#bytes
    const parts: Record<string, { commit: string; mode: string }> = {}
    if (bytes[this.#at] !== OPEN_BRACE) return null
    this.#at++
    if (bytes[this.#at] === CLOSE_BRACE) {
      this.#at++
      return parts as ReadRecord['parts'] & object
    }
    let last = -1
    let lastEnd = -1
    for (;;) {
      const key = this.#key()
      const keyEnd = this.#keyEnd
      if (this.#at < 0 || !this.#ascends(last, lastEnd, key, keyEnd)) return null
      last = key
      lastEnd = keyEnd
      // What begins otherwise may be a name that objects treat in their own way, and is none of a part.
      if (bytes[key]! < 0x61 || bytes[key]! > 0x7a || bytes[this.#at++] !== OPEN_BRACE) return null
      const commit = this.#member(COMMIT)
      if (this.#at < 0 || bytes[this.#at++] !== COMMA) return null
      const mode = this.#member(MODE)
      if (this.#at < 0 || bytes[this.#at++] !== CLOSE_BRACE) return null
      parts[this.#slice(key, keyEnd)] = { commit, mode }
      const end = bytes[this.#at++]
      if (end === CLOSE_BRACE) return parts as ReadRecord['parts'] & object
      if (end !== COMMA) return null
    }
  }

  /** The string under a key that must come next. */
  #member(name: Uint8Array): string {
    this.#key()
    if (this.#at < 0 || !this.#isKey(name)) {
      this.#at = -1
      return ''
    }
    const start = this.#at
    this.#skipString()
    return this.#at < 0 ? '' : this.#slice(start + 1, this.#at - 1)
  }

  /** The string that begins at `start` and ends where the pass stands; empty if it is none. */
  #string(start: number): string {
    return this.#bytes[start] === QUOTE ? this.#slice(start + 1, this.#at - 1) : ''
  }

  #slice(start: number, end: number): string {
    return this.#text === null ? fromUtf8(this.#bytes.subarray(start, end)) : this.#text.slice(start, end)
  }

  /** A key and its colon. Returns where the key begins. */
  #key(): number {
    const start = this.#at + 1
    this.#skipString()
    if (this.#at < 0) return start
    this.#keyEnd = this.#at - 1
    if (this.#bytes[this.#at++] !== COLON) this.#at = -1
    return start
  }

  /** Whether the key that was read last is `name`. */
  #isKey(name: Uint8Array): boolean {
    return this.#isKeyAt(this.#keyEnd - name.length, name)
  }

  #isKeyAt(start: number, name: Uint8Array): boolean {
    const bytes = this.#bytes
    if (this.#keyEnd - start !== name.length || bytes[start - 1] !== QUOTE) return false
    for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false
    return true
  }

  /**
   * Whether a key stands behind the one before it. Both are ASCII, where bytes and UTF-16 code units (RFC 8785 §3.2.3) have one
   * order; of any other the judge decides.
   * @param last where the one before begins; -1 for none
   */
  #ascends(last: number, lastEnd: number, key: number, keyEnd: number): boolean {
    const bytes = this.#bytes
    for (let i = key; i < keyEnd; i++) if (bytes[i]! >= 0x80) return false
    if (last < 0) return true
    const length = Math.min(lastEnd - last, keyEnd - key)
    for (let i = 0; i < length; i++) {
      const a = bytes[last + i]!
      const b = bytes[key + i]!
      if (a !== b) return a < b
    }
    return lastEnd - last < keyEnd - key
  }

  #skipString(): void {
    const bytes = this.#bytes
    let at = this.#at
    if (bytes[at] !== QUOTE) {
      this.#at = -1
      return
    }
    for (;;) {
      const code = bytes[++at]!
      if (code === QUOTE) break
      // An escape, a control character, or the end of the bytes, which is not a number.
      if (!(code >= 0x20) || code === BACKSLASH) {
        this.#at = -1
        return
      }
    }
    this.#at = at + 1
  }

  /** @param depth at which it stands if it is an array or an object */
  #value(depth: number): void {
    const code = this.#bytes[this.#at]!
    if (code === QUOTE) this.#skipString()
    else if (code === OPEN_BRACE) this.#object(depth)
    else if (code === OPEN_BRACKET) this.#array(depth)
    else if (code === MINUS || (code >= ZERO && code <= NINE)) this.#number()
    else if (code === 0x74) this.#word(TRUE)
    else if (code === 0x66) this.#word(FALSE)
    else if (code === 0x6e) this.#word(NULL)
    else this.#at = -1
  }

  #object(depth: number): void {
    const bytes = this.#bytes
    if (depth > MAX_DEPTH) {
      this.#at = -1
      return
    }
    this.#at++
    if (bytes[this.#at] === CLOSE_BRACE) {
      this.#at++
      return
    }
    let last = -1
    let lastEnd = -1
    for (;;) {
      const key = this.#key()
      const keyEnd = this.#keyEnd
      if (this.#at < 0 || !this.#ascends(last, lastEnd, key, keyEnd)) {
        this.#at = -1
        return
      }
      last = key
      lastEnd = keyEnd
      if (depth === 2 && bytes[this.#at] === QUOTE && this.#isKey(ID)) this.#hasId = true
      this.#value(depth + 1)
      if (this.#at < 0) return
      const end = bytes[this.#at++]
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
    if (this.#bytes[this.#at] === CLOSE_BRACKET) {
      this.#at++
      return
    }
    for (;;) {
      this.#value(depth + 1)
      if (this.#at < 0) return
      const end = this.#bytes[this.#at++]
      if (end === CLOSE_BRACKET) return
      if (end !== COMMA) {
        this.#at = -1
        return
      }
    }
  }

  /** Up to 15 digits are the canonical text of an integer if they do not begin with a zero; of other numbers ECMAScript knows. */
  #number(): void {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    let code = bytes[at]!
    let isInteger = true
    while ((code >= ZERO && code <= NINE) || code === MINUS || code === 0x2b || code === 0x2e || code === 0x65) {
      if (code < ZERO || code > NINE) isInteger = false
      code = bytes[++at]!
    }
    this.#at = at
    const length = at - start
    if (isInteger && length <= 15 && (length === 1 || bytes[start] !== ZERO)) return
    const literal = this.#slice(start, at)
    const value = Number(literal)
    const isExact = !Number.isInteger(value) || Number.isSafeInteger(value)
    if (!Number.isFinite(value) || !isExact || String(value) !== literal) this.#at = -1
  }

  #word(word: Uint8Array): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.#at + i] !== word[i]) {
        this.#at = -1
        return
      }
    }
    this.#at += word.length
  }
}

/** All entries of a batch have one. */
function isObserved(text: string): boolean {
  if (text === lastObserved) return true
  if (!isTime(text)) return false
  lastObserved = text
  return true
}
let lastObserved = ''

/** Often the one of the entry before. */
function isEventTime(text: string): boolean {
  if (text === lastTime) return true
  if (!isTime(text)) return false
  lastTime = text
  return true
}
let lastTime = ''

const [ID, TIME, TYPE, ACTOR, AUDIT] = [utf8('id'), utf8('time'), utf8('type'), utf8('actor'), utf8('audit')]
const [SCHEMA, OUTCOME, OBSERVED] = [utf8('schema'), utf8('outcome'), utf8('observed')]
const [DECISION, ASSURANCE, PARTS] = [utf8('decision'), utf8('assurance'), utf8('parts')]
const [COMMIT, MODE] = [utf8('commit'), utf8('mode')]
const [TRUE, FALSE, NULL] = [utf8('true'), utf8('false'), utf8('null')]

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
