/**
 * A log of files that people can read and grep: JSON Lines, a file a day. One machine, several processes, which take turns
 * under a lock file. Where it differs from a database: what is written behind the head does not count, see `file-writer.ts`.
 */
import { existsSync, realpathSync } from 'node:fs'
import { IndelibleError } from '../errors.ts'
import { removeTemporaries } from '../keys/files.ts'
import { BackgroundWriter } from './background.ts'
import { storeFileError } from './file-io.ts'
import { hasLayout, prepareFolder, underLock } from './file-layout.ts'
import { copyOfHead, FileLog, HASH_BYTES, type View } from './file-log.ts'
import { openRepairs, settleRepairs } from './file-recovered.ts'
import type { Rotation } from './file-segments.ts'
import { subjectLines } from './file-subjects.ts'
import type { FileThreadStart } from './file-thread.ts'
import { archivable, compressSegment, trimSegments } from './file-trim.ts'
import { FileWriter } from './file-writer.ts'
import { packBatch } from './packed-batch.ts'
import { callSeal, Refusal } from './refusal.ts'
import type {
  Batch,
  Head,
  Locked,
  LogStore,
  PartAddress,
  PublishedCheckpoint,
  StoredEntry,
  StoredId,
  StoredPayload,
  StoredSubject,
  StoreRepair,
} from './store.ts'

const CHUNK = 1000
const DEFAULT_LOCK_TIMEOUT_MS = 30_000

export interface FileStoreOptions {
  /** When a new file is begun. Default `daily`, by `observed`. */
  readonly rotation?: Rotation
  /** Opens without the right to write, and never creates the folder. */
  readonly readOnly?: boolean
  /** How long an append waits for another process's, ms. Default 30,000. */
  readonly lockTimeoutMs?: number
}

/**
 * Opens the log in `folder`, creating it unless `readOnly`.
 *
 * @throws IndelibleError `ERR_STORE_VERSION` for a log of a newer version or a folder with something else in it,
 * `ERR_STORE_READONLY`, `ERR_STORE_FULL`, `ERR_STORE_CORRUPT`, `ERR_STORE_FAILED`
 */
export async function openFileStore(folder: string, options: FileStoreOptions = {}): Promise<FileStore> {
  const readOnly = options.readOnly ?? false
  await prepareFolder(folder, readOnly)
  // Of processes that were killed while they took the lock.
  if (!readOnly) removeTemporaries(folder)
  const log = new FileLog(realpathSync(folder), readOnly)
  try {
    await log.ensureIndex()
    return new FileStore(log, options)
  } catch (error) {
    log.close()
    throw storeFileError(error, `cannot open ${folder}`)
  }
}

/** Whether there is a log in `folder`. */
export function isFileStore(folder: string): boolean {
  return existsSync(folder) && hasLayout(folder)
}

export class FileStore implements LogStore {
  readonly #log: FileLog
  readonly #writer: FileWriter
  readonly #background: BackgroundWriter
  readonly #timeoutMs: number
  #queue: Promise<unknown> = Promise.resolve()
  /** Calls that have the lock or wait for it. */
  #waiting = 0
  #closing: Promise<void> | null = null
  #closed = false

  /** For {@link openFileStore}. */
  constructor(log: FileLog, options: FileStoreOptions) {
    this.#log = log
    const rotation = options.rotation ?? 'daily'
    this.#writer = new FileWriter(log, rotation)
    this.#background = new BackgroundWriter('file-thread', { folder: log.folder, rotation } satisfies FileThreadStart)
    this.#timeoutMs = options.lockTimeoutMs ?? DEFAULT_LOCK_TIMEOUT_MS
  }

  append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    return this.#exclusive('append failed', async (view) => {
      const batch = await callSeal(seal, { head: copyOfHead(view.head), known: this.#log.find(view, new Set(ids)) })
      if (batch !== null) await this.#writer.append(view, batch)
    })
  }

  appendAfter(head: Head, batch: Batch): Promise<boolean> {
    const packed = packBatch(head, batch)
    return this.#locked('append failed', async () => {
      try {
        return await this.#background.append(packed)
      } catch (error) {
        // Its head may stand there and not be on the disk.
        this.#writer.doubt()
        throw error
      }
    })
  }

  /** Runs `work` under the lock, with an index that knows all of the log. */
  #exclusive<T>(what: string, work: (view: View) => Promise<T>): Promise<T> {
    return this.#locked(what, async () => work(await this.#writer.prepare()))
  }

  /** Runs `work` under the lock, one at a time; at once where nobody else waits. */
  #locked<T>(what: string, work: () => Promise<T>): Promise<T> {
    const inTurn = async () => {
      try {
        if (this.#closed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
        if (this.#log.readOnly) throw new IndelibleError('ERR_STORE_READONLY', 'store was opened for reading')
        return await underLock(this.#log.folder, work, { timeoutMs: this.#timeoutMs })
      } catch (error) {
        throw error instanceof Refusal ? error.reason : storeFileError(error, what)
      } finally {
        this.#waiting--
      }
    }
    const run = this.#waiting++ === 0 && !this.#closing ? inTurn() : this.#queue.then(inTurn)
    this.#queue = run.catch(() => {})
    return run
  }

  async head(): Promise<Head | null> {
    const view = this.#reading((log) => log.view())
    try {
      await this.#writer.settleHead(view)
    } catch (error) {
      throw storeFileError(error, 'cannot sync the head')
    }
    return view.head
  }

  async *entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    let at = start
    while (at < end) {
      const chunk = this.#reading((log) => {
        const view = log.view()
        at = Math.max(at, view.minIndex)
        const until = Math.min(end, at + CHUNK, view.size)
        return at < until ? log.rows(view, at, until) : null
      })
      if (chunk === null) return
      yield chunk.rows
      at = chunk.next
    }
  }

  async tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.#reading((log) => {
      if (!isFull(level, index, log.view().size)) return null
      const hashes = log.hashes(level, index * 256, 256)
      return hashes.length === 256 * HASH_BYTES ? view(hashes, 0, hashes.length) : null
    })
  }

  async tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading((log) => {
      if (end <= start) return []
      const roots = isFull(level, end - 1, log.view().size) ? log.hashes(level + 1, start, end - start) : null
      if (roots?.length !== (end - start) * HASH_BYTES) {
        throw new RangeError(`level ${level} does not have all of the full tiles ${start} to ${end}`)
      }
      return hashesOf(roots)
    })
  }

  async leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#reading((log) => {
      if (end <= start) return []
      const leaves = end <= log.view().size ? log.hashes(0, start, end - start) : null
      if (leaves?.length !== (end - start) * HASH_BYTES) throw new RangeError(`no leaf hashes ${start} to ${end}`)
      return hashesOf(leaves)
    })
  }

  async *ids(start: number, end: number): AsyncIterable<readonly StoredId[]> {
    for (let at = start; at < end; at += CHUNK) {
      const rows = this.#reading((log) => {
        const until = Math.min(end, at + CHUNK, log.view().size)
        return at < until ? log.idRows(at, until) : null
      })
      if (rows === null) return
      yield rows
    }
  }

  async findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#reading((log) => log.find(log.view(), new Set(ids)))
  }

  async *checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    for (let last = above; ; ) {
      const rows = this.#reading((log) => {
        const chunk: PublishedCheckpoint[] = []
        for (const row of log.published(log.view(), last)) {
          if (row.size > upTo || chunk.length === CHUNK) break
          chunk.push(row)
        }
        return chunk
      })
      if (rows.length === 0) return
      yield rows
      last = rows.at(-1)!.size
    }
  }

  publish(checkpoint: PublishedCheckpoint): Promise<void> {
    return this.#exclusive('publishing failed', (view) => this.#writer.publish(view, checkpoint))
  }

  purge(below: number): Promise<void> {
    return this.#exclusive('purge failed', async ({ size, minIndex }) => {
      if (below % 256 !== 0 || below > size || below < minIndex) {
        throw new RangeError(`cannot purge below ${below}: log has entries ${minIndex} to ${size}`)
      }
      const before = this.#log.view()
      this.#writer.cutTails(before)
      await this.#writer.raiseMinIndex(before, below)
      await trimSegments(this.#log, this.#log.view())
      await this.#writer.forget(before, null, below)
    })
  }

  async payload(index: number, name: string): Promise<string | null> {
    return this.#reading((log) => {
      const view = log.view()
      if (index < view.minIndex || index >= view.size) return null
      const { rows } = log.payloadRows(view, index, index + 1)
      return rows.find((row) => row.name === name)?.disclosure ?? null
    })
  }

  async *payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    let at = start
    while (at < end) {
      const chunk = this.#reading((log) => {
        const view = log.view()
        at = Math.max(at, view.minIndex)
        const until = Math.min(end, at + CHUNK, view.size)
        return at < until ? log.payloadRows(view, at, until) : null
      })
      if (chunk === null) return
      yield chunk.rows
      at = chunk.next
    }
  }

  erase(parts: readonly PartAddress[]): Promise<number> {
    return this.#exclusive('erasure failed', (view) => this.#writer.erase(view, parts))
  }

  async *subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    const lines = this.#reading((log) => {
      const fd = log.open('subjects.jsonl')
      return fd === null ? [][Symbol.iterator]() : subjectLines(fd, log.view().ends.subjects, subject)
    })
    for (;;) {
      const chunk = this.#reading(() => [...take(lines, CHUNK)].map(({ index }) => index))
      if (chunk.length === 0) return
      yield chunk
    }
  }

  async *concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]> {
    const lines = this.#reading((log) => {
      const fd = log.open('subjects.jsonl')
      return fd === null ? [][Symbol.iterator]() : subjectLines(fd, log.view().ends.subjects, null)
    })
    for (;;) {
      const chunk = this.#reading(() => [...take(lines, CHUNK)])
      if (chunk.length === 0) return
      yield chunk
        .filter(({ index }) => index >= start && index < end)
        .map(({ index, subject }) => ({ index, subject: new Uint8Array(Buffer.from(subject, 'base64url')) }))
    }
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    return this.#exclusive('forgetting failed', (view) => this.#writer.forget(view, subject, below))
  }

  /** What is deleted is written over at once; what a crash has left is cut off here. */
  scrub(): Promise<readonly string[]> {
    return this.#exclusive('scrubbing failed', async (view) => {
      this.#writer.cutTails(view)
      await trimSegments(this.#log, view)
      return []
    })
  }

  async repaired(tell: (repairs: readonly StoreRepair[]) => Promise<unknown>): Promise<void> {
    const repairs = await this.#exclusive('repair failed', async (view) => {
      this.#writer.cutTails(view)
      return openRepairs(this.#log.folder)
    })
    if (repairs.length === 0) return
    await tell(repairs)
    settleRepairs(this.#log.folder, repairs)
  }

  /**
   * Compresses the files of days before `before`, such as `2026-01-31`; they are read and verified as they are. Never the
   * newest file, nor disclosures, which must stay erasable.
   *
   * @returns names of the files that were compressed
   * @throws IndelibleError `ERR_STORE_CORRUPT` for a file that is not what the log wrote
   */
  async archive(before: string): Promise<string[]> {
    const { segments } = this.#reading((log) => log.list())
    const names: string[] = []
    for (const segment of this.#reading((log) => archivable(log, before))) {
      const to = segments[segments.indexOf(segment) + 1]!.from
      const compressed = await compressSegment(this.#log, segment, to)
      await this.#exclusive('archiving failed', async () => compressed.place())
      names.push(segment.file)
    }
    return names
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.then(async () => {
      this.#closed = true
      await this.#background.close()
      this.#log.close()
    })
    return this.#closing
  }

  #reading<T>(read: (log: FileLog) => T): T {
    if (this.#closed) throw new IndelibleError('ERR_CLOSED', 'store is closed')
    try {
      return read(this.#log)
    } catch (error) {
      throw storeFileError(error, 'read failed')
    }
  }
}

function isFull(level: number, index: number, size: number): boolean {
  return (index + 1) * 256 <= Math.floor(size / 256 ** level)
}

function* take<T>(rows: Iterator<T>, count: number): Generator<T> {
  for (let i = 0; i < count; i++) {
    const { done, value } = rows.next()
    if (done) return
    yield value
  }
}

const view = (bytes: Buffer, start: number, end: number) =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)

function hashesOf(bytes: Buffer): Uint8Array[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => view(bytes, i * HASH_BYTES, (i + 1) * HASH_BYTES))
}
