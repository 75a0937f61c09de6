/**
 * What it takes to grow a tree: the hashes of the perfect subtrees of `[0, size)`, at most 53 of them. Entries and interior
 * nodes are not kept; `onNode` hands them to whoever stores them.
 */
import { emptyRoot, HASH_BYTES, type Hash, nodeHash } from './hash.ts'
import { foldRange, isCount, type NodeId, rangeNodes } from './node.ts'

/** Told of a perfect subtree the moment it is complete; see {@link NodeId} for its place. */
export type NodeListener = (level: number, index: number, hash: Hash) => void

/** The nodes whose hashes make the frontier of a tree of `size` entries, largest first. */
export function frontierNodes(size: number): NodeId[] {
  if (!isCount(size)) throw new RangeError(`tree size ${size}, expected an integer from 0 to 2^53-1`)
  return rangeNodes(0, size)
}

/** The compact range of a tree, as it grows. */
export class Frontier {
  #size: number
  readonly #hashes: Hash[]

  static empty(): Frontier {
    return new Frontier(0, [])
  }

  /**
   * Continues a tree of `size` entries from the hashes of its {@link frontierNodes}, which are copied.
   * Throws `RangeError` if their number or length is wrong; whether they are true shows in {@link root}.
   */
  constructor(size: number, hashes: readonly Hash[]) {
    const expected = frontierNodes(size).length
    if (hashes.length !== expected) {
      throw new RangeError(`frontier of size ${size} has ${hashes.length} hashes, expected ${expected}`)
    }
    for (const hash of hashes) checkHash(hash)
    this.#size = size
    this.#hashes = hashes.map((hash) => new Uint8Array(hash))
  }

  /** Entries in the tree. */
  get size(): number {
    return this.#size
  }

  /** Hashes of {@link frontierNodes}, largest first; a new array on every call. */
  get hashes(): Hash[] {
    return [...this.#hashes]
  }

  /**
   * Appends one entry by its leaf hash. `onNode` is told of every subtree this completes, the leaf first and each node
   * after its children. Should it throw, nothing was appended.
   */
  append(leaf: Hash, onNode?: NodeListener): void {
    this.appendSubtree(0, leaf, onNode)
  }

  /**
   * Appends a perfect subtree of `2^level` entries by its hash; `onNode` is told of it and of what it completes.
   * Throws `RangeError` unless the size is a multiple of `2^level`, and past 2^53-1 entries.
   */
  appendSubtree(level: number, hash: Hash, onNode?: NodeListener): void {
    const width = 2 ** level
    if (!isCount(level) || this.#size % width !== 0 || !isCount(this.#size + width)) {
      throw new RangeError(`subtree of level ${level} cannot follow ${this.#size} entries`)
    }
    checkHash(hash)
    let at = level
    let index = this.#size / width
    let kept = this.#hashes.length
    let node = hash
    onNode?.(at, index, node)
    while (index % 2 === 1) {
      node = nodeHash(this.#hashes[--kept]!, node)
      at++
      index = (index - 1) / 2
      onNode?.(at, index, node)
    }
    this.#hashes.length = kept
    this.#hashes.push(node)
    this.#size += width
  }

  /** Root hash of the tree so far. Costs one hash less than the frontier has. */
  root(): Hash {
    return this.#size === 0 ? emptyRoot() : foldRange(this.#hashes)
  }

  /** A frontier of the same tree that grows on its own. */
  clone(): Frontier {
    const copy = Frontier.empty()
    copy.#size = this.#size
    // Hashes never change once made.
    copy.#hashes.push(...this.#hashes)
    return copy
  }
}

function checkHash(hash: Hash): void {
  if (hash.length !== HASH_BYTES) throw new RangeError(`hash of ${hash.length} bytes, expected ${HASH_BYTES}`)
}
