import fc from 'fast-check'
import { expect, it } from 'vitest'
import { PartSet } from './part-set.ts'

it('is a set of parts, whatever is added and deleted', () => {
  const part = fc.record({
    add: fc.boolean(),
    index: fc.oneof(fc.nat(40), fc.integer({ min: 2040, max: 2060 }), fc.integer({ min: 2 ** 40, max: 2 ** 40 + 9 })),
    name: fc.constantFrom('input', 'output', '__proto__'),
  })
  fc.assert(
    fc.property(fc.array(part, { maxLength: 100 }), (steps) => {
      const set = new PartSet()
      const expected = new Set<string>()
      for (const { add, index, name } of steps) {
        const key = `${index}/${name}`
        if (add) {
          expect(set.add(index, name)).toBe(true)
          expected.add(key)
        } else expect(set.delete(index, name)).toBe(expected.delete(key))
        expect(set.size).toBe(expected.size)
      }
      expect(new Set(Array.from(set, ({ index, name }) => `${index}/${name}`))).toEqual(expected)
    }),
  )
})

it('holds a million parts of a log, and says when names leave no room', () => {
  const set = new PartSet()
  for (let index = 0; index < 1_000_000; index++) set.add(index, 'output')
  expect(set.size).toBe(1_000_000)
  let held = 0
  for (let i = 0; i < 200_000; i++) if (set.add(i, `name ${i}`)) held++
  expect(held).toBeLessThan(200_000)
  expect(held).toBeGreaterThan(190_000)
})
