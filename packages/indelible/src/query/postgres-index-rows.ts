/** What the Postgres index keeps of entries, read from the log and written in one transaction. */
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import { isSealed } from '../record/sealed.ts'
import { CopyRows, type CopyValue, Int4 } from '../store/postgres-copy.ts'
import type { Connection, Query } from '../store/postgres-driver.ts'
import { bytesOf } from '../store/postgres-rows.ts'
import { INDEX_COLUMNS } from '../store/postgres-tables.ts'
import { columnOf, comparableTime, FILTER_COLUMNS, searchableText, wordsOf } from './filter.ts'
import { familyOf, indexColumn, termOf, wordKey } from './postgres-search.ts'
import type { RunSummary } from './query.ts'
import { addToRun, earlierOf, laterOf } from './run-summary.ts'

/** Entries whose span of times is kept together. */
export const BLOCK = 4096

/** Part name under which the words of an entry's attributes are kept: no part is called so. */
const ATTRIBUTES = ''

/** Modes of parts whose disclosures hold no value. */
const TEXTLESS: ReadonlySet<string> = new Set(['none', 'fingerprint'])

export interface Indexed {
  readonly index: number
  readonly record: ReadRecord
  readonly isSealed: boolean
  /** Texts by part; that of the attributes under the empty name. */
  readonly texts: ReadonlyMap<string, string>
}

/** Reads entries `[start, end)` as they are stored. One that cannot be read answers no question; verification says why. */
export async function readChunk(
  query: Query,
  s: string,
  log: number,
  start: number,
  end: number,
): Promise<{ rows: Indexed[]; leaf: Uint8Array | null }> {
  const range = [log, start, end]
  const [entries, payloads] = await Promise.all([
    query(`SELECT idx, entry, leaf FROM ${s}.entries WHERE log = $1 AND idx >= $2 AND idx < $3 ORDER BY idx`, range),
    query(`SELECT idx, name, disclosure FROM ${s}.payloads WHERE log = $1 AND idx >= $2 AND idx < $3`, range),
  ])
  const parts = new Map<number, Map<string, string>>()
  const sealed = new Map<number, string[]>()
  for (const { idx, name, disclosure } of payloads) {
    if (isSealed(disclosure)) {
      sealed.set(idx, [...(sealed.get(idx) ?? []), name])
      continue
    }
    const text = textOf(disclosure)
    if (text !== '') parts.set(idx, (parts.get(idx) ?? new Map<string, string>()).set(name, text))
  }
  const rows: Indexed[] = []
  for (const { idx, entry } of entries) {
    let record: ReadRecord
    try {
      record = parseEntry(bytesOf(entry))
    } catch {
      continue
    }
    const texts = parts.get(idx) ?? new Map<string, string>()
    if (record.attributes) texts.set(ATTRIBUTES, searchableText(record, []))
    const isSealedText = (name: string) => !TEXTLESS.has(record.parts?.[name]?.mode ?? '')
    rows.push({ index: idx, record, isSealed: sealed.get(idx)?.some(isSealedText) ?? false, texts })
  }
  const last = entries.at(-1)
  return { rows, leaf: last?.idx === end - 1 ? bytesOf(last!.leaf) : null }
}

function textOf(disclosure: string): string {
  try {
    return searchableText({} as ReadRecord, [disclosure])
  } catch {
    return ''
  }
}

/** Writes rows, words, spans of time and runs, and moves the index on. In a transaction that holds the index's lock. */
export async function indexRows(
  connection: Connection,
  s: string,
  log: number,
  rows: readonly Indexed[],
  to: { readonly size: number; readonly leaf: Uint8Array },
): Promise<void> {
  const id = new Int4(log)
  const terms = new Terms()
  const [table, words] = [new CopyRows(), new CopyRows()]
  const spans = new Map<number, [string, string]>()
  for (const { index, record, isSealed: sealed, texts } of rows) {
    const time = comparableTime(record.time)
    const tenant = record.tenant ?? null
    const family = familyOf(record.type)
    const values = new Map<string, bigint>()
    for (const column of FILTER_COLUMNS) {
      const value = columnOf(record, column)
      if (value !== undefined) values.set(indexColumn(column), terms.of(indexColumn(column), value))
    }
    if (family !== null) values.set('family', terms.of('family', family))
    const columns: CopyValue[] = INDEX_COLUMNS.map((column) => values.get(column) ?? null)
    table.add([id, index, tenant, time, record.type, sealed, ...columns])
    for (const [part, text] of texts) {
      const distinct = [...new Set(wordsOf(text))]
      if (distinct.length > 0) words.add([id, index, part, tenant, distinct.map((word) => wordKey(log, word))])
    }
    const block = Math.floor(index / BLOCK)
    const [earliest, latest] = spans.get(block) ?? [time, time]
    spans.set(block, [earlierOf(time, earliest), laterOf(time, latest)])
  }
  for (const [name, copied] of [
    ['index_rows_all', table],
    ['index_words_all', words],
  ] as const) {
    if (copied.count > 0) await connection.copy(`COPY ${s}.${name} FROM STDIN (FORMAT binary)`, copied.data())
  }
  const runs = await addRuns(connection.query, s, log, rows)
  await connection.query(`SELECT ${s}.index_move($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, [
    ...[log, to.size, Buffer.from(to.leaf), [...spans.keys()]],
    ...[[...spans.values()].map(([earliest]) => earliest), [...spans.values()].map(([, latest]) => latest)],
    ...[runs.map(({ summary }) => summary.run), runs.map(({ tenant }) => tenant)],
    ...[runs.map(({ summary }) => summary.last), runs.map(({ summary }) => JSON.stringify(summary))],
  ])
}

interface IndexedRun {
  readonly summary: RunSummary
  /** Of all its entries; `null` if they are of none, or of several. */
  readonly tenant: string | null
}

async function addRuns(query: Query, s: string, log: number, rows: readonly Indexed[]): Promise<IndexedRun[]> {
  const names = [...new Set(rows.flatMap(({ record }) => record.run?.id ?? []))]
  if (names.length === 0) return []
  const text = `SELECT run, tenant, summary FROM ${s}.index_runs WHERE log = $1 AND run = ANY ($2)`
  const known = await query(text, [log, names])
  const runs = new Map<string, IndexedRun>(
    known.map(({ run, tenant, summary }) => [run, { tenant, summary: JSON.parse(summary) as RunSummary }]),
  )
  for (const { index, record } of rows) {
    if (!record.run) continue
    const before = runs.get(record.run.id)
    const tenant = record.tenant ?? null
    const summary = addToRun(before?.summary ?? null, index, record)
    runs.set(record.run.id, { summary, tenant: before && before.tenant !== tenant ? null : tenant })
  }
  return [...runs.values()]
}

/** Terms of one chunk: values repeat. */
class Terms {
  readonly #known = new Map<string, bigint>()

  of(column: string, value: string): bigint {
    const key = `${column}\n${value}`
    let term = this.#known.get(key)
    if (term === undefined) {
      term = termOf(column, value)
      this.#known.set(key, term)
    }
    return term
  }
}
