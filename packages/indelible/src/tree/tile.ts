/**
 * How a tree is cut into files: tiles of 256 hashes and bundles of 256 entries, byte for byte as in C2SP tlog-tiles
 * (https://c2sp.org/tlog-tiles). Level `l` of tiles holds the nodes of level `8 * l`; those between are folded from them.
 */
import { IndelibleError } from '../errors.ts'
import { HASH_BYTES, type Hash, nodeHash } from './hash.ts'
import { isCount, type NodeId } from './node.ts'
import type { NodeReader } from './proof.ts'

/** Levels of the tree that a tile spans. */
export const TILE_HEIGHT = 8

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256

/** Longest entry that a bundle can hold, in bytes. */
export const MAX_ENTRY_BYTES = 65_535

const MAX_TILE_LEVEL = 63

/** A tile. `width` is the number of its hashes, 1 to 256; below 256 it is *partial*. */
export interface TileId {
  level: number
  index: number
  width: number
}

/** A bundle of entries, of `width` 1 to 256. */
export type EntriesId = Omit<TileId, 'level'>

/** Path of a tile, such as `tile/1/x001/234.p/17`. Throws `RangeError` if there is no such tile. */
export function formatTilePath({ level, index, width }: TileId): string {
  if (!isCount(level) || level > MAX_TILE_LEVEL) throw new RangeError(`tile level ${level}, expected 0 to 63`)
  return `tile/${level}/${formatPosition(index, width)}`
}

/** Path of an entry bundle, such as `tile/entries/000`. Throws `RangeError` if there is no such bundle. */
export function formatEntriesPath(index: number, width: number): string {
  return `tile/entries/${formatPosition(index, width)}`
}

/**
 * The tile at `path`. Accepts exactly what {@link formatTilePath} gives; an index past 2^53-1 is refused too.
 *
 * @throws IndelibleError `ERR_TILE_INVALID`
 */
export function parseTilePath(path: string): TileId {
  const [, level, position] = /^tile\/(0|[1-9][0-9]?)\/(.*)$/s.exec(path) ?? []
  if (level === undefined || position === undefined || Number(level) > MAX_TILE_LEVEL) throw invalid('not a tile path')
  return { level: Number(level), ...parsePosition(position) }
}

/**
 * The entry bundle at `path`, as strictly as {@link parseTilePath}.
 *
 * @throws IndelibleError `ERR_TILE_INVALID`
 */
export function parseEntriesPath(path: string): EntriesId {
  if (!path.startsWith('tile/entries/')) throw invalid('not an entry bundle path')
  return parsePosition(path.slice('tile/entries/'.length))
}

function formatPosition(index: number, width: number): string {
  if (!isCount(index)) throw new RangeError(`tile index ${index}, expected an integer from 0 to 2^53-1`)
  checkWidth(width)
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0')
  return padded.replace(/...(?=.)/g, 'x$&/') + (width < TILE_WIDTH ? `.p/${width}` : '')
}

function parsePosition(position: string): EntriesId {
  const [, groups, partial] = /^((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/.exec(position) ?? []
  const index = Number(groups?.replace(/[x/]/g, ''))
  const width = Number(partial ?? TILE_WIDTH)
  // x000/001 would be a second path of tile 1, .p/256 of a full tile.
  if (!isCount(index) || groups?.startsWith('x000/') || (partial !== undefined && width >= TILE_WIDTH)) {
    throw invalid('not a tile index and width')
  }
  return { index, width }
}

/** Full tiles at a tile level of the tree of `size` entries. */
export function fullTiles(level: number, size: number): number {
  return Math.floor(hashesAt(level, size) / TILE_WIDTH)
}

/** Width of the partial tile that follows the full ones, 0 if there is none. */
export function tileWidth(level: number, size: number): number {
  return hashesAt(level, size) % TILE_WIDTH
}

function hashesAt(level: number, size: number): number {
  if (!isCount(level) || level > MAX_TILE_LEVEL) throw new RangeError(`tile level ${level}, expected 0 to 63`)
  if (!isCount(size)) throw new RangeError(`tree size ${size}, expected an integer from 0 to 2^53-1`)
  return Math.floor(size / TILE_WIDTH ** level)
}

/** The tile that has a node, and which of its hashes, `[start, end)`, fold into the node: a power of two of them. */
export interface TileRange {
  level: number
  index: number
  start: number
  end: number
}

/** Where a node is found. Every tree that has the node has those hashes, though perhaps in a partial tile. */
export function tileOfNode({ level, index }: NodeId): TileRange {
  const width = 2 ** (level % TILE_HEIGHT)
  const first = index * width
  const start = first % TILE_WIDTH
  return { level: Math.floor(level / TILE_HEIGHT), index: Math.floor(first / TILE_WIDTH), start, end: start + width }
}

/**
 * Hash of a node, folded from the hashes of its {@link tileOfNode}, full or partial.
 *
 * @throws IndelibleError `ERR_TILE_INVALID` if `hashes` is no tile, or too narrow to hold the node
 */
export function nodeFromTile(hashes: Uint8Array, node: NodeId): Hash {
  const { start, end } = tileOfNode(node)
  if (hashes.length % HASH_BYTES !== 0 || hashes.length > TILE_WIDTH * HASH_BYTES) {
    throw invalid(`tile of ${hashes.length} bytes, expected at most 256 hashes of 32`)
  }
  if (hashes.length < end * HASH_BYTES) {
    throw invalid(
      `tile of ${hashes.length / HASH_BYTES} hashes, node ${node.index} of level ${node.level} needs ${end}`,
    )
  }
  return foldTile(hashes, start, end)
}

/**
 * Root of a full tile: the hash that it contributes to the tile above.
 *
 * @throws IndelibleError `ERR_TILE_INVALID` unless `hashes` is 256 hashes; a partial tile is not hashed upward
 */
export function tileRoot(hashes: Uint8Array): Hash {
  if (hashes.length !== TILE_WIDTH * HASH_BYTES) throw invalid(`tile of ${hashes.length} bytes, expected 8192`)
  return foldTile(hashes, 0, TILE_WIDTH)
}

function foldTile(hashes: Uint8Array, start: number, end: number): Hash {
  // A copy: a view would keep the whole tile alive.
  if (end - start === 1) return new Uint8Array(hashes.subarray(start * HASH_BYTES, end * HASH_BYTES))
  const middle = (start + end) / 2
  return nodeHash(foldTile(hashes, start, middle), foldTile(hashes, middle, end))
}

/**
 * Reads nodes through tiles. `tile` gives the bytes of a tile by tile level and index, with as many hashes as exist; it
 * is called at most once per tile and read, for several tiles at a time.
 */
export function tileNodeReader(tile: (level: number, index: number) => Promise<Uint8Array>): NodeReader {
  return async (nodes) => {
    const tiles = new Map<string, Promise<Uint8Array>>()
    return Promise.all(
      nodes.map(async (node) => {
        const { level, index } = tileOfNode(node)
        const key = `${level}/${index}`
        const hashes = tiles.get(key) ?? tile(level, index)
        tiles.set(key, hashes)
        return nodeFromTile(await hashes, node)
      }),
    )
  }
}

/**
 * Entries as a bundle: each preceded by its length as two bytes, big-endian.
 * Throws `RangeError` unless there are 1 to 256, none longer than {@link MAX_ENTRY_BYTES}.
 */
export function formatEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  checkWidth(entries.length)
  let length = 0
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError(`entry of ${entry.length} bytes, at most 65535 fit`)
    length += 2 + entry.length
  }
  const out = new Uint8Array(length)
  let at = 0
  for (const entry of entries) {
    out[at] = entry.length >> 8
    out[at + 1] = entry.length & 255
    out.set(entry, at + 2)
    at += 2 + entry.length
  }
  return out
}

/**
 * Copies of the `width` entries in a bundle. Throws `RangeError` unless `width` is 1 to 256.
 *
 * @throws IndelibleError `ERR_TILE_INVALID` unless the bytes are exactly that many entries
 */
export function parseEntryBundle(bytes: Uint8Array, width: number): Uint8Array[] {
  checkWidth(width)
  const entries: Uint8Array[] = []
  let at = 0
  while (entries.length < width) {
    const start = at + 2
    const end = start + (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
    if (end > bytes.length) throw invalid(`entry bundle ends within entry ${entries.length}, expected ${width}`)
    entries.push(new Uint8Array(bytes.subarray(start, end)))
    at = end
  }
  if (at !== bytes.length) throw invalid(`entry bundle has ${bytes.length - at} bytes after entry ${width - 1}`)
  return entries
}

function checkWidth(width: number): void {
  if (!isCount(width) || width < 1 || width > TILE_WIDTH) throw new RangeError(`width ${width}, expected 1 to 256`)
}

const invalid = (message: string) => new IndelibleError('ERR_TILE_INVALID', message)
