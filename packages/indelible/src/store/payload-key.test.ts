import { createSecretKey, hkdfSync, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { payloadKey } from './payload-key.ts'

/** What docs/format.md says, by OpenSSL. */
function expected(material: readonly Uint8Array[], salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', createSecretKey(Buffer.concat(material)), salt, 'indelible/sealed@1', 32))
}

describe('the key of a payload', () => {
  it('is HKDF-SHA-256 of the keys one after the other, however many they are', () => {
    for (const count of [1, 2, 3, 29, 30, 31, 40]) {
      const material = Array.from({ length: count }, () => randomBytes(32))
      const nonce = randomBytes(12)
      expect(payloadKey(material, nonce).export()).toEqual(expected(material, nonce))
    }
  })

  it('is HKDF-SHA-256 for a salt of any length', () => {
    const material = [randomBytes(32)]
    for (const length of [0, 1, 63, 64, 65, 200]) {
      const nonce = randomBytes(length)
      expect(payloadKey(material, nonce).export()).toEqual(expected(material, nonce))
    }
  })

  it('leaves the keys that it is made of as they are', () => {
    const key = randomBytes(32)
    const copy = Buffer.from(key)
    const first = payloadKey([key], Buffer.alloc(12, 1)).export()
    payloadKey([randomBytes(32)], Buffer.alloc(12, 2))
    expect(key).toEqual(copy)
    expect(payloadKey([key], Buffer.alloc(12, 1)).export()).toEqual(first)
  })
})
