import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toBase64, toHex, u64be, utf8 } from '../bytes.ts'
import { Frontier, frontierNodes } from './frontier.ts'
import { HASH_BYTES, type Hash, leafHash } from './hash.ts'
import { type NodeReader, proveConsistency, proveInclusion } from './proof.ts'
import {
  formatEntriesPath,
  formatEntryBundle,
  formatTilePath,
  fullTiles,
  MAX_ENTRY_BYTES,
  nodeFromTile,
  parseEntriesPath,
  parseEntryBundle,
  parseTilePath,
  TILE_WIDTH,
  tileNodeReader,
  tileOfNode,
  tileRoot,
  tileWidth,
} from './tile.ts'

const load = (name: string) => {
  return JSON.parse(readFileSync(new URL(`../../../../vectors/${name}.json`, import.meta.url), 'utf8'))
}
const vectors: {
  tile: { level: number; index: string; partial: number; path: string }[]
  encode_N: { n: string; path: string }[]
  parse_ok: { level: string; index: string; L: number; N: string; W: number }[]
  parse_reject: [string, string][]
  entries_for_index: { seq: string; size: string; path: string }[]
  node_to_tile: { level: number; index: number; tileLevel: number; tileIndex: number }[]
  resources_for_size: { size: number; want: Record<string, number> }[]
} = load('tile-paths')
const tessera: {
  leaves_utf8: string[]
  checkpoints: { size: number; checkpoint: string }[]
  tiles: { path: string; hex: string }[]
  entry_bundles: { path: string; hex: string }[]
} = load('tlog-testlog-tessera')
const invalid = expect.objectContaining({ code: 'ERR_TILE_INVALID' })

describe('tile path', () => {
  it.each(vectors.tile)('is that of Tessera: $path', ({ level, index, partial, path }) => {
    const tile = { level, index: Number(index), width: partial === 0 ? TILE_WIDTH : partial }
    expect(formatTilePath(tile)).toBe(path)
    expect(parseTilePath(path)).toEqual(tile)
  })

  it.each(vectors.encode_N)('splits the index into threes: $path', ({ n, path }) => {
    if (!Number.isSafeInteger(Number(n))) {
      expect(() => formatTilePath({ level: 0, index: Number(n), width: 256 })).toThrow(RangeError)
      expect(() => parseTilePath(`tile/0/${path}`)).toThrow(invalid)
      return
    }
    expect(formatTilePath({ level: 0, index: Number(n), width: 256 })).toBe(`tile/0/${path}`)
    expect(parseTilePath(`tile/0/${path}`).index).toBe(Number(n))
  })

  it.each(vectors.parse_ok)('is parsed unless its index is past 2^53-1: $level/$index', ({ level, index, L, N, W }) => {
    const parse = () => parseTilePath(`tile/${level}/${index}`)
    if (!Number.isSafeInteger(Number(N))) return expect(parse).toThrow(invalid)
    return expect(parse()).toEqual({ level: L, index: Number(N), width: W === 0 ? TILE_WIDTH : W })
  })

  it.each(vectors.parse_reject)('is refused where Tessera refuses it: %s/%s', (level, index) => {
    expect(() => parseTilePath(`tile/${level}/${index}`)).toThrow(invalid)
    if (level === '8') expect(() => parseEntriesPath(`tile/entries/${index}`)).toThrow(invalid)
  })

  it.each(
    [
      ['', 'tile/0/000\n', ' tile/0/000', 'tile/00/000', 'tile/01/000', 'tile/0x1/000', 'Tile/0/000', '/tile/0/000'],
      [
        'tile/0/x000/001',
        'tile/0/x000/x001/000',
        'tile/0/x001',
        'tile/0/X001/000',
        'tile/0/0',
        'tile/0/0000',
        'tile/0/',
      ],
      ['tile/0/000.p/0', 'tile/0/000.p/01', 'tile/0/000.p/257', 'tile/0/000.p/+1', 'tile/0/000.p/1/', 'tile/0/000xp/1'],
      ['tile/0/x009/x007/x199/x254/x740/992', 'tile/0/x009/x007/x199/x254/x740/993', 'tile/entries/000', 'tile/0/٠٠٠'],
    ].flat(),
  )('has no second spelling: %j', (path) => {
    expect(() => parseTilePath(path)).toThrow(invalid)
  })

  it('survives a round trip up to 2^53-1', () => {
    fc.assert(
      fc.property(fc.nat(63), fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
        expect(parseTilePath(formatTilePath({ level, index, width }))).toEqual({ level, index, width })
        expect(parseEntriesPath(formatEntriesPath(index, width))).toEqual({ index, width })
      }),
    )
    const last = formatTilePath({ level: 0, index: Number.MAX_SAFE_INTEGER, width: 256 })
    expect(last).toBe('tile/0/x009/x007/x199/x254/x740/991')
  })

  it('is accepted only in the form it would be given', () => {
    const nearly = fc.string({ unit: fc.constantFrom(...'0123456789x/.p'), maxLength: 24 })
    fc.assert(
      fc.property(fc.nat(70), nearly, (level, rest) => {
        const path = `tile/${level}/${rest}`
        let tile: ReturnType<typeof parseTilePath>
        try {
          tile = parseTilePath(path)
        } catch {
          return
        }
        expect(formatTilePath(tile)).toBe(path)
      }),
      { numRuns: 2000 },
    )
  })

  it('exists only for tiles that could', () => {
    const tile = { level: 0, index: 0, width: 256 }
    for (const level of [-1, 64, 0.5]) expect(() => formatTilePath({ ...tile, level })).toThrow(RangeError)
    for (const index of [-1, 0.5, 2 ** 53]) expect(() => formatTilePath({ ...tile, index })).toThrow(RangeError)
    for (const width of [0, 257, 0.5]) expect(() => formatTilePath({ ...tile, width })).toThrow(RangeError)
  })
})

describe('entry bundle path', () => {
  it.each(vectors.entries_for_index)('of entry $seq of $size is $path', ({ seq, size, path }) => {
    const index = Math.floor(Number(seq) / TILE_WIDTH)
    const width = index < fullTiles(0, Number(size)) ? TILE_WIDTH : tileWidth(0, Number(size))
    expect(formatEntriesPath(index, width)).toBe(path)
    expect(parseEntriesPath(path)).toEqual({ index, width })
  })

  it.each([
    'tile/0/000',
    'tile/entries',
    'tile/entries/',
    'entries/000',
    'tile/entries/x000/001',
    'tile/entries/000\n',
  ])('is not %j', (path) => expect(() => parseEntriesPath(path)).toThrow(invalid))
})

describe('tiles of a size', () => {
  it.each(vectors.resources_for_size)('are those of C2SP tlog-tiles: $size', ({ size, want }) => {
    const got: Record<string, number> = {}
    for (const level of [0, 1, 2]) {
      got[`full_l${level}`] = fullTiles(level, size)
      got[`partial_l${level}`] = tileWidth(level, size)
    }
    expect(got).toMatchObject(want)
  })

  it('are counted beyond 32 bits, at every level', () => {
    fc.assert(
      fc.property(fc.nat(63), fc.maxSafeNat(), (level, size) => {
        const hashes = BigInt(size) / 256n ** BigInt(level)
        expect(fullTiles(level, size)).toBe(Number(hashes / 256n))
        expect(tileWidth(level, size)).toBe(Number(hashes % 256n))
      }),
    )
    expect(() => tileWidth(64, 1)).toThrow(RangeError)
    expect(() => fullTiles(0, 2 ** 53)).toThrow(RangeError)
  })
})

const SIZE = 70_000
const levels: Hash[][] = Array.from({ length: 17 }, () => [])
const rootAt = new Map<number, Hash>()
const sizes = [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 65_792, 69_999, SIZE]
const frontier = Frontier.empty()
for (let i = 0; i < SIZE; i++) {
  frontier.append(leafHash(u64be(i)), (level, _, hash) => levels[level]!.push(hash))
  if (sizes.includes(i + 1)) rootAt.set(i + 1, frontier.root())
}

const readNodes: NodeReader = async (nodes) => nodes.map(({ level, index }) => levels[level]![index]!)

/** A tile as a tree of `size` has it, or undefined if it has none. */
function tileAt(level: number, index: number, size: number): Uint8Array | undefined {
  const full = fullTiles(level, size)
  const width = index < full ? TILE_WIDTH : index === full ? tileWidth(level, size) : 0
  const hashes = levels[level * 8]!.slice(index * TILE_WIDTH, index * TILE_WIDTH + width)
  return width === 0 ? undefined : concat(...hashes)
}

/** Reads through the tiles of a tree of `size`, and refuses to read one twice. */
function tilesOf(size: number): NodeReader {
  return (nodes) => {
    const seen = new Set<string>()
    return tileNodeReader(async (level, index) => {
      const tile = tileAt(level, index, size)
      if (tile === undefined || seen.has(`${level}/${index}`)) throw new Error(`no tile ${level}/${index}, or again`)
      seen.add(`${level}/${index}`)
      return tile
    })(nodes)
  }
}

const hex = (hashes: readonly Hash[]) => hashes.map(toHex)

describe('tile', () => {
  it.each(vectors.node_to_tile)('has the node $level/$index', ({ level, index, ...want }) => {
    const { level: tileLevel, index: tileIndex, start, end } = tileOfNode({ level, index })
    const nodeLevel = Math.log2(end - start)
    expect({ tileLevel, tileIndex, nodeLevel, nodeIndex: start / (end - start) }).toEqual(want)
  })

  it('places nodes of the largest log', () => {
    const last = 2 ** 53 - 1
    expect(tileOfNode({ level: 0, index: last - 1 })).toEqual({ level: 0, index: 2 ** 45 - 1, start: 254, end: 255 })
    expect(tileOfNode({ level: 52, index: 0 })).toEqual({ level: 6, index: 0, start: 0, end: 16 })
  })

  it.each(sizes)('gives every proof of a tree of %i that its nodes give', async (size) => {
    const read = tilesOf(size)
    for (const index of new Set([0, 1, 255, 256, 40_000, 65_535, 65_536, 69_632, size - 2, size - 1])) {
      if (index < 0 || index >= size) continue
      expect(hex(await proveInclusion(index, size, read))).toEqual(hex(await proveInclusion(index, size, readNodes)))
    }
    for (const size1 of sizes.filter((s) => s <= size)) {
      expect(hex(await proveConsistency(size1, size, read))).toEqual(
        hex(await proveConsistency(size1, size, readNodes)),
      )
    }
    expect(toHex(new Frontier(size, await read(frontierNodes(size))).root())).toBe(toHex(rootAt.get(size)!))
  })

  it('folds to the hash it contributes to the tile above', () => {
    for (const index of [0, 1, 100, 272]) {
      expect(toHex(tileRoot(tileAt(0, index, SIZE)!))).toBe(toHex(levels[8]![index]!))
    }
    expect(toHex(tileRoot(tileAt(1, 0, SIZE)!))).toBe(toHex(levels[16]![0]!))
    expect(() => tileRoot(tileAt(0, 273, SIZE)!)).toThrow(invalid)
    expect(() => tileRoot(new Uint8Array(8191))).toThrow(invalid)
    expect(() => tileRoot(new Uint8Array(8192 + HASH_BYTES))).toThrow(invalid)
  })

  it('gives exactly the nodes that its width completes', () => {
    const full = tileAt(0, 5, SIZE)!
    for (let width = 0; width <= TILE_WIDTH; width++) {
      const tile = full.subarray(0, width * HASH_BYTES)
      for (let level = 0; level < 8; level++) {
        const index = (5 * TILE_WIDTH) / 2 ** level
        const complete = Math.floor(width / 2 ** level)
        if (complete > 0) {
          const last = nodeFromTile(tile, { level, index: index + complete - 1 })
          expect(toHex(last)).toBe(toHex(levels[level]![index + complete - 1]!))
        }
        if (complete < TILE_WIDTH / 2 ** level) {
          expect(() => nodeFromTile(tile, { level, index: index + complete })).toThrow(invalid)
        }
      }
    }
  })

  it('shares no memory with the nodes read from it', () => {
    const tile = tileAt(0, 0, SIZE)!
    const leaf = nodeFromTile(tile, { level: 0, index: 3 })
    tile.fill(0)
    expect(toHex(leaf)).toBe(toHex(levels[0]![3]!))
  })

  it('is refused unless it is whole hashes, at most 256', () => {
    for (const length of [1, 33, 8191, 8192 + HASH_BYTES]) {
      expect(() => nodeFromTile(new Uint8Array(length), { level: 0, index: 0 })).toThrow(invalid)
    }
  })

  it('passes on why it cannot be read', async () => {
    const read = tileNodeReader(() => Promise.reject(new Error('offline')))
    await expect(proveInclusion(0, SIZE, read)).rejects.toThrow('offline')
    const short = tileNodeReader(async () => new Uint8Array(HASH_BYTES))
    await expect(proveInclusion(0, SIZE, short)).rejects.toThrow(invalid)
  })
})

describe('the log of Tessera', () => {
  const entries = tessera.leaves_utf8.map((leaf) => utf8(leaf))

  it('has our roots in its checkpoints', () => {
    const grown = Frontier.empty()
    for (const { size, checkpoint } of tessera.checkpoints) {
      while (grown.size < size) grown.append(leafHash(entries[grown.size]!))
      expect(checkpoint.split('\n').slice(1, 3)).toEqual([`${size}`, toBase64(grown.root())])
    }
  })

  it.each(tessera.tiles)('has our leaf hashes at $path', ({ path, hex: want }) => {
    const { level, width } = parseTilePath(path)
    expect(level).toBe(0)
    expect(toHex(concat(...entries.slice(0, width).map(leafHash)))).toBe(want)
  })

  it.each(tessera.entry_bundles)('has our entry bundle at $path', ({ path, hex: want }) => {
    const { width } = parseEntriesPath(path)
    expect(toHex(formatEntryBundle(entries.slice(0, width)))).toBe(want)
    expect(parseEntryBundle(fromHex(want), width)).toEqual(entries.slice(0, width))
  })
})

describe('entry bundle', () => {
  it('survives a round trip, and nothing shorter, longer or of another width is a bundle', () => {
    const some = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(some, fc.uint8Array({ minLength: 1, maxLength: 4 }), (entries, extra) => {
        const bytes = formatEntryBundle(entries)
        expect(parseEntryBundle(bytes, entries.length)).toEqual(entries)
        expect(() => parseEntryBundle(concat(bytes, extra), entries.length)).toThrow(invalid)
        expect(() => parseEntryBundle(bytes.subarray(0, -1), entries.length)).toThrow(invalid)
        expect(() => parseEntryBundle(bytes, entries.length + 1)).toThrow(invalid)
        if (entries.length > 1) expect(() => parseEntryBundle(bytes, entries.length - 1)).toThrow(invalid)
      }),
    )
  })

  it('holds 256 entries of 65,535 bytes, and no more', () => {
    const entry = new Uint8Array(MAX_ENTRY_BYTES).fill(9)
    const bytes = formatEntryBundle(new Array<Uint8Array>(TILE_WIDTH).fill(entry))
    const parsed = parseEntryBundle(bytes, TILE_WIDTH)
    expect(parsed).toHaveLength(TILE_WIDTH)
    expect(parsed.at(-1)).toHaveLength(MAX_ENTRY_BYTES)
    expect(() => formatEntryBundle([new Uint8Array(MAX_ENTRY_BYTES + 1)])).toThrow(RangeError)
    expect(() => formatEntryBundle(new Array<Uint8Array>(TILE_WIDTH + 1).fill(new Uint8Array(0)))).toThrow(RangeError)
    expect(() => formatEntryBundle([])).toThrow(RangeError)
    for (const width of [0, 257, -1, 1.5]) expect(() => parseEntryBundle(bytes, width)).toThrow(RangeError)
  })

  it('hands out copies, also of a Buffer', () => {
    const bytes = Buffer.from(formatEntryBundle([utf8('one')]))
    const [entry] = parseEntryBundle(bytes, 1)
    bytes.fill(0)
    expect(entry).toEqual(utf8('one'))
  })
})
