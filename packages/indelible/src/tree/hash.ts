/** The three hashes of a Merkle tree, RFC 6962 §2.1 (the same in RFC 9162 §2.1.1). Shapes and positions live in the other files. */
import { sha256 } from '#crypto'

/** Length of every hash in the tree, in bytes. */
export const HASH_BYTES = 32

/** A leaf, node or root hash, {@link HASH_BYTES} long. A value: never changed once made, so it is shared, not copied. */
export type Hash = Uint8Array

/** Root of the tree of no entries: SHA-256 of nothing. */
export function emptyRoot(): Hash {
  return sha256(new Uint8Array(0))
}

// Buffers that are used again: sha256 has read them before it returns. Allocating one per 500-byte entry halves the rate.
const leafInput = new Uint8Array(1 + 65_535)
const nodeInput = new Uint8Array(1 + 2 * HASH_BYTES)
leafInput[0] = 0x00
nodeInput[0] = 0x01

/** SHA-256(0x00 || entry). The prefix keeps an entry from passing as an interior node. */
export function leafHash(entry: Uint8Array): Hash {
  const length = 1 + entry.length
  const input = length <= leafInput.length ? leafInput.subarray(0, length) : new Uint8Array(length)
  input.set(entry, 1)
  return sha256(input)
}

/** SHA-256(0x01 || left || right). Throws `RangeError` unless both are {@link HASH_BYTES} long. */
export function nodeHash(left: Hash, right: Hash): Hash {
  // A short hash would leave part of an earlier call's input in place.
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) {
    throw new RangeError(`node of hashes of ${left.length} and ${right.length} bytes, expected ${HASH_BYTES}`)
  }
  nodeInput.set(left, 1)
  nodeInput.set(right, 1 + HASH_BYTES)
  return sha256(nodeInput)
}
