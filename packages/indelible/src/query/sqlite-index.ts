/**
 * The index of a log, in a SQLite file of its own beside it: filled behind the log, under no lock of the log's. Whoever
 * deletes it loses nothing.
 */
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { ReadRecord } from '../record/entry.ts'
import { connect, isBusy, storeError } from '../store/sqlite-schema.ts'
import type { LogStore } from '../store/store.ts'
import {
  columnOf,
  comparableTime,
  FILTER_COLUMNS,
  type FilterColumn,
  type ParsedFilter,
  searchableText,
  wordsOf,
} from './filter.ts'
import { type DerivedIndex, disclosuresOf, type IndexWindow, type RunSummary, type UpdateOptions } from './query.ts'
import { addToRun, earlierOf, laterOf } from './run-summary.ts'

/** Raised whenever the tables or what is put into them change: an index of another version is made anew. */
export const INDEX_VERSION = 2

/** Entries of one transaction: memory grows with it. */
const CHUNK = 1000

/** Entries whose span of times is kept together. */
const BLOCK = 4096

/** Terms whose ids are kept in memory. */
const MAX_CACHED_TERMS = 50_000

const columnIndexes = FILTER_COLUMNS.map(
  (column) => `CREATE INDEX rows_${column} ON rows (${column}) WHERE ${column} IS NOT NULL;`,
).join('\n')

const SCHEMA = `
  CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, size INTEGER, leaf BLOB, generation INTEGER) STRICT;
  -- generation: rises whenever the index is emptied because something was erased.
  INSERT INTO state VALUES (1, ${INDEX_VERSION}, 0, x'', 0);
  -- n: entries with this value. The rarest condition of a filter is the one to begin with.
  CREATE TABLE terms (id INTEGER PRIMARY KEY, col TEXT, value TEXT, n INTEGER NOT NULL, UNIQUE (col, value)) STRICT;
  CREATE TABLE rows (
    idx INTEGER PRIMARY KEY, time TEXT NOT NULL, ${FILTER_COLUMNS.map((column) => `${column} INTEGER`).join(', ')}
  ) STRICT;
  ${columnIndexes}
  -- Times run nearly with indexes: the span of each block leads a time range to a range of indexes.
  CREATE TABLE blocks (block INTEGER PRIMARY KEY, earliest TEXT NOT NULL, latest TEXT NOT NULL) STRICT;
  CREATE TABLE runs (run TEXT PRIMARY KEY, last INTEGER NOT NULL, summary TEXT NOT NULL) STRICT;
  CREATE INDEX runs_last ON runs (last);
  CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1, detail = none);
`

export class SqliteIndex implements DerivedIndex {
  readonly #path: string
  #db: DatabaseSync
  #statements = new Map<string, StatementSync>()
  readonly #terms = new Map<string, number>()
  /** Of the index when `#terms` was filled. */
  #generation = 0

  private constructor(path: string) {
    this.#path = path
    this.#db = open(path)
  }

  /** Opens the index at `path`, making it or making it anew if it is of another version or of another log. */
  static async open(path: string, store: LogStore): Promise<SqliteIndex> {
    try {
      const index = new SqliteIndex(path)
      if (!(await index.#fits(store))) index.#reset()
      return index
    } catch (error) {
      // A damaged file holds nothing that the log does not.
      if (!isIndelibleError(storeError(error, 'cannot read the index'), 'ERR_STORE_CORRUPT')) throw error
      removeFiles(path)
      return new SqliteIndex(path)
    }
  }

  async reset(): Promise<void> {
    this.#reset()
  }

  #reset(): void {
    this.#db.close()
    removeFiles(this.#path)
    this.#statements.clear()
    this.#terms.clear()
    this.#db = open(this.#path)
  }

  async #fits(store: LogStore): Promise<boolean> {
    const { version, size, leaf } = this.#statement('SELECT version, size, leaf FROM state').get() as {
      version: number
      size: number
      leaf: Uint8Array
    }
    if (version !== INDEX_VERSION) return false
    if (size === 0) return true
    const head = await store.head()
    if (!head || head.size < size) return false
    const [stored] = await store.leaves(size - 1, size)
    return isEqual(stored!, leaf)
  }

  async size(): Promise<number> {
    return this.#size()
  }

  #readGeneration(): number {
    const generation = this.#statement('SELECT generation FROM state').get()!.generation as number
    // Their ids went with what was emptied.
    if (generation !== this.#generation) this.#terms.clear()
    this.#generation = generation
    return generation
  }

  #size(): number {
    return this.#statement('SELECT size FROM state').get()!.size as number
  }

  /**
   * Indexes what the log has gained. Several processes may call this at once; each chunk is indexed once.
   * @returns how many entries were indexed
   */
  async update(store: LogStore, options: UpdateOptions = {}): Promise<number> {
    const size = options.upTo ?? (await store.head())?.size ?? 0
    let indexed = 0
    for (;;) {
      const generation = this.#readGeneration()
      const start = this.#size()
      if (start >= size || options.signal?.aborted) return indexed
      const end = Math.min(size, start + CHUNK)
      const chunk = await readChunk(store, start, end)
      if (this.#write(start, end, chunk, generation)) indexed += end - start
      options.onProgress?.(end, size)
    }
  }

  /** `false` if another process has indexed these entries meanwhile. */
  #write(start: number, end: number, { rows, leaf }: Chunk, generation: number): boolean {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
    } catch (error) {
      if (isBusy(error)) return false
      throw storeError(error, 'cannot lock the index')
    }
    try {
      // What was read before an erasure must not be put back after it.
      if (this.#size() !== start || this.#readGeneration() !== generation) return false
      const counts = new Map<number, number>()
      const runs = new Map<string, RunSummary>()
      const insert = this.#statement(
        `INSERT INTO rows (idx, time, ${FILTER_COLUMNS.join(', ')}) VALUES (?, ?, ${FILTER_COLUMNS.map(() => '?').join(', ')})`,
      )
      const words = this.#statement('INSERT INTO words (rowid, text) VALUES (?, ?)')
      for (const { index, record, text } of rows) {
        const ids = FILTER_COLUMNS.map((column) => this.#count(column, columnOf(record, column), counts))
        insert.run(index, comparableTime(record.time), ...ids)
        if (text !== '') words.run(index, tokens(text).join(' '))
        if (record.run) {
          const known = runs.get(record.run.id) ?? this.#run(record.run.id)
          runs.set(record.run.id, addToRun(known, index, record))
        }
      }
      const add = this.#statement('UPDATE terms SET n = n + ? WHERE id = ?')
      for (const [id, count] of counts) add.run(count, id)
      const put = this.#statement('INSERT OR REPLACE INTO runs (run, last, summary) VALUES (?, ?, ?)')
      for (const [run, summary] of runs) put.run(run, summary.last, JSON.stringify(summary))
      this.#addBlocks(rows)
      this.#statement('UPDATE state SET size = ?, leaf = ?').run(end, leaf)
      this.#db.exec('COMMIT')
      return true
    } catch (error) {
      throw storeError(error, 'cannot write the index')
    } finally {
      if (this.#db.isTransaction) {
        this.#db.exec('ROLLBACK')
        // Terms made in this transaction are gone.
        this.#terms.clear()
      }
    }
  }

  #count(column: FilterColumn, value: string | undefined, counts: Map<number, number>): number | null {
    if (value === undefined) return null
    const id = this.#term(column, value)
    counts.set(id, (counts.get(id) ?? 0) + 1)
    return id
  }

  #term(column: FilterColumn, value: string): number {
    const key = `${column}\n${value}`
    let id = this.#terms.get(key)
    if (id === undefined) {
      const insert = this.#statement(
        'INSERT INTO terms (col, value, n) VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET n = n RETURNING id',
      )
      id = insert.get(column, value)!.id as number
      if (this.#terms.size >= MAX_CACHED_TERMS) this.#terms.clear()
      this.#terms.set(key, id)
    }
    return id
  }

  #addBlocks(rows: readonly IndexedRow[]): void {
    const put = this.#statement(
      `INSERT INTO blocks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET
         earliest = min(earliest, excluded.earliest), latest = max(latest, excluded.latest)`,
    )
    const spans = new Map<number, [string, string]>()
    for (const { index, record } of rows) {
      const block = Math.floor(index / BLOCK)
      const time = comparableTime(record.time)
      const [earliest, latest] = spans.get(block) ?? [time, time]
      spans.set(block, [earlierOf(time, earliest), laterOf(time, latest)])
    }
    for (const [block, [earliest, latest]] of spans) put.run(block, earliest, latest)
  }

  async search(filter: ParsedFilter, window: IndexWindow): Promise<number[]> {
    const plan = this.#plan(filter, window)
    if (plan === null) return []
    const direction = window.order === 'ascending' ? 'ASC' : 'DESC'
    // One walk for each value of the leading condition: each comes in order, so the first of all are among the first of each.
    const found = plan.leads.flatMap((lead) =>
      this.#statement(`${plan.sql('idx', lead)} ORDER BY ${plan.key} ${direction} LIMIT ?`)
        .all(...plan.values(lead), window.limit)
        .map((row) => row.idx as number),
    )
    if (plan.leads.length > 1) found.sort((a, b) => (window.order === 'ascending' ? a - b : b - a))
    return found.slice(0, window.limit)
  }

  async count(filter: ParsedFilter, upper: number): Promise<number> {
    const plan = this.#plan(filter, { lower: 0, upper })
    if (plan === null) return 0
    let count = 0
    for (const lead of plan.leads) {
      count += this.#statement(plan.sql('count(*) AS n', lead)).get(...plan.values(lead))!.n as number
    }
    return count
  }

  /** How to answer a filter, or `null` if nothing can match. */
  #plan(filter: ParsedFilter, window: { lower: number; upper: number }): Plan | null {
    const conditions: { column: FilterColumn; ids: number[]; n: number }[] = []
    for (const [column, wanted] of filter.columns) {
      const terms = wanted.flatMap((value) => this.#find(column, value))
      if (terms.length === 0) return null
      const ids = [...new Set(terms.map(({ id }) => id))]
      conditions.push({ column, ids, n: terms.reduce((sum, { n }) => sum + n, 0) })
    }
    const bounds = this.#bounds(filter, window)
    if (bounds === null) return null
    conditions.sort((a, b) => a.n - b.n)
    const match = filter.words.length > 0 ? filter.words.map((word) => `"${token(word)}"`).join(' AND ') : null
    const lead = match === null ? conditions[0] : undefined
    const rest = lead ? conditions.slice(1) : conditions

    const where: string[] = ['idx >= ?', 'idx < ?']
    const values: (string | number)[] = [bounds.lower, bounds.upper]
    for (const [bound, operator] of [
      [filter.since, '>='],
      [filter.until, '<'],
    ] as const) {
      if (bound === null) continue
      where.push(`time ${operator} ?`)
      values.push(bound)
    }
    for (const { column, ids } of rest) {
      // The unary plus keeps the planner from leading with this condition: it is not the rarest.
      where.push(`+${column} IN (${ids.map(() => '?').join(', ')})`)
      values.push(...ids)
    }
    if (match !== null) {
      where.push('words MATCH ?')
      values.push(match)
    }
    return {
      leads: lead ? lead.ids : [null],
      // FTS5 walks its rows in order, but only of its own rowid.
      key: match !== null ? 'words.rowid' : 'idx',
      sql: (select, id) => {
        const from =
          match !== null
            ? 'words CROSS JOIN rows ON rows.idx = words.rowid'
            : `rows ${id === null ? 'NOT INDEXED' : `INDEXED BY rows_${lead!.column}`}`
        const leading = id === null ? [] : [`${lead!.column} = ?`]
        const bounded = match !== null ? where.map((one) => one.replace(/^idx /, 'words.rowid ')) : where
        return `SELECT ${select} FROM ${from} WHERE ${[...leading, ...bounded].join(' AND ')}`
      },
      values: (id) => (id === null ? values : [id, ...values]),
    }
  }

  #find(column: FilterColumn, wanted: string): { id: number; n: number }[] {
    const rows =
      column === 'type' && wanted.endsWith('.*')
        ? this.#statement('SELECT id, n FROM terms WHERE col = ? AND value >= ? AND value < ?').all(
            column,
            wanted.slice(0, -1),
            // '/' follows '.'
            `${wanted.slice(0, -2)}/`,
          )
        : this.#statement('SELECT id, n FROM terms WHERE col = ? AND value = ?').all(column, wanted)
    return rows as { id: number; n: number }[]
  }

  /** The window, narrowed to the blocks in which a time of the range can be. */
  #bounds(
    { since, until }: ParsedFilter,
    { lower, upper }: { lower: number; upper: number },
  ): { lower: number; upper: number } | null {
    if (since === null && until === null) return { lower, upper }
    const row = this.#statement(
      'SELECT min(block) AS first, max(block) AS last FROM blocks WHERE latest >= ? AND earliest < ?',
    ).get(since ?? '', until ?? '~')!
    if (row.first === null) return null
    return {
      lower: Math.max(lower, (row.first as number) * BLOCK),
      upper: Math.min(upper, ((row.last as number) + 1) * BLOCK),
    }
  }

  async runs({ before, limit }: { before: number; limit: number }): Promise<RunSummary[]> {
    const rows = this.#statement('SELECT summary FROM runs WHERE last < ? ORDER BY last DESC LIMIT ?').all(
      before,
      limit,
    )
    return rows.map((row) => JSON.parse(row.summary as string) as RunSummary)
  }

  async run(run: string): Promise<RunSummary | null> {
    return this.#run(run)
  }

  #run(run: string): RunSummary | null {
    const row = this.#statement('SELECT summary FROM runs WHERE run = ?').get(run)
    return row ? (JSON.parse(row.summary as string) as RunSummary) : null
  }

  async close(): Promise<void> {
    if (this.#db.isOpen) this.#db.close()
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (!statement) {
      // Filters make many texts; none is worth keeping for ever.
      if (this.#statements.size > 200) this.#statements.clear()
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

interface Plan {
  readonly key: string
  readonly leads: readonly (number | null)[]
  sql(select: string, lead: number | null): string
  values(lead: number | null): (string | number)[]
}

interface IndexedRow {
  readonly index: number
  readonly record: ReadRecord
  readonly text: string
}

interface Chunk {
  readonly rows: readonly IndexedRow[]
  /** Leaf hash of the last entry: tells whether the index still belongs to this log. */
  readonly leaf: Uint8Array
}

async function readChunk(store: LogStore, start: number, end: number): Promise<Chunk> {
  const records: { index: number; record: ReadRecord }[] = []
  let isDisclosed = false
  for await (const rows of store.entries(start, end)) {
    for (const { index, entry } of rows) {
      try {
        const record = JSON.parse(new TextDecoder().decode(entry)) as ReadRecord
        columnOf(record, 'actor')
        isDisclosed ||= Object.values(record.parts ?? {}).some(({ mode }) => mode !== 'fingerprint' && mode !== 'none')
        records.push({ index, record })
      } catch {
        // An entry that cannot be read answers no question; verification says what is wrong with it.
      }
    }
  }
  const disclosures = isDisclosed ? await disclosuresOf(store, start, end) : null
  const [leaf] = await store.leaves(end - 1, end)
  return {
    rows: records.map(({ index, record }) => ({
      index,
      record,
      text: record.attributes || disclosures ? searchableText(record, disclosures?.get(index) ?? []) : '',
    })),
    leaf: leaf!,
  }
}

/** The distinct words of a text, each as one token of letters a-z and digits: FTS5's own idea of a word differs from ours. */
function tokens(text: string): string[] {
  return [...new Set(wordsOf(text))].map(token)
}

function token(word: string): string {
  // "x" marks an encoded word; a plain one that begins so is encoded too.
  return /^[a-wyz0-9][a-z0-9]*$/.test(word) ? word : `x${Buffer.from(word, 'utf8').toString('hex')}`
}

function removeFiles(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}

function open(path: string): DatabaseSync {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = connect(path, {})
  try {
    // Losing the last transactions of an index to a crash costs only their time.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const hasTables = (db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()!.n as number) > 0
    if (!hasTables) db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`)
    return db
  } catch (error) {
    db.close()
    if (error instanceof IndelibleError) throw error
    throw storeError(error, 'cannot open the index: delete it, it is made anew')
  }
}
