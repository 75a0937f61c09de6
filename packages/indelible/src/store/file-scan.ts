/**
 * Finds lines without being told where they are: where somebody has cut or mended a file, and where the index has to be
 * made anew.
 */
import { readAt, sizeOf } from './file-io.ts'
import { linesOf, parseEntryLine } from './file-lines.ts'

const BLOCK = 1024 * 1024

/** Lines of `[0, end)` of a file, each with its line break, and where they start. */
export function* scanLines(fd: number, end = sizeOf(fd)): Generator<{ start: number; line: Buffer }> {
  let rest: Buffer = Buffer.alloc(0)
  for (let at = 0; at < end; at += BLOCK) {
    const block = Buffer.concat([rest, readAt(fd, at, Math.min(BLOCK, end - at))])
    const blockStart = at - rest.length
    const cut = block.lastIndexOf(10) + 1
    for (const { start, line } of linesOf(block.subarray(0, cut))) yield { start: blockStart + start, line }
    rest = block.subarray(cut)
  }
  if (rest.length > 0) yield { start: end - rest.length, line: rest }
}

export interface FoundLine {
  readonly index: number
  readonly start: number
  readonly end: number
}

/**
 * The entries among lines, in ascending order. A line that stands out of order, twice, or is none of ours is left out, and
 * so is the one after it: what people read in the file must be what was recorded, and nothing between.
 */
export function* entryLines(
  lines: Iterable<{ start: number; line: Buffer }>,
  from: number,
  to: number,
): Generator<FoundLine> {
  let last = from - 1
  let isTainted = false
  for (const { start, line } of lines) {
    const index = parseEntryLine(line)?.index ?? -1
    const isInOrder = index > last && index < to
    if (isInOrder && !isTainted) yield { index, start, end: start + line.length }
    if (isInOrder) last = index
    isTainted = !isInOrder
  }
}
