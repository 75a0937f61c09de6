import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, toBase64, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { openCheckpoint } from './checkpoint.ts'
import { parseVkey } from './signed-note.ts'
import { formatTlogProof, parseTlogProof } from './tlog-proof.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/tlog-proof.json', import.meta.url), 'utf8'))
const HASH = toBase64(new Uint8Array(32).fill(9))
const HEADER = 'c2sp.org/tlog-proof@v1'

const codeOf = (run: () => unknown) => {
  try {
    return `returned ${JSON.stringify(run())}`
  } catch (error) {
    return error instanceof IndelibleError ? error.code : String(error)
  }
}

describe('proof files', () => {
  type Marshal = { index: number; hashes: string[]; extra_utf8?: string; checkpoint: string; want: string }
  it.each<Marshal>(vectors.marshal)('are those of transparency-dev/formats: index $index', (vector) => {
    const { index, hashes, extra_utf8, checkpoint, want } = vector
    const proof = { index, proof: hashes.map(fromBase64), checkpoint }
    const whole = extra_utf8 === undefined ? proof : { ...proof, extra: utf8(extra_utf8) }
    expect(formatTlogProof(whole)).toBe(want)
    expect(parseTlogProof(want)).toEqual(whole)
  })

  it.each<{ desc: string; proof: string }>(vectors.unmarshal_reject)('are refused: $desc', ({ proof }) => {
    expect(codeOf(() => parseTlogProof(proof))).toBe('ERR_PROOF_INVALID')
  })

  const { bundles, vkey } = vectors.complete_bundles
  it.each<{ index: number; size: number; proof: string }>(bundles)(
    'carry a checkpoint that verifies: index $index of $size',
    ({ index, size, proof }) => {
      const parsed = parseTlogProof(proof)
      expect(parsed.index).toBe(index)
      const options = { origin: 'example.com/log/testdata', keys: [parseVkey(vkey)] }
      expect(openCheckpoint(parsed.checkpoint, options).checkpoint.size).toBe(size)
      expect(formatTlogProof(parsed)).toBe(proof)
      expect(codeOf(() => openCheckpoint(parseTlogProof(`${proof}x`).checkpoint, options))).toBe('ERR_NOTE_INVALID')
    },
  )

  it.each([
    ['nothing', ''],
    ['no checkpoint', `${HEADER}\nindex 0\n\n`],
    ['no empty line', `${HEADER}\nindex 0\ncheckpoint\n`],
    ['CRLF', `${HEADER}\r\nindex 0\r\n\r\ncheckpoint\n`],
    ['a byte order mark', `\ufeff${HEADER}\nindex 0\n\ncheckpoint\n`],
    ['another version', `c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint\n`],
    ['an empty extra', `${HEADER}\nextra \nindex 0\n\ncheckpoint\n`],
    ['two extras', `${HEADER}\nextra aGludA==\nextra aGludA==\nindex 0\n\ncheckpoint\n`],
    ['extra after index', `${HEADER}\nindex 0\nextra aGludA==\n\ncheckpoint\n`],
    ['an unpadded extra', `${HEADER}\nextra aGludA\nindex 0\n\ncheckpoint\n`],
    ['a hexadecimal index', `${HEADER}\nindex 0x10\n\ncheckpoint\n`],
    ['a signed index', `${HEADER}\nindex +1\n\ncheckpoint\n`],
    ['a space after the index', `${HEADER}\nindex 10 \n\ncheckpoint\n`],
    ['two spaces before the index', `${HEADER}\nindex  10\n\ncheckpoint\n`],
    ['an index of 2^53', `${HEADER}\nindex 9007199254740992\n\ncheckpoint\n`],
    ['an unpadded hash', `${HEADER}\nindex 0\n${HASH.slice(0, -1)}\n\ncheckpoint\n`],
    ['a non-canonical hash', `${HEADER}\nindex 0\n${HASH.replace(/.=$/, 'l=')}\n\ncheckpoint\n`],
    ['64 hashes', `${HEADER}\nindex 0\n${`${HASH}\n`.repeat(64)}\ncheckpoint\n`],
    ['50,000 hashes', `${HEADER}\nindex 0\n${`${HASH}\n`.repeat(50_000)}\ncheckpoint\n`],
    ['3 MiB', `${HEADER}\nindex 0\n\n${'a'.repeat(3 * 2 ** 20)}\n`],
  ])('are refused with: %s', (_, text) => {
    expect(codeOf(() => parseTlogProof(text))).toBe('ERR_PROOF_INVALID')
  })

  it('take 63 hashes, and are not written with more, or with what is no index or hash', () => {
    const proof = Array<Uint8Array>(63).fill(new Uint8Array(32))
    const checkpoint = 'checkpoint\n'
    expect(parseTlogProof(formatTlogProof({ index: 1, proof, checkpoint })).proof).toHaveLength(63)
    const extra = new Uint8Array(1)
    expect(parseTlogProof(formatTlogProof({ index: 1, proof, checkpoint, extra }))).toEqual({
      index: 1,
      proof,
      checkpoint,
      extra,
    })
    for (const bad of [
      { index: 1, proof: [...proof, new Uint8Array(32)], checkpoint },
      { index: -1, proof, checkpoint },
      { index: 0.5, proof, checkpoint },
      { index: 2 ** 53, proof, checkpoint },
      { index: 1, proof: [new Uint8Array(31)], checkpoint },
      { index: 1, proof: [new Uint8Array(33)], checkpoint },
      { index: 1, proof, checkpoint: '' },
    ]) {
      expect(codeOf(() => formatTlogProof(bad))).toBe('ERR_PROOF_INVALID')
    }
  })

  it('round-trip, whatever the checkpoint holds', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const extra = fc.uint8Array({ minLength: 1, maxLength: 40 })
    const whole = fc.record({
      index: fc.maxSafeNat(),
      proof: fc.array(hash, { maxLength: 5 }),
      checkpoint: fc.string({ minLength: 1 }).map((text) => `${text}\n\n${text}`),
    })
    fc.assert(
      fc.property(whole, extra, (proof, extra) => {
        expect(parseTlogProof(formatTlogProof(proof))).toEqual(proof)
        expect(parseTlogProof(formatTlogProof({ ...proof, extra }))).toEqual({ ...proof, extra })
      }),
    )
  })
})
