/** Files of a log that become smaller: entries that are purged, and old days that are compressed. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectory } from '../keys/files.ts'
import { formatMember, MEMBER_LINES, memberEnds, readMember } from './file-archive.ts'
import { readAt, sizeOf, syncFile, writeAt } from './file-io.ts'
import { parseEntryLine } from './file-lines.ts'
import { corrupt, type FileLog, type View } from './file-log.ts'
import { scanLines } from './file-scan.ts'
import { baseOf, freeName, type Segment, type SegmentList, writeSegments } from './file-segments.ts'

const BLOCK = 1024 * 1024

/**
 * Deletes what the files have of entries below `minIndex`. The list of segments is replaced before the old files go, so a
 * crash leaves files that the next call deletes, and never a log without its entries.
 */
export async function trimSegments(log: FileLog, view: View): Promise<void> {
  await removeObsolete(log)
  const list = log.list()
  const kept: Segment[] = []
  const obsolete: string[] = []
  for (const [i, segment] of list.segments.entries()) {
    const to = list.segments[i + 1]?.from ?? view.size
    const isNewest = i === list.segments.length - 1
    if (segment.from >= view.minIndex) kept.push(segment)
    else obsolete.push(segment.file)
    if (segment.from < view.minIndex && (to > view.minIndex || isNewest)) {
      kept.push(await rest(log, view, list, segment, isNewest))
    }
  }
  if (obsolete.length === 0) return
  writeSegments(log.folder, { segments: kept, obsolete })
  await removeObsolete(log)
}

/** What is left of a segment, in files of its own. */
async function rest(
  log: FileLog,
  view: View,
  list: SegmentList,
  segment: Segment,
  isNewest: boolean,
): Promise<Segment> {
  const below = view.minIndex
  const file = freeName(list, baseOf(segment.file))
  const payloads = join('payloads', segment.file)
  const ends = log.offsets(below - 1, 1)
  const fd = log.open(segment.file)
  let lines: number
  if (fd === null) {
    lines = await copyArchived(log, segment, below, view.size, file)
  } else {
    lines = startOf(
      fd,
      segment,
      below,
      ends[0]! - segment.skip.lines,
      isNewest ? view.ends.lines - segment.skip.lines : sizeOf(fd),
    )
    await copyFrom(fd, lines, log.path(file))
  }
  const payloadsFd = log.open(payloads)
  const cut = Math.max(0, ends[1]! - segment.skip.payloads)
  if (payloadsFd !== null) await copyFrom(payloadsFd, cut, log.path(join('payloads', file)))
  syncDirectory(log.folder)
  syncDirectory(log.path('payloads'))
  return { from: below, file, skip: { lines: lines + segment.skip.lines, payloads: cut + segment.skip.payloads } }
}

/** Where the line of entry `index` starts: `guess`, if that is true. `end` if the file ends before. */
function startOf(fd: number, { file }: Segment, index: number, guess: number, end: number): number {
  if (guess === end) return end
  const line = readAt(fd, guess, Math.min(BLOCK, end - guess))
  if (parseEntryLine(line.subarray(0, line.indexOf(10) + 1))?.index === index) return guess
  for (const { start, line } of scanLines(fd, end)) if (parseEntryLine(line)?.index === index) return start
  throw corrupt(`${file} does not have entry ${index}, at which it should be cut`)
}

async function copyFrom(from: number, start: number, path: string): Promise<void> {
  const fd = openSync(path, 'w', 0o600)
  try {
    const end = sizeOf(from)
    for (let at = start; at < end; at += BLOCK) writeAt(fd, at - start, readAt(from, at, Math.min(BLOCK, end - at)))
    await syncFile(fd)
  } finally {
    closeSync(fd)
  }
}

/** Returns how many bytes of lines stand before those that were copied. */
async function copyArchived(
  log: FileLog,
  segment: Segment,
  below: number,
  size: number,
  file: string,
): Promise<number> {
  const archive = log.open(`${segment.file}.gz`)
  if (archive === null) throw corrupt(`${segment.file} is missing`)
  const fd = openSync(log.path(file), 'w', 0o600)
  try {
    let skipped = 0
    let at = 0
    for (const { index, line } of log.archivedLines(segment, archive, segment.from, size)) {
      if (index < below) {
        skipped += line.length
        continue
      }
      writeAt(fd, at, line)
      at += line.length
    }
    await syncFile(fd)
    return skipped
  } finally {
    closeSync(fd)
  }
}

/** Deletes the files that a purge has replaced. Disclosures are written over first. */
async function removeObsolete(log: FileLog): Promise<void> {
  const { segments, obsolete } = log.list()
  if (obsolete.length === 0) return
  for (const file of obsolete) {
    const payloads = log.open(join('payloads', file))
    if (payloads !== null) {
      const blank = Buffer.alloc(BLOCK, 0x20)
      const end = sizeOf(payloads)
      for (let at = 0; at < end; at += BLOCK) writeAt(payloads, at, blank.subarray(0, Math.min(BLOCK, end - at)))
      await syncFile(payloads)
    }
    log.forget(file)
    for (const name of [file, `${file}.gz`, join('payloads', file)]) rmSync(log.path(name), { force: true })
  }
  syncDirectory(log.folder)
  syncDirectory(log.path('payloads'))
  writeSegments(log.folder, { segments, obsolete: [] })
}

/** Segments of days before `before`, such as `2026-01-31`, that are not compressed yet. Never the newest. */
export function archivable(log: FileLog, before: string): Segment[] {
  return log
    .list()
    .segments.slice(0, -1)
    .filter(({ file }) => {
      const day = /^audit-(\d{4}-\d{2}-\d{2})/.exec(file)?.[1]
      return (day === undefined || day < before) && log.open(file) !== null
    })
}

/**
 * Compresses one file, reads the result back and compares. What puts it into its place is called under the lock.
 *
 * @throws IndelibleError `ERR_STORE_CORRUPT` if the file is not what the log wrote: that has to stay as it is
 */
export async function compressSegment(log: FileLog, segment: Segment, to: number): Promise<{ place(): void }> {
  const path = log.path(segment.file)
  const temporary = `${path}.gz.new`
  const from = openSync(path, 'r')
  const fd = openSync(temporary, 'w+', 0o600)
  try {
    const { size, mtimeMs } = statSync(path)
    const plain = createHash('sha256')
    let at = 0
    let index = segment.from
    let lines: Buffer[] = []
    const flush = () => {
      const member = formatMember(Buffer.concat(lines))
      writeAt(fd, at, member)
      at += member.length
      lines = []
    }
    for (const { line } of scanLines(from)) {
      if (parseEntryLine(line)?.index !== index)
        throw corrupt(`${segment.file} has something else where entry ${index} should be`)
      plain.update(line)
      index++
      if (lines.push(line) === MEMBER_LINES) flush()
    }
    if (index !== to) throw corrupt(`${segment.file} ends before entry ${index}, expected ${to}`)
    if (lines.length > 0) flush()
    await syncFile(fd)
    if (plain.digest('hex') !== digestOf(fd))
      throw corrupt(`${segment.file} did not come back from its archive as it was`)
    return {
      place: () => {
        const now = statSync(path)
        if (now.size !== size || now.mtimeMs !== mtimeMs) throw corrupt(`${segment.file} was changed meanwhile`)
        renameSync(temporary, `${path}.gz`)
        syncDirectory(log.folder)
        log.forget(segment.file)
        rmSync(path)
        syncDirectory(log.folder)
      },
    }
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(fd)
    closeSync(from)
  }
}

function digestOf(fd: number): string {
  const digest = createHash('sha256')
  let start = 0
  for (const end of memberEnds(fd).ends) {
    const lines = readMember(fd, start, end)
    if (lines) digest.update(lines)
    start = end
  }
  return digest.digest('hex')
}
