/**
 * Byte strings and their text forms. Decoders are strict: one text per byte string, so that nobody can hand in a second
 * spelling of something signed. They throw `RangeError`; callers turn that into an error that names the place.
 */

import { utf8 } from '#text'

export { fromAscii, fromUtf8, toBase64, toBase64Url, utf8, utf8Length, writeAscii } from '#text'

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Whether two byte strings are equal. Not constant-time: for public values only. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** `value` as 8 bytes, big-endian. Throws `RangeError` outside 0 … 2^53-1. */
export function u64be(value: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(8)
  writeU64be(out, 0, value)
  return out
}

/** Writes `value` as 8 bytes, big-endian, at `offset`. */
export function writeU64be(out: Uint8Array, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not an integer from 0 to 2^53-1: ${value}`)
  // Not `>>`: shifts are 32-bit.
  let rest = value
  for (let i = offset + 7; i >= offset; i--) {
    out[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

/** The digits of lower-case hex, as ASCII. */
export const HEX_DIGITS: Uint8Array = utf8('0123456789abcdef').slice()

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function toHex(bytes: Uint8Array): string {
  let out = ''
  for (const byte of bytes) out += HEX[byte]
  return out
}

/** Bytes of lower-case hex. Throws `RangeError` on anything else. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) throw new RangeError('not lower-case hex')
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return out
}

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`

/** Bytes of padded base64. Throws `RangeError` unless `text` is exactly what {@link toBase64} gives for them. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const bare = text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text
  if (text.length % 4 !== 0 || bare.length + ((4 - (bare.length % 4)) % 4) !== text.length) {
    throw new RangeError('not padded base64')
  }
  return decode64(bare, STANDARD_CODES)
}

/** Bytes of unpadded base64url. Throws `RangeError` unless `text` is exactly what {@link toBase64Url} gives for them. */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  return decode64(text, URL_SAFE_CODES)
}

const codes = (alphabet: string) => {
  const table = new Uint8Array(128).fill(255)
  for (let i = 0; i < 64; i++) table[alphabet.charCodeAt(i)] = i
  return table
}
const STANDARD_CODES = codes(STANDARD)
const URL_SAFE_CODES = codes(URL_SAFE)

function decode64(text: string, table: Uint8Array): Uint8Array<ArrayBuffer> {
  if (text.length % 4 === 1) throw new RangeError('not base64: impossible length')
  const out = new Uint8Array(Math.floor((text.length * 3) / 4))
  let word = 0
  let bits = 0
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const code = table[text.charCodeAt(i)] ?? 255
    if (code === 255) throw new RangeError(`not base64: character ${i}`)
    word = ((word << 6) | code) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      out[at++] = (word >> bits) & 255
    }
  }
  // Unused low bits must be zero, or a second text would decode to the same bytes.
  if ((word & ((1 << bits) - 1)) !== 0) throw new RangeError('not canonical base64: stray bits')
  return out
}
