/**
 * Where nodes are. A tree of any size is a row of perfect subtrees, and only those have a hash that never changes again:
 * they are what is stored, and every other hash is folded from them.
 */
import { type Hash, nodeHash } from './hash.ts'

/** The perfect subtree over entries `[index * 2^level, (index + 1) * 2^level)`; level 0 is the leaves. */
export interface NodeId {
  level: number
  index: number
}

// Of a tree of at most 2^53-1 entries.
const MAX_LEVEL = 52

/**
 * The perfect subtrees that make up entries `[start, end)`, largest first. `start` must be a multiple of a power of two
 * no smaller than the range, as it is for every subtree in RFC 6962 §2.1.
 */
export function rangeNodes(start: number, end: number): NodeId[] {
  const nodes: NodeId[] = []
  let at = start
  for (let level = MAX_LEVEL; level >= 0; level--) {
    const width = 2 ** level
    if (end - at < width) continue
    nodes.push({ level, index: at / width })
    at += width
  }
  return nodes
}

/** Hash of a range from those of its {@link rangeNodes}, of which there must be at least one. */
export function foldRange(hashes: readonly Hash[]): Hash {
  let hash = hashes.at(-1)
  if (hash === undefined) throw new RangeError('no hashes to fold')
  for (let i = hashes.length - 2; i >= 0; i--) hash = nodeHash(hashes[i]!, hash)
  return hash
}

/** Whether `value` can be a size or an index: an integer from 0 to 2^53-1. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
