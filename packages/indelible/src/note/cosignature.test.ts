import { createHash, createPrivateKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromBase64, fromHex, fromUtf8, u64be } from '../bytes.ts'
import { cosignatureMessage, formatCosignature, parseCosignature } from './cosignature.ts'
import { formatSignatureLine, openNote, parseNote, parseVkey, SIGNATURE_COSIGNATURE } from './signed-note.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/cosignature.json', import.meta.url), 'utf8'))

describe('cosignatures', () => {
  type Cosigned = { desc: string; seed_derivation: string; vkey: string; timestamp: string; checkpoint: string }
  it.each<Cosigned>(vectors.cosigned)('of Sunlight are verified, and made to the byte: $desc', (vector) => {
    const key = parseVkey(vector.vkey)
    const timestamp = Number(vector.timestamp)
    const opened = openNote(vector.checkpoint, [key])
    expect(opened.verified.map(({ signature }) => parseCosignature(signature).timestamp)).toEqual([timestamp])
    // Log signatures of type 0x05 stand beside some of them.
    expect(opened.unverified).toHaveLength(parseNote(vector.checkpoint).signatures.length - 1)

    const [, phrase = ''] = /"(.*)"/.exec(vector.seed_derivation) ?? []
    const seed = createHash('sha256').update(phrase).digest()
    const der = Buffer.concat([fromHex('302e020100300506032b657004220420'), seed])
    const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const signature = sign(null, cosignatureMessage(opened.text, timestamp), secret)
    const line = formatSignatureLine(key, formatCosignature({ timestamp, signature }))
    expect(vector.checkpoint.endsWith(`\n${line}`)).toBe(true)
  })

  it.each<{ vkey: string }>(vectors.vkeys)('have verifier keys of their own type: $vkey', ({ vkey }) => {
    expect(parseVkey(vkey).type).toBe(SIGNATURE_COSIGNATURE)
  })

  type Blob = { blob_base64: string; want: string }
  it.each<Blob>(vectors.timestamp_extract)('carry their time: $want', ({ blob_base64, want }) => {
    const signature = fromBase64(blob_base64).subarray(4)
    if (want !== 'reject') return expect(String(parseCosignature(signature).timestamp)).toBe(want)
    expect(() => parseCosignature(signature)).toThrow(expect.objectContaining({ code: 'ERR_NOTE_INVALID' }))
  })

  it('sign the whole text, extension lines included, under a header of their own', () => {
    expect(fromUtf8(cosignatureMessage('log\n0\nroot\nmore\n', 1679315147))).toBe(
      'cosignature/v1\ntime 1679315147\nlog\n0\nroot\nmore\n',
    )
  })

  it('are 72 bytes', () => {
    expect(parseCosignature(new Uint8Array(72)).timestamp).toBe(0)
    for (const length of [0, 8, 64, 71, 73]) {
      const parse = () => parseCosignature(new Uint8Array(length))
      expect(parse).toThrow(expect.objectContaining({ code: 'ERR_NOTE_INVALID' }))
    }
  })

  it('are refused with a time beyond 2^53-1, which no number holds', () => {
    const at = (high: string) => concat(fromHex(high), new Uint8Array(64))
    expect(parseCosignature(at('001fffffffffffff')).timestamp).toBe(Number.MAX_SAFE_INTEGER)
    for (const high of ['0020000000000000', '0020000000000001', '8000000000000000', 'ffffffffffffffff']) {
      expect(() => parseCosignature(at(high))).toThrow(expect.objectContaining({ code: 'ERR_NOTE_INVALID' }))
    }
    for (const timestamp of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => cosignatureMessage('a\n', timestamp)).toThrow(RangeError)
      expect(() => formatCosignature({ timestamp, signature: new Uint8Array(64) })).toThrow(RangeError)
    }
    expect(() => formatCosignature({ timestamp: 0, signature: new Uint8Array(63) })).toThrow(RangeError)
  })

  it('round-trip', () => {
    const signature = fc.uint8Array({ minLength: 64, maxLength: 64 })
    fc.assert(
      fc.property(fc.maxSafeNat(), signature, (timestamp, signature) => {
        const blob = formatCosignature({ timestamp, signature })
        expect(blob.subarray(0, 8)).toEqual(u64be(timestamp))
        expect(parseCosignature(blob)).toEqual({ timestamp, signature })
      }),
    )
  })
})
