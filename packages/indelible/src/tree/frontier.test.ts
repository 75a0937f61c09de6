import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, fromHex, toBase64, toHex, u64be } from '../bytes.ts'
import { Frontier, frontierNodes } from './frontier.ts'
import { emptyRoot, type Hash, leafHash } from './hash.ts'

const load = (name: string) => {
  return JSON.parse(readFileSync(new URL(`../../../../vectors/${name}.json`, import.meta.url), 'utf8'))
}
const reference: { leaf_inputs_hex: string[]; roots_by_size_hex: string[]; node_hashes_by_level_hex: string[][] } =
  load('merkle-rfc6962')
const purges: {
  purged_prefix: number
  tree_size: number
  frontier: { start: number; size: number; hash: string }[]
  retained_leaf_hashes_base64: string[]
  root_at_purge_base64: string
  root_now_base64: string
}[] = load('prune-frontier').cases

const node = (left: Uint8Array, right: Uint8Array) =>
  createHash('sha256').update('\x01').update(left).update(right).digest()

/** MTH as RFC 6962 §2.1 words it. */
function naiveRoot(leaves: Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return createHash('sha256').digest()
  if (leaves.length === 1) return leaves[0]!
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return node(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

const leaves = Array.from({ length: 300 }, (_, i) => leafHash(u64be(i)))
const grown = (size: number) => {
  const frontier = Frontier.empty()
  for (const leaf of leaves.slice(0, size)) frontier.append(leaf)
  return frontier
}
const popcount = (size: number) => [...size.toString(2)].filter((bit) => bit === '1').length

describe('frontier', () => {
  it('has the root that RFC 6962 defines, at every size', () => {
    const frontier = Frontier.empty()
    expect(toHex(frontier.root())).toBe(toHex(emptyRoot()))
    for (const [index, leaf] of leaves.entries()) {
      frontier.append(leaf)
      expect(frontier.size).toBe(index + 1)
      expect(toHex(frontier.root())).toBe(toHex(naiveRoot(leaves.slice(0, index + 1))))
    }
  })

  it('has the roots of the reference tree', () => {
    const frontier = Frontier.empty()
    const roots = [toHex(frontier.root())]
    for (const entry of reference.leaf_inputs_hex) {
      frontier.append(leafHash(fromHex(entry)))
      roots.push(toHex(frontier.root()))
    }
    expect(roots).toEqual(reference.roots_by_size_hex)
  })

  it('reports every node of the reference tree', () => {
    const levels: string[][] = [[], [], [], []]
    const frontier = Frontier.empty()
    for (const entry of reference.leaf_inputs_hex) {
      frontier.append(leafHash(fromHex(entry)), (level, index, hash) => {
        expect(levels[level]).toHaveLength(index)
        levels[level]!.push(toHex(hash))
      })
    }
    expect(levels).toEqual(reference.node_hashes_by_level_hex)
  })

  it('reports the nodes that its own hashes are', () => {
    const nodes = new Map<string, Hash>()
    const frontier = Frontier.empty()
    for (const leaf of leaves) {
      frontier.append(leaf, (level, index, hash) => nodes.set(`${level}/${index}`, hash))
      const expected = frontierNodes(frontier.size).map(({ level, index }) => toHex(nodes.get(`${level}/${index}`)!))
      expect(frontier.hashes.map(toHex)).toEqual(expected)
    }
    expect(nodes.size).toBe(2 * leaves.length - popcount(leaves.length))
  })

  it('continues from its hashes at every size', () => {
    const whole = toHex(grown(70).root())
    for (let size = 0; size <= 70; size++) {
      const restored = new Frontier(size, grown(size).hashes)
      for (const leaf of leaves.slice(size, 70)) restored.append(leaf)
      expect(toHex(restored.root())).toBe(whole)
    }
  })

  it.each(purges)('stands for a purged prefix: $purged_prefix of $tree_size', (purge) => {
    const places = frontierNodes(purge.purged_prefix).map(({ level, index }) => [index * 2 ** level, 2 ** level])
    expect(places).toEqual(purge.frontier.map(({ start, size }) => [start, size]))
    const hashes = purge.frontier.map(({ hash }) => fromBase64(hash))
    const restored = new Frontier(purge.purged_prefix, hashes)
    expect(toBase64(restored.root())).toBe(purge.root_at_purge_base64)
    for (const leaf of purge.retained_leaf_hashes_base64) restored.append(fromBase64(leaf))
    expect(restored.size).toBe(purge.tree_size)
    expect(toBase64(restored.root())).toBe(purge.root_now_base64)
  })

  it('takes whole subtrees wherever they fit, and only there', () => {
    for (let size = 0; size <= 40; size++) {
      for (let level = 0; level <= 5; level++) {
        const width = 2 ** level
        const subtree = naiveRoot(leaves.slice(size, size + width))
        const frontier = grown(size)
        if (size % width !== 0) {
          expect(() => frontier.appendSubtree(level, subtree)).toThrow(RangeError)
          expect(toHex(frontier.root())).toBe(toHex(grown(size).root()))
          continue
        }
        const told: string[] = []
        frontier.appendSubtree(level, subtree, (...node) => told.push(node.slice(0, 2).join('/')))
        expect(frontier.size).toBe(size + width)
        expect(frontier.hashes.map(toHex)).toEqual(grown(size + width).hashes.map(toHex))
        expect(told[0]).toBe(`${level}/${size / width}`)
      }
    }
  })

  it('refuses hashes that cannot be those of its size', () => {
    const hash = emptyRoot()
    for (const size of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => new Frontier(size, [])).toThrow(RangeError)
      expect(() => frontierNodes(size)).toThrow(RangeError)
    }
    expect(() => new Frontier(0, [hash])).toThrow(RangeError)
    expect(() => new Frontier(3, [hash])).toThrow(RangeError)
    expect(() => new Frontier(3, [hash, hash, hash])).toThrow(RangeError)
    expect(() => new Frontier(3, [hash, hash.subarray(1)])).toThrow(RangeError)
    for (const level of [-1, 0.5, 53, Number.NaN]) {
      expect(() => Frontier.empty().appendSubtree(level, hash)).toThrow(RangeError)
    }
    for (const size of [0, 1]) expect(() => grown(size).append(new Uint8Array(31))).toThrow(RangeError)
  })

  it('is unchanged when the listener throws', () => {
    const frontier = grown(7)
    const fail = (level: number) => {
      if (level === 2) throw new Error('disk full')
    }
    expect(() => frontier.append(leaves[7]!, fail)).toThrow('disk full')
    expect(frontier.size).toBe(7)
    expect(toHex(frontier.root())).toBe(toHex(grown(7).root()))
    frontier.append(leaves[7]!)
    expect(toHex(frontier.root())).toBe(toHex(grown(8).root()))
  })

  it('shares nothing with its clone or with the arrays it gave and was given', () => {
    const given = grown(6).hashes.map((hash) => new Uint8Array(hash))
    const frontier = new Frontier(6, given)
    const clone = frontier.clone()
    given[0]!.fill(0)
    frontier.hashes.pop()
    frontier.append(leaves[6]!)
    expect(toHex(frontier.root())).toBe(toHex(grown(7).root()))
    expect(toHex(clone.root())).toBe(toHex(grown(6).root()))
  })

  it('counts beyond 32 bits, up to 2^53-1 entries', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (size) => {
        let at = 0
        for (const { level, index } of frontierNodes(size)) {
          expect(index * 2 ** level).toBe(at)
          at += 2 ** level
        }
        expect(at).toBe(size)
        expect(frontierNodes(size)).toHaveLength([...BigInt(size).toString(2)].filter((bit) => bit === '1').length)
      }),
    )
    const size = 2 ** 40 - 1
    const frontier = new Frontier(
      size,
      frontierNodes(size).map(() => leaves[0]!),
    )
    const told: [number, number][] = []
    frontier.append(leaves[1]!, (level, index) => told.push([level, index]))
    expect(frontier.size).toBe(2 ** 40)
    expect(told).toEqual(Array.from({ length: 41 }, (_, level) => [level, 2 ** (40 - level) - 1]))

    const full = new Frontier(
      Number.MAX_SAFE_INTEGER,
      frontierNodes(Number.MAX_SAFE_INTEGER).map(() => leaves[0]!),
    )
    expect(full.hashes).toHaveLength(53)
    expect(() => full.append(leaves[1]!)).toThrow(RangeError)
  })
})
