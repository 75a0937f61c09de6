/**
 * Inclusion and consistency proofs, RFC 9162 §2.1.3 and §2.1.4. Proving needs stored nodes, read through a
 * {@link NodeReader}; checking needs nothing but what it is handed, which may come from an attacker.
 */
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { emptyRoot, HASH_BYTES, type Hash, nodeHash } from './hash.ts'
import { foldRange, isCount, type NodeId, rangeNodes } from './node.ts'

export type { NodeId } from './node.ts'

/** Hashes of `nodes`, in their order. It is asked only for perfect subtrees within the tree. */
export type NodeReader = (nodes: readonly NodeId[]) => Promise<readonly Hash[]>

/**
 * What an inclusion proof is made of: for each of its hashes, leaf sibling first, the nodes that fold into that hash.
 * Several only for the subtree at the right edge, which is not perfect. Throws `RangeError` unless `index < size`.
 */
export function inclusionNodes(index: number, size: number): NodeId[][] {
  if (!isCount(index) || !isCount(size) || index >= size) throw new RangeError(`no entry ${index} in a tree of ${size}`)
  const siblings: NodeId[][] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + splitPoint(end - start)
    if (index < middle) {
      siblings.push(rangeNodes(middle, end))
      end = middle
    } else {
      siblings.push(rangeNodes(start, middle))
      start = middle
    }
  }
  return siblings.reverse()
}

/**
 * What a consistency proof is made of, as for {@link inclusionNodes}. Empty if the sizes are equal.
 * Throws `RangeError` if `size1 > size2`, and if `size1` is 0, for which no proof exists.
 */
export function consistencyNodes(size1: number, size2: number): NodeId[][] {
  if (!isCount(size1) || !isCount(size2) || size1 > size2) {
    throw new RangeError(`a tree of ${size1} is no prefix of one of ${size2}`)
  }
  if (size1 === 0) throw new RangeError('no proof exists that the empty tree is a prefix')
  const parts: NodeId[][] = []
  let start = 0
  let end = size2
  while (size1 < end) {
    const middle = start + splitPoint(end - start)
    if (size1 <= middle) {
      parts.push(rangeNodes(middle, end))
      end = middle
    } else {
      parts.push(rangeNodes(start, middle))
      start = middle
    }
  }
  // From 0 it would be the older tree itself, whose root the verifier has.
  if (start > 0) parts.push(rangeNodes(start, end))
  return parts.reverse()
}

/** Proof that entry `index` is in the tree of `size` entries, leaf sibling first. Throws as {@link inclusionNodes} does. */
export async function proveInclusion(index: number, size: number, read: NodeReader): Promise<Hash[]> {
  return readFolded(inclusionNodes(index, size), read)
}

/**
 * Proof that the tree of `size1` entries is a prefix of that of `size2`; empty if the sizes are equal.
 * Throws as {@link consistencyNodes} does.
 */
export async function proveConsistency(size1: number, size2: number, read: NodeReader): Promise<Hash[]> {
  return readFolded(consistencyNodes(size1, size2), read)
}

/** An entry's place in a tree, as claimed. */
export interface InclusionClaim {
  /** Leaf hash of the entry. */
  leaf: Hash
  index: number
  size: number
  /** Leaf sibling first. */
  proof: readonly Hash[]
}

/**
 * Checks that `leaf` is at `index` in the tree with `root`, by RFC 9162 §2.1.3.2. `size` must come with `root` from a
 * checkpoint: a root determines its tree, but one proof may have the right shape for several sizes.
 *
 * @throws IndelibleError `ERR_PROOF_INVALID`
 */
export function checkInclusion({ root, ...claim }: InclusionClaim & { root: Hash }): void {
  if (!isEqual(rootFromInclusion(claim), root)) {
    throw invalid(`inclusion proof of entry ${claim.index} leads to another root than that of size ${claim.size}`)
  }
}

/**
 * The root under which the claim is true. It says nothing until that root is found to be one the log signed.
 *
 * @throws IndelibleError `ERR_PROOF_INVALID` if index, size and the proof's length do not fit, or a hash is not 32 bytes
 */
export function rootFromInclusion({ leaf, index, size, proof }: InclusionClaim): Hash {
  if (!isCount(index) || !isCount(size) || index >= size) throw invalid(`no entry ${index} in a tree of ${size}`)
  const joins = joinsAbove(index, size - 1)
  checkProof(proof, joins.length)
  checkHash(leaf)
  return proof.reduce(
    (hash, sibling, i) => (joins[i] === 'left' ? nodeHash(sibling, hash) : nodeHash(hash, sibling)),
    leaf,
  )
}

/** Two trees, the first said to be a prefix of the second. */
export interface ConsistencyClaim {
  size1: number
  root1: Hash
  size2: number
  root2: Hash
  proof: readonly Hash[]
}

/**
 * Checks that the first tree is a prefix of the second, by RFC 9162 §2.1.4.2. Trees of equal size must have equal roots,
 * and their proof is empty. Every tree extends the empty one: `size1` 0 passes with the empty tree's root and an empty
 * proof, and then says nothing about `root2`.
 *
 * @throws IndelibleError `ERR_PROOF_INVALID`
 */
export function checkConsistency({ size1, root1, size2, root2, proof }: ConsistencyClaim): void {
  if (!isCount(size1) || !isCount(size2) || size1 > size2) {
    throw invalid(`a tree of ${size1} is no prefix of one of ${size2}`)
  }
  checkHash(root1)
  checkHash(root2)
  if (size1 === 0 && !isEqual(root1, emptyRoot())) throw invalid('tree of size 0 does not have the empty root')
  if (size1 === size2 && !isEqual(root1, root2)) throw invalid(`two roots for size ${size1}`)
  if (size1 === 0 || size1 === size2) {
    checkProof(proof, 0)
    return
  }

  // If the first hash is the older tree itself, the proof does not repeat its root.
  const isWhole = rangeNodes(0, size1).length === 1
  const { older, newer } = foldConsistency(size1, size2, isWhole ? [root1, ...proof] : proof)
  if (!isEqual(older, root1)) throw invalid(`consistency proof leads to another root than that of size ${size1}`)
  if (!isEqual(newer, root2)) throw invalid(`consistency proof leads to another root than that of size ${size2}`)
}

/**
 * The root of the first `size1` entries that the tree with `root2` has, as the proof shows it. Where a consistency proof
 * leaves out its first hash, because it is the older root itself, `proof` must have it: see {@link proveOlderRoot}.
 *
 * @throws IndelibleError `ERR_PROOF_INVALID` if the proof does not lead to `root2`
 */
export function rootFromConsistency({ size1, size2, root2, proof }: Omit<ConsistencyClaim, 'root1'>): Hash {
  if (!isCount(size1) || !isCount(size2) || size1 > size2 || size1 === 0) {
    throw invalid(`a tree of ${size1} says nothing of one of ${size2}`)
  }
  if (size1 === size2) {
    checkProof(proof, 0)
    return root2
  }
  const { older, newer } = foldConsistency(size1, size2, proof)
  if (!isEqual(newer, root2)) throw invalid(`consistency proof leads to another root than that of size ${size2}`)
  return older
}

/** The proof for {@link rootFromConsistency}. Throws as {@link consistencyNodes} does. */
export async function proveOlderRoot(size1: number, size2: number, read: NodeReader): Promise<Hash[]> {
  const groups = consistencyNodes(size1, size2)
  if (size1 < size2 && rangeNodes(0, size1).length === 1) groups.unshift(rangeNodes(0, size1))
  return readFolded(groups, read)
}

/** Both roots, from a proof with its first hash in any case. */
function foldConsistency(size1: number, size2: number, proof: readonly Hash[]): { older: Hash; newer: Hash } {
  // Up from the last entry of the older tree to the largest perfect subtree that ends there: the first hash.
  let index = size1 - 1
  let last = size2 - 1
  while (index % 2 === 1) {
    index = half(index)
    last = half(last)
  }
  const joins = joinsAbove(index, last)
  checkProof(proof, joins.length + 1)
  const [first, ...rest] = proof
  let older = first!
  let newer = first!
  for (const [i, hash] of rest.entries()) {
    if (joins[i] === 'left') {
      older = nodeHash(hash, older)
      newer = nodeHash(hash, newer)
    } else {
      newer = nodeHash(newer, hash)
    }
  }
  return { older, newer }
}

/**
 * The side from which each hash of a proof joins, on the way up from place `index` in a row whose last place is `last`:
 * fn and sn of RFC 9162. Walked before any hashing, so that the proof's length is known before the proof is looked at.
 */
function joinsAbove(index: number, last: number): ('left' | 'right')[] {
  const joins: ('left' | 'right')[] = []
  while (last > 0) {
    // The last of an odd row has no sibling and rises as it is.
    if (index % 2 === 1) joins.push('left')
    else if (index < last) joins.push('right')
    index = half(index)
    last = half(last)
  }
  return joins
}

function checkProof(proof: readonly Hash[], expected: number): void {
  if (proof.length !== expected) throw invalid(`proof of ${proof.length} hashes, expected ${expected}`)
  proof.forEach(checkHash)
}

function checkHash(hash: Hash): void {
  if (hash.length !== HASH_BYTES) throw invalid(`hash of ${hash.length} bytes, expected ${HASH_BYTES}`)
}

async function readFolded(groups: readonly (readonly NodeId[])[], read: NodeReader): Promise<Hash[]> {
  const nodes = groups.flat()
  if (nodes.length === 0) return []
  const hashes = await read(nodes)
  if (hashes.length !== nodes.length) throw new RangeError(`read ${hashes.length} nodes, asked for ${nodes.length}`)
  let at = 0
  return groups.map((group) => {
    const start = at
    at += group.length
    return foldRange(hashes.slice(start, at))
  })
}

/** Largest power of two smaller than `size`, where RFC 6962 §2.1 splits a tree. */
function splitPoint(size: number): number {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}

// Not `>> 1`: shifts are 32-bit.
const half = (n: number) => Math.floor(n / 2)

const invalid = (message: string) => new IndelibleError('ERR_PROOF_INVALID', message)
