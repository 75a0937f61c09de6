/** Keys of single payloads, derived from those of the vault. */
import { createSecretKey, getFips, hash, hkdfSync, type KeyObject } from 'node:crypto'

const INFO = Buffer.from('indelible/sealed@1')
const KEY_BYTES = 32
const BLOCK_BYTES = 64
const IS_FIPS = getFips() === 1

/** A block and what is hashed behind it: more keys than fit are left to OpenSSL. */
const scratch = Buffer.alloc(1024)
const derived = Buffer.alloc(KEY_BYTES)

/**
 * A key of its own for each payload: no two share a nonce under one key, however many there are. HKDF-SHA-256 (RFC 5869) of
 * `material`, one after the other, with the nonce as salt.
 */
export function payloadKey(material: readonly Uint8Array[], nonce: Uint8Array): KeyObject {
  const ikmBytes = material.reduce((sum, { length }) => sum + length, 0)
  // Under a FIPS provider derivation must be the module's own. Elsewhere four one-shot hashes, which are what 32 bytes of HKDF
  // are, take a third of its time.
  if (IS_FIPS || BLOCK_BYTES + ikmBytes > scratch.length || nonce.length > BLOCK_BYTES) {
    const ikm = createSecretKey(Buffer.concat(material))
    return createSecretKey(Buffer.from(hkdfSync('sha256', ikm, nonce, INFO, KEY_BYTES)))
  }
  let end = BLOCK_BYTES
  for (const key of material) {
    scratch.set(key, end)
    end += key.length
  }
  // Extract: PRK = HMAC(salt, ikm). Expand: its first block is HMAC(PRK, info ‖ 0x01).
  hmac(nonce, end, derived)
  const written = INFO.copy(scratch, BLOCK_BYTES)
  scratch[BLOCK_BYTES + written] = 1
  hmac(derived, BLOCK_BYTES + written + 1, derived)
  const key = createSecretKey(derived)
  // Bytes that stayed in memory would outlive the forgetting of a person.
  scratch.fill(0)
  derived.fill(0)
  return key
}

/** HMAC-SHA-256 (RFC 2104) under `key`, of at most a block, of what stands in `scratch` from its second block up to `end`. */
function hmac(key: Uint8Array, end: number, to: Buffer): void {
  pad(key, 0x36)
  // As Latin-1, and not as a Buffer: that is an allocation of its own outside the heap.
  const inner = hash('sha256', scratch.subarray(0, end), 'binary')
  pad(key, 0x5c)
  scratch.latin1Write(inner, BLOCK_BYTES, KEY_BYTES)
  to.latin1Write(hash('sha256', scratch.subarray(0, BLOCK_BYTES + KEY_BYTES), 'binary'), 0, KEY_BYTES)
}

function pad(key: Uint8Array, byte: number): void {
  scratch.fill(byte, 0, BLOCK_BYTES)
  for (let i = 0; i < key.length; i++) scratch[i] = key[i]! ^ byte
}
