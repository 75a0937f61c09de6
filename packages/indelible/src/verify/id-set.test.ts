import { describe, expect, it } from 'vitest'
import { formatId, newId } from '../record/id.ts'
import { IdSet } from './id-set.ts'

describe('a set of ids', () => {
  it('tells what it has from what it has not, however large it grows', () => {
    const ids = new IdSet()
    const all = Array.from({ length: 20_000 }, (_, i) => newId(1_780_000_000_000 + (i >> 4)))
    for (const id of all) expect(ids.add(id)).toBe(true)
    for (const id of all.slice(0, 5000)) expect(ids.add(id)).toBe(false)
  })

  it('sees a difference in any one digit', () => {
    const ids = new IdSet()
    const id = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    expect(ids.add(id)).toBe(true)
    for (const [at, digit] of [...id].entries()) {
      if (digit === '-') continue
      const other = `${id.slice(0, at)}${digit === '0' ? '1' : '0'}${id.slice(at + 1)}`
      expect([at, ids.add(other)]).toEqual([at, true])
    }
    expect(ids.add(id)).toBe(false)
  })

  it('is not slowed down by ids chosen to collide', () => {
    // As many as have the same third and fourth word, or differ in few bits only.
    const ids = new IdSet()
    const started = performance.now()
    for (let i = 0; i < 40_000; i++) ids.add(formatId(i, new Uint8Array(10)))
    for (let i = 0; i < 40_000; i++) {
      const random = new Uint8Array(10)
      new DataView(random.buffer).setUint32(6, i * 65_536)
      ids.add(formatId(1, random))
    }
    expect(performance.now() - started).toBeLessThan(5000)
  })
})
