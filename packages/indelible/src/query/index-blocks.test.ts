import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keepWanted, packColumn, wantedCodes } from './index-blocks.ts'

/** Places of entries whose term is one of `wanted`, by way of a packed column. */
function ask(ids: Uint32Array, wanted: readonly number[]): readonly number[] {
  const packed = packColumn(ids)
  if (!packed) return []
  // As SQLite hands them out, and as views of something larger.
  const moved = new Uint8Array([0, ...packed.terms]).subarray(1)
  const codes = wantedCodes(moved, wanted)
  return codes ? keepWanted([...ids.keys()], packed.codes, codes) : []
}

const scan = (ids: Uint32Array, wanted: readonly number[]) =>
  [...ids.keys()].filter((place) => ids[place] !== 0 && wanted.includes(ids[place]!))

describe('a column of a block', () => {
  it('answers as a look at every entry does', () => {
    const id = fc.oneof(fc.constant(0), fc.constant(7), fc.integer({ min: 0, max: 5 }), fc.constant(0xffffffff))
    fc.assert(
      fc.property(fc.array(id, { maxLength: 40 }), fc.array(id, { maxLength: 3 }), (list, wanted) => {
        const ids = Uint32Array.from(list)
        expect(ask(ids, wanted)).toEqual(scan(ids, wanted))
      }),
    )
  })

  it.each([1, 254, 255, 256, 4096])('has %i terms', (count) => {
    const ids = Uint32Array.from({ length: 4096 }, (_, i) => 1000 + ((i * 31) % count))
    for (const wanted of [[1000], [1000 + count - 1], [1000, 1000 + Math.floor(count / 2)], [999]]) {
      expect(ask(ids, wanted)).toEqual(scan(ids, wanted))
    }
  })

  it('is nothing where no entry has a term', () => expect(packColumn(new Uint32Array(5))).toBeNull())

  it('takes no room where all entries have the same', () =>
    expect(packColumn(new Uint32Array(4096).fill(3))!.codes).toHaveLength(0))
})
