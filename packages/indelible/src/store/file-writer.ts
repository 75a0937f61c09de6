/**
 * Writing to a log of files. Every file but the head is only ever written behind what the head says counts; the head comes
 * last, once the rest is on the disk. So a crash leaves a tail that nobody was promised, and the next writer cuts it off.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { IndelibleError } from '../errors.ts'
import { syncDirectory } from '../keys/files.ts'
import { processToken } from '../keys/process.ts'
import { type FileHead, writeFileHead } from './file-head.ts'
import { IdTable } from './file-id-table.ts'
import { rebuildIndex } from './file-index.ts'
import { cutTo, readAt, sizeOf, syncFile, writeAt } from './file-io.ts'
import {
  formatEntryLines,
  formatIdLine,
  formatPayloadLine,
  linesOf,
  parsePayloadLine,
  withoutDigest,
} from './file-lines.ts'
import { corrupt, type FileLog, HASH_BYTES, OFFSET_BYTES, type View } from './file-log.ts'
import { keepAside } from './file-recovered.ts'
import { nextSegment, type Rotation, writeSegments } from './file-segments.ts'
import { formatSubjectLines, subjectLines } from './file-subjects.ts'
import type { Batch, PartAddress, PublishedCheckpoint } from './store.ts'

/** Bytes to be written behind the end of a file. */
interface Tail {
  readonly path: string
  readonly at: number
  readonly bytes: Uint8Array
}

export class FileWriter {
  readonly #log: FileLog
  readonly #rotation: Rotation
  /** Whether the head that counts may not be on the disk, because a sync of it failed. */
  #isDoubtful = false
  /** The last commit that this handle made or has seen on the disk. */
  #durable = -1

  constructor(log: FileLog, rotation: Rotation) {
    this.#log = log
    this.#rotation = rotation
  }

  /**
   * Has the head that counts on the disk: another process may have written it and not come to sync it, and one of our own
   * may have failed.
   */
  async settleHead(view: View): Promise<void> {
    if (view.commit === this.#durable && !this.#isDoubtful) return
    const fd = this.#log.files.get(this.#log.path('head'))
    try {
      // After a failed sync the system takes the pages for clean: what is not written again is not synced again.
      if (this.#isDoubtful && !this.#log.readOnly && view.commit > 0) writeFileHead(fd, view)
      await syncFile(fd)
    } catch (error) {
      if (!this.#log.readOnly) throw error
    }
    this.#isDoubtful = false
    this.#durable = view.commit
  }

  /** Somebody else of this process has failed to write a head: until it is synced anew it counts as not on the disk. */
  doubt(): void {
    this.#isDoubtful = true
  }

  /** Under the lock: has an index that knows all of the log. */
  async prepare(): Promise<View> {
    const log = this.#log
    const view = log.view()
    await this.settleHead(view)
    await log.ensureIndex()
    log.table = log.table?.refresh(false) ?? null
    // Somebody may have thought that what is derived can be deleted, and be right.
    if (log.openOffsets() === null) mkdirSync(log.path('index'), { recursive: true, mode: 0o700 })
    const offsets = log.openOffsets() ?? log.files.getOrMake(log.indexPath('offsets')).fd
    if (
      sizeOf(offsets) < view.size * OFFSET_BYTES ||
      (log.table?.entries ?? -1) > view.size ||
      (!log.table && view.size > 0)
    ) {
      log.table?.close()
      log.table = await rebuildIndex(log, view, log.path('index'))
    }
    log.table ??= await IdTable.create(log.indexPath('ids'))
    return view
  }

  async append(view: View, batch: Batch): Promise<void> {
    const log = this.#log
    this.#check(view, batch)
    this.cutTails(view)
    const next = nextSegment(log.list(), this.#rotation, batch.head.observed, view.size)
    if (next) {
      const list = log.list()
      writeSegments(log.folder, { ...list, segments: [...list.segments, next] })
    }
    const segment = log.list().segments.at(-1)!
    const isFresh = segment.from === view.size
    const ends = {
      ...view.ends,
      lines: isFresh ? segment.skip.lines : view.ends.lines,
      payloads: isFresh ? segment.skip.payloads : view.ends.payloads,
    }
    const { from } = batch
    const lines = formatEntryLines(
      batch.entries.map((entry, i) => ({
        index: from + i,
        entry,
        leaf: batch.leaves[i]!,
        mac: batch.macs[i]!,
        epoch: batch.epochs[i]!,
      })),
    )
    const payloads = joinLines(batch, inOrder(batch.payloads), formatPayloadLine)
    const ids = joinLines(batch, inOrder(batch.ids), formatIdLine)
    const subjects = formatSubjectLines(batch.concerns ?? [])
    const offsets = new Float64Array(batch.entries.length * 3)
    for (let i = 0; i < batch.entries.length; i++) {
      offsets[i * 3] = ends.lines + lines.ends[i]!
      offsets[i * 3 + 1] = ends.payloads + payloads.ends[i]!
      offsets[i * 3 + 2] = ends.ids + ids.ends[i]!
    }
    const tails: Tail[] = [
      { path: log.path(segment.file), at: ends.lines - segment.skip.lines, bytes: lines.bytes },
      {
        path: log.path(join('payloads', segment.file)),
        at: ends.payloads - segment.skip.payloads,
        bytes: payloads.bytes,
      },
      { path: log.path('ids.jsonl'), at: ends.ids, bytes: ids.bytes },
      { path: log.path('subjects.jsonl'), at: ends.subjects, bytes: subjects },
      { path: log.indexPath('offsets'), at: view.size * OFFSET_BYTES, bytes: new Uint8Array(offsets.buffer) },
      {
        path: log.path(join('tree', '0')),
        at: view.size * HASH_BYTES,
        bytes: Buffer.concat(batch.leaves as Uint8Array[]),
      },
    ]
    for (const { level, index, root } of batch.tiles) {
      tails.push({ path: log.path(join('tree', String(level + 1))), at: index * HASH_BYTES, bytes: root })
    }
    const note = batch.publish
      ? this.#noteTail({ size: batch.head.size, note: batch.head.checkpoint }, { ...view, ends })
      : null
    if (note) tails.push(note.tail)
    const size = batch.head.size
    const head = { ...batch.head, minIndex: view.minIndex }
    const after = {
      lines: ends.lines + lines.bytes.length,
      payloads: ends.payloads + payloads.bytes.length,
      ids: ends.ids + ids.bytes.length,
      subjects: ends.subjects + subjects.length,
      checkpoints: ends.checkpoints,
      late: ends.late,
      ...note?.ends,
    }
    try {
      await this.#write(tails)
    } catch (error) {
      this.#rollBack(view)
      throw error
    }
    await this.#commit({ commit: view.commit + 1, head, ends: after })
    log.noteIds(batch)
    // The batch is committed. Ids are found without the table, only slower; the next batch tries again.
    await log.tableIds(size).catch(() => {})
  }

  #check(view: View, batch: Batch): void {
    if (batch.from !== view.size) {
      throw new IndelibleError('ERR_STORE_CONFLICT', `batch starts at ${batch.from}, log has ${view.size} entries`)
    }
    const ids = new Set<string>()
    for (const { id } of batch.ids) ids.add(id)
    if (ids.size < batch.ids.length || this.#log.find(view, ids).size > 0) {
      throw new IndelibleError('ERR_STORE_CONFLICT', 'batch repeats an id of the log')
    }
    const end = batch.from + batch.entries.length
    const isWithin = ({ index }: { index: number }) => index >= batch.from && index < end
    if (!batch.ids.every(isWithin) || !batch.payloads.every(isWithin) || !areDistinct(batch.ids)) {
      throw new TypeError('a batch has ids and payloads of its own entries, and one id for each')
    }
  }

  /** Cuts off what a crash has left behind the ends of the files; what stood in the log's own file is kept aside. */
  cutTails({ size, ends }: View): void {
    const log = this.#log
    const { segments } = log.list()
    const segment = segments.at(-1)
    const isFresh = !segment || segment.from === size
    if (segment) {
      const lines = isFresh ? 0 : ends.lines - segment.skip.lines
      const path = log.path(segment.file)
      const fd = lines === 0 ? log.files.getOrMake(path).fd : log.open(segment.file)
      if (fd === null || sizeOf(fd) < lines) {
        throw corrupt(`${segment.file} has ${fd === null ? 0 : sizeOf(fd)} bytes, the head says ${lines}`)
      }
      if (sizeOf(fd) > lines) keepAside(log.folder, segment.file, readAt(fd, lines, sizeOf(fd) - lines))
      cutTo(fd, lines)
      this.#cut(join('payloads', segment.file), isFresh ? 0 : ends.payloads - segment.skip.payloads)
    }
    this.#cut('ids.jsonl', ends.ids)
    this.#cut('subjects.jsonl', ends.subjects)
    this.#cut('checkpoints.jsonl', ends.checkpoints)
    this.#cut('checkpoints-late.jsonl', ends.late)
    cutTo(log.files.get(log.indexPath('offsets')), size * OFFSET_BYTES)
    for (let level = 0, count = size; level === 0 || count > 0; level++, count = Math.floor(count / 256)) {
      this.#cut(join('tree', String(level)), count * HASH_BYTES)
    }
  }

  #cut(name: string, length: number): void {
    const fd = this.#log.open(name)
    if (fd === null && length === 0) return
    if (fd === null || sizeOf(fd) < length) throw corrupt(`${name} is shorter than the head says`)
    cutTo(fd, length)
  }

  async #write(tails: readonly Tail[]): Promise<void> {
    const { files } = this.#log
    const touched = new Set<number>()
    for (const { path, at, bytes } of tails) {
      if (bytes.length === 0) continue
      const { fd, isNew } = files.getOrMake(path)
      if (isNew) syncDirectory(dirname(path))
      writeAt(fd, at, bytes)
      touched.add(fd)
    }
    await Promise.all([...touched].map((fd) => syncFile(fd)))
  }

  /** Of a batch that could not be written, nothing stays; should that fail too, the next writer does it. */
  #rollBack(view: View): void {
    try {
      const { segments } = this.#log.list()
      const segment = segments.at(-1)
      const fd = segment && this.#log.open(segment.file)
      // Not kept aside: nobody crashed, and the caller is told.
      if (fd !== null && fd !== undefined) {
        cutTo(fd, segment!.from === view.size ? 0 : view.ends.lines - segment!.skip.lines)
      }
      this.cutTails(view)
    } catch {
      // On a disk that fails, so may this.
    }
  }

  /** Makes `next` the head. */
  async #commit(next: FileHead): Promise<void> {
    const log = this.#log
    const lock = readFileSync(log.path('lock'), 'utf8')
    if (lock !== processToken()) {
      throw new IndelibleError('ERR_STORE_BUSY', 'the lock was taken over by another process: nothing was written')
    }
    const fd = log.files.get(log.path('head'))
    writeFileHead(fd, next)
    try {
      await syncFile(fd)
    } catch (error) {
      this.#isDoubtful = true
      throw error
    }
    this.#durable = next.commit
  }

  #noteTail({ size, note }: PublishedCheckpoint, { ends }: View) {
    let last = 0
    for (const row of this.#log.published({ commit: 0, head: null, ends }, Math.max(0, size - 1))) {
      last = row.size
      if (row.size > size) break
    }
    const bytes = Buffer.from(`${JSON.stringify({ size, note })}\n`)
    return last > size
      ? {
          tail: { path: this.#log.path('checkpoints-late.jsonl'), at: ends.late, bytes },
          ends: { late: ends.late + bytes.length },
        }
      : {
          tail: { path: this.#log.path('checkpoints.jsonl'), at: ends.checkpoints, bytes },
          ends: { checkpoints: ends.checkpoints + bytes.length },
        }
  }

  async publish(view: View, row: PublishedCheckpoint): Promise<void> {
    for (const { size, note } of this.#log.published(view, row.size - 1)) {
      if (size !== row.size) break
      if (note === row.note) return
      throw new IndelibleError('ERR_STORE_CONFLICT', `another checkpoint of size ${size} is published already`)
    }
    this.cutTails(view)
    const { tail, ends } = this.#noteTail(row, view)
    await this.#write([tail])
    await this.#commit({ commit: view.commit + 1, head: view.head, ends: { ...view.ends, ...ends } })
  }

  /** Makes `minIndex` the first entry that may not be missing. */
  async raiseMinIndex(view: View, minIndex: number): Promise<void> {
    if (!view.head || view.minIndex === minIndex) return
    await this.#commit({ commit: view.commit + 1, head: { ...view.head, minIndex }, ends: view.ends })
  }

  /** Writes blanks over what tells which entries below `below` concern a person, or anybody. */
  async forget({ ends }: View, subject: Uint8Array | null, below: number): Promise<void> {
    const fd = this.#log.open('subjects.jsonl')
    if (fd === null) return
    for (const { index, at, length } of subjectLines(fd, ends.subjects, subject)) {
      if (index < below) writeAt(fd, at, Buffer.alloc(length - 1, 0x20))
    }
    await syncFile(fd)
  }

  /** Writes blanks over disclosures and over the digests of ids. Returns how many disclosures there were. */
  async erase(view: View, parts: readonly PartAddress[]): Promise<number> {
    const log = this.#log
    const touched = new Set<number>()
    let erased = 0
    for (const { index, id, name } of parts) {
      if (index >= view.minIndex && index < view.size) erased += this.#blank(view, index, name, touched)
      const known = log.find(view, new Set([id])).get(id)
      const line = known && log.idLines(known.index, known.index + 1)[0]
      const blank = line && withoutDigest(line.line)
      if (!blank) continue
      const fd = log.files.get(log.path('ids.jsonl'))
      writeAt(fd, line.at, blank)
      touched.add(fd)
    }
    await Promise.all([...touched].map((fd) => syncFile(fd)))
    return erased
  }

  #blank(view: View, index: number, name: string, touched: Set<number>): number {
    const log = this.#log
    const { bytes, file, at } = log.payloadBytes(view, index, index + 1)
    let erased = 0
    let start = 0
    for (const { line } of linesOf(bytes)) {
      const row = parsePayloadLine(line)
      // A line that cannot be read is what an erasure left that was cut short.
      const isRest = row === null && !line.every((byte) => byte === 0x20 || byte === 10)
      if (isRest || (row?.index === index && row.name === name)) {
        const fd = log.files.get(log.path(file))
        writeAt(fd, at + start, Buffer.alloc(line.length - 1, 0x20))
        touched.add(fd)
        if (!isRest) erased++
      }
      start += line.length
    }
    return erased
  }
}

interface Row {
  readonly index: number
}

/** Rows in the order of their entries, which they nearly always come in. */
function inOrder<T extends Row>(rows: readonly T[]): readonly T[] {
  for (let i = 1; i < rows.length; i++) {
    if (rows[i]!.index < rows[i - 1]!.index) return rows.toSorted((a, b) => a.index - b.index)
  }
  return rows
}

/** Whether no two rows are of one entry. */
function areDistinct(rows: readonly Row[]): boolean {
  const sorted = inOrder(rows)
  for (let i = 1; i < sorted.length; i++) if (sorted[i]!.index === sorted[i - 1]!.index) return false
  return true
}

/** Lines of rows in the order of their entries, and where those of each entry of the batch end. */
function joinLines<T extends { index: number }>(
  { from, entries }: Batch,
  rows: readonly T[],
  format: (row: T) => string,
): { bytes: Buffer; ends: number[] } {
  const texts: string[] = []
  const ends: number[] = []
  let length = 0
  let row = 0
  for (let i = 0; i < entries.length; i++) {
    for (; row < rows.length && rows[row]!.index === from + i; row++) {
      const text = format(rows[row]!)
      texts.push(text)
      length += Buffer.byteLength(text)
    }
    ends.push(length)
  }
  return { bytes: Buffer.from(texts.join('')), ends }
}
