import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromBase64, fromHex, fromUtf8, toBase64, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { cosignatureMessage, formatCosignature } from './cosignature.ts'
import {
  formatSignatureLine,
  formatVkey,
  openNote,
  parseNote,
  parseVkey,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ECDSA_P256,
  SIGNATURE_ED25519,
  type SyncNoteSigner,
  signNote,
  signNoteSync,
  type VerifierKey,
  verifierKey,
} from './signed-note.ts'
import { parseSkey } from './skey.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/signed-note.json', import.meta.url), 'utf8'))

const PKCS8 = fromHex('302e020100300506032b657004220420')
const TEXT = 'It is evening.\n\nNobody saw it.\n'

function ed25519Signer(name: string, seed: Uint8Array, type = SIGNATURE_ED25519): SyncNoteSigner {
  const key = createPrivateKey({ key: Buffer.from(concat(PKCS8, seed)), format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { key: verifierKey({ name, type, publicKey }), sign: (message) => sign(null, message, key) }
}

function ecdsaSigner(name: string, namedCurve = 'P-256'): SyncNoteSigner {
  const pair = generateKeyPairSync('ec', { namedCurve })
  const publicKey = pair.publicKey.export({ format: 'der', type: 'spki' })
  return {
    key: verifierKey({ name, type: SIGNATURE_ECDSA_P256, publicKey }),
    sign: (message) => sign('sha256', message, pair.privateKey),
  }
}

const alice = ed25519Signer('alice.example/log', new Uint8Array(32).fill(1))
const bob = ed25519Signer('bob.example', new Uint8Array(32).fill(2))
const signedByAlice = signNoteSync(TEXT, [alice])

const codeOf = (run: () => unknown) => {
  try {
    return `returned ${JSON.stringify(run())}`
  } catch (error) {
    return error instanceof IndelibleError ? error.code : String(error)
  }
}

describe('verifier keys', () => {
  it.each<{ vkey: string }>(vectors.keys)('round-trip: $vkey', ({ vkey }) => {
    expect(formatVkey(parseVkey(vkey))).toBe(vkey)
  })

  it.each<{ vkey: string; why: string }>(vectors.bad_vkeys)('are refused: $why', ({ vkey }) => {
    expect(codeOf(() => parseVkey(vkey))).toBe('ERR_KEY_INVALID')
  })

  const good: string = vectors.keys[0].vkey
  it.each([
    ['nothing', ''],
    ['no plus', 'PeterNeumann'],
    ['an empty name', good.slice(good.indexOf('+'))],
    ['a space in the name', `Peter ${good}`],
    ['a no-break space in the name', `Peter\u00a0${good}`],
    ['an ideographic space in the name', `Peter\u3000${good}`],
    ['a next line in the name', `Peter\u0085${good}`],
    ['a lone surrogate in the name', `\ud800${good}`],
    ['a plus in the name', `Peter+${good}`],
    ['an upper-case id', good.replace('c74f20a3', 'C74F20A3')],
    ['a short id', good.replace('c74f20a3', 'c74f20a')],
    ['another type under the same id', good.replace('+ARpc', '+BBpc')],
    ['a byte after the end', `${good}A`],
    ['a newline after the end', `${good}\n`],
    ['padding too much', `${good}=`],
    ['no key at all', 'PeterNeumann+c74f20a3+'],
    ['a mebibyte of key', `PeterNeumann+c74f20a3+${'A'.repeat(2 ** 20)}`],
    ['a mebibyte of name', `${'a'.repeat(2 ** 20)}${good.slice(good.indexOf('+'))}`],
  ])('are refused with %s', (_, text) => {
    expect(codeOf(() => parseVkey(text))).toBe('ERR_KEY_INVALID')
  })

  it.each([
    '',
    ' ',
    'a b',
    'a+b',
    'a\tb',
    'a\n',
    '\0',
    '\u0085',
    '\u00a0',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u3000',
    '\ud800',
    'a'.repeat(1025),
  ])('have no name %j', (name) => expect(codeOf(() => verifierKey({ ...alice.key, name }))).toBe('ERR_KEY_INVALID'))

  it.each(['a', 'é', '日本', '\u{1f511}', '\ufeff', 'a'.repeat(1024)])('may have the name %j', (name) => {
    const key = verifierKey({ ...alice.key, name })
    expect(parseVkey(formatVkey(key))).toEqual(key)
  })

  it('refuse a signer key without quoting it', () => {
    const skey: string = vectors.keys[0].skey
    expect(codeOf(() => parseVkey(skey))).toBe('ERR_KEY_INVALID')
    try {
      parseVkey(skey)
    } catch (error) {
      expect(String(error)).not.toContain('AYEK')
      expect(String(error)).not.toContain('PeterNeumann')
    }
  })

  it('of ECDSA have the id of the bare public key, and are P-256 only', () => {
    const { key } = ecdsaSigner('ecdsa.example')
    expect(parseVkey(formatVkey(key))).toEqual(key)
    expect(verifierKey({ ...key, name: 'other.example' }).id).toEqual(key.id)
    expect(codeOf(() => verifierKey({ ...key, publicKey: concat(key.publicKey, Uint8Array.of(0)) }))).toBe(
      'ERR_KEY_INVALID',
    )
    expect(codeOf(() => ecdsaSigner('ecdsa.example', 'P-384'))).toBe('ERR_KEY_INVALID')
  })

  it('have another id for another type', () => {
    const cosigner = verifierKey({ ...alice.key, type: SIGNATURE_COSIGNATURE })
    expect(cosigner.id).not.toEqual(alice.key.id)
    expect(codeOf(() => verifierKey({ ...alice.key, type: 0x06 }))).toBe('ERR_KEY_INVALID')
  })

  it('keep their bytes when the caller changes his', () => {
    const publicKey = new Uint8Array(alice.key.publicKey)
    const key = verifierKey({ ...alice.key, publicKey })
    publicKey.fill(0)
    expect(key).toEqual(alice.key)
  })
})

describe('signing a note', () => {
  const seeds = vectors.sign.map((v: { skey?: string; name: string; seed_hex: string; text: string; want: string }) => {
    const { name, secret } = v.skey ? parseSkey(v.skey) : { name: v.name, secret: fromHex(v.seed_hex) }
    return { name, secret, text: v.text, want: v.want }
  })
  it.each<{ name: string; secret: Uint8Array; text: string; want: string }>(seeds)(
    'gives the bytes that Go gives: $name',
    async ({ name, secret, text, want }) => {
      const signer = ed25519Signer(name, secret)
      expect(signNoteSync(text, [signer])).toBe(want)
      expect(await signNote(text, [{ key: signer.key, sign: async (message) => signer.sign(message) }])).toBe(want)
      expect(`${text}\n${formatSignatureLine(signer.key, signer.sign(utf8(text)))}`).toBe(want)
    },
  )

  it.each([
    ['no final newline', vectors.sign_rejects[0].text],
    ['no text', ''],
    ['a carriage return', 'a\r\n'],
    ['a NUL', 'a\0\n'],
    ['a tab', 'a\tb\n'],
    ['a lone surrogate', '\ud800\n'],
    ['more than a mebibyte', `${'a'.repeat(2 ** 20)}\n`],
    ['no room left for the signature', `${'a'.repeat(2 ** 20 - 50)}\n`],
    ['more than a mebibyte of UTF-8', `${'é'.repeat(2 ** 19)}\n`],
  ])('refuses a text with %s', async (_, text) => {
    expect(codeOf(() => signNoteSync(text, [alice]))).toBe('ERR_NOTE_INVALID')
    await expect(signNote(text, [alice])).rejects.toMatchObject({ code: 'ERR_NOTE_INVALID' })
  })

  it('refuses no signer, 101 signers, and signatures of an impossible length', () => {
    expect(codeOf(() => signNoteSync(TEXT, []))).toBe('ERR_NOTE_INVALID')
    expect(codeOf(() => signNoteSync(TEXT, Array(101).fill(alice)))).toBe('ERR_NOTE_INVALID')
    expect(codeOf(() => formatSignatureLine(alice.key, new Uint8Array(63)))).toBe('ERR_NOTE_INVALID')
    const cosigner = verifierKey({ ...alice.key, type: SIGNATURE_COSIGNATURE })
    expect(codeOf(() => formatSignatureLine(cosigner, new Uint8Array(64)))).toBe('ERR_NOTE_INVALID')
  })
})

describe('opening a note', () => {
  type OpenCase = { desc: string; note_base64: string; vkeys: string[]; want: string; verified?: string[] }
  it.each<OpenCase>(vectors.open)('agrees with Go: $desc', ({ note_base64, vkeys, want, verified }) => {
    const open = () => openNote(fromUtf8(fromBase64(note_base64)), vkeys.map(parseVkey))
    if (want !== 'ok') return expect(open).toThrow()
    const bytes = fromBase64(note_base64)
    const opened = open()
    expect(opened.verified.map(({ key }) => key.name)).toEqual(verified)
    expect(utf8(opened.text)).toEqual(bytes.slice(0, utf8(opened.text).length))
  })

  it('tells malformed, forged, unknown and ambiguous apart', () => {
    const forged = formatSignatureLine(alice.key, new Uint8Array(64))
    expect(codeOf(() => openNote(`${TEXT}\n${forged}`, [alice.key]))).toBe('ERR_NOTE_INVALID')
    expect(codeOf(() => openNote(TEXT, [alice.key]))).toBe('ERR_NOTE_INVALID')
    expect(codeOf(() => openNote(signedByAlice, [bob.key]))).toBe('ERR_NOTE_UNVERIFIED')
    expect(codeOf(() => openNote(signedByAlice, []))).toBe('ERR_NOTE_UNVERIFIED')
    expect(codeOf(() => openNote(signedByAlice, [alice.key, alice.key]))).toBe('ERR_KEY_INVALID')
  })

  it('rejects the whole note for one bad signature, however many good ones stand beside it', () => {
    const note = signNoteSync(TEXT, [alice, bob])
    const broken = note.replace(/(— bob.example \S{20})(.)/, (_, head, c) => head + (c === 'A' ? 'B' : 'A'))
    expect(codeOf(() => openNote(broken, [alice.key, bob.key]))).toBe('ERR_NOTE_INVALID')
    expect(openNote(broken, [alice.key]).unverified).toHaveLength(1)
  })

  it('parts text and signatures at the last empty line, not the first', () => {
    expect(openNote(signedByAlice, [alice.key]).text).toBe(TEXT)
    const grafted = `${signedByAlice}\n${signedByAlice.split('\n\n').at(-1)}`
    expect(codeOf(() => openNote(grafted, [alice.key]))).toBe('ERR_NOTE_INVALID')
    const stacked = signNoteSync(signedByAlice, [bob])
    expect(openNote(stacked, [bob.key]).text).toBe(signedByAlice)
    expect(codeOf(() => openNote(stacked, [alice.key]))).toBe('ERR_NOTE_UNVERIFIED')
  })

  it('does not take the signature of another note', () => {
    const other = signNoteSync('Something else.\n', [alice])
    const swapped = `${TEXT}\n${other.split('\n\n').at(-1)}`
    expect(codeOf(() => openNote(swapped, [alice.key]))).toBe('ERR_NOTE_INVALID')
  })

  it('counts one signature for each key, and drops repeated lines of unknown keys', () => {
    const [line = ''] = signedByAlice.split('\n\n').slice(-1)
    const unknown = formatSignatureLine(bob.key, new Uint8Array(64))
    const opened = openNote(`${TEXT}\n${unknown}${line}${line}${unknown}${unknown}`, [alice.key])
    expect(opened.verified).toHaveLength(1)
    expect(opened.unverified).toEqual([{ name: bob.key.name, id: bob.key.id, signature: new Uint8Array(64) }])
  })

  it('sets aside a signature that shares only the name or only the id with a given key', () => {
    const renamed = `${TEXT}\n${formatSignatureLine({ ...alice.key, name: 'mallory.example' }, new Uint8Array(64))}`
    const otherId = `${TEXT}\n${formatSignatureLine({ ...alice.key, id: bob.key.id }, new Uint8Array(64))}`
    for (const note of [renamed, otherId]) {
      expect(codeOf(() => openNote(note, [alice.key]))).toBe('ERR_NOTE_UNVERIFIED')
      expect(openNote(`${note}${signedByAlice.split('\n\n').at(-1)}`, [alice.key]).unverified).toHaveLength(1)
    }
  })

  it('does not let a key verify under another type', () => {
    const cosigner = verifierKey({ ...alice.key, type: SIGNATURE_COSIGNATURE })
    expect(codeOf(() => openNote(signedByAlice, [cosigner]))).toBe('ERR_NOTE_UNVERIFIED')
    const posing: VerifierKey = { ...cosigner, id: alice.key.id }
    expect(codeOf(() => openNote(signedByAlice, [posing]))).toBe('ERR_NOTE_INVALID')
    const plain = alice.sign(utf8(TEXT))
    const asCosignature = `${TEXT}\n${formatSignatureLine(cosigner, concat(new Uint8Array(8), plain))}`
    expect(codeOf(() => openNote(asCosignature, [cosigner]))).toBe('ERR_NOTE_INVALID')
    const unsupported: VerifierKey = { ...alice.key, type: 0x06 }
    expect(codeOf(() => openNote(signedByAlice, [unsupported]))).toBe('ERR_KEY_INVALID')
  })

  it('verifies cosignatures, and no plain signature in their place', () => {
    const key = verifierKey({ ...alice.key, type: SIGNATURE_COSIGNATURE })
    const signature = alice.sign(cosignatureMessage(TEXT, 1_700_000_000))
    const line = formatSignatureLine(key, formatCosignature({ timestamp: 1_700_000_000, signature }))
    expect(openNote(`${TEXT}\n${line}`, [key]).verified).toHaveLength(1)
    const later = formatSignatureLine(key, formatCosignature({ timestamp: 1_700_000_001, signature }))
    expect(codeOf(() => openNote(`${TEXT}\n${later}`, [key]))).toBe('ERR_NOTE_INVALID')
    const short = `\u2014 ${key.name} ${toBase64(concat(key.id, signature))}\n`
    expect(codeOf(() => openNote(`${TEXT}\n${short}`, [key]))).toBe('ERR_NOTE_INVALID')
    const farAway = concat(key.id, new Uint8Array(8).fill(255), signature)
    expect(codeOf(() => openNote(`${TEXT}\n\u2014 ${key.name} ${toBase64(farAway)}\n`, [key]))).toBe('ERR_NOTE_INVALID')
  })

  it('verifies ECDSA P-256 signatures, in strict DER only', () => {
    const signer = ecdsaSigner('ecdsa.example')
    const der = new Uint8Array(signer.sign(utf8(TEXT)))
    const noteWith = (signature: Uint8Array) => `${TEXT}\n${formatSignatureLine(signer.key, signature)}`
    expect(openNote(noteWith(der), [signer.key]).verified).toEqual([{ key: signer.key, signature: der }])
    const longForm = concat(der.subarray(0, 1), Uint8Array.of(0x81), der.subarray(1))
    const longer = concat(Uint8Array.of(0x30, der[1]! + 1), der.subarray(2), Uint8Array.of(0))
    for (const bad of [concat(der, Uint8Array.of(0)), longer, longForm, der.subarray(0, -1), new Uint8Array(64)]) {
      expect(codeOf(() => openNote(noteWith(bad), [signer.key]))).toBe('ERR_NOTE_INVALID')
    }
  })

  const line = signedByAlice.split('\n').at(-2)!
  const [, , blob = ''] = line.split(' ')
  it.each([
    ['empty', ''],
    ['one newline', '\n'],
    ['an empty text', `\n${line}\n`],
    ['the signatures stripped', `${TEXT}\n`],
    ['bytes after the end', `${signedByAlice}x`],
    ['an empty line after the end', `${signedByAlice}\n`],
    ['CRLF', signedByAlice.replaceAll('\n', '\r\n')],
    ['a NUL', signedByAlice.replace('evening', 'eve\0ing')],
    ['a hyphen for the dash', signedByAlice.replace('\u2014', '-')],
    ['an en dash for the dash', signedByAlice.replace('\u2014', '\u2013')],
    ['a no-break space after the dash', signedByAlice.replace('\u2014 ', '\u2014\u00a0')],
    ['no key name', signedByAlice.replace(alice.key.name, '')],
    ['a plus in the key name', signedByAlice.replace(alice.key.name, 'alice+log')],
    ['a no-break space in the key name', signedByAlice.replace(alice.key.name, 'alice\u00a0log')],
    ['two spaces', signedByAlice.replace(` ${blob}`, `  ${blob}`)],
    ['a third word', signedByAlice.replace(blob, `${blob} x`)],
    ['no signature', signedByAlice.replace(` ${blob}`, '')],
    ['a bare key id', signedByAlice.replace(blob, toBase64(alice.key.id))],
    ['unpadded base64', signedByAlice.replace(blob, blob.replace(/=+$/, ''))],
    ['URL-safe base64', signedByAlice.replace(blob, `${blob.slice(0, -4)}-_==`)],
    [
      'non-canonical base64',
      signedByAlice.replace(
        blob,
        blob.replace(/.=$/, (c) => `${c === 'B=' ? 'D' : 'B'}=`),
      ),
    ],
    ['101 signatures', `${TEXT}\n${`${line}\n`.repeat(101)}`],
    ['two mebibytes', `${'a\n'.repeat(2 ** 20)}\n${line}\n`],
    ['a mebibyte of signatures', `${TEXT}\n${`${line}\n`.repeat(8_000)}`],
  ])('refuses a note that is or has: %s', (_, note) => {
    expect(codeOf(() => parseNote(note))).toBe('ERR_NOTE_INVALID')
    expect(codeOf(() => openNote(note, [alice.key]))).toBe('ERR_NOTE_INVALID')
  })

  it('refuses a lone surrogate that encodes to what was signed', () => {
    const note = signNoteSync('\ufffd\n', [alice])
    expect(openNote(note, [alice.key]).text).toBe('\ufffd\n')
    expect(codeOf(() => openNote(note.replace('\ufffd', '\ud800'), [alice.key]))).toBe('ERR_NOTE_INVALID')
  })

  it('takes 100 signatures', () => {
    const unknown = formatSignatureLine(bob.key, new Uint8Array(64))
    expect(openNote(`${signedByAlice}${unknown.repeat(99)}`, [alice.key]).verified).toHaveLength(1)
  })

  const noteText = fc
    .array(fc.stringMatching(/^[^\x00-\x1f]{0,12}$/u), { maxLength: 6 })
    .map((lines) => `${lines.join('\n')}\n`)
  it('gives back what was signed', () => {
    fc.assert(
      fc.property(noteText, fc.boolean(), (text, both) => {
        const note = signNoteSync(text, both ? [bob, alice] : [alice])
        const opened = openNote(note, [alice.key])
        expect(opened.text).toBe(text)
        expect(opened.unverified.map(({ name }) => name)).toEqual(both ? [bob.key.name] : [])
        expect(parseNote(note).text).toBe(text)
      }),
      { numRuns: 50 },
    )
  })

  it('has one meaning for one string: what parses is what it would be written as', () => {
    const anyLine = fc.oneof(
      fc.constantFrom(line, '', '\u2014 a AAAAAAA=', '\u2014 a AAAAAB==', '\u2014  AAAAAAA='),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(anyLine, { maxLength: 6 }), (lines) => {
        const note = `${lines.join('\n')}\n`
        if (codeOf(() => void parseNote(note)) === 'ERR_NOTE_INVALID') return
        const { text, signatures } = parseNote(note)
        const written = signatures.map((s) => `\u2014 ${s.name} ${toBase64(concat(s.id, s.signature))}\n`)
        expect(`${text}\n${written.join('')}`).toBe(note)
      }),
    )
  })
})
