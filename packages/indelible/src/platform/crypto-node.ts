/**
 * Cryptography for Node: OpenSSL through `node:crypto`, so that a FIPS provider, where one is configured, serves it all.
 * `crypto-portable.ts` has the same exports for browsers; the condition `#crypto` in package.json picks one.
 */
import {
  createHmac,
  createPublicKey,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomFillSync,
  verify,
} from 'node:crypto'
import type { MacKey } from './mac-key.ts'

/** SHA-256 of bytes, or of the UTF-8 form of a string. */
export function sha256(data: Uint8Array | string): Uint8Array {
  return hash('sha256', data, 'buffer')
}

export type { MacKey } from './mac-key.ts'

/** Prepares `raw` as an HMAC key. The caller may wipe `raw` afterwards. */
export function macKey(raw: Uint8Array): MacKey {
  // A KeyObject, not the raw bytes: Node 24 is six times slower with the latter.
  return { prepared: createSecretKey(raw) }
}

/** HMAC-SHA-256 (RFC 2104) of bytes, or of the UTF-8 form of a string. */
export function hmacSha256(key: MacKey, data: Uint8Array | string): Uint8Array {
  return createHmac('sha256', key.prepared as KeyObject)
    .update(data)
    .digest()
}

/** HKDF-SHA-256 (RFC 5869) with an empty salt. */
export function hkdfSha256(ikm: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), info, length))
}

/** Whether `signature` (64 bytes, RFC 8032) is `publicKey`'s (32 bytes) over `message`. Malformed input is `false`. */
export function isEd25519Signature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const der = new Uint8Array(ED25519_SPKI_PREFIX.length + 32)
  der.set(ED25519_SPKI_PREFIX)
  der.set(publicKey, ED25519_SPKI_PREFIX.length)
  return isSignature(der, null, message, signature)
}

/** Whether `signature` (ASN.1 DER) is that of the P-256 key `spki` (DER) over SHA-256 of `message`. Malformed input is `false`. */
export function isEcdsaP256Signature(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return isP256Spki(spki) && isSignature(spki, 'sha256', message, signature)
}

/** Fills and returns a new array of `length` random bytes. */
export function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length))
}

const ED25519_SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

function isSignature(spki: Uint8Array, digest: string | null, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' })
    return verify(digest, message, key, signature)
  } catch {
    return false // not a point on the curve, not DER: no signature of that key
  }
}

function isP256Spki(spki: Uint8Array): boolean {
  return spki.length === 91 && P256_SPKI_PREFIX.every((byte, i) => spki[i] === byte)
}

const P256_SPKI_PREFIX = Uint8Array.of(
  ...[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
  ...[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00],
)
