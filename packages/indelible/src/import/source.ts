/** The text of a file: unpacked if it is gzip, known to be UTF-8, in lines or whole. Memory is bounded whatever the file holds. */
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { fromUtf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type { ChainFinding, ImportSource, SourceLine, SourcePlace } from './importer.ts'
import type { PinnedFile } from './pinned-file.ts'

/** Bytes of text; all have defaults, which are for tests to lower. */
export interface TextLimits {
  /** Longest line. Default 64 MiB. */
  readonly line?: number
  /** Largest document that is no JSON Lines. Default 256 MiB. */
  readonly document?: number
  /** Most that a gzip file may unpack to. Default 16 GiB. */
  readonly unpacked?: number
}

const MIB = 1024 * 1024
const DEFAULTS: Required<TextLimits> = { line: 64 * MIB, document: 256 * MIB, unpacked: 16 * 1024 * MIB }
const LF = 0x0a
const CR = 0x0d

export interface TextSourceOptions {
  readonly chain?: ChainFinding | null
  readonly limits?: TextLimits | undefined
  readonly onBad: (place: SourcePlace, reason: string) => void
}

export class TextSource implements ImportSource {
  readonly sha256: string
  readonly chain: ChainFinding | null
  readonly bad: (place: SourcePlace, reason: string) => void
  readonly #file: PinnedFile
  readonly #limits: Required<TextLimits>

  constructor(file: PinnedFile, { chain = null, limits, onBad }: TextSourceOptions) {
    this.#file = file
    this.sha256 = file.sha256
    this.chain = chain
    this.bad = onBad
    this.#limits = { ...DEFAULTS, ...limits }
  }

  lines(): AsyncGenerator<SourceLine, void> {
    return this.#lines(this.bad)
  }

  async firstLine(): Promise<string | null> {
    let isBad = false
    for await (const { text } of this.#lines(() => (isBad = true))) return isBad ? null : text
    return null
  }

  async *#lines(bad: TextSourceOptions['onBad']): AsyncGenerator<SourceLine, void> {
    const { line: most } = this.#limits
    let line = 1
    let pieces: Buffer[] = []
    let length = 0
    const end = (): SourceLine | null => {
      const text = length > most ? null : lineText(line, pieces)
      if (text === null && length <= most) bad({ line }, 'not UTF-8')
      const ended = text === null || text.trim() === '' ? null : { line, text }
      line++
      pieces = []
      length = 0
      return ended
    }
    for await (const chunk of this.#bytes()) {
      for (let at = 0; at < chunk.length; ) {
        const found = chunk.indexOf(LF, at)
        const to = found < 0 ? chunk.length : found
        if (length <= most && length + to - at > most) bad({ line }, `longer than ${most} bytes`)
        length += to - at
        if (length <= most) pieces.push(chunk.subarray(at, to))
        else pieces = []
        if (found >= 0) {
          const ended = end()
          if (ended) yield ended
        }
        at = to + 1
      }
    }
    const last = length > 0 ? end() : null
    if (last) yield last
  }

  async text(): Promise<string | null> {
    const pieces: Buffer[] = []
    let length = 0
    for await (const chunk of this.#bytes()) {
      length += chunk.length
      if (length > this.#limits.document) return null
      pieces.push(chunk)
    }
    const text = decode(Buffer.concat(pieces))
    return text?.startsWith('\ufeff') ? text.slice(1) : text
  }

  async *#bytes(): AsyncGenerator<Buffer, void> {
    let isFirst = true
    for await (const chunk of this.#unpacked()) {
      if (isFirst) this.#refuseOthers(chunk)
      isFirst = false
      yield chunk
    }
  }

  async *#unpacked(): AsyncGenerator<Buffer, void> {
    const blocks = this.#file.blocks()
    const first = await blocks.next()
    if (first.done) return
    if (!(first.value[0] === 0x1f && first.value[1] === 0x8b)) {
      yield first.value
      yield* blocks
      return
    }
    const all = async function* () {
      yield first.value
      yield* blocks
    }
    const gunzip = createGunzip({ chunkSize: 256 * 1024 })
    let length = 0
    // What goes wrong destroys `gunzip` with the error, and so comes out of the loop.
    pipeline(Readable.from(all(), { objectMode: false }), gunzip, () => {})
    try {
      for await (const chunk of gunzip as AsyncIterable<Buffer>) {
        length += chunk.length
        if (length > this.#limits.unpacked) throw this.#invalid(`unpacks to more than ${this.#limits.unpacked} bytes`)
        yield chunk
      }
    } catch (error) {
      const code = (error as { code?: unknown }).code
      if (typeof code === 'string' && code.startsWith('Z_')) throw this.#invalid('gzip data that is damaged or cut off')
      throw error
    }
  }

  #refuseOthers(chunk: Buffer): void {
    const [a, b, c, d] = chunk
    const isUtf32 = (a === 0xff && b === 0xfe && c === 0 && d === 0) || (a === 0 && b === 0 && (c === 0 || c === 0xfe))
    if (isUtf32 || (b === 0 && c === 0 && d === 0)) throw this.#invalid('UTF-32 text; expected UTF-8')
    const isUtf16 = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff) || a === 0 || b === 0
    if (isUtf16) throw this.#invalid('UTF-16 text; expected UTF-8')
    for (const [name, magic] of PACKED) {
      if (chunk.subarray(0, magic.length / 2).toString('hex') === magic) {
        throw this.#invalid(`${name}; expected text, or text packed with gzip once`)
      }
    }
  }

  #invalid(why: string): IndelibleError {
    return new IndelibleError('ERR_IMPORT_INVALID', `${this.#file.path}: ${why}`)
  }
}

/** What people hand in instead, by its first bytes in hex. */
const PACKED = [
  ['gzip data', '1f8b'],
  ['a zip archive', '504b0304'],
  ['zstd data', '28b52ffd'],
  ['bzip2 data', '425a68'],
  ['xz data', 'fd377a585a00'],
  ['a Parquet file', '50415231'],
  ['an SQLite database', '53514c69746520666f726d6174'],
] as const

function lineText(line: number, pieces: readonly Buffer[]): string | null {
  const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  const text = decode(bytes.at(-1) === CR ? bytes.subarray(0, -1) : bytes)
  return line === 1 && text?.startsWith('\ufeff') ? text.slice(1) : text
}

function decode(bytes: Buffer): string | null {
  try {
    return fromUtf8(bytes)
  } catch {
    return null
  }
}
