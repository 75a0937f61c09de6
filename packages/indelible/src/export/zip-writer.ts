/** Writes a zip archive as a stream, file by file, and keeps the digest of each for the manifest. */
import { createHash } from 'node:crypto'
import { deflateSync, Zip, ZipPassThrough } from 'fflate'
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
/** What a file adds to the archive beside its content: two headers and a descriptor, and its name twice. */
const OVERHEAD_BYTES = 30 + 16 + 46 + 2 * 128

/** A file handed over whole: fflate's own deflating file keeps 100 KB of buffers for each. */
class WholeFile extends ZipPassThrough {
  constructor(path: string, mtimeMs: number, deflate: boolean) {
    super(path)
    this.mtime = mtimeMs
    if (deflate) this.compression = 8
  }

  protected override process(chunk: Uint8Array, final: boolean): void {
    this.ondata(null, this.compression === 8 ? deflateSync(chunk) : (chunk as Uint8Array<ArrayBuffer>), final)
  }
}

export class ZipWriter {
  readonly files: WrittenFile[] = []
  readonly #sink: Sink
  readonly #mtimeMs: number
  readonly #zip: Zip
  #pending: Uint8Array[] = []
  #written = 0
  #directory = 0

  constructor(sink: Sink, mtimeMs: number) {
    this.#sink = sink
    this.#mtimeMs = mtimeMs
    this.#zip = new Zip((error, chunk) => {
      if (error) throw error
      this.#pending.push(chunk)
    })
  }

  /**
   * @param options.deflate whether to compress; hashes and keys do not get shorter. Default `true`
   * @throws IndelibleError `ERR_EXPORT_TOO_LARGE` past what an archive can hold, or a bundle's file
   */
  async add(path: string, content: Uint8Array | string, options: { readonly deflate?: boolean } = {}): Promise<void> {
    const bytes = typeof content === 'string' ? utf8(content) : content
    if (bytes.length > MAX_FILE_BYTES) {
      throw tooLarge(`${path} has ${bytes.length} bytes, a file of a bundle at most ${MAX_FILE_BYTES}: disclose less`)
    }
    if (this.files.length + 1 >= MAX_FILES)
      throw tooLarge(`a bundle has fewer than ${MAX_FILES} files: narrow the filter`)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.files.push({ path, bytes: bytes.length, sha256 })
    const file = new WholeFile(path, this.#mtimeMs, options.deflate ?? true)
    this.#zip.add(file)
    file.push(bytes, true)
    await this.#flush()
  }

  /** Writes the archive's directory. Nothing can be added afterwards. */
  async end(): Promise<void> {
    this.#zip.end()
    await this.#flush()
  }

  async #flush(): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    this.#directory += OVERHEAD_BYTES
    for (const chunk of pending) {
      this.#written += chunk.length
      if (this.#written + this.#directory > MAX_ARCHIVE_BYTES) {
        throw tooLarge('a bundle has at most 4 GiB: narrow the filter, or disclose less')
      }
      await this.#sink(chunk)
    }
  }
}

const tooLarge = (message: string) => new IndelibleError('ERR_EXPORT_TOO_LARGE', message)
