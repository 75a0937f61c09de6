/** Writing to people and to programs. */
import { fsyncSync } from 'node:fs'
import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

/** `text` in `style` where stdout is a terminal with colours and NO_COLOR is not set. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/**
 * Text from a log, for one line of a terminal. Agents write it, and whoever steers them: what could move the cursor, hide
 * or reorder text is shown as an escape.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const short = SHORT_ESCAPES.get(character)
    return short ?? `\\u{${character.codePointAt(0)!.toString(16)}}`
  })
}

const SHORT_ESCAPES = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/** Lines of a label and a value, the values below each other. */
export function formatPairs(pairs: readonly (readonly [string, string])[], indent = '  '): string {
  const width = Math.max(...pairs.map(([label]) => label.length))
  return pairs.map(([label, value]) => `${indent}${label.padEnd(width)}  ${value}\n`).join('')
}

/** `1 entry`, `2 entries`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

/** A value in one line, of at most `most` characters: what is longer is cut, and how much is missing is said within them. */
export function inline(value: unknown, most = 400): string {
  const text = printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing'))
  if (text.length <= most) return text
  const rest = (missing: number) => `… (${missing} more characters)`
  const kept = Math.max(1, most - rest(text.length).length)
  return `${text.slice(0, kept)}${rest(text.length - kept)}`
}

/** `text` as one word of a POSIX shell: names come from logs, and people copy what is printed. */
export function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** Standard output. A reader that went away is no error; a full disk is one. */
export class Output {
  readonly #stream: NodeJS.WriteStream
  #isClosed = false
  #failure: Error | null = null

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#isClosed = true
      if (error.code !== 'EPIPE') this.#failure ??= error
    })
  }

  /** Nobody reads any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Resolves once the stream takes more. */
  async write(text: string): Promise<void> {
    if (this.#isClosed) return
    if (!this.#stream.write(text)) await this.#drained()
    this.#throwIfFailed()
  }

  json(value: unknown): Promise<void> {
    return this.write(`${JSON.stringify(value)}\n`)
  }

  /** Resolves once everything has left this process, or cannot. */
  async flush(): Promise<void> {
    if (!this.#isClosed) await new Promise<void>((resolve) => this.#stream.write('', () => resolve()))
    this.#throwIfFailed()
  }

  /** As {@link flush}; and a file that the output goes to has it on disk. */
  async sync(): Promise<void> {
    await this.flush()
    if (this.#isClosed) return
    try {
      fsyncSync((this.#stream as { fd?: number }).fd ?? 1)
    } catch (error) {
      // A terminal or a pipe keeps nothing that could be synced.
      if (!NOT_KEPT.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        for (const event of SETTLED) this.#stream.off(event, done)
        resolve()
      }
      for (const event of SETTLED) this.#stream.on(event, done)
    })
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure
  }
}

/** What fsync says of what is no file. */
const NOT_KEPT = new Set(['EINVAL', 'ENOTSUP', 'EROFS', 'EPERM'])

/** What ends the wait for a stream that takes no more. */
const SETTLED = ['drain', 'close', 'error'] as const
