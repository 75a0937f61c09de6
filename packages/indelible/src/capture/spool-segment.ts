/**
 * One file of a spool, `indelible/spool@1`: a header line, then frames. What is in it was through the privacy policy, and is
 * encrypted and authenticated all the same: it says what an agent did.
 *
 * - header: canonical JSON `{"format":"indelible/spool@1","origin":…,"salt":…,"segment":…}` and a line feed; `salt` is 32
 *   fresh bytes, base64url; `segment` is a UUIDv7
 * - key: `HKDF-SHA-256(ikm = spool key, salt = "", info = "indelible/spool@1\n" ‖ header, 32)`, so that a changed header
 *   opens nothing
 * - frame: `u32(length) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)`, the length being that of all that follows; its
 *   associated data is `u64(number of the frame from 0) ‖ tag of the frame before` (16 zero bytes for the first), so that
 *   frames can be neither left out nor put in another order
 * - plain text: JSON, `{"events":[…],"policy":mark}`, the mark being left out by whoever has none, `{"dropped":{"events":n,"from":time,"to":time}}`, or `{"end":frames}`, which a
 *   segment that was closed has as its last
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { toBase64Url } from '../bytes.ts'
import { canonicalize } from '../record/jcs.ts'
import type { AgentEvent } from '../record/schema.ts'

export const SPOOL_FORMAT = 'indelible/spool@1'

const NONCE_BYTES = 12
const TAG_BYTES = 16
const MAX_HEADER_BYTES = 4096

/** Events that were lost: how many, and the times of the first and the last. */
export interface Loss {
  readonly events: number
  readonly from: string
  readonly to: string
}

export type Frame =
  | { readonly events: readonly AgentEvent[]; readonly policy?: string }
  | { readonly dropped: Loss }
  | { readonly end: number }

/** Writes the bytes of one segment; where they go is the caller's. */
export class SegmentWriter {
  readonly header: Uint8Array
  readonly #key: KeyObject
  #number = 0
  #tag: Uint8Array = new Uint8Array(TAG_BYTES)

  constructor(spoolKey: Uint8Array, origin: string, segment: string) {
    const salt = toBase64Url(randomBytes(32))
    this.header = Buffer.from(`${canonicalize({ format: SPOOL_FORMAT, origin, salt, segment })}\n`)
    this.#key = segmentKey(spoolKey, this.header)
  }

  /** Bytes of the next frame. It counts once {@link written} says that it is in the file. */
  frame(content: Frame): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(associated(this.#number, this.#tag))
    const text = cipher.update(JSON.stringify(content), 'utf8')
    cipher.final()
    const tag = cipher.getAuthTag()
    const length = Buffer.alloc(4)
    length.writeUInt32BE(NONCE_BYTES + text.length + TAG_BYTES)
    return Buffer.concat([length, nonce, text, tag])
  }

  written(frame: Uint8Array): void {
    this.#tag = frame.slice(-TAG_BYTES)
    this.#number++
  }

  get frames(): number {
    return this.#number
  }
}

/** What is wrong with a segment: where it ends too early, or which frames cannot be opened. */
export interface SegmentDamage {
  /** Frames that are there and cannot be opened. */
  readonly frames: number
  /** Bytes after the last whole frame: of a write that was cut off. */
  readonly torn: number
}

export interface SegmentHeader {
  readonly origin: string
  readonly segment: string
}

/** Origin and id that a file claims; `null` if it is no segment of this format. */
export function readSegmentHeader(file: Uint8Array): SegmentHeader | null {
  const end = file.subarray(0, MAX_HEADER_BYTES).indexOf(10)
  if (end === -1) return null
  try {
    const header = JSON.parse(Buffer.from(file.subarray(0, end)).toString('utf8')) as Record<string, unknown>
    const { format, origin, segment } = header
    if (format !== SPOOL_FORMAT || typeof origin !== 'string' || typeof segment !== 'string') return null
    return { origin, segment }
  } catch {
    return null
  }
}

/** Gives the frames of a segment that can be opened, in order, and tells in `damage` of those that cannot. */
export class SegmentReader {
  readonly #file: Uint8Array
  readonly #key: KeyObject
  readonly #start: number
  #damage: SegmentDamage = { frames: 0, torn: 0 }
  #isClosed = false

  /** @param file of which {@link readSegmentHeader} has read the header */
  constructor(spoolKey: Uint8Array, file: Uint8Array) {
    this.#file = file
    this.#start = file.indexOf(10) + 1
    this.#key = segmentKey(spoolKey, file.subarray(0, this.#start))
  }

  *frames(): Generator<Frame> {
    const file = this.#file
    let at = this.#start
    let number = 0
    let tag = new Uint8Array(TAG_BYTES)
    let damaged = 0
    while (at < file.length) {
      const length = at + 4 <= file.length ? new DataView(file.buffer, file.byteOffset + at).getUint32(0) : -1
      const end = at + 4 + length
      if (length < NONCE_BYTES + TAG_BYTES || end > file.length) break
      const frame = this.#open(file.subarray(at + 4, end), number, tag)
      tag = file.slice(end - TAG_BYTES, end)
      number++
      at = end
      if (frame === null) damaged++
      else if ('end' in frame) this.#isClosed = frame.end === number - 1
      else yield frame
      this.#damage = { frames: damaged, torn: 0 }
    }
    this.#damage = { frames: damaged, torn: file.length - at }
  }

  /** Complete once {@link frames} is through. */
  get damage(): SegmentDamage {
    return this.#damage
  }

  /** Whether it ends as its writer ended it. One that does not was left by a crash, or cut. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  #open(frame: Uint8Array, number: number, before: Uint8Array): Frame | null {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, frame.subarray(0, NONCE_BYTES))
      decipher.setAAD(associated(number, before))
      decipher.setAuthTag(frame.subarray(-TAG_BYTES))
      const text = decipher.update(frame.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      return JSON.parse(text) as Frame
    } catch {
      return null
    }
  }
}

function segmentKey(spoolKey: Uint8Array, header: Uint8Array): KeyObject {
  const info = Buffer.concat([Buffer.from(`${SPOOL_FORMAT}\n`), header])
  // HKDF's info may have 1024 bytes; an origin has up to 255 characters, which fit.
  // An object: given bytes, each cipher would first make one, which takes longer than encrypting an event.
  return createSecretKey(Buffer.from(hkdfSync('sha256', spoolKey, '', info, 32)))
}

function associated(number: number, tagBefore: Uint8Array): Uint8Array {
  const data = Buffer.alloc(8 + TAG_BYTES)
  data.writeBigUInt64BE(BigInt(number))
  data.set(tagBefore, 8)
  return data
}
