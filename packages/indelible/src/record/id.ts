/** Entry ids: UUIDv7 (RFC 9562 §5.7), so that they sort by time and an index over them is appended to, not scattered. */
import { randomBytes, sha256 } from '#crypto'
import { fromAscii, HEX_DIGITS, toHex, utf8 } from '../bytes.ts'

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Whether `text` is a UUIDv7 in its one canonical spelling, lower case. */
export function isId(text: string): boolean {
  return PATTERN.test(text)
}

/** The id whose first 48 bits are `ms` since 1970 and whose other bits come from the 10 bytes of `random` at `from`. */
export function formatId(ms: number, random: Uint8Array, from = 0): string {
  // By hand: one is made for every entry, and a text put together from twenty pieces takes four times as long.
  let rest = Math.floor(ms)
  for (let i = 12; i >= 0; i--) {
    if (i === 8) continue
    text[i] = HEX_DIGITS[rest % 16]!
    rest = Math.floor(rest / 16)
  }
  digits(random[from]!, 14)
  text[14] = 0x37 // version 7
  digits(random[from + 1]!, 16)
  digits((random[from + 2]! & 0x3f) | 0x80, 19)
  digits(random[from + 3]!, 21)
  for (let i = 4; i < 10; i++) digits(random[from + i]!, 16 + 2 * i)
  return fromAscii(text)
}

const text = utf8('00000000-0000-7000-8000-000000000000').slice()

function digits(byte: number, at: number): void {
  text[at] = HEX_DIGITS[byte >> 4]!
  text[at + 1] = HEX_DIGITS[byte & 15]!
}

const POOL_IDS = 256
let pool = new Uint8Array(0)
let used = 0

/** A fresh id for `ms` since 1970. */
export function newId(ms: number): string {
  if (used + 10 > pool.length) {
    // One call for many ids: drawing 10 bytes at a time would cost more than everything else here.
    pool = randomBytes(10 * POOL_IDS) as Uint8Array<ArrayBuffer>
    used = 0
  }
  const id = formatId(ms, pool, used)
  used += 10
  return id
}

/** An id that follows from `text`: the same for everybody. In the form of a UUIDv7, though its time says nothing. */
export function derivedId(text: string | Uint8Array): string {
  const hex = toHex(sha256(text))
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) % 4]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(12, 15)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** When an id was made, ms since 1970. `id` is one, see {@link isId}. */
export function idTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
