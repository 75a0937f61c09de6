/** Cryptography for browsers and other runtimes without `node:crypto`: the noble libraries. Same exports as `crypto-node.ts`. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { randomBytes as nobleRandomBytes } from '@noble/hashes/utils.js'
import type { MacKey } from './mac-key.ts'
import { toBase64Url } from './text-portable.ts'

const encoder = new TextEncoder()
const bytes = (data: Uint8Array | string) => (typeof data === 'string' ? encoder.encode(data) : data)

export function sha256(data: Uint8Array | string): Uint8Array {
  return nobleSha256(bytes(data))
}

export function sha256Base64Url(data: Uint8Array | string): string {
  return toBase64Url(sha256(data))
}

export type { MacKey } from './mac-key.ts'

export function macKey(raw: Uint8Array): MacKey {
  return { prepared: new Uint8Array(raw) }
}

export function hmacSha256(key: MacKey, data: Uint8Array | string): Uint8Array {
  return hmac(nobleSha256, key.prepared as Uint8Array, bytes(data))
}

export function hmacSha256Base64Url(key: MacKey, data: Uint8Array | string): string {
  return toBase64Url(hmacSha256(key, data))
}

export function hkdfSha256(ikm: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return hkdf(nobleSha256, ikm, new Uint8Array(0), info, length)
}

export function isEd25519Signature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    // zip215 off: RFC 8032 strictness, as OpenSSL has it.
    return ed25519.verify(signature, message, publicKey, { zip215: false })
  } catch {
    return false
  }
}

export function isEcdsaP256Signature(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  // A P-256 key in SPKI form is a fixed 26-byte header and the uncompressed point.
  if (spki.length !== 91 || !P256_SPKI_HEADER.every((byte, i) => spki[i] === byte)) return false
  try {
    return p256.verify(signature, message, spki.subarray(26), { format: 'der', lowS: false })
  } catch {
    return false
  }
}

export function randomBytes(length: number): Uint8Array {
  return nobleRandomBytes(length)
}

const P256_SPKI_HEADER = Uint8Array.of(
  ...[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
  ...[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00],
)
