/** Tree nodes for many proofs of one size: tiles and the right edge are read once, not once a proof. */

import type { NodeReader } from '../tree/proof.ts'
import { sourceNodeReader, type TileSource } from '../tree/source.ts'

/** Answers kept, of at most 8 KiB each. */
const MAX_KEPT = 512

export function cachedNodeReader(source: TileSource, size: number): NodeReader {
  const kept = new Map<string, Promise<unknown>>()
  const once = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const known = kept.get(key) as Promise<T> | undefined
    if (known) return known
    // Proofs come in log order: what was kept first is what is needed last.
    if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!)
    const answer = read()
    kept.set(key, answer)
    return answer
  }
  return sourceNodeReader(
    {
      tile: (level, index) => once(`tile ${level} ${index}`, () => source.tile(level, index)),
      tileRoots: (level, start, end) =>
        once(`roots ${level} ${start} ${end}`, () => source.tileRoots(level, start, end)),
      leaves: (start, end) => once(`leaves ${start} ${end}`, () => source.leaves(start, end)),
    },
    size,
  )
}
