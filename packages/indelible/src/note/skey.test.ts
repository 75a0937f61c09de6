import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex } from '../bytes.ts'
import { parseVkey, SIGNATURE_COSIGNATURE, SIGNATURE_ECDSA_P256, verifierKey } from './signed-note.ts'
import { formatSkey, parseSkey } from './skey.ts'

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../../../vectors/${name}`, import.meta.url), 'utf8'))
const pairs: { skey: string; vkey: string }[] = [read('signed-note.json').keys[0], read('tlog-testlog-tessera.json')]

describe('signer keys', () => {
  it.each(pairs)('of Go and Tessera lead to their verifier key: $vkey', ({ skey, vkey }) => {
    const { name, id, type, secret } = parseSkey(skey)
    const der = Buffer.from(concat(fromHex('302e020100300506032b657004220420'), secret))
    const spki = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
    const publicKey = spki.export({ format: 'der', type: 'spki' }).subarray(-32)
    const key = verifierKey({ name, type, publicKey })
    expect(key).toEqual(parseVkey(vkey))
    expect(toHex(id)).toBe(toHex(key.id))
    expect(formatSkey(key, secret)).toBe(skey)
  })

  it('hold ECDSA keys as PKCS#8, cosigners as a seed', () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const publicKey = pair.publicKey.export({ format: 'der', type: 'spki' })
    const pkcs8 = new Uint8Array(pair.privateKey.export({ format: 'der', type: 'pkcs8' }))
    const ecdsa = verifierKey({ name: 'ecdsa.example', type: SIGNATURE_ECDSA_P256, publicKey })
    expect(parseSkey(formatSkey(ecdsa, pkcs8))).toEqual({
      name: ecdsa.name,
      id: ecdsa.id,
      type: ecdsa.type,
      secret: pkcs8,
    })
    const witness = verifierKey({ name: 'w.example', type: SIGNATURE_COSIGNATURE, publicKey: new Uint8Array(32) })
    expect(parseSkey(formatSkey(witness, new Uint8Array(32).fill(7))).type).toBe(SIGNATURE_COSIGNATURE)
    expect(() => formatSkey(witness, pkcs8)).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }))
    for (const bad of [new Uint8Array(32), new Uint8Array(4000).fill(0x30)]) {
      expect(() => formatSkey(ecdsa, bad)).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }))
    }
    expect(() => formatSkey({ ...ecdsa, name: 'a+b' }, pkcs8)).toThrow(
      expect.objectContaining({ code: 'ERR_KEY_INVALID' }),
    )
  })

  const good = pairs[0]!.skey
  const secretPart = good.slice(good.lastIndexOf('+') + 1)
  it.each([
    ['nothing', ''],
    ['a verifier key', pairs[0]!.vkey],
    ['the prefix in lower case', good.replace('PRIVATE', 'private')],
    ['a space in the name', good.replace('Peter', 'Peter ')],
    ['a no-break space in the name', good.replace('Peter', 'Peter\u00a0')],
    ['no name', good.replace('PeterNeumann', '')],
    ['parts left out', `PRIVATE+KEY+${secretPart}`],
    ['parts swapped', `PRIVATE+KEY+PeterNeumann+${secretPart}+c74f20a3`],
    ['a byte after the end', `${good}A`],
    ['a newline after the end', `${good}\n`],
    ['an unknown type', good.replace('+AYEK', '+ZYEK')],
    ['an ECDSA type over a seed', good.replace('+AYEK', '+AoEK')],
    ['a short seed', good.slice(0, -4)],
  ])('are refused, unquoted, with: %s', (_, text) => {
    const fail = () => parseSkey(text)
    expect(fail).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }))
    expect(fail).not.toThrow(/YEKFALV|PeterNeumann/)
  })
})
