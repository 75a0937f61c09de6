/** What the note formats share below the level of their lines: bounds, decimals, hashes, names in error messages. */
import { fromBase64, utf8 } from '../bytes.ts'

/** Longest note that is looked at, in bytes of UTF-8. A checkpoint with 100 post-quantum cosignatures fits. */
export const MAX_NOTE_BYTES = 2 ** 20

/**
 * What keeps `text` from being the lines of a note (C2SP signed-note, "Format"), or `undefined`: each line ends in LF, there
 * is no other ASCII control character, and the whole is at most {@link MAX_NOTE_BYTES} bytes of UTF-8.
 */
export function faultInLines(text: string): string | undefined {
  if (isLonger(text, MAX_NOTE_BYTES)) return `longer than ${MAX_NOTE_BYTES} bytes`
  if (!text.endsWith('\n')) return 'no newline at the end'
  // UTF-8 encoders turn lone surrogates into U+FFFD, so that two texts would carry one signature.
  if (!text.isWellFormed()) return 'a lone surrogate'
  const control = text.search(/[\x00-\x09\x0b-\x1f]/)
  return control === -1 ? undefined : `a control character at ${control}`
}

function isLonger(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && utf8(text).length > bytes)
}

/**
 * The number that a decimal stands for, or `undefined` unless it is one from 0 to 2^53-1 without sign, space or leading zero.
 * The specifications go up to 2^63-1; JavaScript counts no further exactly.
 */
export function parseDecimal(text: string): number | undefined {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** What {@link parseDecimal} takes, for error messages. */
export const DECIMAL = 'a decimal from 0 to 2^53-1 without sign, space or leading zero'

/** The 32 bytes of a SHA-256 hash in padded canonical base64, or `undefined` if `text` is not that. */
export function parseHash(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length !== 44) return undefined
  const hash = decodeBase64(text)
  return hash?.length === 32 ? hash : undefined
}

/** The bytes of padded canonical base64, or `undefined` if `text` is not that. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return fromBase64(text)
  } catch {
    return undefined
  }
}

/** `name` as an error message shows it: in quotes, cut short, with nothing in it that steers a terminal. */
export function quote(name: string): string {
  return JSON.stringify(name.slice(0, 80)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  )
}
