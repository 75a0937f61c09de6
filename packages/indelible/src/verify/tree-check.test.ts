import { beforeAll, describe, expect, it } from 'vitest'
import { concat, u64be } from '../bytes.ts'
import { Frontier } from '../tree/frontier.ts'
import { type Hash, leafHash } from '../tree/hash.ts'
import { tileRoot } from '../tree/tile.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence } from './evidence.ts'
import { FindingList } from './report.ts'
import { TreeCheck } from './tree-check.ts'

/** Enough for a full tile of level 1, and some more. */
const SIZE = 256 * 256 + 300

let rows: EvidenceEntry[]
let tiles: Map<string, Uint8Array>
let head: EvidenceHead
let root: Hash

beforeAll(() => {
  rows = Array.from({ length: SIZE }, (_, index) => {
    const entry = u64be(index)
    return { index, entry, leaf: leafHash(entry), mac: new Uint8Array(32), epoch: 0 }
  })
  tiles = new Map()
  const levels: Hash[][] = [[], []]
  const frontier = Frontier.empty()
  for (const { leaf } of rows) {
    frontier.append(leaf)
    levels[0]!.push(leaf)
    for (let level = 0; level < 2 && levels[level]!.length % 256 === 0; level++) {
      const index = levels[level]!.length / 256 - 1
      const tile = concat(...levels[level]!.slice(-256))
      tiles.set(`${level}/${index}`, tile)
      if (level === 0) levels[1]!.push(tileRoot(tile))
    }
  }
  root = frontier.root()
  const { hashes } = frontier
  const rest = { mac: new Uint8Array(32), epoch: 0, observed: '', checkpoint: '', minIndex: 0 }
  head = { size: SIZE, frontier: hashes, ...rest }
})

interface Shown {
  readonly tiles?: ReadonlyMap<string, Uint8Array>
  /** Roots stored beside tiles, where they are not those of the hashes. */
  readonly roots?: ReadonlyMap<string, Uint8Array>
  readonly row?: (index: number) => EvidenceEntry | null
  readonly head?: EvidenceHead
}

function evidenceOf({ tiles: shown = tiles, roots = new Map() }: Shown): LogEvidence {
  const rootOf = (level: number, index: number) => {
    const tile = shown.get(`${level}/${index}`)
    if (!tile) throw new RangeError('no such tile')
    return roots.get(`${level}/${index}`) ?? tileRoot(tile)
  }
  return {
    tile: async (level: number, index: number) => shown.get(`${level}/${index}`) ?? null,
    tileRoots: async (level: number, start: number, end: number) =>
      Array.from({ length: end - start }, (_, i) => rootOf(level, start + i)),
    leaves: async (start: number, end: number) => rows.slice(start, end).map(({ leaf }) => leaf),
  } as unknown as LogEvidence
}

async function check(shown: Shown = {}, from = 0, to = SIZE) {
  const findings = new FindingList()
  const tree = await TreeCheck.at(from, SIZE, evidenceOf(shown), findings)
  const { row = (index) => rows[index]! } = shown
  for (let start = from; start < to; start += 500) {
    const end = Math.min(to, start + 500)
    await tree.prepare(start, end)
    for (let index = start; index < end; index++) tree.entry(index, row(index))
  }
  await tree.skipTo(to)
  tree.finish(root, shown.head ?? head, 0)
  return findings.listed.map(({ code, index }) => (index === undefined ? code : `${code} ${index}`))
}

const altered = (key: string, at: number) => new Map(tiles).set(key, flip(tiles.get(key)!, at))
const flip = (bytes: Uint8Array, at: number) => bytes.with(at, bytes[at]! ^ 1)

describe('a tree with tiles of two levels', () => {
  it('is as it was signed, whole and in any range', async () => {
    expect(await check()).toEqual([])
    const ranges = [
      [0, 1],
      [255, 257],
      [65_535, 65_537],
      [65_536, SIZE],
      [40_000, 40_300],
      [SIZE - 1, SIZE],
    ]
    for (const [from, to] of ranges) expect(await check({}, from, to)).toEqual([])
  })

  it('shows where a tile of either level was altered', async () => {
    expect(await check({ tiles: altered('1/0', 32 * 7) })).toEqual(['tile_altered 1792'])
    // A tile of level 0 whose root was made to fit contradicts the one above as well.
    expect(await check({ tiles: altered('0/9', 32 * 5) })).toEqual(['tile_altered 2304', 'tile_altered 2309'])
    const roots = new Map([['0/9', new Uint8Array(32)]])
    expect(await check({ roots })).toEqual(['tile_altered 2304'])
    expect(await check({ roots: new Map([['1/0', new Uint8Array(32)]]) })).toEqual(['tile_altered 0'])
    for (const key of ['0/9', '1/0']) {
      const without = new Map(tiles)
      without.delete(key)
      expect(await check({ tiles: without })).toEqual([`tile_missing ${key === '1/0' ? 0 : 2304}`])
    }
  })

  it('shows which entry was altered, in a tile and after the last', async () => {
    for (const index of [0, 2309, 65_535, 65_536, SIZE - 1]) {
      const alter = (change: Partial<EvidenceEntry> | null) => {
        const row = (at: number) => (at !== index ? rows[at]! : change && { ...rows[at]!, ...change })
        return check({ row }, Math.max(0, index - 300), Math.min(SIZE, index + 300))
      }
      const entry = flip(rows[index]!.entry, 7)
      expect(await alter({ entry })).toEqual([`entry_altered ${index}`])
      expect(await alter({ leaf: new Uint8Array(32) })).toEqual([`leaf_altered ${index}`])
      expect(await alter({ leaf: new Uint8Array(0) })).toEqual([`leaf_altered ${index}`])
      expect(await alter(null)).toEqual([`entry_missing ${index}`])
      // After the last full tile nothing is left to say which one it was, but the frontier says where.
      const isInTile = index < SIZE - (SIZE % 256)
      expect(await alter({ entry, leaf: leafHash(entry) })).toEqual(
        isInTile ? [`entry_altered ${index}`] : [expect.stringMatching(/^root_mismatch 65[78]\d\d$/)],
      )
    }
  })

  it('says that the frontier is wrong, and not that the entries are', async () => {
    const withFrontier = (frontier: Hash[]) => check({ head: { ...head, frontier } }, SIZE - 10)
    for (const [i] of head.frontier.entries()) {
      expect(await withFrontier(head.frontier.with(i, new Uint8Array(32)) as Hash[])).toEqual(['frontier_altered'])
    }
    expect(await withFrontier(head.frontier.slice(1) as Hash[])).toEqual(['frontier_altered'])
    expect(await withFrontier([...head.frontier, new Uint8Array(32)])).toEqual(['frontier_altered'])
  })

  it('takes the hashes of what it skips from the tiles, and is not fooled by them', async () => {
    // One tile on each side, of each level: the root comes out wrong.
    for (const key of ['0/0', '1/0']) {
      const at = key === '0/0' ? 0 : 32 * 255
      const found = await check({ tiles: altered(key, at) }, 10, 20)
      expect(found.some((code) => code.startsWith('root_mismatch') || code.startsWith('tile'))).toBe(true)
    }
    expect(await check({ tiles: altered('0/100', 0) }, 25_700, 25_701)).not.toEqual([])
  })
})
