/**
 * A file that is read several times and has to be the same each time. The first reading keeps a hash of every block; a later
 * one gives out no block that differs. So what is checked is what is appended, whoever writes to the file meanwhile.
 */
import { createHash, hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { IndelibleError } from '../errors.ts'

const BLOCK_BYTES = 1024 * 1024

export interface PinOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes of each block read, in every reading. */
  readonly onRead?: ((bytes: number) => void) | undefined
}

export class PinnedFile {
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Of all its bytes, in hex. */
  readonly sha256: string
  /** When it was last written, ms since 1970. */
  readonly modifiedMs: number
  readonly #file: FileHandle
  readonly #blocks: readonly string[]
  readonly #options: PinOptions

  private constructor(path: string, file: FileHandle, pin: Pin, options: PinOptions) {
    this.path = path
    this.#file = file
    this.size = pin.size
    this.sha256 = pin.sha256
    this.modifiedMs = pin.modifiedMs
    this.#blocks = pin.blocks
    this.#options = options
  }

  /**
   * Opens a file and reads it once.
   * @throws IndelibleError `ERR_IMPORT_INVALID` if it is empty or no regular file, `ERR_IMPORT_CHANGED` if it changes
   * meanwhile; the system's errors, such as `ENOENT`; the signal's reason
   */
  static async open(path: string, options: PinOptions = {}): Promise<PinnedFile> {
    const file = await open(path, 'r')
    try {
      return new PinnedFile(path, file, await pin(path, file, options), options)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * The bytes, block by block, as they were.
   * @throws IndelibleError `ERR_IMPORT_CHANGED` at the first block that is not what it was; the signal's reason
   */
  async *blocks(): AsyncGenerator<Buffer, void> {
    for (const [i, expected] of this.#blocks.entries()) {
      this.#options.signal?.throwIfAborted()
      const start = i * BLOCK_BYTES
      const block = await read(this.#file, start, Math.min(BLOCK_BYTES, this.size - start))
      if (hash('sha256', block) !== expected) throw changed(this.path, 'other bytes stand in it')
      this.#options.onRead?.(block.length)
      yield block
    }
  }

  /** Whether somebody has written to it since it was opened. What was read stays what it was. */
  async isTouched(): Promise<boolean> {
    const { size, mtimeMs } = await this.#file.stat()
    return size !== this.size || mtimeMs !== this.modifiedMs
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

interface Pin {
  readonly size: number
  readonly sha256: string
  readonly modifiedMs: number
  readonly blocks: readonly string[]
}

async function pin(path: string, file: FileHandle, { signal, onRead }: PinOptions): Promise<Pin> {
  const before = await file.stat()
  if (!before.isFile())
    throw new IndelibleError('ERR_IMPORT_INVALID', `${path}: not a regular file, which can be read twice`)
  if (before.size === 0) throw new IndelibleError('ERR_IMPORT_INVALID', `${path}: is empty`)
  const whole = createHash('sha256')
  const blocks: string[] = []
  let size = 0
  for (;;) {
    signal?.throwIfAborted()
    const block = await read(file, size, BLOCK_BYTES)
    if (block.length === 0) break
    whole.update(block)
    blocks.push(hash('sha256', block))
    size += block.length
    onRead?.(block.length)
    if (size > before.size) break
  }
  const after = await file.stat()
  if (size !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
    throw changed(path, `it had ${before.size} bytes, then ${Math.max(after.size, size)}`)
  }
  return { size, sha256: whole.digest('hex'), modifiedMs: before.mtimeMs, blocks }
}

export function changed(path: string, how: string): IndelibleError {
  return new IndelibleError(
    'ERR_IMPORT_CHANGED',
    `${path}: changed while it was read (${how}): import it again when nobody writes to it`,
  )
}

/** A buffer of its own each time: lines keep views of it. */
async function read(file: FileHandle, start: number, most: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(most)
  let length = 0
  while (length < most) {
    const { bytesRead } = await file.read(buffer, length, most - length, start + length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}
