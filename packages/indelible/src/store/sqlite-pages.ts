/**
 * Pages of a SQLite file, as far as it takes to find the bytes that mean nothing: https://www.sqlite.org/fileformat2.html.
 *
 * Deleting a row overwrites it where it stands (`secure_delete`), and pages that are free are all zero. What is left are copies
 * that SQLite made when it moved rows between pages: in the middle of a page, between its list of cells and the first cell, and
 * in its free blocks.
 */

/** First byte of a page of a b-tree: interior and leaf, of an index and of a table. */
const INTERIOR: ReadonlySet<number> = new Set([2, 5])
const LEAF: ReadonlySet<number> = new Set([10, 13])

/**
 * Overflow pages and those of the free list begin with a page number, big-endian. In a file of fewer pages than this, that
 * cannot be taken for a page of a b-tree.
 */
export const MAX_PAGES = 0x02000000

/** The page that no file uses: the one with the byte that SQLite locks. */
const PENDING_BYTE = 0x40000000

/** Bytes of a page that mean nothing: `[start, end)` each. */
export type Ranges = readonly (readonly [start: number, end: number])[]

/** What the header of a file says; `null` if it is no file that the rest of this understands. */
export function readHeader(header: Uint8Array): { readonly pageSize: number } | null {
  const view = viewOf(header)
  const raw = view.getUint16(16)
  const pageSize = raw === 1 ? 65_536 : raw
  const isSqlite = Buffer.from(header.subarray(0, 16)).toString('latin1') === 'SQLite format 3\0'
  const reserved = header[20]
  // Bytes 18 and 19: both 2 in WAL mode. Bytes 52 to 55: not 0 where pages can be given back, with maps of who points to them.
  const isKnown = header[18] === 2 && header[19] === 2 && reserved === 0 && view.getUint32(52) > 0
  return isSqlite && isKnown && pageSize >= 512 ? { pageSize } : null
}

/** Whether page `number`, from 1, is one of the maps of who points to which page. */
export function isPointerMap(number: number, pageSize: number): boolean {
  if (number < 2) return false
  const each = Math.floor(pageSize / 5) + 1
  const map = Math.floor((number - 2) / each) * each + 2
  return number === (map === PENDING_BYTE / pageSize + 1 ? map + 1 : map)
}

/**
 * Where page `number` has bytes that mean nothing and are not zero yet. The first page is left out: it has the names of tables.
 * @returns `null` for a page that contradicts itself
 */
export function dirtyRanges(page: Buffer, number: number): Ranges | null {
  const type = page[0]!
  const isLeaf = LEAF.has(type)
  if (number === 1 || !(isLeaf || INTERIOR.has(type)) || isPointerMap(number, page.length)) return []
  const pointers = isLeaf ? 8 : 12
  const cells = page.readUInt16BE(3)
  const content = page.readUInt16BE(5) || 65_536
  const gap = pointers + 2 * cells
  if (gap > content || content > page.length) return null
  for (let at = pointers; at < gap; at += 2) if (page.readUInt16BE(at) < content) return null
  const ranges: [number, number][] = [[gap, content]]
  for (let at = page.readUInt16BE(1); at !== 0; ) {
    if (at < content || at + 4 > page.length) return null
    const [next, size] = [page.readUInt16BE(at), page.readUInt16BE(at + 2)]
    if (size < 4 || at + size > page.length || (next !== 0 && next < at + size)) return null
    ranges.push([at + 4, at + size])
    at = next
  }
  return ranges.filter(([start, end]) => !isZero(page, start, end))
}

const ZEROS = Buffer.alloc(65_536)

function isZero(page: Buffer, start: number, end: number): boolean {
  return page.compare(ZEROS, 0, end - start, start, end) === 0
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
