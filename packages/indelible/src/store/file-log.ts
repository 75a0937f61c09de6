/** The files of a log, read. Nothing here writes, but for an index in a temporary folder where the log's own is not usable. */
import { fstatSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { memberEnds, readMember } from './file-archive.ts'
import { type FileHead, readFileHead } from './file-head.ts'
import { IdTable } from './file-id-table.ts'
import { rebuildIndex } from './file-index.ts'
import { OpenFiles, readAt, sizeOf } from './file-io.ts'
import { linesOf, parseEntryLine, parseIdLine, parsePayloadLine } from './file-lines.ts'
import { entryLines, type FoundLine, scanLines } from './file-scan.ts'
import { readSegments, type Segment, type SegmentList, segmentOf } from './file-segments.ts'
import type { Batch, Head, PublishedCheckpoint, StoredEntry, StoredId, StoredPayload } from './store.ts'

export const HASH_BYTES = 32
/** An entry's place in `index/offsets`: where its line, its disclosures and its id end, each as a double. */
export const OFFSET_BYTES = 24
/** Bytes of lines read at a time, more only for a single entry. */
const MOST_BYTES = 8 * 1024 * 1024

/** So many ids are added to the table together. */
const RECENT = 16_384

export interface View extends FileHead {
  readonly size: number
  readonly minIndex: number
}

interface Scan {
  readonly file: string
  readonly stamp: string
  readonly found: ReadonlyMap<number, FoundLine>
}

export class FileLog {
  readonly folder: string
  readonly readOnly: boolean
  readonly files: OpenFiles
  table: IdTable | null = null
  #indexFolder: string
  #temporary: string | null = null
  #segments: { readonly stamp: string; readonly list: SegmentList } | null = null
  #scan: Scan | null = null
  readonly #members = new Map<string, { stamp: string; ends: number[]; isWhole: boolean }>()
  /** Ids that the table does not have: of entries from `from` up to `upTo`. */
  #recent: { readonly from: number; upTo: number; readonly ids: Map<string, number> } = {
    from: 0,
    upTo: 0,
    ids: new Map(),
  }

  constructor(folder: string, readOnly: boolean) {
    this.folder = folder
    this.readOnly = readOnly
    this.files = new OpenFiles(readOnly)
    this.#indexFolder = join(folder, 'index')
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  indexPath(name: string): string {
    return join(this.#indexFolder, name)
  }

  view(): View {
    const head = readFileHead(this.files.get(this.path('head')))
    return { ...head, size: head.head?.size ?? 0, minIndex: head.head?.minIndex ?? 0 }
  }

  /** The list as it is now: a purge, or another day, may have changed it. */
  list(): SegmentList {
    const stamp = stampOf(this.path('segments.json'))
    if (this.#segments?.stamp === stamp) return this.#segments.list
    const list = readSegments(this.folder)
    const kept = new Set(list.segments.map(({ file }) => file))
    for (const { file } of this.#segments?.list.segments ?? []) if (!kept.has(file)) this.forget(file)
    this.#segments = { stamp, list }
    return list
  }

  forget(file: string): void {
    for (const path of [file, `${file}.gz`, join('payloads', file)]) this.files.forget(this.path(path))
  }

  /** Has an index that can be used, for reading: where the log's own is gone, one in a temporary folder. */
  async ensureIndex(): Promise<void> {
    const { size } = this.view()
    if (this.#temporary === null && this.#hasOffsets(size)) {
      this.table = this.table ?? IdTable.open(this.indexPath('ids'), this.readOnly)
      if (this.table || size === 0) return
    }
    if (!this.readOnly) return
    this.#temporary ??= mkdtempSync(join(tmpdir(), 'indelible-index-'))
    this.#indexFolder = this.#temporary
    this.table = await rebuildIndex(this, this.view(), this.#temporary)
  }

  #hasOffsets(size: number): boolean {
    const fd = this.openOffsets()
    return fd !== null && sizeOf(fd) >= size * OFFSET_BYTES
  }

  /** Where lines, disclosures and ids of `[first, first + count)` end. Zeros where that is not known. */
  offsets(first: number, count: number): Float64Array {
    const ends = new Float64Array(count * 3)
    const fd = this.openOffsets()
    if (fd !== null) new Uint8Array(ends.buffer).set(readAt(fd, first * OFFSET_BYTES, count * OFFSET_BYTES))
    return ends
  }

  /** The file of offsets as it is now: another process may have made it anew. */
  openOffsets(): number | null {
    const path = this.indexPath('offsets')
    try {
      const fd = this.files.get(path)
      if (fstatSync(fd).ino === statSync(path).ino) return fd
      this.files.forget(path)
      return this.files.get(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.files.forget(path)
      return null
    }
  }

  /** Rows of `[start, end)` that are there; at most some megabytes of them. Returns up to where it has read. */
  rows(view: View, start: number, end: number): { rows: StoredEntry[]; next: number } {
    const { segments } = this.list()
    const place = segmentOf(segments, start)
    const segment = segments[place]
    if (!segment) return { rows: [], next: segments[0] ? Math.min(end, segments[0].from) : end }
    const to = Math.min(end, segments[place + 1]?.from ?? view.size)
    if (to <= start) return { rows: [], next: Math.max(to, Math.min(end, start + 1)) }
    const fd = this.open(segment.file)
    if (fd === null) {
      const archive = this.open(`${segment.file}.gz`)
      return archive === null ? { rows: [], next: to } : { rows: this.#archived(segment, archive, start, to), next: to }
    }
    return this.#lines(view, place, fd, start, to)
  }

  /** `null` where there is no such file. */
  open(name: string): number | null {
    try {
      return this.files.get(this.path(name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  #lines(view: View, place: number, fd: number, start: number, to: number) {
    const { segments } = this.list()
    const segment = segments[place]!
    const before = start === segment.from ? 0 : 1
    const ends = this.offsets(start - before, to - start + before)
    const endOf = (index: number) => (ends[(index - start + before) * 3] ?? 0) - segment.skip.lines
    const first = before === 0 ? 0 : endOf(start - 1)
    let next = start + 1
    while (next < to && endOf(next) - first <= MOST_BYTES) next++
    const rows: StoredEntry[] = []
    const length = endOf(next - 1) - first
    const bytes = first >= 0 && length > 0 && length <= 2 * MOST_BYTES ? readAt(fd, first, length) : Buffer.alloc(0)
    let at = 0
    for (let index = start; index < next; index++) {
      const line = bytes.subarray(at, Math.max(0, endOf(index) - first))
      at += line.length
      const row = line.indexOf(10) === line.length - 1 ? parseEntryLine(line) : null
      if (row?.index !== index) return { rows: this.#scanned(view, place, fd, start, next), next }
      rows.push(row)
    }
    // Nothing may follow the last line of an old day.
    const isLast = next === segments[place + 1]?.from
    if (isLast && at + first !== sizeOf(fd)) return { rows: this.#scanned(view, place, fd, start, next), next }
    return { rows, next }
  }

  /** Somebody has been at the file: what is still in order is found by reading all of it. */
  #scanned(view: View, place: number, fd: number, start: number, to: number): StoredEntry[] {
    const rows: StoredEntry[] = []
    const { found } = this.#scanOf(view, place, fd)
    for (let index = start; index < to; index++) {
      const line = found.get(index)
      const row = line && parseEntryLine(readAt(fd, line.start, line.end - line.start))
      if (row) rows.push(row)
    }
    return rows
  }

  #scanOf(view: View, place: number, fd: number): Scan {
    const { segments } = this.list()
    const { file, from, skip } = segments[place]!
    const stamp = `${stampOf(this.path(file))} ${view.size}`
    if (this.#scan?.file === file && this.#scan.stamp === stamp) return this.#scan
    const to = segments[place + 1]?.from ?? view.size
    const end = place < segments.length - 1 ? sizeOf(fd) : view.ends.lines - skip.lines
    const found = new Map<number, FoundLine>()
    let last: FoundLine | null = null
    for (const line of entryLines(scanLines(fd, end), from, to)) {
      found.set(line.index, line)
      last = line
    }
    if (last && last.end !== end) found.delete(last.index)
    this.#scan = { file, stamp, found }
    return this.#scan
  }

  #archived(segment: Segment, fd: number, start: number, to: number): StoredEntry[] {
    const rows: StoredEntry[] = []
    for (const { index, line } of this.archivedLines(segment, fd, start, to)) {
      const row = parseEntryLine(line)
      if (row?.index === index) rows.push(row)
    }
    return rows
  }

  /** Lines of an archive by the place where they stand. */
  *archivedLines(segment: Segment, fd: number, start: number, to: number): Generator<{ index: number; line: Buffer }> {
    const { ends, isWhole } = this.#membersOf(segment.file, fd)
    for (let member = Math.floor((start - segment.from) / 256); segment.from + member * 256 < to; member++) {
      const first = segment.from + member * 256
      // Where something else follows, the member before it is not believed.
      const end = isWhole || member < ends.length - 1 ? ends[member] : undefined
      const lines = end === undefined ? null : readMember(fd, ends[member - 1] ?? 0, end)
      if (!lines) continue
      let index = first
      for (const { line } of linesOf(lines)) {
        if (index >= start && index < to) yield { index, line }
        index++
      }
    }
  }

  #membersOf(file: string, fd: number) {
    const stamp = stampOf(this.path(`${file}.gz`))
    const known = this.#members.get(file)
    if (known?.stamp === stamp) return known
    const members = { stamp, ...memberEnds(fd) }
    this.#members.set(file, members)
    return members
  }

  /** Disclosures of `[start, end)`; at most some megabytes of them, or those of one entry. Returns up to where it has read. */
  payloadRows(view: View, start: number, end: number): { rows: StoredPayload[]; next: number } {
    const found = this.payloadBytes(view, start, end)
    const rows: StoredPayload[] = []
    for (const { line } of linesOf(found.bytes)) {
      const row = parsePayloadLine(line)
      if (row && row.index >= start && row.index < found.next) rows.push(row)
    }
    rows.sort((a, b) => a.index - b.index || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    return { rows, next: found.next }
  }

  /** The lines of disclosures of `[start, next)`, and where they stand in their file. */
  payloadBytes(view: View, start: number, end: number): { bytes: Buffer; next: number; file: string; at: number } {
    const { segments } = this.list()
    const place = segmentOf(segments, start)
    const segment = segments[place]
    if (!segment) {
      return { bytes: Buffer.alloc(0), next: segments[0] ? Math.min(end, segments[0].from) : end, file: '', at: 0 }
    }
    const to = Math.min(end, segments[place + 1]?.from ?? view.size)
    if (to <= start) return { bytes: Buffer.alloc(0), next: Math.max(to, Math.min(end, start + 1)), file: '', at: 0 }
    const before = start === segment.from ? 0 : 1
    const ends = this.offsets(start - before, to - start + before)
    const endOf = (index: number) => (ends[(index - start + before) * 3 + 1] ?? 0) - segment.skip.payloads
    const at = before === 0 ? 0 : endOf(start - 1)
    let next = start + 1
    while (next < to && endOf(next) - at <= MOST_BYTES) next++
    const file = join('payloads', segment.file)
    const length = endOf(next - 1) - at
    const fd = length > 0 && at >= 0 ? this.open(file) : null
    return { bytes: fd === null ? Buffer.alloc(0) : readAt(fd, at, Math.min(length, sizeOf(fd))), next, file, at }
  }

  /** Ids of `[start, end)`. */
  idRows(start: number, end: number): StoredId[] {
    return this.idLines(start, end).flatMap(({ row, index }) => (row?.index === index ? [row] : []))
  }

  idLines(start: number, end: number): { index: number; at: number; line: Buffer; row: StoredId | null }[] {
    if (end <= start) return []
    const before = start === 0 ? 0 : 1
    const ends = this.offsets(start - before, end - start + before)
    const first = before === 0 ? 0 : ends[2]!
    const last = ends.at(-1)!
    if (last <= first || last - first > (end - start) * 4096) return []
    const bytes = readAt(this.files.get(this.path('ids.jsonl')), first, last - first)
    const found: { index: number; at: number; line: Buffer; row: StoredId | null }[] = []
    for (let index = start; index < end; index++) {
      const from = index === start ? first : ends[(index - start - 1 + before) * 3 + 2]!
      const line = bytes.subarray(
        Math.max(0, from - first),
        Math.max(0, ends[(index - start + before) * 3 + 2]! - first),
      )
      found.push({ index, at: from, line, row: line.length === 0 ? null : parseIdLine(line) })
    }
    return found
  }

  find(view: View, wanted: ReadonlySet<string>): Map<string, StoredId> {
    const found = new Map<string, StoredId>()
    if (view.size === 0 || wanted.size === 0) return found
    for (const [start, end] of ranges(this.#candidates(view, wanted))) {
      for (const row of this.idRows(start, end)) if (wanted.has(row.id) && !found.has(row.id)) found.set(row.id, row)
    }
    return found
  }

  #candidates({ size }: View, ids: ReadonlySet<string>): number[] {
    const recent = this.recentIds(size)
    const indexes: number[] = []
    for (const id of ids) {
      for (const index of this.table?.find(id) ?? []) if (index < size) indexes.push(index)
      const index = recent.get(id)
      if (index !== undefined && index < size) indexes.push(index)
    }
    return indexes.sort((a, b) => a - b)
  }

  /** Ids of entries up to `size` that the table does not have yet. */
  recentIds(size: number): ReadonlyMap<string, number> {
    if (this.table === null || this.#recent.ids.size >= 2 * RECENT || !this.table.isCurrent()) {
      this.table = this.table ? this.table.refresh(this.readOnly) : IdTable.open(this.indexPath('ids'), this.readOnly)
    }
    const from = this.table?.entries ?? 0
    if (from !== this.#recent.from) this.#recent = { from, upTo: from, ids: new Map() }
    const recent = this.#recent
    while (recent.upTo < size) {
      const end = Math.min(size, recent.upTo + 1000)
      for (const { id, index } of this.idRows(recent.upTo, end)) recent.ids.set(id, index)
      recent.upTo = end
    }
    return recent.ids
  }

  /** Takes the ids of a batch that was committed, so that they need not be read again. */
  noteIds({ from, ids, head }: Batch): void {
    if (this.#recent.upTo !== from) return
    for (const { id, index } of ids) this.#recent.ids.set(id, index)
    this.#recent.upTo = head.size
  }

  /** Brings the table of ids up to date, once it is worth it. */
  async tableIds(size: number): Promise<void> {
    if (this.#recent.ids.size < RECENT || !this.table) return
    await this.table.add(this.recentIds(size), size)
    this.#recent = { from: size, upTo: size, ids: new Map() }
  }

  /** Up to `count` hashes of a level of the tree from `start`. */
  hashes(level: number, start: number, count: number): Buffer {
    const fd = this.open(join('tree', String(level)))
    return fd === null ? Buffer.alloc(0) : readAt(fd, start * HASH_BYTES, count * HASH_BYTES)
  }

  /** Published checkpoints of a size above `above`, ascending. Those that came late stand in a file of their own. */
  *published({ ends }: FileHead, above: number): Generator<PublishedCheckpoint> {
    const late = [...this.#notes('checkpoints-late.jsonl', 0, ends.late)]
      .filter(({ size }) => size > above)
      .sort((a, b) => a.size - b.size)
    let next = 0
    for (const row of this.#notes('checkpoints.jsonl', this.#noteAfter(above, ends.checkpoints), ends.checkpoints)) {
      if (row.size <= above) continue
      while (next < late.length && late[next]!.size < row.size) yield late[next++]!
      yield row
    }
    yield* late.slice(next)
  }

  *#notes(name: string, start: number, end: number): Generator<PublishedCheckpoint> {
    const fd = end > start ? this.open(name) : null
    if (fd === null) return
    let rest = Buffer.alloc(0)
    for (let at = start; at < end; at += 65_536) {
      const block = Buffer.concat([rest, readAt(fd, at, Math.min(65_536, end - at))])
      const cut = block.lastIndexOf(10) + 1
      for (const { line } of linesOf(block.subarray(0, cut))) {
        const row = parseNote(line)
        if (row) yield row
      }
      rest = block.subarray(cut)
    }
  }

  /** Where a line begins before which none has a size above `above`: the file is in the order of sizes. */
  #noteAfter(above: number, end: number): number {
    const fd = end > 0 ? this.open('checkpoints.jsonl') : null
    if (fd === null) return 0
    let low = 0
    for (let high = end; high - low > 65_536; ) {
      const middle = Math.floor((low + high) / 2)
      const block = readAt(fd, middle, Math.min(65_536, end - middle))
      const first = block.indexOf(10) + 1
      const second = block.indexOf(10, first) + 1
      const row = first > 0 && second > 0 ? parseNote(block.subarray(first, second)) : null
      if (!row) break
      if (row.size <= above) low = middle + first
      else high = middle
    }
    return low
  }

  close(): void {
    this.table?.close()
    this.table = null
    this.files.closeAll()
    if (this.#temporary !== null) rmSync(this.#temporary, { recursive: true, force: true })
  }
}

function parseNote(line: Buffer): PublishedCheckpoint | null {
  try {
    const { size, note } = JSON.parse(line.toString()) as PublishedCheckpoint
    return Number.isSafeInteger(size) && typeof note === 'string' ? { size, note } : null
  } catch {
    return null
  }
}

function stampOf(path: string): string {
  const { ino, size, mtimeMs } = statSync(path)
  return `${ino} ${size} ${mtimeMs}`
}

/** Sorted indexes as ranges to read: near ones together. */
function ranges(indexes: readonly number[]): [number, number][] {
  const found: [number, number][] = []
  for (const index of indexes) {
    const last = found.at(-1)
    if (last && index - last[1] < 16 && index - last[0] < 1000) last[1] = index + 1
    else found.push([index, index + 1])
  }
  return found
}

/** A head, as callers may keep and change it. */
export function copyOfHead(head: Head | null): Head | null {
  return head && { ...head, frontier: head.frontier.map((hash) => hash.slice()), mac: head.mac.slice() }
}

export function corrupt(message: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `${message}: run indelible verify`, options)
}
