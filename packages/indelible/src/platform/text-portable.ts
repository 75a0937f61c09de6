/** Text forms of bytes for browsers and other runtimes without `Buffer`. Same exports as `text-node.ts`. */

const encoder = new TextEncoder()
// ignoreBOM keeps a leading U+FEFF in the text; without it two different byte strings would decode to one text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text)
}

export function utf8Length(text: string): number {
  return encoder.encode(text).length
}

export function writeAscii(text: string, into: Uint8Array, at: number): void {
  for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i)
}

export function fromAscii(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

export function toBase64(bytes: Uint8Array): string {
  const out = encode64(bytes, STANDARD)
  return out + '==='.slice((out.length + 3) % 4)
}

export function toBase64Url(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return encode64(bytes.subarray(start, end), URL_SAFE)
}

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`

function encode64(bytes: Uint8Array, alphabet: string): string {
  let out = ''
  let i = 0
  for (; i + 2 < bytes.length; i += 3) {
    const word = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    out += alphabet[word >> 18]! + alphabet[(word >> 12) & 63] + alphabet[(word >> 6) & 63] + alphabet[word & 63]
  }
  if (bytes.length - i === 1) {
    const word = bytes[i]! << 16
    out += alphabet[word >> 18]! + alphabet[(word >> 12) & 63]
  } else if (bytes.length - i === 2) {
    const word = (bytes[i]! << 16) | (bytes[i + 1]! << 8)
    out += alphabet[word >> 18]! + alphabet[(word >> 12) & 63] + alphabet[(word >> 6) & 63]
  }
  return out
}
