import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatTime, isTime, normalizeTime, parseTime } from './time.ts'

describe('a time in an entry', () => {
  it('is UTC with three or six digits, and an instant of the calendar', () => {
    for (const time of [
      '2026-06-01T09:00:00.000Z',
      '2026-06-01T09:00:00.123456Z',
      '2024-02-29T23:59:59.999Z',
      '2000-02-29T00:00:00.000Z',
      '0000-01-01T00:00:00.000Z',
      '0099-12-31T00:00:00.000Z',
      '9999-12-31T23:59:59.999999Z',
    ]) {
      expect(isTime(time)).toBe(true)
      expect(parseTime(time)).toBe(Date.parse(`${time.slice(0, 23)}Z`))
    }
  })

  it('is nothing else', () => {
    for (const time of [
      '',
      'now',
      '2026-06-01',
      '2026-06-01T09:00:00Z',
      '2026-06-01T09:00:00.0Z',
      '2026-06-01T09:00:00.0000Z',
      '2026-06-01T09:00:00.0000000Z',
      '2026-06-01T09:00:00.000+00:00',
      '2026-06-01t09:00:00.000Z',
      '2026-06-01T09:00:00.000z',
      ' 2026-06-01T09:00:00.000Z',
      '2026-06-01T09:00:00.000Z\n',
      '+002026-06-01T09:00:00.000Z',
      '-2026-06-01T09:00:00.000Z',
      '2026-13-01T00:00:00.000Z',
      '2026-00-01T00:00:00.000Z',
      '2026-06-00T00:00:00.000Z',
      '2026-06-31T00:00:00.000Z',
      '2026-02-29T00:00:00.000Z',
      '2100-02-29T00:00:00.000Z',
      '2026-06-01T24:00:00.000Z',
      '2026-06-01T23:60:00.000Z',
      '2016-12-31T23:59:60.000Z',
      '２０２６-06-01T09:00:00.000Z',
    ]) {
      expect(isTime(time)).toBe(false)
      expect(() => parseTime(time)).toThrow(expect.objectContaining({ code: 'ERR_ENTRY_INVALID' }))
    }
  })

  it('comes out of any instant of four-digit years', () => {
    const instant = fc.date({ min: new Date('0000-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z') })
    fc.assert(
      fc.property(
        instant.filter((date) => !Number.isNaN(date.getTime())),
        (date) => {
          expect(parseTime(formatTime(date.getTime()))).toBe(date.getTime())
        },
      ),
    )
  })
})

describe('normalizeTime', () => {
  it('takes any RFC 3339 time', () => {
    const times: [string, string | null][] = [
      ['2026-06-01T09:00:00Z', '2026-06-01T09:00:00.000Z'],
      ['2026-06-01t09:00:00z', '2026-06-01T09:00:00.000Z'],
      ['2026-06-01 09:00:00Z', '2026-06-01T09:00:00.000Z'],
      ['2026-06-01T09:00:00.5Z', '2026-06-01T09:00:00.500Z'],
      ['2026-06-01T09:00:00.1234Z', '2026-06-01T09:00:00.123400Z'],
      ['2026-06-01T09:00:00.123456789Z', '2026-06-01T09:00:00.123456Z'],
      ['2026-06-01T09:00:00.123456Z', '2026-06-01T09:00:00.123456Z'],
      ['2026-06-01T00:30:00+01:00', '2026-05-31T23:30:00.000Z'],
      ['2026-12-31T23:30:00-00:45', '2027-01-01T00:15:00.000Z'],
      ['2026-06-01T09:00:00-00:00', '2026-06-01T09:00:00.000Z'],
      ['2026-06-01T09:00:00+23:59', '2026-05-31T09:01:00.000Z'],
      ['2026-06-01T09:00:00', null],
      ['2026-06-01T09:00Z', null],
      ['2026-02-29T09:00:00Z', null],
      ['2026-02-29T09:00:00+05:00', null],
      ['2016-12-31T23:59:60Z', null],
      ['2026-06-01T24:00:00Z', null],
      ['2026-06-01T09:00:00+24:00', null],
      ['2026-06-01T09:00:00+01:60', null],
      ['2026-06-01T09:00:00+0100', null],
      ['0000-01-01T00:30:00+01:00', null],
      ['9999-12-31T23:30:00-01:00', null],
      ['Mon, 01 Jun 2026 09:00:00 GMT', null],
      ['1780304400', null],
      ['', null],
    ]
    for (const [source, expected] of times) expect([source, normalizeTime(source)]).toEqual([source, expected])
  })

  it('gives what an entry can hold, or nothing', () => {
    const digits = (length: number) => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`))
    const zone = fc.oneof(
      fc.constantFrom('Z', 'z'),
      fc.tuple(fc.constantFrom('+', '-'), digits(2), digits(2)).map(([sign, h, m]) => `${sign}${h}:${m}`),
    )
    const time = fc
      .tuple(digits(4), digits(2), digits(2), digits(2), digits(2), digits(2), zone)
      .map(([y, m, d, h, i, s, z]) => `${y}-${m}-${d}T${h}:${i}:${s}.25${z}`)
    fc.assert(
      fc.property(fc.oneof(time, fc.string()), (source) => {
        const normal = normalizeTime(source)
        if (normal !== null) expect(isTime(normal)).toBe(true)
        if (normal !== null) expect(normalizeTime(normal)).toBe(normal)
      }),
      { numRuns: 1000 },
    )
  })
})
