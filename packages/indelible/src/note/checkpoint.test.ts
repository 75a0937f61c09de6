import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromBase64, fromHex, fromUtf8, toBase64, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { type Checkpoint, formatCheckpoint, openCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { cosignatureMessage, formatCosignature } from './cosignature.ts'
import {
  formatSignatureLine,
  openNote,
  parseNote,
  parseVkey,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  type SyncNoteSigner,
  signNoteSync,
  verifierKey,
} from './signed-note.ts'
import { parseSkey } from './skey.ts'

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../../../vectors/${name}`, import.meta.url), 'utf8'))
const vectors = read('checkpoint.json')
const tessera = read('tlog-testlog-tessera.json')
const cosigned = read('cosignature.json').cosigned
const ROOT = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='

function signer(name: string, seed: Uint8Array): SyncNoteSigner {
  const der = Buffer.from(concat(fromHex('302e020100300506032b657004220420'), seed))
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(secret).export({ format: 'der', type: 'spki' }).subarray(-32)
  return {
    key: verifierKey({ name, type: SIGNATURE_ED25519, publicKey }),
    sign: (message) => sign(null, message, secret),
  }
}

const codeOf = (run: () => unknown) => {
  try {
    return `returned ${JSON.stringify(run())}`
  } catch (error) {
    return error instanceof IndelibleError ? error.code : String(error)
  }
}

describe('the text of a checkpoint', () => {
  type ParseCase = { desc: string; text: string; want: string; size?: string; ext?: string[] }
  it.each<ParseCase>(vectors.parse)('is read as C2SP has it: $desc', ({ text, want, size, ext }) => {
    if (want !== 'ok') return expect(codeOf(() => parseCheckpoint(text))).toBe('ERR_CHECKPOINT_INVALID')
    const checkpoint = parseCheckpoint(text)
    expect(String(checkpoint.size)).toBe(size)
    expect(checkpoint.extensions).toEqual(ext)
    expect(formatCheckpoint(checkpoint)).toBe(text)
  })

  it.each([
    '0x10',
    '+1',
    '-1',
    ' 10',
    '10 ',
    '01',
    '00',
    '',
    '1e3',
    '1.0',
    '1_0',
    '１',
    '٣',
    '10\u00a0',
    '9007199254740992',
  ])('has no size %j', (size) =>
    expect(codeOf(() => parseCheckpoint(`log\n${size}\n${ROOT}\n`))).toBe('ERR_CHECKPOINT_INVALID'),
  )

  it.each([
    ['nothing', ''],
    ['two lines', 'log\n1\n'],
    ['no final newline', `log\n1\n${ROOT}`],
    ['CRLF', `log\r\n1\r\n${ROOT}\r\n`],
    ['a NUL in the origin', `l\0g\n1\n${ROOT}\n`],
    ['an empty line after the root', `log\n1\n${ROOT}\n\n`],
    ['an empty extension line', `log\n1\n${ROOT}\na\n\nb\n`],
    ['an unpadded root', `log\n1\n${ROOT.slice(0, -1)}\n`],
    ['a non-canonical root', `log\n1\n${ROOT.replace('U=', 'V=')}\n`],
    ['a URL-safe root', `log\n1\n${ROOT.replace('+', '-')}\n`],
    ['a root of 31 bytes', `log\n1\n${toBase64(new Uint8Array(31))}\n`],
    ['a root of 33 bytes', `log\n1\n${toBase64(new Uint8Array(33))}\n`],
    ['a space after the root', `log\n1\n${ROOT} \n`],
    ['size 0 with another root', `log\n0\n${toBase64(new Uint8Array(32))}\n`],
    ['a lone surrogate', `l\ud800g\n1\n${ROOT}\n`],
    ['two mebibytes', `log\n1\n${ROOT}\n${'a\n'.repeat(2 ** 20)}`],
  ])('is refused with: %s', (_, text) => {
    expect(codeOf(() => parseCheckpoint(text))).toBe('ERR_CHECKPOINT_INVALID')
  })

  it('is not written where it could not be read', () => {
    const root = fromBase64(ROOT)
    const bad: Checkpoint[] = [
      { origin: '', size: 1, root },
      { origin: 'log\n1', size: 1, root },
      { origin: 'log', size: -1, root },
      { origin: 'log', size: 0.5, root },
      { origin: 'log', size: 2 ** 53, root },
      { origin: 'log', size: 1e21, root },
      { origin: 'log', size: Number.NaN, root },
      { origin: 'log', size: 0, root: new Uint8Array(32) },
      { origin: 'log', size: 1, root: new Uint8Array(31) },
      { origin: 'log', size: 1, root, extensions: [''] },
      { origin: 'log', size: 1, root, extensions: ['a\nb'] },
    ]
    for (const checkpoint of bad) expect(codeOf(() => formatCheckpoint(checkpoint))).toBe('ERR_CHECKPOINT_INVALID')
    expect(formatCheckpoint({ origin: 'log', size: Number.MAX_SAFE_INTEGER, root })).toContain('\n9007199254740991\n')
  })

  it('round-trips', () => {
    const line = fc.stringMatching(/^[^\x00-\x1f]{1,12}$/u)
    const root = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const size = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
    fc.assert(
      fc.property(
        line,
        size,
        root,
        fc.array(line, { minLength: 1, maxLength: 3 }),
        (origin, size, root, extensions) => {
          expect(parseCheckpoint(formatCheckpoint({ origin, size, root }))).toEqual({ origin, size, root })
          const extended = { origin, size, root, extensions }
          expect(parseCheckpoint(formatCheckpoint(extended))).toEqual(extended)
        },
      ),
    )
  })
})

describe('a signed checkpoint', () => {
  const { name, secret } = parseSkey(tessera.skey)
  const log = signer(name, secret)
  const trust = { origin: tessera.origin, keys: [log.key] }

  it.each<{ size: number; checkpoint: string }>(tessera.checkpoints)(
    'of the Tessera test log verifies, and is made to the byte: size $size',
    ({ size, checkpoint }) => {
      const opened = openCheckpoint(checkpoint, { origin: tessera.origin, keys: [parseVkey(tessera.vkey)] })
      expect(opened.checkpoint.size).toBe(size)
      expect(signNoteSync(formatCheckpoint(opened.checkpoint), [log])).toBe(checkpoint)
    },
  )

  it('of the Go checksum database verifies, though its origin is not its key name', () => {
    const { vkey, checkpoint } = vectors.real[0]
    const options = { origin: 'go.sum database tree', keys: [parseVkey(vkey)] }
    expect(openCheckpoint(checkpoint, options).checkpoint.size).toBe(35225469)
  })

  it('in the manner of Sigsum verifies', () => {
    const { public_key_hex, checkpoint } = vectors.real[1]
    const [origin = ''] = checkpoint.split('\n')
    const key = verifierKey({ name: origin, type: SIGNATURE_ED25519, publicKey: fromHex(public_key_hex) })
    expect(openCheckpoint(checkpoint, { origin, keys: [key] }).checkpoint.size).toBe(10)
  })

  it('of Rekor is read without a key, for its structure only', () => {
    const { checkpoint } = vectors.real[2]
    expect(parseCheckpoint(parseNote(checkpoint).text)).toMatchObject({ origin: 'rekor-local', size: 1 })
  })

  it('of another origin is refused', () => {
    const { checkpoint } = tessera.checkpoints[3]
    expect(codeOf(() => openCheckpoint(checkpoint, { ...trust, origin: 'example.com/log' }))).toBe(
      'ERR_CHECKPOINT_INVALID',
    )
  })

  it('that the log did not sign is refused, whoever cosigned it', () => {
    const [{ vkey, checkpoint }] = cosigned
    const origin = 'rome2026h1.example.org'
    expect(openNote(checkpoint, [parseVkey(vkey)]).verified).toHaveLength(1)
    expect(codeOf(() => openCheckpoint(checkpoint, { origin, keys: [parseVkey(vkey)] }))).toBe('ERR_NOTE_UNVERIFIED')
    const rome = signer(origin, new Uint8Array(32).fill(3))
    const both = `${checkpoint}${formatSignatureLine(rome.key, rome.sign(utf8(parseNote(checkpoint).text)))}`
    const { opened } = openCheckpoint(both, { origin, keys: [rome.key, parseVkey(vkey)] })
    expect(opened.verified.map(({ key }) => key.type)).toEqual([SIGNATURE_COSIGNATURE, SIGNATURE_ED25519])
  })

  it('does not pass for a cosignature where one key does both', () => {
    const witness = verifierKey({ ...log.key, type: SIGNATURE_COSIGNATURE })
    const { text } = parseNote(tessera.checkpoints[3].checkpoint)
    const signature = log.sign(cosignatureMessage(text, 1))
    const note = `${text}\n${formatSignatureLine(witness, formatCosignature({ timestamp: 1, signature }))}`
    expect(codeOf(() => openCheckpoint(note, { ...trust, keys: [log.key, witness] }))).toBe('ERR_NOTE_UNVERIFIED')
  })

  it('that is signed but no checkpoint is refused', () => {
    const note = signNoteSync(`${tessera.origin}\n007\n${ROOT}\n`, [log])
    expect(codeOf(() => openCheckpoint(note, trust))).toBe('ERR_CHECKPOINT_INVALID')
  })

  it('is refused with any byte changed, removed or doubled', () => {
    const bytes = utf8(tessera.checkpoints[15].checkpoint)
    const open = (changed: Uint8Array) => openCheckpoint(fromUtf8(changed), trust)
    expect(open(bytes).checkpoint.size).toBe(15)
    for (const [i, byte] of bytes.entries()) {
      const [before, after] = [bytes.subarray(0, i), bytes.subarray(i + 1)]
      for (const mask of [0x01, 0x20, 0x80]) {
        expect(() => open(concat(before, Uint8Array.of(byte ^ mask), after))).toThrow()
      }
      expect(() => open(concat(before, after))).toThrow()
      expect(() => open(concat(before, Uint8Array.of(byte, byte), after))).toThrow()
    }
  })
})
