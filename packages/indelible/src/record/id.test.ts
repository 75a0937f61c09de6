import { describe, expect, it } from 'vitest'
import { formatId, isId, newId } from './id.ts'

describe('an id', () => {
  it('is the UUIDv7 of RFC 9562 appendix A.6', () => {
    // 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, of 2022-02-22T14:22:22-05:00; the random bits as they stand in it.
    const random = Uint8Array.of(0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f)
    expect(formatId(1645557742000, random)).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
  })

  it('has one spelling', () => {
    expect(isId('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')).toBe(true)
    for (const other of [
      '017F22E2-79B0-7CC3-98C4-DC0C0C07398F',
      '017f22e279b07cc398c4dc0c0c07398f',
      '{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}',
      'urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
      '017f22e2-79b0-4cc3-98c4-dc0c0c07398f',
      '017f22e2-79b0-7cc3-c8c4-dc0c0c07398f',
      '00000000-0000-0000-0000-000000000000',
      '017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n',
      '017f22e2-79b0-7cc3-98c4-dc0c0c07398',
      '',
    ]) {
      expect(isId(other)).toBe(false)
    }
  })

  it('is fresh every time, and sorts by time', () => {
    const ids = Array.from({ length: 3000 }, (_, i) => newId(1_780_000_000_000 + i))
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.every(isId)).toBe(true)
    expect([...ids].sort()).toEqual(ids)
    expect(isId(newId(0))).toBe(true)
    expect(isId(newId(Date.UTC(9999, 11, 31)))).toBe(true)
  })

  it('draws all of its 74 random bits', () => {
    const ones = formatId(0, new Uint8Array(10).fill(255))
    const zeros = formatId(0, new Uint8Array(10))
    expect([ones, zeros]).toEqual(['00000000-0000-7fff-bfff-ffffffffffff', '00000000-0000-7000-8000-000000000000'])
  })
})
