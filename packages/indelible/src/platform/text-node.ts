/** Text forms of bytes on Node, where `Buffer` is several times faster than anything portable. */
import { isUtf8 } from 'node:buffer'

const SLAB_BYTES = 262_144
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
let used = 0

/** UTF-8 bytes of a well-formed string. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  const most = text.length * 3
  // Entries are short and many: one allocation for some hundred of them.
  if (most > SLAB_BYTES / 16) return new Uint8Array(Buffer.from(text, 'utf8'))
  if (used + most > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    used = 0
  }
  const length = slab.utf8Write(text, used)
  const bytes = new Uint8Array(slab.buffer, used, length)
  used += length
  return bytes
}

/** Length of a string in UTF-8 bytes. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}

// They take any array of bytes, and making a Buffer of one first costs more than the work itself.
const { base64Slice, base64urlSlice, latin1Slice, latin1Write, utf8Slice } = Buffer.prototype

/** Writes text that is known to be ASCII at `at`, where there is room for it. */
export function writeAscii(text: string, into: Uint8Array, at: number): void {
  latin1Write.call(into as Buffer, text, at, text.length)
}

/** Text of bytes that are known to be ASCII. */
export function fromAscii(bytes: Uint8Array): string {
  return latin1Slice.call(bytes as Buffer, 0, bytes.length)
}

/** Text of UTF-8 bytes. Throws `TypeError` where they are not UTF-8; keeps a byte order mark as a character. */
export function fromUtf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new TypeError('not UTF-8')
  return utf8Slice.call(bytes as Buffer, 0, bytes.length)
}

/** Base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  return base64Slice.call(bytes as Buffer, 0, bytes.length)
}

/** Base64url without padding (RFC 4648 §5), of all bytes or of `[start, end)`. */
export function toBase64Url(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return base64urlSlice.call(bytes as Buffer, start, end)
}

// Methods that Node documents only in passing; `toString(encoding)` comes down to them after parsing its arguments.
declare global {
  interface Buffer {
    utf8Slice(start: number, end: number): string
    base64Slice(start: number, end: number): string
    base64urlSlice(start: number, end: number): string
    latin1Slice(start: number, end: number): string
    latin1Write(text: string, offset: number, length?: number): number
    utf8Write(text: string, offset: number, length?: number): number
  }
}
