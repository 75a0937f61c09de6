/**
 * Makes deleted rows of a SQLite log physically gone in steps of milliseconds, beside those who append.
 *
 * Free pages are given back by `incremental_vacuum`. Then the bytes that mean nothing are overwritten in the file itself, which
 * SQLite has no statement for. That is done only while nobody can write the file: under the write lock, and while the WAL is
 * empty, so that nobody has pages to bring over from it. Readers never look at these bytes, and a page that is half written is
 * a good one. What others have of such pages in their caches is void once the step commits a change.
 */
import { fdatasyncSync, readSync, statSync, writeSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { Pace } from './pace.ts'
import { dirtyRanges, isPointerMap, MAX_PAGES, readHeader } from './sqlite-pages.ts'
import { isBusy } from './sqlite-schema.ts'

/** What is read at a time, bytes. */
const BLOCK = 1024 * 1024
/**
 * SQLite may give a page another number while it is looked for. If others have written, everything is looked at once more, so
 * often.
 */
const MAX_PASSES = 3
/** How long a reader that is just finishing is waited for, ms, and how often it is looked after that. */
const READER_MS = 500
const READER_REFUSALS = 10

// https://www.sqlite.org/rescode.html
const BUSY = 5
const BUSY_SNAPSHOT = 517

/** Whether the lock was to be had, and a reader of an older state was in the way. */
export function isReadMeanwhile(error: unknown): boolean {
  return (error as { errcode?: unknown }).errcode === BUSY_SNAPSHOT
}

export class Cleaner {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #fd: number
  readonly #timeoutMs: number
  readonly #pause = new Int32Array(new SharedArrayBuffer(4))
  readonly #wanted: Int32Array
  #version = 0

  /**
   * @param db a connection of its own, without a busy handler
   * @param fd of the same file
   * @param timeoutMs how long to wait for the lock, or for a reader of an older state
   * @param wanted shared; its first element is 1 while the lock is waited for
   */
  constructor(db: DatabaseSync, path: string, fd: number, timeoutMs: number, wanted: Int32Array) {
    this.#db = db
    this.#path = path
    this.#fd = fd
    this.#timeoutMs = timeoutMs
    this.#wanted = wanted
  }

  /**
   * Makes gone what was deleted before the call.
   * @returns `false` if this file has to be written anew instead: one of an older version, one with reserved bytes, one of more
   * than 2^25 pages, or one with a page that contradicts itself
   * @throws what SQLite throws; `SQLITE_BUSY` if others kept the lock, or read an older state, for longer than the time given
   */
  clean(): boolean {
    this.#emptyWal()
    const pageSize = this.#pageSize()
    if (pageSize === null) return false
    const { made } = this.#db.prepare('SELECT made FROM deletions').get()!
    this.#giveBack()
    this.#emptyWal()
    for (let pass = 1; pass <= MAX_PASSES; pass++) {
      this.#hasOthers()
      const dirty = this.#dirtyPages(pageSize)
      if (dirty === null || !this.#overwrite(dirty, pageSize)) return false
      if (!this.#hasOthers()) break
    }
    this.#begin()
    // What was deleted meanwhile is for the next call.
    this.#db.prepare('UPDATE deletions SET scrubbed = ?').run(made!)
    this.#db.exec('COMMIT')
    return true
  }

  #pageSize(): number | null {
    const header = Buffer.alloc(100)
    if (readSync(this.#fd, header, 0, 100, 0) < 100) return null
    const { pageSize } = readHeader(header) ?? { pageSize: 0 }
    return pageSize > 0 && statSync(this.#path).size / pageSize < MAX_PAGES ? pageSize : null
  }

  #giveBack(): void {
    const pace = new Pace(32, 4096)
    this.#begin()
    for (;;) {
      const start = performance.now()
      const before = this.#freePages()
      this.#db.exec(`PRAGMA incremental_vacuum(${pace.size})`)
      this.#db.exec('COMMIT')
      const after = this.#freePages()
      this.#wait(pace.next(performance.now() - start, this.#hasOthers()))
      if (after === 0 || after === before) return
      this.#begin()
    }
  }

  #freePages(): number {
    return this.#db.prepare('PRAGMA freelist_count').get()!.freelist_count as number
  }

  /** Pages that have something to overwrite, or `null` if one contradicts itself: looked at again then. */
  #dirtyPages(pageSize: number): number[] | null {
    const block = Buffer.alloc(Math.max(BLOCK, pageSize))
    const dirty: number[] = []
    for (let at = 0; ; at += block.length) {
      const length = readSync(this.#fd, block, 0, block.length, at)
      for (let start = 0; start + pageSize <= length; start += pageSize) {
        const number = (at + start) / pageSize + 1
        // One that somebody writes just now may contradict itself; it is looked at again under the lock.
        const ranges = dirtyRanges(block.subarray(start, start + pageSize), number)
        if (ranges === null || ranges.length > 0) dirty.push(number)
      }
      if (length < block.length) return dirty
    }
  }

  #overwrite(pages: readonly number[], pageSize: number): boolean {
    const pace = new Pace(256, 8192)
    const page = Buffer.alloc(pageSize)
    const zeros = Buffer.alloc(pageSize)
    for (let at = 0; at < pages.length; ) {
      this.#beginAlone()
      const start = performance.now()
      const step = pages.slice(at, at + pace.size)
      let isGood = true
      for (const number of step) {
        const offset = (number - 1) * pageSize
        // The file may have become shorter.
        if (readSync(this.#fd, page, 0, pageSize, offset) < pageSize) continue
        const ranges = isPointerMap(number, pageSize) ? [] : dirtyRanges(page, number)
        if (ranges === null) isGood = false
        for (const [from, to] of ranges ?? []) writeSync(this.#fd, zeros, 0, to - from, offset + from)
      }
      // A change, so that nobody writes such a page from his cache again.
      this.#db.exec('UPDATE deletions SET scrubbed = -abs(scrubbed) - 1; COMMIT')
      if (!isGood) return false
      at += step.length
      const tookMs = performance.now() - start
      fdatasyncSync(this.#fd)
      this.#wait(pace.next(tookMs, this.#hasOthers()))
    }
    return true
  }

  /** Takes the write lock while there is nothing in the WAL. */
  #beginAlone(): void {
    this.#retry(() => {
      this.#emptyWal()
      this.#db.exec('BEGIN IMMEDIATE')
      if (statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size === 0) return true
      // Somebody was faster.
      this.#db.exec('ROLLBACK')
      return false
    })
  }

  #emptyWal(): void {
    const start = performance.now()
    let [refusals, reached] = [0, -1]
    this.#retry(() => {
      // Most of the work without the lock.
      const { checkpointed } = this.#db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()!
      if (this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()!.busy === 0) return true
      if (checkpointed !== reached) {
        reached = checkpointed as number
        refusals = 0
      }
      if (performance.now() - start < READER_MS) return false
      // Busy for either reason. If the lock is to be had, time and again, and nothing moves, then it is a reader.
      this.#db.exec('BEGIN IMMEDIATE; ROLLBACK')
      if (++refusals < READER_REFUSALS) return false
      throw Object.assign(new Error('another process reads an older state'), { errcode: BUSY_SNAPSHOT })
    })
  }

  #begin(): void {
    this.#retry(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      return true
    })
  }

  #retry(attempt: () => boolean): void {
    const deadline = performance.now() + this.#timeoutMs
    try {
      for (;;) {
        try {
          if (attempt()) return
        } catch (error) {
          if (!isBusy(error) || isReadMeanwhile(error)) throw error
        }
        if (performance.now() > deadline) throw Object.assign(new Error('locked'), { errcode: BUSY })
        Atomics.store(this.#wanted, 0, 1)
        this.#wait(0.5 + Math.random() * 1.5)
      }
    } finally {
      Atomics.store(this.#wanted, 0, 0)
    }
  }

  /** Whether others have written since the last time this was asked. */
  #hasOthers(): boolean {
    const version = this.#db.prepare('PRAGMA data_version').get()!.data_version as number
    const isOther = version !== this.#version
    this.#version = version
    return isOther
  }

  #wait(ms: number): void {
    Atomics.wait(this.#pause, 0, 0, ms)
  }
}
