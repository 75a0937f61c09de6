import { describe, expect, it } from 'vitest'
import * as checks from './checksums.ts'

/** Published examples, or numbers that the issuing body gives for tests. */
const VALID: readonly (readonly [name: keyof typeof checks, ...values: string[]])[] = [
  ['luhn', '4111111111111111', '378282246310005', '587428561654', '490154203237518'],
  ['iban', 'GB82WEST12345698765432', 'DE89370400440532013000', 'NO9386011117947', 'MT84MALT011000012345MTLCAST001S'],
  ['aadhaar', '234123412346'],
  ['cpf', '52998224725'],
  ['cnpj', '11222333000181', '12ABC34501DE35'],
  ['nhs', '9434765919'],
  ['sin', '046454286'],
  ['tfn', '123456782'],
  ['abn', '51824753556'],
  ['medicare', '2123456701'],
  ['nric', 'S1234567D'],
  ['npi', '1234567893'],
  ['dea', 'BB1388568'],
  ['aba', '011000015'],
  ['ssn', '536904399'],
  ['itin', '912701234'],
  ['ein', '123456789'],
  ['steuerId', '36574261809'],
  ['nir', '255081416802538'],
  ['dni', '12345678Z', 'X1234567L'],
  ['codiceFiscale', 'RSSMRA85T10A562S'],
  ['bsn', '111222333'],
  ['pesel', '44051401359'],
  ['personnummer', '8112189876'],
  ['hetu', '131052308T'],
  ['rijksregister', '85073003328'],
  ['nif', '123456789'],
  ['pps', '1234567T', '1234567FA'],
  ['vin', '1M8GDM9AXKP042788'],
]

const CHECKS = new Map(Object.entries(checks) as [string, (text: string) => boolean][])
/** They have ranges and no checksum. */
const RANGES = new Set(['ssn', 'itin', 'ein'])

describe.each(VALID)('%s', (name, ...values) => {
  const check = CHECKS.get(name)!

  it('accepts what has been given', () => {
    expect(values.filter((value) => !check(value))).toEqual([])
  })

  if (RANGES.has(name)) return
  it('refuses most of what differs in one digit', () => {
    for (const value of values) {
      const others = [...value].flatMap((character, i) =>
        /[0-9]/.test(character)
          ? [...'0123456789'].filter((d) => d !== character).map((d) => value.slice(0, i) + d + value.slice(i + 1))
          : [],
      )
      const passed = others.filter((other) => check(other)).length
      expect(passed / others.length, `${passed} of ${others.length}`).toBeLessThan(0.13)
    }
  })
})

describe('ranges', () => {
  it('leave out what is never given', () => {
    for (const number of ['000121234', '666121234', '900121234', '536001234', '536120000', '111111111']) {
      expect(checks.ssn(number), number).toBe(false)
    }
    for (const number of ['912661234', '912891234', '812701234']) expect(checks.itin(number), number).toBe(false)
    expect(checks.ein('073456789')).toBe(false)
  })
})
