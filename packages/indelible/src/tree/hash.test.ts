import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { concat, fromBase64, fromHex, toHex, utf8 } from '../bytes.ts'
import { emptyRoot, leafHash, nodeHash } from './hash.ts'

interface HasherCase {
  desc: string
  data_hex?: string
  data_utf8?: string
  left_utf8?: string
  right_utf8?: string
  want?: string
  want_base64?: string
}
const vectors = new URL('../../../../vectors/merkle-rfc6962.json', import.meta.url)
const { hasher } = JSON.parse(readFileSync(vectors, 'utf8')) as { hasher: HasherCase[] }
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('hashes', () => {
  it.each(hasher.filter((c) => c.left_utf8 === undefined))('agree with RFC 6962: $desc', (c) => {
    const entry = c.data_hex !== undefined ? fromHex(c.data_hex) : c.data_utf8 !== undefined && utf8(c.data_utf8)
    const want = c.want ?? toHex(fromBase64(c.want_base64!))
    expect(toHex(entry === false ? emptyRoot() : leafHash(entry))).toBe(want)
  })

  it.each(hasher.filter((c) => c.left_utf8 !== undefined))('prefix a node as RFC 6962 does: $desc', (c) => {
    // The vector's children are shorter than hashes, which nodeHash refuses.
    const [left, right] = [utf8(c.left_utf8!), utf8(c.right_utf8!)]
    expect(sha256(concat(Uint8Array.of(1), left, right))).toBe(c.want)
    expect(() => nodeHash(left, right)).toThrow(RangeError)
  })

  it.each([0, 1, 31, 65_534, 65_535, 65_536, 200_000])('hash an entry of %i bytes', (length) => {
    leafHash(new Uint8Array(65_535).fill(0xee))
    const entry = Uint8Array.from({ length }, (_, i) => i)
    expect(toHex(leafHash(entry))).toBe(sha256(concat(Uint8Array.of(0), entry)))
  })

  it('hash a node, and leave earlier results as they were', () => {
    const [a, b] = [leafHash(utf8('a')), leafHash(utf8('b'))]
    const ab = nodeHash(a, b)
    const want = sha256(concat(Uint8Array.of(1), a, b))
    expect(toHex(ab)).toBe(want)
    expect(toHex(nodeHash(b, a))).not.toBe(want)
    expect(toHex(ab)).toBe(want)
    expect(toHex(a)).toBe(sha256(utf8('\0a')))
  })

  it.each([0, 31, 33, 64])('refuse a child of %i bytes', (length) => {
    expect(() => nodeHash(new Uint8Array(length), emptyRoot())).toThrow(RangeError)
    expect(() => nodeHash(emptyRoot(), new Uint8Array(length))).toThrow(RangeError)
  })
})
