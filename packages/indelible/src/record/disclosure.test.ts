import { describe, expect, it } from 'vitest'
import { sha256 } from '#crypto'
import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { checkCommitment, checkDisclosure, commitTo, disclose, newSalt, parseDisclosure } from './disclosure.ts'

const ID = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
const SALT = 'A'.repeat(43)
const part = {
  origin: 'example.com/log',
  id: ID,
  name: 'output',
  salt: SALT,
  value: '{"a":[1,"x"]}',
  meta: '{"bytes":13}',
}
const refused = expect.objectContaining({ code: 'ERR_DISCLOSURE_INVALID' })
const { disclosure, commit } = disclose(part)
const expected = { commit, origin: part.origin, id: ID, name: part.name }

describe('a disclosure', () => {
  it('is the canonical text that docs/format.md shows, and its commitment the hash of that', () => {
    const text = `["indelible/part@1","example.com/log","${ID}","output","${SALT}",{"a":[1,"x"]},{"bytes":13}]`
    expect(disclosure).toBe(text)
    expect(commit).toBe(toBase64Url(sha256(text)))
    expect(checkDisclosure(disclosure, expected)).toEqual({
      origin: 'example.com/log',
      id: ID,
      name: 'output',
      salt: SALT,
      value: { a: [1, 'x'] },
      meta: { bytes: 13 },
    })
    expect(() => checkCommitment(disclosure, expected)).not.toThrow()
  })

  it('quotes an origin that needs it', () => {
    const odd = disclose({ ...part, origin: 'ex"ample\u2028/\\log' })
    const parsed = checkDisclosure(odd.disclosure, { ...expected, commit: odd.commit, origin: 'ex"ample\u2028/\\log' })
    expect(parsed.origin).toBe('ex"ample\u2028/\\log')
  })

  it('has a fresh salt of 256 bits every time', () => {
    const salts = Array.from({ length: 500 }, () => newSalt())
    expect(new Set(salts).size).toBe(500)
    expect(salts.every((salt) => fromBase64Url(salt).length === 32)).toBe(true)
    const { salt: _, ...unsalted } = part
    const [one, two] = [disclose(unsalted), disclose(unsalted)]
    expect(one.commit).not.toBe(two.commit)
    // Bits are bits: none is always the same.
    const sums = new Array<number>(256).fill(0)
    for (const salt of salts) {
      for (const [at, byte] of fromBase64Url(salt).entries()) {
        for (let bit = 0; bit < 8; bit++) sums[8 * at + bit]! += (byte >> bit) & 1
      }
    }
    expect(Math.min(...sums)).toBeGreaterThan(170)
    expect(Math.max(...sums)).toBeLessThan(330)
  })

  it('is refused after a change of any one character', () => {
    for (let at = 0; at < disclosure.length; at++) {
      const changed = `${disclosure.slice(0, at)}${disclosure[at] === 'x' ? 'y' : 'x'}${disclosure.slice(at + 1)}`
      expect(() => checkDisclosure(changed, expected)).toThrow(refused)
      expect(() => checkCommitment(changed, expected)).toThrow(refused)
    }
  })

  it('of another log, entry or part is refused although its hash is the one committed to', () => {
    for (const other of [
      { origin: 'example.com/lo' },
      { id: ID.replace('8f', '90') },
      { name: 'outpu' },
      { name: 'input' },
    ]) {
      const transplant = { ...expected, ...other }
      expect(() => checkDisclosure(disclosure, transplant)).toThrow(refused)
      expect(() => checkCommitment(disclosure, transplant)).toThrow(refused)
    }
  })

  it('has one text: a lone surrogate does not stand in for what it is hashed as', () => {
    const replaced = disclose({ ...part, value: '"\ufffd"' })
    const forged = replaced.disclosure.replace('\ufffd', '\ud800')
    expect(commitTo(forged)).toBe(replaced.commit)
    expect(() => checkCommitment(forged, { ...expected, commit: replaced.commit })).toThrow(refused)
    expect(() => checkDisclosure(forged, { ...expected, commit: replaced.commit })).toThrow(refused)
  })

  it('is no other array, and nothing that is not canonical', () => {
    const text = (member: number, value: unknown) =>
      JSON.stringify((JSON.parse(disclosure) as unknown[]).with(member, value))
    const broken = [
      '',
      'null',
      '{}',
      '[]',
      disclosure.replace('[', '[ '),
      disclosure.replace('"a"', '"\\u0061"'),
      disclosure.replace('{"a":', '{"a":1,"a":'),
      `${disclosure}\n`,
      JSON.stringify((JSON.parse(disclosure) as unknown[]).slice(0, 6)),
      JSON.stringify([...(JSON.parse(disclosure) as unknown[]), 1]),
      text(0, 'indelible/part@2'),
      text(1, 5),
      text(2, null),
      text(3, []),
      text(4, 7),
      text(4, 'A'.repeat(42)),
      text(4, `${'A'.repeat(42)}=`),
      text(4, ''),
      text(6, null),
      text(6, []),
      text(6, 'x'),
    ]
    for (const one of broken) {
      expect(() => parseDisclosure(one)).toThrow(refused)
      expect(() => checkDisclosure(one, { ...expected, commit: commitTo(one) })).toThrow(refused)
    }
  })
})
