import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LineSplitter, LineWriter } from '../src/capture/mcp-lines.ts'

describe('lines of a pipe', () => {
  it('are the same bytes, however they come and however long they are', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '\n', '\r') })), fc.nat(20), (chunks, most) => {
        const lines = new LineSplitter(most)
        const pieces = [...chunks.flatMap((chunk) => [...lines.push(Buffer.from(chunk))]), ...lines.end()]
        const bytes = pieces.map((one) => ('line' in one ? one.line : one.piece))
        expect(Buffer.concat(bytes).toString()).toBe(chunks.join(''))
        for (const one of pieces) if ('line' in one) expect(one.line.length).toBeLessThanOrEqual(most)
        const ends = pieces.filter((one) => 'line' in one || one.isLast).length
        expect(ends).toBe(
          chunks
            .join('')
            .split('\n')
            .filter((text, i, all) => i < all.length - 1 || text !== '').length,
        )
      }),
    )
  })

  it('are not written into the middle of one that comes in pieces, nor behind one without an end', () => {
    const stream = new PassThrough()
    const writer = new LineWriter(stream, () => {})
    writer.piece(Buffer.from('long'), false)
    writer.line(Buffer.from('{}\n'))
    writer.piece(Buffer.from(' line'), true)
    writer.message({ a: 1 })
    writer.line(Buffer.from('cut'))
    writer.line(Buffer.from('next\n'))
    expect(stream.read().toString()).toBe('long line\n{}\n{"a":1}\ncut\nnext\n')
  })
})
