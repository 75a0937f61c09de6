/** The index of a log of files, made anew from the log: where each line ends, and which entry may have an id. */
import { closeSync, mkdirSync, openSync, renameSync } from 'node:fs'
import { join } from 'node:path'

import { IdTable } from './file-id-table.ts'
import { sizeOf, syncFile, writeAt } from './file-io.ts'
import { parseIdLine } from './file-lines.ts'
import { type FileLog, OFFSET_BYTES, type View } from './file-log.ts'
import { entryLines, scanLines } from './file-scan.ts'
import type { Segment } from './file-segments.ts'

/** Offsets that are written at a time. */
const STEP = 65_536

interface End {
  readonly index: number
  readonly end: number
}

/** Writes `offsets` and `ids` into `folder`. Reads the whole log once. */
export async function rebuildIndex(log: FileLog, view: View, folder: string): Promise<IdTable> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, 'offsets')
  const fd = openSync(`${path}.new`, 'w', 0o600)
  try {
    const columns = [cursor(lineEnds(log, view)), cursor(payloadEnds(log, view)), cursor(idEnds(log, view))]
    for (let first = 0; first < view.size; first += STEP) {
      const count = Math.min(STEP, view.size - first)
      const block = new Float64Array(count * 3)
      for (let i = 0; i < count; i++) {
        for (const [column, at] of columns.entries()) block[i * 3 + column] = at(first + i)
      }
      writeAt(fd, first * OFFSET_BYTES, new Uint8Array(block.buffer))
    }
    await syncFile(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
  log.files.forget(path)
  const table = await IdTable.create(join(folder, 'ids'))
  for (let at = 0; at < view.size; at += STEP) {
    const end = Math.min(view.size, at + STEP)
    await table.add(
      log.idRows(at, end).map(({ id, index }) => [id, index] as const),
      end,
    )
  }
  return table
}

/** Gives, asked in ascending order, where what belongs to an entry ends; of an entry of which there is nothing, where the one before did. */
function cursor(ends: Iterator<End>): (index: number) => number {
  let next = ends.next()
  let last = 0
  return (index) => {
    while (!next.done && next.value.index <= index) {
      last = next.value.end
      next = ends.next()
    }
    return last
  }
}

function* eachSegment(log: FileLog, { size }: View): Generator<{ segment: Segment; to: number; isNewest: boolean }> {
  const { segments } = log.list()
  for (const [i, segment] of segments.entries()) {
    yield { segment, to: segments[i + 1]?.from ?? size, isNewest: i === segments.length - 1 }
  }
}

function* lineEnds(log: FileLog, view: View): Generator<End> {
  for (const { segment, to, isNewest } of eachSegment(log, view)) {
    const fd = log.open(segment.file)
    if (fd === null) {
      yield* archivedEnds(log, segment, to)
      continue
    }
    const end = isNewest ? view.ends.lines - segment.skip.lines : sizeOf(fd)
    for (const line of entryLines(scanLines(fd, end), segment.from, to)) {
      yield { index: line.index, end: line.end + segment.skip.lines }
    }
  }
}

function* archivedEnds(log: FileLog, segment: Segment, to: number): Generator<End> {
  const fd = log.open(`${segment.file}.gz`)
  if (fd === null) return
  let end = segment.skip.lines
  for (const { index, line } of log.archivedLines(segment, fd, segment.from, to)) {
    end += line.length
    yield { index, end }
  }
}

function* payloadEnds(log: FileLog, view: View): Generator<End> {
  for (const { segment, isNewest } of eachSegment(log, view)) {
    const fd = log.open(join('payloads', segment.file))
    const end = fd === null ? 0 : isNewest ? view.ends.payloads - segment.skip.payloads : sizeOf(fd)
    let index = segment.from
    // Offsets are those of its own file, also of entries before its first disclosure.
    yield { index, end: segment.skip.payloads }
    for (const { start, line } of fd === null ? [] : scanLines(fd, end)) {
      const next = Number(/^\{"index":(\d{1,16}),/.exec(line.toString('latin1', 0, 40))?.[1] ?? index)
      if (next > index) yield { index, end: start + segment.skip.payloads }
      index = Math.max(index, next)
    }
    yield { index, end: end + segment.skip.payloads }
  }
}

function* idEnds(log: FileLog, view: View): Generator<End> {
  const fd = log.open('ids.jsonl')
  if (fd === null) return
  for (const { start, line } of scanLines(fd, view.ends.ids)) {
    const row = parseIdLine(line)
    if (row) yield { index: row.index, end: start + line.length }
  }
}
