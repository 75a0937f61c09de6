/** Reading and writing at places of files, whole or not at all, and what the errors of the system mean. */
import { closeSync, fdatasync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { IndelibleError, type IndelibleErrorCode } from '../errors.ts'

/** Makes what was written to a file outlive a power cut. */
export const syncFile: (fd: number) => Promise<void> = promisify(fdatasync)

/** Up to `length` bytes at `position`: fewer only where the file ends. The bytes are the caller's own. */
export function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(length)
  let read = 0
  while (read < length) {
    const count = readSync(fd, buffer, read, length - read, position + read)
    if (count === 0) break
    read += count
  }
  return buffer.subarray(0, read)
}

/** Writes all of `bytes` at `position`: on a disk that is nearly full, a single write may write a part and not say so. */
export function writeAt(fd: number, position: number, bytes: Uint8Array): void {
  let written = 0
  while (written < bytes.length) {
    const count = writeSync(fd, bytes, written, bytes.length - written, position + written)
    if (count === 0) throw Object.assign(new Error('write wrote nothing'), { code: 'ENOSPC' })
    written += count
  }
}

export const sizeOf = (fd: number): number => fstatSync(fd).size

/** Cuts a file down to `length`; never makes it longer. */
export function cutTo(fd: number, length: number): void {
  if (sizeOf(fd) > length) ftruncateSync(fd, length)
}

/** Open files by path: opened when they are first asked for, closed together. */
export class OpenFiles {
  readonly #flags: string
  readonly #open = new Map<string, number>()

  constructor(readOnly: boolean) {
    this.#flags = readOnly ? 'r' : 'r+'
  }

  /** @throws the system's error, `ENOENT` among them */
  get(path: string): number {
    const kept = this.#open.get(path)
    if (kept !== undefined) return kept
    return this.#keep(path, openSync(path, this.#flags))
  }

  /** As {@link get}, and makes an empty file with mode 0600 where there is none. */
  getOrMake(path: string): { fd: number; isNew: boolean } {
    try {
      return { fd: this.get(path), isNew: false }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return { fd: this.#keep(path, openSync(path, 'wx+', 0o600)), isNew: true }
    }
  }

  #keep(path: string, fd: number): number {
    this.#open.set(path, fd)
    return fd
  }

  forget(path: string): void {
    const fd = this.#open.get(path)
    if (fd === undefined) return
    this.#open.delete(path)
    closeSync(fd)
  }

  closeAll(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }
}

const CODES: Record<string, IndelibleErrorCode> = {
  ENOSPC: 'ERR_STORE_FULL',
  EDQUOT: 'ERR_STORE_FULL',
  EFBIG: 'ERR_STORE_FULL',
  EROFS: 'ERR_STORE_READONLY',
  EACCES: 'ERR_STORE_READONLY',
  EPERM: 'ERR_STORE_READONLY',
  ENOENT: 'ERR_STORE_CORRUPT',
}

/** Gives an error of the system a stable code; errors that have one pass. */
export function storeFileError(error: unknown, what: string): unknown {
  if (error instanceof IndelibleError || error instanceof RangeError || error instanceof TypeError) return error
  const { code } = error as NodeJS.ErrnoException
  if (typeof code !== 'string') return error
  return new IndelibleError(CODES[code] ?? 'ERR_STORE_FAILED', `${what}: ${code}`, { cause: error })
}
