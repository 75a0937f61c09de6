/** The tiles and entry bundles that a copy gets with a checkpoint, checked against its root before they leave. */
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { HASH_BYTES, leafHash } from '../tree/hash.ts'
import { foldRange, rangeNodes } from '../tree/node.ts'
import { readTileOf } from '../tree/source.ts'
import {
  formatEntriesPath,
  formatEntryBundle,
  formatTilePath,
  fullTiles,
  MAX_ENTRY_BYTES,
  TILE_WIDTH,
  type TileId,
  tileNodeReader,
  tileRoot,
  tileWidth,
} from '../tree/tile.ts'
import type { AnchoredCheckpoint, AnchorTree } from './anchor.ts'

export interface CopyObject {
  /** As in C2SP tlog-tiles. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface CopyRange {
  readonly checkpoint: AnchoredCheckpoint
  readonly tree: AnchorTree
  /** Entries whose tiles are there already, all full ones and those at the right edge. */
  readonly from: number
  /** Level-0 tiles that are there although no checkpoint says so. */
  readonly leafTiles: number
  /** `null` if entries are not copied; else the first index that can be read. */
  readonly entriesFrom: number | null
}

/**
 * All that a reader of the checkpoint needs and of a smaller one did not: full tiles, then partial ones.
 * Throws `ERR_STORE_CORRUPT` before anything that does not belong under the checkpoint's root.
 */
export async function* copyObjects(range: CopyRange): AsyncGenerator<CopyObject> {
  const { checkpoint, tree, from } = range
  const { size } = checkpoint
  const read = (tile: TileId) => tileBytes(tree, tile, size)
  await checkEdge(checkpoint, read)
  for (let level = 0; size >= TILE_WIDTH ** level; level++) {
    const first = Math.max(fullTiles(level, from), level === 0 ? range.leafTiles : 0)
    const full = fullTiles(level, size)
    let parent: { index: number; hashes: Uint8Array } = { index: -1, hashes: new Uint8Array() }
    for (let index = first; index < full; index++) {
      const bytes = await read({ level, index, width: TILE_WIDTH })
      const above = Math.floor(index / TILE_WIDTH)
      if (parent.index !== above) parent = { index: above, hashes: await read(widestTile(level + 1, above, size)) }
      const start = (index % TILE_WIDTH) * HASH_BYTES
      if (!isEqual(tileRoot(bytes), parent.hashes.subarray(start, start + HASH_BYTES))) {
        throw corrupt(`tile ${index} of level ${level} does not lead to the root`)
      }
      yield { name: formatTilePath({ level, index, width: TILE_WIDTH }), bytes }
    }
    const width = tileWidth(level, size)
    if (width === 0) continue
    const edge = { level, index: full, width }
    yield { name: formatTilePath(edge), bytes: await read(edge) }
  }
  if (range.entriesFrom !== null) yield* bundles(range, range.entriesFrom, read)
}

/** The right edge folds to the root: by it all that is beneath can be judged. */
async function checkEdge({ size, root }: AnchoredCheckpoint, read: (tile: TileId) => Promise<Uint8Array>) {
  if (size === 0) return
  const nodes = await tileNodeReader((level, index) => read(widestTile(level, index, size)))(rangeNodes(0, size))
  if (!isEqual(foldRange(nodes), root)) throw corrupt('tiles do not lead to the root')
}

async function* bundles(
  { checkpoint: { size }, tree, from }: CopyRange,
  readableFrom: number,
  read: (tile: TileId) => Promise<Uint8Array>,
): AsyncGenerator<CopyObject> {
  const first = Math.floor(Math.max(from, readableFrom) / TILE_WIDTH)
  for (let index = first; index * TILE_WIDTH < size; index++) {
    const start = index * TILE_WIDTH
    const width = Math.min(TILE_WIDTH, size - start)
    const leaves = await read({ level: 0, index, width })
    const entries: Uint8Array[] = []
    for await (const rows of tree.entries(start, start + width)) {
      for (const row of rows) {
        const at = entries.length * HASH_BYTES
        const isRight = row.index === start + entries.length && row.entry.length <= MAX_ENTRY_BYTES
        if (!isRight || !isEqual(leafHash(row.entry), leaves.subarray(at, at + HASH_BYTES))) {
          throw corrupt(`entry ${row.index} is not the one in the tree`)
        }
        entries.push(row.entry)
      }
    }
    if (entries.length !== width) throw corrupt(`entries from ${start} are missing`)
    yield { name: formatEntriesPath(index, width), bytes: formatEntryBundle(entries) }
  }
}

function widestTile(level: number, index: number, size: number): TileId {
  return { level, index, width: index < fullTiles(level, size) ? TILE_WIDTH : tileWidth(level, size) }
}

async function tileBytes(tree: AnchorTree, tile: TileId, size: number): Promise<Uint8Array> {
  let bytes: Uint8Array | null = null
  try {
    bytes = await readTileOf(tree, tile, size)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  if (bytes?.length === tile.width * HASH_BYTES) return bytes
  throw corrupt(`tile ${tile.index} of level ${tile.level} is missing`)
}

const corrupt = (what: string) => new IndelibleError('ERR_STORE_CORRUPT', `${what}: nothing of it was copied`)
