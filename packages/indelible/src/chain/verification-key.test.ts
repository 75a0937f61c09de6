import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../bytes.ts'
import { formatMacVerificationKey, parseMacVerificationKey } from './verification-key.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/chain.json', import.meta.url), 'utf8'))
const { text, start_ms: startMs, seconds } = vectors.verification_key
const refused = expect.objectContaining({ code: 'ERR_KEY_INVALID' })

describe('a verification key', () => {
  it('is a line of text and back, as Python has it', () => {
    const key = { origin: vectors.origin, clock: { startMs, seconds }, key: fromHex(vectors.first_key) }
    expect(formatMacVerificationKey(key)).toBe(text)
    const parsed = parseMacVerificationKey(text)
    expect({ ...parsed, key: toHex(parsed.key) }).toEqual({ ...key, key: vectors.first_key })
    expect(parseMacVerificationKey(` ${text}\n`)).toEqual(parsed)
  })

  it('goes back and forth for any origin and clock', () => {
    for (const origin of ['a', 'übung.example/日志', 'x'.repeat(255), 'a/b?c=d&e', '"quoted"']) {
      for (const clock of [
        { startMs: 0, seconds: 1 },
        { startMs: Date.UTC(9999, 11, 31), seconds: 999_999_999_999 },
      ]) {
        const key = { origin, clock, key: new Uint8Array(32).fill(200) }
        expect(parseMacVerificationKey(formatMacVerificationKey(key))).toEqual(key)
      }
    }
  })

  it('is refused or another one after a change of any one character', () => {
    const characters = ['A', 'a', '0', '9', '+', '=', '/', ' ', '\n', 'é', '-']
    const original = parseMacVerificationKey(text)
    for (let at = 0; at < text.length; at++) {
      const others = characters.filter((character) => character !== text[at])
      for (const change of [...others, '']) {
        const changed = `${text.slice(0, at)}${change}${text.slice(at + 1)}`
        try {
          const parsed = parseMacVerificationKey(changed)
          // Only the clock is not covered by the key's id: what it says shows as other epochs than the log states.
          expect(parsed.origin).toBe(original.origin)
          expect(parsed.key).toEqual(original.key)
          expect(parsed.clock).not.toEqual(original.clock)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_KEY_INVALID' })
        }
      }
      const spaced = `${text.slice(0, at + 1)}\u00a0${text.slice(at + 1)}`
      if (at + 1 < text.length) expect(() => parseMacVerificationKey(spaced)).toThrow(refused)
    }
  })

  it('has one spelling', () => {
    for (const other of [
      text.replace('.000Z', '.000000Z'),
      text.replace('3600', '03600'),
      text.replace('3600', '3600.0'),
      text.replace('Z', 'z'),
      text.replace('INDELIBLE', 'indelible'),
      text.replace(/=$/, ''),
      `${text}=`,
    ]) {
      expect(() => parseMacVerificationKey(other)).toThrow(refused)
    }
  })

  it('never shows itself in an error', () => {
    const secret = text.split('+').at(-1)!.slice(0, 20)
    for (const broken of [text.slice(1), text.replace('log', 'lag'), `${text}x`, text.replace('2026', '2O26')]) {
      try {
        parseMacVerificationKey(broken)
        expect.unreachable()
      } catch (error) {
        expect(String(error)).not.toContain(secret)
        expect((error as Error).cause).toBeUndefined()
      }
    }
  })
})
