/**
 * Events that could not be appended, on this machine's disk until they can be. A folder of segments
 * ({@link SegmentWriter}), each owned by one writer at a time: its name is `<segment>.<owner>.spool`, and whoever finds one
 * whose owner is gone takes it over by renaming it, which only one of two can do.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isOlderThan, syncDirectory } from '../keys/files.ts'
import { isGone, processToken } from '../keys/process.ts'
import { isId, newId } from '../record/id.ts'
import type { AgentEvent } from '../record/schema.ts'
import { type Frame, type Loss, readSegmentHeader, SegmentReader, SegmentWriter } from './spool-segment.ts'

export interface SpoolOptions {
  readonly directory: string
  /** 32 bytes, from the key folder. */
  readonly key: Uint8Array
  /** Of the log that the events are for. */
  readonly origin: string
  /** Most bytes of the folder. */
  readonly maxBytes: number
}

/** A segment that is to be replayed. */
export interface SpoolSegment {
  /** UUIDv7: segments sort by when they were begun. */
  readonly id: string
  readonly path: string
}

/** The segment that is being written. */
interface OpenSegment {
  readonly fd: number
  readonly path: string
  readonly writer: SegmentWriter
  bytes: number
}

/** Replayed and removed as a whole: small ones make progress that a crash does not undo, bytes. */
const SEGMENT_BYTES = 4 * 1024 * 1024

/** Room for a note that something was dropped, beyond the limit, bytes. */
const RESERVE_BYTES = 65_536

/** Age at which a segment counts as left behind if its owner cannot be looked up from here, ms. Owners touch theirs. */
const FOREIGN_MS = 120_000

const NAME = /^([0-9a-f-]{36})\.([0-9a-f-]+)-([0-9a-f]{8})\.spool$/

/** Owners of this process that are in use. */
const live = new Set<string>()

const fsyncAsync = promisify(fsync)

export class Spool {
  readonly #options: SpoolOptions
  readonly #owner = `${processToken()}-${randomBytes(4).toString('hex')}`
  #open: OpenSegment | null = null
  /** Bytes of the folder, as far as this process knows. */
  #bytes = 0
  /** Segments that this process has written or taken over and not yet replayed. */
  readonly #own = new Map<string, SpoolSegment>()

  constructor(options: SpoolOptions) {
    this.#options = options
    live.add(this.#owner)
    this.#bytes = this.#measure()
  }

  /** Whether there is anything of our own to be replayed. What others left is found by {@link takeOver}. */
  get hasBacklog(): boolean {
    return this.#own.size > 0
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * Writes a frame, and returns whether it could: not if the spool is full, or the disk is, or cannot be written. What was
   * written outlives this process; a power cut only once {@link sync} is through.
   */
  write(events: readonly AgentEvent[], policy?: string): boolean {
    return this.#write({ events, ...(policy !== undefined && { policy }) }, this.#options.maxBytes)
  }

  /** Notes that events were lost. It has some room of its own. */
  writeLoss(dropped: Loss): boolean {
    return this.#write({ dropped }, this.#options.maxBytes + RESERVE_BYTES)
  }

  /** Resolves once everything written so far outlives a power cut. */
  async sync(): Promise<void> {
    const open = this.#open
    if (!open) return
    try {
      await fsyncAsync(open.fd)
    } catch (error) {
      // A segment that was ended meanwhile was synced then.
      if (this.#open === open) throw error
    }
  }

  /** {@link sync}, at the end of a process. */
  syncNow(): void {
    if (this.#open) fsyncSync(this.#open.fd)
  }

  /** Shows other processes that our segments have an owner. */
  touch(): void {
    const now = new Date()
    for (const { path } of this.#own.values()) {
      try {
        utimesSync(path, now, now)
      } catch {
        // It was taken over: whoever did replays it.
      }
    }
  }

  /**
   * Takes over the segments that processes that are gone have left. Those of another log, and files that are none, stay as
   * they are and are named.
   */
  takeOver(): { readonly foreign: readonly string[] } {
    const foreign: string[] = []
    for (const name of this.#names()) {
      const match = NAME.exec(name)
      const [, id, token, rest] = match ?? []
      if (!match || !isId(id!)) {
        if (name.endsWith('.spool')) foreign.push(name)
        continue
      }
      if (!this.#isLeft(name, token!, rest!)) continue
      const path = join(this.#options.directory, name)
      const header = readHeader(path)
      if (header?.origin !== this.#options.origin || header.segment !== id) {
        foreign.push(name)
        continue
      }
      const mine = this.#path(id!)
      try {
        renameSync(path, mine)
      } catch {
        // Somebody else was faster.
        continue
      }
      this.#own.set(id!, { id: id!, path: mine })
    }
    return { foreign }
  }

  /**
   * What is to be replayed next; `null` if there is nothing. Only when the segment that is being written is all there is, it
   * is ended: an outage of hours must not leave a file for each attempt.
   */
  oldest(): SpoolSegment | null {
    const [oldest] = [...this.#own.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    if (oldest && this.#open?.path === oldest.path) this.#end()
    return oldest ?? null
  }

  /** `null` if the file is gone, or is no segment of this log. */
  read(segment: SpoolSegment): SegmentReader | null {
    let file: Uint8Array
    try {
      file = readFileSync(segment.path)
    } catch {
      return null
    }
    const header = readSegmentHeader(file)
    if (header?.origin !== this.#options.origin || header.segment !== segment.id) return null
    return new SegmentReader(this.#options.key, file)
  }

  /** Removes a segment all of which is in the log. */
  remove(segment: SpoolSegment): void {
    this.#own.delete(segment.id)
    try {
      rmSync(segment.path, { force: true })
      this.#bytes = this.#measure()
    } catch {
      // It will be replayed again, which changes nothing.
    }
  }

  /** Puts a segment that cannot be read in whole aside, under a name that nobody replays. */
  setAside(segment: SpoolSegment): void {
    this.#own.delete(segment.id)
    try {
      renameSync(segment.path, `${segment.path.slice(0, -'.spool'.length)}.damaged`)
    } catch {
      // It stays, and is found damaged again.
    }
  }

  /** Ends what is being written and leaves all of it to whoever comes next. */
  close(): void {
    this.#end()
    live.delete(this.#owner)
  }

  #write(frame: Frame, maxBytes: number): boolean {
    try {
      return this.#tryWrite(frame, maxBytes)
    } catch {
      // A disk that is full or read-only: the caller keeps the events, and counts what it cannot keep.
      return false
    }
  }

  #tryWrite(frame: Frame, maxBytes: number): boolean {
    if (this.#open && this.#open.bytes >= SEGMENT_BYTES) this.#end()
    const open = this.#open ?? this.#begin()
    const bytes = open.writer.frame(frame)
    if (this.#bytes + bytes.length > maxBytes) {
      // Others share the folder, and replay.
      this.#bytes = this.#measure()
      if (this.#bytes + bytes.length > maxBytes) return false
    }
    try {
      writeAll(open.fd, bytes)
    } catch (error) {
      this.#cutBack(open)
      throw error
    }
    open.writer.written(bytes)
    open.bytes += bytes.length
    this.#bytes += bytes.length
    if (existsSync(open.path)) return true
    // Somebody took us for gone and took the segment over; perhaps before this frame, perhaps after. Twice is no harm.
    this.#own.delete(segmentIdOf(open.path))
    this.#open = null
    closeSync(open.fd)
    return this.#tryWrite(frame, maxBytes)
  }

  #begin(): OpenSegment {
    const { directory, key, origin } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#bytes = this.#measure()
    const id = newId(Date.now())
    const path = this.#path(id)
    const writer = new SegmentWriter(key, origin, id)
    const fd = openSync(path, 'ax', 0o600)
    try {
      writeAll(fd, writer.header)
      syncDirectory(directory)
    } catch (error) {
      closeSync(fd)
      rmSync(path, { force: true })
      throw error
    }
    this.#open = { fd, path, writer, bytes: writer.header.length }
    this.#own.set(id, { id, path })
    return this.#open
  }

  /** A frame that is there in part would make what follows unreadable. */
  #cutBack(open: OpenSegment): void {
    try {
      ftruncateSync(open.fd, open.bytes)
    } catch {
      this.#open = null
      closeSync(open.fd)
    }
  }

  #end(): void {
    const open = this.#open
    if (!open) return
    this.#open = null
    try {
      const frame = open.writer.frame({ end: open.writer.frames })
      writeAll(open.fd, frame)
      fsyncSync(open.fd)
    } catch {
      // Without its end it reads as one that a crash left.
    } finally {
      closeSync(open.fd)
    }
  }

  #isLeft(name: string, token: string, rest: string): boolean {
    const owner = `${token}-${rest}`
    if (owner === this.#owner) return false
    if (token === processToken()) return !live.has(owner)
    return isGone(token) ?? isOlderThan(join(this.#options.directory, name), FOREIGN_MS)
  }

  #path(id: string): string {
    return join(this.#options.directory, `${id}.${this.#owner}.spool`)
  }

  #names(): string[] {
    try {
      return readdirSync(this.#options.directory).sort()
    } catch {
      return []
    }
  }

  #measure(): number {
    let bytes = 0
    for (const name of this.#names()) {
      try {
        bytes += statSync(join(this.#options.directory, name)).size
      } catch {
        // Replayed by its owner meanwhile.
      }
    }
    return bytes
  }
}

function segmentIdOf(path: string): string {
  return /([0-9a-f-]{36})\.[^/\\]+$/.exec(path)![1]!
}

function readHeader(path: string): ReturnType<typeof readSegmentHeader> {
  try {
    return readSegmentHeader(readFileSync(path))
  } catch {
    return null
  }
}

/** On a disk that is nearly full a write does a part, and says so only in its result. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}
