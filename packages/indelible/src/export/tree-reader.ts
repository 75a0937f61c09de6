/** Tree nodes for many proofs of one size: what several of them need is read and folded once. */
import type { Hash } from '../tree/hash.ts'
import type { NodeId } from '../tree/node.ts'
import type { NodeReader } from '../tree/proof.ts'
import { sourceNodeReader, type TileSource } from '../tree/source.ts'
import { TILE_HEIGHT } from '../tree/tile.ts'

/** Answers of the source that are kept, of at most 8 KiB each, and nodes above the lowest tiles, of 32 bytes. */
const MAX_ANSWERS = 256
const MAX_NODES = 16_384

export function cachedNodeReader(source: TileSource, size: number): NodeReader {
  const nodes = new Kept<Hash>(MAX_NODES)
  const read = sourceNodeReader(cachedSource(source), size)
  return async (wanted) => {
    const hashes = wanted.map((node) => nodes.get(keyOf(node)))
    const missing = wanted.filter((_, i) => hashes[i] === undefined)
    const found = (await read(missing)).values()
    return wanted.map((node, i) => {
      const known = hashes[i]
      if (known) return known
      const hash = found.next().value!
      // Those below are of one proof or two.
      if (node.level >= TILE_HEIGHT) nodes.set(keyOf(node), new Uint8Array(hash))
      return hash
    })
  }
}

const keyOf = ({ level, index }: NodeId) => `${level}/${index}`

function cachedSource(source: TileSource): TileSource {
  const answers = new Kept<Promise<unknown>>(MAX_ANSWERS)
  const once = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const known = answers.get(key) as Promise<T> | undefined
    return known ?? (answers.set(key, read()) as Promise<T>)
  }
  return {
    tile: (level, index) => once(`tile ${level} ${index}`, () => source.tile(level, index)),
    tileRoots: (level, start, end) => once(`roots ${level} ${start} ${end}`, () => source.tileRoots(level, start, end)),
    leaves: (start, end) => once(`leaves ${start} ${end}`, () => source.leaves(start, end)),
  }
}

/** Keeps so many; proofs come in log order, so what was kept first is what is needed last. */
class Kept<T> {
  readonly #most: number
  readonly #values = new Map<string, T>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: string): T | undefined {
    return this.#values.get(key)
  }

  set(key: string, value: T): T {
    if (this.#values.size >= this.#most) this.#values.delete(this.#values.keys().next().value!)
    this.#values.set(key, value)
    return value
  }
}
