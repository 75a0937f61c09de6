/**
 * Canonical JSON (RFC 8785) straight into bytes, for the events that nearly everybody hands in. The text in between, built up
 * from some fifty pieces, is what most of the time and two thirds of the garbage of recording went into.
 *
 * What is not plain is left to `carry.ts` and `jcs.ts`, which stay the judges; tests hold the two ways against each other.
 */
import { HEX_DIGITS, writeAscii } from '../bytes.ts'

/** Longer strings go to the platform's own copying. Shorter ones are faster by hand: measured, 40 characters are even. */
const SHORT = 40

/** Nesting beyond this is left to others. */
const MAX_PLAIN_DEPTH = 32

const NEEDS_CARE = /[^ !#-[\]-~]/

/** 1 for the ASCII characters that stand for themselves in a JSON string. */
const PLAIN = Uint8Array.from({ length: 128 }, (_, code) =>
  code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c ? 1 : 0,
)

/** What follows the backslash (RFC 8785 §3.2.2.2); 0 for `\u00xx`. */
const ESCAPES = new Uint8Array(128)
for (const [char, letter] of ['\bb', '\tt', '\nn', '\ff', '\rr', '""', '\\\\']) {
  ESCAPES[char!.charCodeAt(0)] = letter!.charCodeAt(0)
}

const [QUOTE, COMMA, COLON, BACKSLASH, ZERO] = [0x22, 0x2c, 0x3a, 0x5c, 0x30]

/** A buffer of a fixed size that is written to from its start, again and again. */
export class JsonBytes {
  /** Valid up to {@link at}, until the next {@link reset}. */
  readonly bytes: Uint8Array<ArrayBuffer>
  at = 0

  /** @param size in bytes; what needs more is refused */
  constructor(size: number) {
    this.bytes = new Uint8Array(size)
  }

  reset(): void {
    this.at = 0
  }

  /** Text that is known to be plain ASCII, short, and to have room. */
  ascii(text: string): void {
    const { bytes, at } = this
    const { length } = text
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
    this.at = at + length
  }

  /** Bytes that are known to have room. */
  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }

  /** Whether there is room for `length` bytes more. */
  hasRoom(length: number): boolean {
    return this.at + length <= this.bytes.length
  }

  /** A string with its quotes. Returns `false` for a lone surrogate, or without room for every character's longest form. */
  string(text: string): boolean {
    const { length } = text
    if (!this.hasRoom(6 * length + 2)) return false
    const { bytes } = this
    let { at } = this
    bytes[at++] = QUOTE
    if (length > SHORT && !NEEDS_CARE.test(text)) {
      writeAscii(text, bytes, at)
      at += length
    } else {
      for (let i = 0; i < length; i++) {
        const code = text.charCodeAt(i)
        if (code < 0x80 && PLAIN[code] === 1) bytes[at++] = code
        else if (code < 0x80) at = this.#escape(code, at)
        else if (code < 0x800) {
          bytes[at++] = 0xc0 | (code >> 6)
          bytes[at++] = 0x80 | (code & 0x3f)
        } else if (code < 0xd800 || code > 0xdfff) {
          bytes[at++] = 0xe0 | (code >> 12)
          bytes[at++] = 0x80 | ((code >> 6) & 0x3f)
          bytes[at++] = 0x80 | (code & 0x3f)
        } else {
          const point = text.codePointAt(i++)!
          if (point < 0x10000) return false
          bytes[at++] = 0xf0 | (point >> 18)
          bytes[at++] = 0x80 | ((point >> 12) & 0x3f)
          bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
          bytes[at++] = 0x80 | (point & 0x3f)
        }
      }
    }
    bytes[at++] = QUOTE
    this.at = at
    return true
  }

  #escape(code: number, start: number): number {
    const { bytes } = this
    let at = start
    // DEL stands for itself.
    if (code === 0x7f) {
      bytes[at++] = code
      return at
    }
    bytes[at++] = BACKSLASH
    const letter = ESCAPES[code]!
    if (letter !== 0) {
      bytes[at++] = letter
      return at
    }
    bytes[at++] = 0x75 // u
    bytes[at++] = ZERO
    bytes[at++] = ZERO
    bytes[at++] = HEX_DIGITS[code >> 4]!
    bytes[at++] = HEX_DIGITS[code & 15]!
    return at
  }

  /** A number. Returns `false` for one that I-JSON has not got: infinite, no number, an integer beyond ±(2^53-1). */
  number(value: number): boolean {
    if (!Number.isSafeInteger(value) && (Number.isInteger(value) || !Number.isFinite(value))) return false
    if (!this.hasRoom(32)) return false
    // Of -0 as well.
    this.ascii(value === 0 ? '0' : `${value}`)
    return true
  }

  /**
   * A value that is plain JSON already, as `carry` would leave it. Getters are read once. Throws what they throw.
   * @returns `false` for anything else, for what nests deep, and without room; then what was written is worth nothing
   */
  value(value: unknown, depth = 1): boolean {
    switch (typeof value) {
      case 'string':
        return this.string(value)
      case 'number':
        return this.number(value)
      case 'boolean':
        if (!this.hasRoom(8)) return false
        this.ascii(value ? 'true' : 'false')
        return true
      case 'object':
        if (!this.hasRoom(8)) return false
        if (value === null) this.ascii('null')
        else if (depth > MAX_PLAIN_DEPTH) return false
        else return Array.isArray(value) ? this.#array(value, depth) : this.#object(value, depth)
        return true
      default:
        return false
    }
  }

  #array(value: readonly unknown[], depth: number): boolean {
    this.bytes[this.at++] = 0x5b
    for (let i = 0; i < value.length; i++) {
      if (i > 0) this.bytes[this.at++] = COMMA
      if (!this.value(value[i], depth + 1)) return false
    }
    if (!this.hasRoom(8)) return false
    this.bytes[this.at++] = 0x5d
    return true
  }

  #object(value: object, depth: number): boolean {
    if (!isPlain(value)) return false
    const keys = sortedKeys(value)
    this.bytes[this.at++] = 0x7b
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      if (key === '$type') return false
      if (i > 0) this.bytes[this.at++] = COMMA
      if (!this.string(key) || !this.hasRoom(8)) return false
      this.bytes[this.at++] = COLON
      if (!this.value(value[key], depth + 1)) return false
    }
    if (!this.hasRoom(8)) return false
    this.bytes[this.at++] = 0x7d
    return true
  }
}

/** Whether it is an object as a literal makes it. Those of another realm are left to others. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Own enumerable names, by their UTF-16 code units (RFC 8785 §3.2.3). */
export function sortedKeys(value: object): string[] {
  const keys = Object.keys(value)
  if (keys.length > FEW) return keys.sort()
  // By hand: sort() allocates more than all the rest of writing a small object, and most are in order.
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]!
    let at = i
    for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!
    keys[at] = key
  }
  return keys
}

const FEW = 16

const scratch = new JsonBytes(65_536)
let isWriting = false

/**
 * The canonical bytes of what {@link JsonBytes.value} calls plain; they count until the next call.
 * @returns `null` for anything else
 */
export function plainBytes(value: unknown): Uint8Array | null {
  // A getter inside one value that has another one written.
  if (isWriting) return null
  isWriting = true
  try {
    scratch.reset()
    return scratch.value(value) ? scratch.bytes.subarray(0, scratch.at) : null
  } catch {
    return null
  } finally {
    isWriting = false
  }
}
