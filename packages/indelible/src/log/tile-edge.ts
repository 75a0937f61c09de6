/** The right edge of a tree: what the next full tiles will be made of. */
import { concat, isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type { StoredTile } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import type { Hash } from '../tree/hash.ts'
import { type TileSource, tileHashes } from '../tree/source.ts'
import { fullTiles, TILE_HEIGHT, TILE_WIDTH, tileWidth } from '../tree/tile.ts'

/** The tiles at the right edge that are not full yet, as the tree grows. */
export class TileEdge {
  /** By tile level: the hashes of the partial tile there. */
  readonly #levels: Hash[][]

  constructor(levels: readonly (readonly Hash[])[] = []) {
    this.#levels = levels.map((hashes) => [...hashes])
  }

  clone(): TileEdge {
    return new TileEdge(this.#levels)
  }

  /**
   * The edge of a stored tree.
   * @throws IndelibleError `ERR_STORE_CORRUPT` if it does not fold to `frontier`: tiles built on it would be wrong
   */
  static async load(store: TileSource, frontier: Frontier): Promise<TileEdge> {
    const { size } = frontier
    const levels: (readonly Hash[])[] = []
    for (let level = 0; level === 0 || fullTiles(level - 1, size) > 0; level++) {
      const start = fullTiles(level, size) * TILE_WIDTH
      try {
        levels.push(await tileHashes(store, level, start, start + tileWidth(level, size)))
      } catch (cause) {
        if (cause instanceof RangeError) throw corrupt(size, { cause })
        throw cause
      }
    }
    const folded = Frontier.empty()
    try {
      for (let level = levels.length - 1; level >= 0; level--) {
        for (const hash of levels[level]!) folded.appendSubtree(level * TILE_HEIGHT, hash)
      }
    } catch (cause) {
      throw corrupt(size, { cause })
    }
    const expected = frontier.hashes
    if (folded.size !== size || !folded.hashes.every((hash, i) => isEqual(hash, expected[i]!))) throw corrupt(size)
    return new TileEdge(levels)
  }

  /** Takes a node that the tree just completed; `onTile` gets the tile that it made full. */
  add(level: number, index: number, hash: Hash, onTile: (tile: StoredTile) => void): void {
    if (level % TILE_HEIGHT !== 0) return
    const tileLevel = level / TILE_HEIGHT
    if (tileLevel > 0) {
      // This hash is the root of the tile below that its children have just filled.
      onTile({ level: tileLevel - 1, index, root: hash, hashes: concat(...this.#levels[tileLevel - 1]!) })
      this.#levels[tileLevel - 1] = []
    }
    const hashes = this.#levels[tileLevel] ?? []
    this.#levels[tileLevel] = hashes
    hashes.push(hash)
  }
}

function corrupt(size: number, options?: ErrorOptions): IndelibleError {
  return new IndelibleError(
    'ERR_STORE_CORRUPT',
    `leaf hashes and tiles at the right edge of ${size} entries do not add up to the frontier: run indelible verify`,
    options,
  )
}
