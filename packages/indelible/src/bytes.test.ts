import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, fromBase64Url, fromHex, fromUtf8, toBase64, toBase64Url, toHex, u64be } from './bytes.ts'

describe('bytes', () => {
  it('agrees with Buffer on every text form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const buffer = Buffer.from(bytes)
        expect(toHex(bytes)).toBe(buffer.toString('hex'))
        expect(toBase64(bytes)).toBe(buffer.toString('base64'))
        expect(toBase64Url(bytes)).toBe(buffer.toString('base64url'))
        expect(fromHex(toHex(bytes))).toEqual(bytes)
        expect(fromBase64(toBase64(bytes))).toEqual(bytes)
        expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes)
      }),
    )
  })

  it.each(['A', 'AA', 'AA=', 'AB==', 'AAA', 'AAB=', 'AA==\n', ' AA==', 'A-==', 'AA==AA==', '===='])(
    'refuses the base64 %j',
    (text) => expect(() => fromBase64(text)).toThrow(RangeError),
  )

  it.each(['A', 'AB', 'AAB', 'AA==', 'A+', 'é'])('refuses the base64url %j', (text) =>
    expect(() => fromBase64Url(text)).toThrow(RangeError),
  )

  it('writes 64-bit integers beyond 32 bits', () => {
    expect(toHex(u64be(2 ** 33))).toBe('0000000200000000')
    expect(toHex(u64be(Number.MAX_SAFE_INTEGER))).toBe('001fffffffffffff')
    for (const bad of [-1, 0.5, 2 ** 53, Number.NaN]) expect(() => u64be(bad)).toThrow(RangeError)
  })

  it('keeps a byte order mark, and refuses broken UTF-8', () => {
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))).toBe('\u{feff}A')
    expect(() => fromUtf8(Uint8Array.of(0xff))).toThrow(TypeError)
  })
})
