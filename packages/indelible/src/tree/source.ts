/** Tree hashes as a log keeps them: full tiles, and at the right edge leaf hashes and the roots of full tiles. */
import { concat } from '../bytes.ts'
import type { Hash } from './hash.ts'
import type { NodeReader } from './proof.ts'
import { fullTiles, TILE_WIDTH, type TileId, tileNodeReader, tileWidth } from './tile.ts'

export interface TileSource {
  /** The 8,192 bytes of a full tile, or `null`. */
  tile(level: number, index: number): Promise<Uint8Array | null>
  /** Roots of the full tiles `[start, end)` of a level. */
  tileRoots(level: number, start: number, end: number): Promise<readonly Hash[]>
  /** Leaf hashes of `[start, end)`. */
  leaves(start: number, end: number): Promise<readonly Hash[]>
}

/** Reads nodes of the tree of `size` entries. They are as true as the source: check what is made of them. */
export function sourceNodeReader(source: TileSource, size: number): NodeReader {
  return tileNodeReader(async (level, index) => {
    const tile = await source.tile(level, index)
    if (tile) return tile
    const start = index * TILE_WIDTH
    const width = index < fullTiles(level, size) ? TILE_WIDTH : tileWidth(level, size)
    return concat(...(await tileHashes(source, level, start, start + width)))
  })
}

/** Hashes `[start, end)` at tile level `level`: leaf hashes, or the roots of the full tiles below. */
export function tileHashes(source: TileSource, level: number, start: number, end: number): Promise<readonly Hash[]> {
  return level === 0 ? source.leaves(start, end) : source.tileRoots(level - 1, start, end)
}

/**
 * A tile of the tree of `size` entries, full or partial, as C2SP tlog-tiles serves it; `null` if that tree has no such tile.
 * Throws `RangeError` if hashes are missing.
 */
export async function readTileOf(source: TileSource, tile: TileId, size: number): Promise<Uint8Array | null> {
  const { level, index, width } = tile
  const isFull = width === TILE_WIDTH
  if (isFull ? index >= fullTiles(level, size) : index > fullTiles(level, size)) return null
  // A partial tile is served also of one that has filled up since: clients of older checkpoints ask for it.
  if (!isFull && index === fullTiles(level, size) && width > tileWidth(level, size)) return null
  if (isFull) return source.tile(level, index)
  const start = index * TILE_WIDTH
  return concat(...(await tileHashes(source, level, start, start + width)))
}
