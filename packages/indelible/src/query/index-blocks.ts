/**
 * How the SQLite index keeps entries: in blocks, and of each block every column by itself. A column is the list of its distinct
 * terms and, by entry, which of them it has. So indexing only ever appends, and a question reads the few columns that it is
 * about; a tree for each column would be written to in as many places as there are entries.
 */

/** A column of a block, as it is stored. */
export interface PackedColumn {
  /** Ids of its terms, 32 bits each. */
  readonly terms: Uint8Array
  /** By entry: 0 for none, or one more than the place among the terms. In 8 or 16 bits; empty if all have the one term. */
  readonly codes: Uint8Array
}

/** Most entries of a block, so that codes have 16 bits. */
export const MAX_BLOCK = 32_768

/**
 * @param ids by entry, at most {@link MAX_BLOCK}; 0 for none
 * @returns `null` if no entry has one
 */
export function packColumn(ids: Uint32Array): PackedColumn | null {
  const codeOf = new Map<number, number>()
  const wide = new Uint16Array(ids.length)
  let isFull = true
  let [last, lastCode] = [0, 0]
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    if (id === 0) {
      isFull = false
      continue
    }
    if (id !== last) {
      last = id
      lastCode = codeOf.get(id) ?? codeOf.size + 1
      codeOf.set(id, lastCode)
    }
    wide[i] = lastCode
  }
  if (codeOf.size === 0) return null
  const codes = codeOf.size > 255 ? bytesOf(wide) : new Uint8Array(wide)
  return {
    terms: bytesOf(Uint32Array.from(codeOf.keys())),
    codes: isFull && codeOf.size === 1 ? new Uint8Array(0) : codes,
  }
}

/**
 * Which terms of a column are among `ids`.
 * @param terms as {@link packColumn} made them
 * @returns by code, 1 for those; `null` if none is
 */
export function wantedCodes(terms: Uint8Array, ids: readonly number[]): Uint8Array | null {
  const known = new Uint32Array(aligned(terms))
  const wanted = new Uint8Array(known.length + 1)
  let isAny = false
  for (const id of ids) {
    const at = known.indexOf(id)
    if (at === -1) continue
    wanted[at + 1] = 1
    isAny = true
  }
  return isAny ? wanted : null
}

/** Keeps of `places` in a block those whose entry has a wanted term. */
export function keepWanted(places: readonly number[], codes: Uint8Array, wanted: Uint8Array): readonly number[] {
  // All have the one term.
  if (codes.length === 0) return wanted[1] === 1 ? places : []
  const byEntry = wanted.length > 256 ? new Uint16Array(aligned(codes)) : codes
  const kept: number[] = []
  for (const place of places) if (wanted[byEntry[place]!] === 1) kept.push(place)
  return kept
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
}

/** The buffer of bytes that begin it and fill it; a copy where they do not. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  const isWhole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
  return (isWhole ? bytes : bytes.slice()).buffer as ArrayBuffer
}
