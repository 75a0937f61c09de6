/** What of a file could not be imported, and where. */
import { IndelibleError } from '../errors.ts'
import type { SourcePlace } from './importer.ts'

/** More malformed places than this, and the file is something else. */
const MOST_BAD = 100_000
/** Most ranges of lines, and most pointers, that an `audit.gap` lists: an entry has room for no more. */
const MOST_LISTED = 1000
const MOST_POINTERS = 100

export class BadPlaces {
  readonly #path: string
  readonly #format: string
  readonly #isSkipping: boolean
  readonly #places = new Map<string, SourcePlace>()

  constructor(path: string, format: string, isSkipping: boolean) {
    this.#path = path
    this.#format = format
    this.#isSkipping = isSkipping
  }

  get count(): number {
    return this.#places.size
  }

  has(place: SourcePlace): boolean {
    return this.#places.has(keyOf(place))
  }

  /** @throws IndelibleError `ERR_IMPORT_INVALID` unless bad places are to be skipped */
  readonly add = (place: SourcePlace, reason: string): void => {
    if (!this.#isSkipping) throw new IndelibleError('ERR_IMPORT_INVALID', `${this.#path}, ${textOf(place)}: ${reason}`)
    this.#places.set(keyOf(place), place)
    if (this.#places.size > MOST_BAD) {
      const message = `${this.#path}: more than ${MOST_BAD} malformed lines; is it really ${this.#format}?`
      throw new IndelibleError('ERR_IMPORT_INVALID', message)
    }
  }

  /** Lines as ranges `[first, last]`, and pointers within documents, as an `audit.gap` states them. */
  summary(): Record<string, unknown> {
    const lines = [...new Set([...this.#places.values()].flatMap(({ line }) => line ?? []))].sort((a, b) => a - b)
    const ranges: [number, number][] = []
    for (const line of lines) {
      const last = ranges.at(-1)
      if (last && last[1] === line - 1) last[1] = line
      else ranges.push([line, line])
    }
    // Of names a pointer has the format's own only.
    const inside = [...this.#places.values()].flatMap(({ line, pointer }) => (pointer ? [{ line, pointer }] : []))
    const pointers = inside.map(({ line, pointer }) => (line === undefined ? [pointer] : [line, pointer]))
    const isCut = ranges.length > MOST_LISTED || pointers.length > MOST_POINTERS
    return {
      skipped: this.#places.size,
      lines: ranges.slice(0, MOST_LISTED),
      ...(pointers.length > 0 && { pointers: pointers.slice(0, MOST_POINTERS) }),
      ...(isCut && { truncated: true }),
    }
  }
}

function keyOf({ line, pointer }: SourcePlace): string {
  return `${line ?? ''}${pointer ?? ''}`
}

function textOf({ line, pointer = '' }: SourcePlace): string {
  if (line === undefined) return pointer === '' ? 'the document' : `at ${pointer}`
  return pointer === '' ? `line ${line}` : `line ${line} at ${pointer}`
}
