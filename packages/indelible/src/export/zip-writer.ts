/**
 * Writes a zip archive as a stream, file by file, in the one form that `verify/zip.ts` reads. Each file is handed over whole, so
 * its sizes stand in its header, and all that is kept of it is its line of the directory and its digest for the manifest.
 */
import { createHash } from 'node:crypto'
import { crc32, deflateRawSync } from 'node:zlib'
import { utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { MAX_FILE_BYTES, MAX_FILES } from '../verify/bundle-format.ts'
import type { Sink } from './exporter.ts'

export interface WrittenFile {
  readonly path: string
  readonly bytes: number
  /** Lower-case hex, as `sha256sum` prints it. */
  readonly sha256: string
}

/** Without zip64, which many readers lack, offsets have 32 bits. */
const MAX_ARCHIVE_BYTES = 0xffffffff
const LOCAL_BYTES = 30
const ENTRY_BYTES = 46
const END_BYTES = 22
/** PKWARE APPNOTE 4.4.3: 2.0, the first that knows deflate. */
const VERSION = 20

export class ZipWriter {
  readonly files: WrittenFile[] = []
  readonly #sink: Sink
  readonly #dosTime: number
  readonly #directory: Buffer[] = []
  #directoryBytes = 0
  #offset = 0

  constructor(sink: Sink, mtimeMs: number) {
    this.#sink = sink
    this.#dosTime = dosTime(mtimeMs)
  }

  /**
   * @param path printable ASCII
   * @param options.deflate whether to compress; hashes and keys do not get shorter. Default `true`
   * @throws IndelibleError `ERR_EXPORT_TOO_LARGE` past what an archive can hold, or a bundle's file
   */
  async add(path: string, content: Uint8Array | string, options: { readonly deflate?: boolean } = {}): Promise<void> {
    const bytes = typeof content === 'string' ? utf8(content) : content
    if (bytes.length > MAX_FILE_BYTES) {
      throw tooLarge(`${path} has ${bytes.length} bytes, a file of a bundle at most ${MAX_FILE_BYTES}: disclose less`)
    }
    if (this.files.length + 1 >= MAX_FILES) {
      throw tooLarge(`a bundle has fewer than ${MAX_FILES} files: narrow the filter`)
    }
    const data = options.deflate === false ? bytes : deflateRawSync(bytes)
    const name = Buffer.from(path, 'ascii')
    const entry = Buffer.alloc(ENTRY_BYTES + name.length)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(VERSION, 4)
    entry.writeUInt16LE(VERSION, 6)
    entry.writeUInt16LE(data === bytes ? 0 : 8, 10)
    entry.writeUInt32LE(this.#dosTime, 12)
    entry.writeUInt32LE(crc32(bytes), 16)
    entry.writeUInt32LE(data.length, 20)
    entry.writeUInt32LE(bytes.length, 24)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(this.#offset, 42)
    name.copy(entry, ENTRY_BYTES)

    // From the version on, a file's own header has the first fields of its line in the directory.
    const header = Buffer.alloc(LOCAL_BYTES + name.length)
    header.writeUInt32LE(0x04034b50, 0)
    entry.copy(header, 4, 6, 32)
    name.copy(header, LOCAL_BYTES)

    const end = this.#offset + header.length + data.length
    this.#directoryBytes += entry.length
    if (end + this.#directoryBytes + END_BYTES > MAX_ARCHIVE_BYTES) {
      throw tooLarge('a bundle has at most 4 GiB: narrow the filter, or disclose less')
    }
    this.#offset = end
    this.#directory.push(entry)
    this.files.push({ path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
    await this.#sink(header)
    if (data.length > 0) await this.#sink(data)
  }

  /** Writes the archive's directory. Nothing can be added afterwards. */
  async end(): Promise<void> {
    const end = Buffer.alloc(END_BYTES)
    end.writeUInt32LE(0x06054b50, 0)
    end.writeUInt16LE(this.#directory.length, 8)
    end.writeUInt16LE(this.#directory.length, 10)
    end.writeUInt32LE(this.#directoryBytes, 12)
    end.writeUInt32LE(this.#offset, 16)
    await this.#sink(Buffer.concat([...this.#directory, end]))
  }
}

/** MS-DOS time and date as they stand in a header. Its clock begins in 1980; we read it as UTC, so that equal input gives equal bytes. */
function dosTime(ms: number): number {
  const time = new Date(Math.max(ms, Date.UTC(1980, 0, 1)))
  const date = ((time.getUTCFullYear() - 1980) << 9) | ((time.getUTCMonth() + 1) << 5) | time.getUTCDate()
  const clock = (time.getUTCHours() << 11) | (time.getUTCMinutes() << 5) | (time.getUTCSeconds() >> 1)
  return ((date << 16) | clock) >>> 0
}

const tooLarge = (message: string) => new IndelibleError('ERR_EXPORT_TOO_LARGE', message)
