/**
 * The HMAC chain: what a thief of today's keys cannot rewrite unnoticed by the holder of K_0, because the keys of earlier
 * epochs are gone from the host. It gives no evidence of truncation, and no proof to anybody who does not hold K_0: those
 * come from checkpoints and anchors.
 *
 * Formats: `docs/format.md`, section "HMAC chain". `u64` is 8 bytes big-endian.
 */
import { hkdfSha256, hmacSha256, type MacKey, macKey, sha256 } from '#crypto'
import { concat, u64be, utf8, writeU64be } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'

/** Length of a ratchet key, a mac and a seal, in bytes. */
export const MAC_BYTES = 32

/** `mac_{-1}`, the predecessor of the first entry's mac. */
export const GENESIS_MAC: Uint8Array = new Uint8Array(MAC_BYTES)

const RATCHET = utf8('indelible/ratchet@1\n')
const MAC_KEY = utf8('indelible/mac-key@1\n')
const MAC = utf8('indelible/mac@1\n')
const SEAL = utf8('indelible/seal@1\n')
const MAC_ID = utf8('indelible/mac-id@1\n')

/** K_{epoch} from K_{epoch-1}. The caller erases the latter; nothing computes it back. */
export function ratchet(previous: Uint8Array, epoch: number): Uint8Array {
  return hkdfSha256(previous, concat(RATCHET, u64be(epoch)), MAC_BYTES)
}

/** M_e: the key under which one log's macs of `epoch` are made. */
export function epochMacKey(ratchetKey: Uint8Array, origin: string, epoch: number): MacKey {
  return macKey(hkdfSha256(ratchetKey, concat(MAC_KEY, sha256(origin), u64be(epoch)), MAC_BYTES))
}

const message = new Uint8Array(MAC.length + 16 + 2 * MAC_BYTES)
message.set(MAC)

/** The chain value of the entry at `index`, whose leaf hash is `leaf`; `previous` is that of the entry before it. */
export function entryMac(
  key: MacKey,
  epoch: number,
  index: number,
  previous: Uint8Array,
  leaf: Uint8Array,
): Uint8Array {
  writeU64be(message, MAC.length, epoch)
  writeU64be(message, MAC.length + 8, index)
  message.set(previous, MAC.length + 16)
  message.set(leaf, MAC.length + 16 + MAC_BYTES)
  return hmacSha256(key, message)
}

/** The seal of `epoch`: what the log looked like when the epoch's key was last at hand. */
export function sealMac(key: MacKey, epoch: number, size: number, root: Uint8Array): Uint8Array {
  return hmacSha256(key, concat(SEAL, u64be(epoch), u64be(size), root))
}

/** Names K_0 for one log without giving it away, so that a wrong key is not mistaken for tampering. */
export function macKeyId(firstKey: Uint8Array, origin: string): Uint8Array {
  return hmacSha256(macKey(firstKey), concat(MAC_ID, utf8(origin)))
}

/** Walks the ratchet forward from a key of a known epoch. Never back: that is the point of it. */
export class Ratchet {
  #epoch: number
  #key: Uint8Array

  /** @param key K_epoch, 32 bytes; copied */
  constructor(epoch: number, key: Uint8Array) {
    if (key.length !== MAC_BYTES) {
      throw new IndelibleError('ERR_KEY_INVALID', `ratchet key has ${key.length} bytes, not ${MAC_BYTES}`)
    }
    this.#epoch = epoch
    this.#key = new Uint8Array(key)
  }

  get epoch(): number {
    return this.#epoch
  }

  /** A copy of K_epoch, for keeping on disk. */
  get key(): Uint8Array {
    return new Uint8Array(this.#key)
  }

  clone(): Ratchet {
    return new Ratchet(this.#epoch, this.#key)
  }

  /** M_epoch of the log `origin` at the epoch this ratchet stands at. */
  macKey(origin: string): MacKey {
    return epochMacKey(this.#key, origin, this.#epoch)
  }

  /**
   * Moves to `epoch`, overwriting each key passed.
   * @throws RangeError if `epoch` is behind
   */
  advance(epoch: number): void {
    if (epoch < this.#epoch) throw new RangeError(`epoch ${epoch} is before ${this.#epoch}: its key was erased`)
    while (this.#epoch < epoch) {
      const next = ratchet(this.#key, this.#epoch + 1)
      this.#key.fill(0)
      this.#key = next
      this.#epoch++
    }
  }
}
