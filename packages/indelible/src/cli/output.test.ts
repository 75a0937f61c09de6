import { describe, expect, it } from 'vitest'
import { inline } from './output.ts'

describe('inline', () => {
  it('keeps to its length, with how much is missing', () => {
    for (const [length, most] of [
      [80, 80],
      [81, 80],
      [5000, 80],
    ] as const) {
      const text = inline('x'.repeat(length), most)
      expect(text.length).toBeLessThanOrEqual(most)
      const [kept, missing = '0'] = text.split(/… \(| more/)
      expect(kept!.length + Number(missing)).toBe(length)
    }
  })
})
