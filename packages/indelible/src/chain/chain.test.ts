import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hmacSha256, macKey } from '#crypto'
import { fromHex, toHex } from '../bytes.ts'
import { entryMac, epochMacKey, GENESIS_MAC, macKeyId, Ratchet, ratchet, sealMac } from './chain.ts'
import { epochAt } from './epoch.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/chain.json', import.meta.url), 'utf8'))
const firstKey = fromHex(vectors.first_key)
const keyAt = (epoch: number, origin: string = vectors.origin) => {
  const at = new Ratchet(0, firstKey)
  at.advance(epoch)
  return at.macKey(origin)
}
/** A MAC key does not show itself: what it makes does. */
const fingerprint = (key: ReturnType<typeof macKey>) => toHex(hmacSha256(key, 'x'))

describe('the chain, as Python has it', () => {
  it('walks the ratchet', () => {
    const walk = new Ratchet(0, firstKey)
    for (const [epoch, key] of Object.entries<string>(vectors.ratchet)) {
      walk.advance(Number(epoch))
      expect(walk.epoch).toBe(Number(epoch))
      expect(toHex(walk.key)).toBe(key)
      if (Number(epoch) > 0) {
        const before = fromHex(vectors.ratchet[Number(epoch) - 1])
        expect(toHex(ratchet(before, Number(epoch)))).toBe(key)
      }
    }
    walk.advance(1000)
    expect(toHex(walk.key)).toBe(vectors.ratchet_1000)
  })

  it('derives mac keys and names K_0', () => {
    for (const { origin, epoch, key } of vectors.mac_keys) {
      expect(fingerprint(keyAt(epoch, origin))).toBe(fingerprint(macKey(fromHex(key))))
    }
    for (const { origin, id } of vectors.mac_ids) expect(toHex(macKeyId(firstKey, origin))).toBe(id)
  })

  it('chains entries', () => {
    let previous: Uint8Array = GENESIS_MAC
    for (const [index, { epoch, leaf, mac }] of vectors.chain.entries()) {
      previous = entryMac(keyAt(epoch), epoch, index, previous, fromHex(leaf))
      expect(toHex(previous)).toBe(mac)
    }
    const { key, epoch, index, leaf, mac, previous: before } = vectors.large
    const large = entryMac(macKey(fromHex(key)), Number(epoch), Number(index), fromHex(before), fromHex(leaf))
    expect(toHex(large)).toBe(mac)
  })

  it('seals epochs', () => {
    for (const { epoch, size, root, seal } of vectors.seals) {
      expect(toHex(sealMac(keyAt(epoch), epoch, size, fromHex(root)))).toBe(seal)
    }
  })
})

describe('a mac', () => {
  it('depends on everything that it covers', () => {
    const bytes = (n: number) => new Uint8Array(32).fill(n)
    const key = epochMacKey(bytes(1), 'a', 3)
    const macs = [
      entryMac(key, 3, 7, bytes(2), bytes(3)),
      entryMac(key, 4, 7, bytes(2), bytes(3)),
      entryMac(key, 3, 8, bytes(2), bytes(3)),
      entryMac(key, 3, 7, bytes(3), bytes(3)),
      entryMac(key, 3, 7, bytes(2), bytes(2)),
      entryMac(epochMacKey(bytes(1), 'b', 3), 3, 7, bytes(2), bytes(3)),
      entryMac(epochMacKey(bytes(1), 'a', 4), 3, 7, bytes(2), bytes(3)),
      entryMac(epochMacKey(bytes(2), 'a', 3), 3, 7, bytes(2), bytes(3)),
      sealMac(key, 3, 7, bytes(2)),
      sealMac(key, 3, 7, bytes(3)),
    ].map(toHex)
    expect(new Set(macs).size).toBe(macs.length)
  })

  it('is of no index or epoch that does not exist', () => {
    const hash = new Uint8Array(32)
    for (const odd of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => entryMac(macKey(hash), odd, 0, hash, hash)).toThrow(RangeError)
      expect(() => entryMac(macKey(hash), 0, odd, hash, hash)).toThrow(RangeError)
      expect(() => sealMac(macKey(hash), 0, odd, hash)).toThrow(RangeError)
    }
  })
})

describe('the ratchet', () => {
  it('goes forward only, and keeps nothing of what it passed', () => {
    const walk = new Ratchet(2, firstKey)
    const copy = walk.clone()
    walk.advance(5)
    expect(() => walk.advance(4)).toThrow(RangeError)
    walk.advance(5)
    expect(copy.epoch).toBe(2)
    expect(toHex(copy.key)).toBe(vectors.first_key)
    copy.advance(5)
    expect(toHex(copy.key)).toBe(toHex(walk.key))
  })

  it('copies the key that it is given and the key that it gives', () => {
    const mine = firstKey.slice()
    const walk = new Ratchet(0, mine)
    mine.fill(0)
    walk.key.fill(0)
    expect(toHex(walk.key)).toBe(vectors.first_key)
  })

  it('refuses a key of another length', () => {
    for (const length of [0, 31, 33]) {
      expect(() => new Ratchet(0, new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }))
    }
  })
})

describe('epochs', () => {
  const clock = { startMs: Date.UTC(2026, 0, 1), seconds: 60 }

  it('are spans of time, the start within and the end without', () => {
    expect(epochAt(clock, '2026-01-01T00:00:00.000Z')).toBe(0)
    expect(epochAt(clock, '2026-01-01T00:00:59.999Z')).toBe(0)
    expect(epochAt(clock, '2026-01-01T00:00:59.999999Z')).toBe(0)
    expect(epochAt(clock, '2026-01-01T00:01:00.000Z')).toBe(1)
    expect(epochAt(clock, '9999-12-31T23:59:59.999Z')).toBe((Date.UTC(10_000, 0, 1) - clock.startMs) / 60_000 - 1)
  })

  it('do not begin before the deployment, nor at no time', () => {
    for (const time of [
      '2025-12-31T23:59:59.999Z',
      '0000-01-01T00:00:00.000Z',
      'now',
      '',
      '2026-02-30T00:00:00.000Z',
    ]) {
      expect(() => epochAt(clock, time)).toThrow(expect.objectContaining({ code: 'ERR_ENTRY_INVALID' }))
    }
  })
})
