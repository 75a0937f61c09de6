import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex, u64be } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { Frontier, frontierNodes } from './frontier.ts'
import { emptyRoot, type Hash, leafHash, nodeHash } from './hash.ts'
import {
  checkConsistency,
  checkInclusion,
  consistencyNodes,
  inclusionNodes,
  type NodeId,
  type NodeReader,
  proveConsistency,
  proveInclusion,
  rootFromInclusion,
} from './proof.ts'

/** A log's leaves, its root at every size, and a reader of its nodes. */
function grow(leaves: Hash[]) {
  const nodes = new Map<string, Hash>()
  const frontier = Frontier.empty()
  const roots = [frontier.root()]
  for (const leaf of leaves) {
    frontier.append(leaf, (level, index, hash) => nodes.set(`${level}/${index}`, hash))
    roots.push(frontier.root())
  }
  const read: NodeReader = async (ids) => ids.map(({ level, index }) => nodes.get(`${level}/${index}`)!)
  return { leaves, roots, read }
}

const MAX = 65
const { leaves, roots, read } = grow(Array.from({ length: MAX }, (_, i) => leafHash(u64be(i))))
const stranger = leafHash(u64be(MAX))
const flipped = (hash: Hash) => hash.map((byte, i) => (i === 17 ? byte ^ 0x20 : byte))

/** Everything that could be done to a proof in transit, short of the right one. */
function* damaged(proof: readonly Hash[]): Generator<Hash[]> {
  for (const [k, hash] of proof.entries()) {
    yield proof.with(k, flipped(hash))
    yield proof.with(k, hash.subarray(0, 31))
    yield proof.toSpliced(k, 1)
    if (k > 0) yield proof.with(k, proof[k - 1]!).with(k - 1, hash)
  }
  for (let k = 0; k <= proof.length; k++) yield proof.toSpliced(k, 0, stranger)
  yield [...proof, new Uint8Array(0)]
}

// Plain throws and no stack traces: some 300,000 refusals come through here.
function refuses(check: () => void, claim: () => string): void {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    check()
  } catch (error) {
    if (isIndelibleError(error, 'ERR_PROOF_INVALID')) return
    throw error
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
  throw new Error(`accepted ${claim()}`)
}

const sizes = Array.from({ length: MAX }, (_, i) => i + 1)
const vectors = JSON.parse(
  readFileSync(new URL('../../../../vectors/merkle-rfc6962.json', import.meta.url), 'utf8'),
) as {
  leaf_inputs_hex: string[]
  inclusion_proofs: { index: number; size: number; proof: string[] }[]
  consistency_proofs: { size1: number; size2: number; proof: string[] }[]
}
const reference = grow(vectors.leaf_inputs_hex.map((entry) => leafHash(fromHex(entry))))

describe('inclusion proof', () => {
  it.each(vectors.inclusion_proofs)(
    'is that of the reference tree: $index in $size',
    async ({ index, size, proof }) => {
      expect((await proveInclusion(index, size, reference.read)).map(toHex)).toEqual(proof)
      const claim = { leaf: reference.leaves[index]!, index, size, proof: proof.map((hash) => fromHex(hash)) }
      checkInclusion({ ...claim, root: reference.roots[size]! })
      expect(toHex(rootFromInclusion(claim))).toBe(toHex(reference.roots[size]!))
    },
  )

  it.each(sizes)('proves every entry of a tree of %i, and nothing else', async (size) => {
    const root = roots[size]!
    for (let index = 0; index < size; index++) {
      const leaf = leaves[index]!
      const proof = await proveInclusion(index, size, read)
      checkInclusion({ leaf, index, size, root, proof })

      const refusesClaim = (change: Partial<Parameters<typeof checkInclusion>[0]>) => {
        const claim = { leaf, index, size, root, proof, ...change }
        refuses(
          () => checkInclusion(claim),
          () => JSON.stringify([index, size, change]),
        )
      }
      for (const bad of damaged(proof)) refusesClaim({ proof: bad })
      for (let other = -1; other <= size; other++) if (other !== index) refusesClaim({ index: other })
      for (const other of [size - 1, size + 1]) if (roots[other]) refusesClaim({ size: other, root: roots[other] })
      refusesClaim({ leaf: flipped(leaf) })
      refusesClaim({ leaf: leaf.subarray(1) })
      if (size > 1) refusesClaim({ leaf: root, root: leaf })
      refusesClaim({ root: flipped(root) })
      refusesClaim({ root: root.subarray(1) })
      refusesClaim({ root: emptyRoot() })
    }
  })

  it('leaves the size to the checkpoint: the proof of the first entry of 3 has the shape of one of 4', async () => {
    const proof = await proveInclusion(0, 3, read)
    const claim = { leaf: leaves[0]!, index: 0, proof, root: roots[3]! }
    checkInclusion({ ...claim, size: 4 })
    refuses(
      () => checkInclusion({ ...claim, size: 4, root: roots[4]! }),
      () => 'the other root',
    )
  })

  it('refuses places that are none', async () => {
    const places = [
      [-1, 5],
      [5, 5],
      [6, 5],
      [0, 0],
      [0.5, 5],
      [0, 5.5],
      [0, 2 ** 53],
      [Number.NaN, 5],
      [0, Number.NaN],
    ]
    for (const [index, size] of places as [number, number][]) {
      await expect(proveInclusion(index, size, read)).rejects.toThrow(RangeError)
      const claim = { leaf: leaves[0]!, index, size, root: roots[1]!, proof: [] }
      refuses(
        () => checkInclusion(claim),
        () => `entry ${index} of ${size}`,
      )
    }
  })
})

describe('consistency proof', () => {
  it.each(vectors.consistency_proofs)('is that of the reference tree: $size1 to $size2', async (vector) => {
    const { size1, size2 } = vector
    expect((await proveConsistency(size1, size2, reference.read)).map(toHex)).toEqual(vector.proof)
    const proof = vector.proof.map((hash) => fromHex(hash))
    checkConsistency({ size1, root1: reference.roots[size1]!, size2, root2: reference.roots[size2]!, proof })
  })

  it.each(sizes)('proves every prefix of a tree of %i, and nothing else', async (size2) => {
    const root2 = roots[size2]!
    for (let size1 = 1; size1 <= size2; size1++) {
      const root1 = roots[size1]!
      const proof = await proveConsistency(size1, size2, read)
      checkConsistency({ size1, root1, size2, root2, proof })
      if (size1 === size2) expect(proof).toEqual([])

      const refusesClaim = (change: Partial<Parameters<typeof checkConsistency>[0]>) => {
        const claim = { size1, root1, size2, root2, proof, ...change }
        refuses(
          () => checkConsistency(claim),
          () => JSON.stringify([size1, size2, change]),
        )
      }
      for (const bad of damaged(proof)) refusesClaim({ proof: bad })
      for (const root of [flipped(root1), root1.subarray(1), stranger]) refusesClaim({ root1: root })
      for (const root of [flipped(root2), root2.subarray(1), stranger]) refusesClaim({ root2: root })
      if (size1 === size2) continue
      refusesClaim({ root1: root2, root2: root1 })
      refusesClaim({ size1: size2, root1: root2, size2: size1, root2: root1 })
      refusesClaim({ proof: [] })
      for (const other of [size1 - 1, size1 + 1]) refusesClaim({ size1: other, root1: roots[other]! })
      for (const other of [size2 - 1, size2 + 1]) if (roots[other]) refusesClaim({ size2: other, root2: roots[other] })
    }
  })

  it('does not exist for the empty tree, which is a prefix of all', async () => {
    await expect(proveConsistency(0, 5, read)).rejects.toThrow(RangeError)
    await expect(proveConsistency(0, 0, read)).rejects.toThrow(RangeError)
    const claim = { size1: 0, root1: emptyRoot(), size2: 5, root2: roots[5]!, proof: [] as Hash[] }
    checkConsistency(claim)
    checkConsistency({ ...claim, size2: 0, root2: emptyRoot() })
    const lies = [
      { root1: roots[5]! },
      { proof: [emptyRoot()] },
      { root2: roots[5]!.subarray(1) },
      { size2: 0 },
      { size2: 0, root1: roots[5]! },
      { size1: 5, root1: roots[5]!, size2: 0, root2: emptyRoot() },
    ]
    for (const lie of lies) {
      refuses(
        () => checkConsistency({ ...claim, ...lie }),
        () => JSON.stringify(lie),
      )
    }
  })

  it('refuses sizes that are none', async () => {
    const pairs = [
      [6, 5],
      [-1, 5],
      [1.5, 5],
      [1, 5.5],
      [1, 2 ** 53],
      [2 ** 53, 2 ** 53],
      [Number.NaN, 5],
      [1, Number.NaN],
    ]
    for (const [size1, size2] of pairs as [number, number][]) {
      await expect(proveConsistency(size1, size2, read)).rejects.toThrow(RangeError)
      refuses(
        () => checkConsistency({ size1, root1: roots[1]!, size2, root2: roots[1]!, proof: [] }),
        () => `${size1} to ${size2}`,
      )
    }
  })
})

describe('the nodes of a proof', () => {
  it('are perfect subtrees of the tree, each read once', () => {
    for (const size of sizes) {
      const check = (groups: NodeId[][]) => {
        const nodes = groups.flat()
        for (const { level, index } of nodes) expect((index + 1) * 2 ** level).toBeLessThanOrEqual(size)
        expect(new Set(nodes.map(({ level, index }) => `${level}/${index}`)).size).toBe(nodes.length)
      }
      for (let index = 0; index < size; index++) check(inclusionNodes(index, size))
      for (let size1 = 1; size1 <= size; size1++) check(consistencyNodes(size1, size))
    }
  })

  it('must be answered one for one', async () => {
    for (const count of [0, 1, 5]) {
      await expect(proveInclusion(3, 7, async () => leaves.slice(0, count))).rejects.toThrow(RangeError)
    }
  })

  it('are not asked for where the proof is empty', async () => {
    const never: NodeReader = () => Promise.reject(new Error('asked'))
    expect(await proveInclusion(0, 1, never)).toEqual([])
    expect(await proveConsistency(9, 9, never)).toEqual([])
  })
})

/** Stands for the hash of entries `[start, end)` of a log too large to build. */
const subtree = (start: bigint, end: bigint): Hash => createHash('sha256').update(`${start} ${end}`).digest()

function middleOf(start: bigint, end: bigint): bigint {
  let split = 1n
  while (split * 2n < end - start) split *= 2n
  return start + split
}

/** PATH of RFC 9162 §2.1.3.1, word for word, with the root it leads to. */
function path(index: bigint, start: bigint, end: bigint): { proof: Hash[]; root: Hash } {
  if (end - start === 1n) return { proof: [], root: subtree(start, end) }
  const middle = middleOf(start, end)
  const isLeft = index < middle
  const inner = isLeft ? path(index, start, middle) : path(index, middle, end)
  const sibling = isLeft ? subtree(middle, end) : subtree(start, middle)
  const root = isLeft ? nodeHash(inner.root, sibling) : nodeHash(sibling, inner.root)
  return { proof: [...inner.proof, sibling], root }
}

/** SUBPROOF of RFC 9162 §2.1.4.1, with the roots it leads to. */
function subproof(size1: bigint, start: bigint, end: bigint): { proof: Hash[]; root1: Hash; root2: Hash } {
  if (size1 === end) {
    const root = subtree(start, end)
    return { proof: start === 0n ? [] : [root], root1: root, root2: root }
  }
  const middle = middleOf(start, end)
  if (size1 <= middle) {
    const inner = subproof(size1, start, middle)
    const right = subtree(middle, end)
    return { proof: [...inner.proof, right], root1: inner.root1, root2: nodeHash(inner.root2, right) }
  }
  const inner = subproof(size1, middle, end)
  const left = subtree(start, middle)
  return {
    proof: [...inner.proof, left],
    root1: nodeHash(left, inner.root1),
    root2: nodeHash(left, inner.root2),
  }
}

const hugeSize = fc.oneof(
  fc.maxSafeNat().filter((n) => n > 0),
  fc.tuple(fc.integer({ min: 1, max: 52 }), fc.constantFrom(-1, 0, 1)).map(([k, off]) => 2 ** k + off),
  fc.integer({ min: 0, max: 3 }).map((off) => Number.MAX_SAFE_INTEGER - off),
)
const hugePair = fc.tuple(hugeSize, hugeSize).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

describe('proofs in logs of up to 2^53-1 entries', () => {
  it('of inclusion are checked as RFC 9162 defines them', () => {
    fc.assert(
      fc.property(hugePair, ([a, size]) => {
        const index = a - 1
        const { proof, root } = path(BigInt(index), 0n, BigInt(size))
        const claim = { leaf: subtree(BigInt(index), BigInt(a)), index, size, root, proof }
        checkInclusion(claim)
        expect(inclusionNodes(index, size)).toHaveLength(proof.length)
        for (const bad of damaged(proof)) {
          refuses(
            () => checkInclusion({ ...claim, proof: bad }),
            () => `${index} ${size}`,
          )
        }
      }),
      { numRuns: 30 },
    )
  })

  it('of consistency are checked as RFC 9162 defines them', () => {
    fc.assert(
      fc.property(hugePair, ([size1, size2]) => {
        const { proof, root1, root2 } = subproof(BigInt(size1), 0n, BigInt(size2))
        checkConsistency({ size1, root1, size2, root2, proof })
        expect(consistencyNodes(size1, size2)).toHaveLength(proof.length)
        for (const bad of damaged(proof)) {
          refuses(
            () => checkConsistency({ size1, root1, size2, root2, proof: bad }),
            () => `${size1} ${size2}`,
          )
        }
      }),
      { numRuns: 30 },
    )
  })

  it('can be made: a log of equal entries has one hash per level', async () => {
    const perLevel = [leaves[0]!]
    for (let level = 1; level <= 52; level++) perLevel.push(nodeHash(perLevel[level - 1]!, perLevel[level - 1]!))
    const readEqual: NodeReader = async (nodes) => nodes.map(({ level }) => perLevel[level]!)
    const rootOf = (size: number) => {
      const hashes = frontierNodes(size).map(({ level }) => perLevel[level]!)
      return new Frontier(size, hashes).root()
    }
    await fc.assert(
      fc.asyncProperty(hugePair, async ([size1, size2]) => {
        const inclusion = await proveInclusion(size1 - 1, size2, readEqual)
        checkInclusion({ leaf: leaves[0]!, index: size1 - 1, size: size2, root: rootOf(size2), proof: inclusion })
        const proof = await proveConsistency(size1, size2, readEqual)
        checkConsistency({ size1, root1: rootOf(size1), size2, root2: rootOf(size2), proof })
      }),
    )
  })

  it('are refused for their length before anything is hashed', () => {
    const size = Number.MAX_SAFE_INTEGER
    const root = roots[1]!
    for (const length of [0, 52, 54, 55, 63, 64, 1_000_000]) {
      const proof = new Array<Hash>(length).fill(root)
      refuses(
        () => checkInclusion({ leaf: root, index: 0, size, root, proof }),
        () => `${length} hashes`,
      )
      refuses(
        () => checkConsistency({ size1: 1, root1: root, size2: size, root2: root, proof }),
        () => `${length} hashes`,
      )
    }
  })
})
