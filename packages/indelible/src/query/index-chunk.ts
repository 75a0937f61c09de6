/** What the SQLite index takes from entries, read from the log a few at a time: none of them is held for long. */
import { fromUtf8 } from '../bytes.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { columnOf, comparableTime, FILTER_COLUMNS, searchableText, wordsOf } from './filter.ts'
import { disclosuresOf, type RunSummary } from './query.ts'
import { addToRun } from './run-summary.ts'

/** Entries that are read together with their disclosures: one part can have megabytes. */
const PIECE = 256

/** Characters of words after which a chunk ends. */
const MAX_WORDS = 4_000_000

/** Entries `[start, end)`, by place. */
export interface IndexChunk {
  readonly start: number
  readonly end: number
  /** Leaf hash of the last entry: tells whether the index still belongs to this log. */
  readonly leaf: Uint8Array
  /** As they compare; empty for an entry that is not there or cannot be read. Verification says what is wrong with it. */
  readonly times: readonly string[]
  /** By column, in the order of `FILTER_COLUMNS`. */
  readonly columns: readonly (readonly (string | undefined)[])[]
  /** Tokens, with a space between them. */
  readonly words: readonly string[]
  /** What these entries add up to, by run. */
  readonly runs: ReadonlyMap<string, RunSummary>
}

interface Growing extends IndexChunk {
  readonly times: string[]
  readonly columns: (string | undefined)[][]
  readonly words: string[]
  readonly runs: Map<string, RunSummary>
}

/**
 * Reads entries from `start` on.
 * @param most where the chunk ends at the latest; earlier if it has many words
 */
export async function readChunk(store: LogStore, start: number, most: number): Promise<IndexChunk> {
  const chunk: Omit<Growing, 'end' | 'leaf'> = {
    start,
    times: [],
    columns: FILTER_COLUMNS.map(() => []),
    words: [],
    runs: new Map(),
  }
  let end = start
  for (let written = 0; end < most && written < MAX_WORDS; ) {
    const from = end
    end = Math.min(most, from + PIECE)
    await readPiece(chunk, store, from, end)
    for (let i = from - start; i < end - start; i++) written += chunk.words[i]!.length
  }
  const [leaf] = await store.leaves(end - 1, end)
  return { ...chunk, end, leaf: leaf! }
}

async function readPiece(
  { start, times, columns, words, runs }: Omit<Growing, 'end' | 'leaf'>,
  store: LogStore,
  from: number,
  end: number,
): Promise<void> {
  for (let index = from; index < end; index++) {
    times.push('')
    words.push('')
    for (const column of columns) column.push(undefined)
  }
  const worded: { readonly index: number; readonly record: ReadRecord }[] = []
  let isDisclosed = false
  for await (const rows of store.entries(from, end)) {
    for (const { index, entry } of rows) {
      const record = readable(entry)
      if (!record) continue
      const at = index - start
      times[at] = comparableTime(record.time)
      for (let i = 0; i < FILTER_COLUMNS.length; i++) {
        const value = columnOf(record, FILTER_COLUMNS[i]!)
        if (typeof value === 'string') columns[i]![at] = value
      }
      if (record.run) runs.set(record.run.id, addToRun(runs.get(record.run.id) ?? null, index, record))
      if (hasText(record)) {
        isDisclosed = true
        worded.push({ index, record })
      } else if (record.attributes) {
        words[at] = wordsIn(record, [])
      }
    }
  }
  if (!isDisclosed) return
  const disclosures = await disclosuresOf(store, from, end)
  for (const { index, record } of worded) words[index - start] = wordsIn(record, disclosures.get(index) ?? [])
}

/** `null` if it is not as an entry is: it answers no question. */
function readable(entry: Uint8Array): ReadRecord | null {
  try {
    const record = JSON.parse(fromUtf8(entry)) as ReadRecord
    const { time, type, actor, run } = record
    const isEntry = typeof time === 'string' && typeof type === 'string' && typeof actor.id === 'string'
    return isEntry && comparableTime(time).length === TIME_LENGTH && (!run || typeof run.id === 'string')
      ? record
      : null
  } catch {
    return null
  }
}

/** Characters of a time that compares. */
export const TIME_LENGTH = 27

/** Whether a part of it may have a value at hand. */
function hasText({ parts }: ReadRecord): boolean {
  for (const name in parts) {
    const mode = parts[name]?.mode
    if (mode !== 'fingerprint' && mode !== 'none') return true
  }
  return false
}

function wordsIn(record: ReadRecord, disclosures: readonly string[]): string {
  try {
    return tokens(searchableText(record, disclosures)).join(' ')
  } catch {
    // A disclosure that was altered.
    return ''
  }
}

/** The distinct words of a text, each as one token of letters a-z and digits: FTS5's own idea of a word differs from ours. */
function tokens(text: string): string[] {
  return [...new Set(wordsOf(text))].map(token)
}

/** A word as the full-text index has it. */
export function token(word: string): string {
  // "x" marks an encoded word; a plain one that begins so is encoded too.
  return /^[a-wyz0-9][a-z0-9]*$/.test(word) ? word : `x${Buffer.from(word, 'utf8').toString('hex')}`
}
