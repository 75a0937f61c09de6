/** Lines of a pipe as bytes, with bounded memory, and a writer that keeps them apart. */
import type { Writable } from 'node:stream'

const LF = 0x0a
const NEWLINE = Buffer.from('\n')

/** A whole line with its line feed, if it had one; or a piece of one that is too long to be kept. */
export type LinePiece =
  | { readonly line: Buffer }
  | { readonly piece: Buffer; readonly isFirst: boolean; readonly isLast: boolean }

/** Cuts what comes in chunks into lines. Lines longer than `maxBytes` come in pieces, and are kept nowhere. */
export class LineSplitter {
  readonly #maxBytes: number
  #pieces: Buffer[] = []
  #length = 0
  #isLong = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  *push(chunk: Buffer): Generator<LinePiece, void> {
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(LF, at)
      const end = newline === -1 ? chunk.length : newline + 1
      yield* this.#add(chunk.subarray(at, end), newline !== -1)
      at = end
    }
  }

  /** What came after the last line feed. */
  *end(): Generator<LinePiece, void> {
    if (this.#isLong || this.#length > 0) yield* this.#add(Buffer.alloc(0), true)
  }

  *#add(bytes: Buffer, isEnd: boolean): Generator<LinePiece, void> {
    if (!this.#isLong) {
      this.#pieces.push(bytes)
      this.#length += bytes.length
      if (this.#length <= this.#maxBytes) {
        if (isEnd) yield { line: this.#take() }
        return
      }
      this.#isLong = true
      yield { piece: this.#take(), isFirst: true, isLast: isEnd }
    } else yield { piece: bytes, isFirst: false, isLast: isEnd }
    if (isEnd) this.#isLong = false
  }

  #take(): Buffer {
    const all = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.#length)
    this.#pieces = []
    this.#length = 0
    return all
  }
}

/** Writes lines; none into the middle of one that is written in pieces. What nobody reads any more is dropped. */
export class LineWriter {
  readonly #stream: Writable
  readonly #waiting: Buffer[] = []
  #isInside = false
  #endsLine = true
  #isGone = false

  /** @param onGone called once if the reader has gone */
  constructor(stream: Writable, onGone: () => void) {
    this.#stream = stream
    const gone = () => {
      if (this.#isGone) return
      this.#isGone = true
      onGone()
    }
    stream.on('error', gone)
    stream.on('close', gone)
  }

  get isGone(): boolean {
    return this.#isGone
  }

  line(bytes: Buffer): void {
    if (this.#isInside) this.#waiting.push(bytes)
    else this.#write(bytes)
  }

  /** A message of our own. */
  message(message: unknown): void {
    this.line(Buffer.from(`${JSON.stringify(message)}\n`))
  }

  piece(bytes: Buffer, isLast: boolean): void {
    if (!this.#isInside) this.#endLine()
    this.#isInside = !isLast
    this.#send(bytes)
    if (!isLast) return
    for (const line of this.#waiting.splice(0)) this.#write(line)
  }

  /** Resolves once the stream takes more, or nobody reads. */
  async drained(): Promise<void> {
    if (this.#isGone || !this.#stream.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        this.#stream.off('error', done)
        resolve()
      }
      this.#stream.on('drain', done)
      this.#stream.on('close', done)
      this.#stream.on('error', done)
    })
  }

  end(): void {
    if (!this.#isGone) this.#stream.end()
  }

  #write(bytes: Buffer): void {
    this.#endLine()
    this.#send(bytes)
  }

  /** A last line without its line feed stays as it came, unless more comes after it. */
  #endLine(): void {
    if (!this.#endsLine) this.#send(NEWLINE)
  }

  #send(bytes: Buffer): void {
    if (this.#isGone || bytes.length === 0) return
    this.#stream.write(bytes)
    this.#endsLine = bytes.at(-1) === LF
  }
}
