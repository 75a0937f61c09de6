/** Entry ids: UUIDv7 (RFC 9562 §5.7), so that they sort by time and an index over them is appended to, not scattered. */
import { randomBytes, sha256 } from '#crypto'
import { toHex } from '../bytes.ts'

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Whether `text` is a UUIDv7 in its one canonical spelling, lower case. */
export function isId(text: string): boolean {
  return PATTERN.test(text)
}

/** The id whose first 48 bits are `ms` since 1970 and whose other bits come from `random` (10 bytes). */
export function formatId(ms: number, random: Uint8Array): string {
  const time = Math.floor(ms).toString(16).padStart(12, '0')
  const rest = toHex(random)
  const variant = ((random[2]! & 0x3f) | 0x80).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(1, 4)}-${variant}${rest.slice(6, 8)}-${rest.slice(8, 20)}`
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
  const id = formatId(ms, pool.subarray(used, used + 10))
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
