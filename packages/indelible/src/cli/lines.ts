/** Lines of a stream of bytes, with bounded memory. */
import { concat, fromUtf8 } from '../bytes.ts'

/** One line, or what is wrong with it. Never both. */
export interface Line {
  /** From 1 on. */
  readonly number: number
  readonly text: string
  readonly fault?: string
}

const LF = 0x0a

/**
 * Yields the lines that each chunk completes. A line that is too long is reported as soon as it is, and skipped to its end.
 * A byte order mark before the first line is dropped; a last line needs no line feed.
 */
export async function* readLines(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line[], void> {
  const pending = new PendingLine(maxBytes)
  for await (const chunk of source) {
    const lines: Line[] = []
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(LF, at)
      const end = newline < 0 ? chunk.length : newline
      const fault = pending.add(chunk.subarray(at, end))
      if (fault) lines.push(fault)
      if (newline >= 0) lines.push(...pending.end())
      at = end + 1
    }
    if (lines.length > 0) yield lines
  }
  const last = pending.isEmpty ? [] : pending.end()
  if (last.length > 0) yield last
}

/** The line whose end has not come yet. */
class PendingLine {
  readonly #maxBytes: number
  #number = 1
  #pieces: Uint8Array[] = []
  #length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isEmpty(): boolean {
    return this.#length === 0
  }

  /** Reports the line when it becomes too long. */
  add(piece: Uint8Array): Line | null {
    const wasTooLong = this.#isTooLong
    this.#length += piece.length
    if (!this.#isTooLong) {
      this.#pieces.push(piece)
      return null
    }
    this.#pieces = []
    if (wasTooLong) return null
    return { number: this.#number, text: '', fault: `longer than ${this.#maxBytes} bytes` }
  }

  /** The line, unless it was reported before. */
  end(): Line[] {
    const line = this.#isTooLong ? [] : [this.#decode()]
    this.#number++
    this.#pieces = []
    this.#length = 0
    return line
  }

  get #isTooLong(): boolean {
    return this.#length > this.#maxBytes
  }

  #decode(): Line {
    const number = this.#number
    const [only] = this.#pieces
    try {
      const text = fromUtf8(this.#pieces.length === 1 ? only! : concat(...this.#pieces))
      return { number, text: number === 1 && text.startsWith('\ufeff') ? text.slice(1) : text }
    } catch {
      return { number, text: '', fault: 'not UTF-8' }
    }
  }
}
