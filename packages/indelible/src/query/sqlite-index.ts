/**
 * The index of a log, in a SQLite file of its own beside it: filled behind the log, under no lock of the log's. Whoever
 * deletes it loses nothing.
 */
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { connect, isBusy, storeError } from '../store/sqlite-schema.ts'
import type { LogStore } from '../store/store.ts'
import { FILTER_COLUMNS, type ParsedFilter } from './filter.ts'
import { MAX_BLOCK, packColumn } from './index-blocks.ts'
import { type IndexChunk, readChunk, TIME_LENGTH } from './index-chunk.ts'
import type { DerivedIndex, IndexWindow, RunSummary, UpdateOptions } from './query.ts'
import { earlierOf, laterOf, mergeRuns } from './run-summary.ts'
import { COLUMNS, SqliteSearch } from './sqlite-search.ts'

/** Raised whenever the tables or what is put into them change: an index of another version is made anew. */
export const INDEX_VERSION = 3

/** Entries of a block, and most of one transaction. */
const BLOCK = 4096

/** Terms whose ids are kept in memory. */
const MAX_CACHED_TERMS = 50_000

const SCHEMA = (block: number) => `
  -- generation: rises whenever the index is emptied because something was erased. block: entries of a block.
  CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, size INTEGER, leaf BLOB, generation INTEGER, block INTEGER
  ) STRICT;
  INSERT INTO state VALUES (1, ${INDEX_VERSION}, 0, x'', 0, ${block});
  -- n: entries with this value, the first and the last of which are at these indexes.
  CREATE TABLE terms (
    id INTEGER PRIMARY KEY, col INTEGER NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, UNIQUE (col, value)
  ) STRICT;
  -- Entries behind the last full block.
  CREATE TABLE fresh (
    idx INTEGER PRIMARY KEY, time TEXT NOT NULL, ${COLUMNS.map((column) => `${column} INTEGER`).join(', ')}
  ) STRICT;
  -- Times run nearly with indexes: the span of each block leads a time range to a range of indexes. times: of all its
  -- entries, once it is full; of one that is not there, spaces. n: entries that are.
  CREATE TABLE blocks (
    block INTEGER PRIMARY KEY, earliest TEXT NOT NULL, latest TEXT NOT NULL, n INTEGER NOT NULL, times TEXT
  ) STRICT;
  -- place: ${FILTER_COLUMNS.length} times the block, and the number of the column. See index-blocks.
  CREATE TABLE columns (place INTEGER PRIMARY KEY, terms BLOB NOT NULL, codes BLOB NOT NULL) STRICT;
  CREATE TABLE runs (run TEXT PRIMARY KEY, last INTEGER NOT NULL, summary TEXT NOT NULL) STRICT;
  CREATE INDEX runs_last ON runs (last);
  CREATE VIRTUAL TABLE words USING fts5(text, content = '', columnsize = 0, detail = none);
`

export interface SqliteIndexOptions {
  /** Entries of a block, of an index that is made. Tests make it small. Default 4,096. */
  readonly block?: number
}

export class SqliteIndex implements DerivedIndex {
  readonly #path: string
  readonly #newBlock: number
  #db: DatabaseSync
  #statements = new Map<string, StatementSync>()
  /** By column. */
  readonly #terms = FILTER_COLUMNS.map(() => new Map<string, number>())
  #termCount = 0
  /** Of the index when `#terms` was filled. */
  #generation = 0

  private constructor(path: string, block: number) {
    this.#path = path
    this.#newBlock = block
    this.#db = open(path, block)
  }

  /** Opens the index at `path`, making it or making it anew if it is of another version or of another log. */
  static async open(path: string, store: LogStore, { block = BLOCK }: SqliteIndexOptions = {}): Promise<SqliteIndex> {
    if (!Number.isInteger(block) || block < 1 || block > MAX_BLOCK) throw new RangeError(`blocks of ${block} entries`)
    try {
      const index = new SqliteIndex(path, block)
      if (!(await index.#fits(store))) index.#reset()
      return index
    } catch (error) {
      // A damaged file holds nothing that the log does not.
      if (!isIndelibleError(storeError(error, 'cannot read the index'), 'ERR_STORE_CORRUPT')) throw error
      removeFiles(path)
      return new SqliteIndex(path, block)
    }
  }

  async reset(): Promise<void> {
    this.#reset()
  }

  #reset(): void {
    this.#db.close()
    removeFiles(this.#path)
    this.#statements.clear()
    this.#forgetTerms()
    this.#db = open(this.#path, this.#newBlock)
  }

  #forgetTerms(): void {
    for (const terms of this.#terms) terms.clear()
    this.#termCount = 0
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
    return this.#state().size
  }

  #state(): { readonly size: number; readonly block: number } {
    return this.#statement('SELECT size, block FROM state').get() as { size: number; block: number }
  }

  #readGeneration(): number {
    const generation = this.#statement('SELECT generation FROM state').get()!.generation as number
    // Their ids went with what was emptied.
    if (generation !== this.#generation) this.#forgetTerms()
    this.#generation = generation
    return generation
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
      const { size: start, block } = this.#state()
      if (start >= size || options.signal?.aborted) return indexed
      const endOfBlock = (Math.floor(start / block) + 1) * block
      const chunk = await readChunk(store, start, Math.min(size, endOfBlock))
      if (this.#write(chunk, generation)) indexed += chunk.end - start
      options.onProgress?.(chunk.end, size)
    }
  }

  /** `false` if another process has indexed these entries meanwhile. */
  #write(chunk: IndexChunk, generation: number): boolean {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
    } catch (error) {
      if (isBusy(error)) return false
      throw storeError(error, 'cannot lock the index')
    }
    try {
      const { size, block } = this.#state()
      // What was read before an erasure must not be put back after it.
      if (size !== chunk.start || this.#readGeneration() !== generation) return false
      const ids = chunk.columns.map((values, column) => this.#count(column, values, chunk.start))
      if (chunk.end % block === 0) this.#pack(chunk, ids, block)
      else this.#addFresh(chunk, ids)
      this.#addSpan(chunk, block)
      this.#addWords(chunk)
      const put = this.#statement('INSERT OR REPLACE INTO runs (run, last, summary) VALUES (?, ?, ?)')
      for (const [run, added] of chunk.runs) {
        const known = this.#run(run)
        const summary = known ? mergeRuns(known, added) : added
        put.run(run, summary.last, JSON.stringify(summary))
      }
      this.#statement('UPDATE state SET size = ?, leaf = ?').run(chunk.end, chunk.leaf)
      this.#db.exec('COMMIT')
      return true
    } catch (error) {
      throw storeError(error, 'cannot write the index')
    } finally {
      if (this.#db.isTransaction) {
        this.#db.exec('ROLLBACK')
        // Terms made in this transaction are gone.
        this.#forgetTerms()
      }
    }
  }

  /** Ids of the terms of a column by entry, 0 for none. Counts them. */
  #count(column: number, values: readonly (string | undefined)[], start: number): Uint32Array {
    const ids = new Uint32Array(values.length)
    const counts = new Map<number, { n: number; last: number }>()
    let [lastValue, lastId]: [string | undefined, number] = [undefined, 0]
    for (let i = 0; i < values.length; i++) {
      const value = values[i]
      if (value === undefined) continue
      if (value !== lastValue) {
        lastValue = value
        lastId = this.#term(column, value, start + i)
      }
      ids[i] = lastId
      const count = counts.get(lastId)
      if (count) {
        count.n++
        count.last = start + i
      } else counts.set(lastId, { n: 1, last: start + i })
    }
    const add = this.#statement('UPDATE terms SET n = n + ?, last = ? WHERE id = ?')
    for (const [id, { n, last }] of counts) add.run(n, last, id)
    return ids
  }

  #term(column: number, value: string, index: number): number {
    const terms = this.#terms[column]!
    let id = terms.get(value)
    if (id === undefined) {
      const insert = this.#statement(
        `INSERT INTO terms (col, value, n, first, last) VALUES (?, ?, 0, ?, ?)
         ON CONFLICT DO UPDATE SET n = n RETURNING id`,
      )
      id = insert.get(column, value, index, index)!.id as number
      if (this.#termCount >= MAX_CACHED_TERMS) this.#forgetTerms()
      this.#termCount++
      terms.set(value, id)
    }
    return id
  }

  /** Ends a block: what is fresh of it and what comes now go into its columns. */
  #pack({ start, end, times }: IndexChunk, ids: readonly Uint32Array[], block: number): void {
    const first = end - block
    const allTimes = new Array<string>(block).fill('')
    const all = ids.map((those) => {
      const column = new Uint32Array(block)
      column.set(those, start - first)
      return column
    })
    for (let i = 0; i < times.length; i++) allTimes[start - first + i] = times[i]!
    if (start > first) {
      for (const row of this.#statement('SELECT * FROM fresh WHERE idx >= ? AND idx < ?').all(first, start)) {
        const place = (row.idx as number) - first
        allTimes[place] = row.time as string
        for (const [i, column] of COLUMNS.entries()) all[i]![place] = (row[column] as number | null) ?? 0
      }
      this.#statement('DELETE FROM fresh WHERE idx < ?').run(end)
    }
    const put = this.#statement('INSERT INTO columns (place, terms, codes) VALUES (?, ?, ?)')
    for (const [i, column] of all.entries()) {
      const packed = packColumn(column)
      if (packed) put.run((first / block) * FILTER_COLUMNS.length + i, packed.terms, packed.codes)
    }
    const text = allTimes.map((time) => time.padEnd(TIME_LENGTH)).join('')
    this.#statement(
      "INSERT INTO blocks VALUES (?, '~', '', 0, ?) ON CONFLICT DO UPDATE SET times = excluded.times",
    ).run(first / block, text)
  }

  #addFresh({ start, times }: IndexChunk, ids: readonly Uint32Array[]): void {
    const insert = this.#statement(
      `INSERT INTO fresh (idx, time, ${COLUMNS.join(', ')}) VALUES (?, ?, ${COLUMNS.map(() => '?').join(', ')})`,
    )
    for (const [i, time] of times.entries()) {
      if (time !== '') insert.run(start + i, time, ...ids.map((column) => column[i] || null))
    }
  }

  #addSpan({ start, times }: IndexChunk, block: number): void {
    const known = times.filter((time) => time !== '')
    if (known.length === 0) return
    this.#statement(
      `INSERT INTO blocks VALUES (?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET
         earliest = min(earliest, excluded.earliest), latest = max(latest, excluded.latest), n = n + excluded.n`,
    ).run(Math.floor(start / block), known.reduce(earlierOf), known.reduce(laterOf), known.length)
  }

  #addWords({ start, words }: IndexChunk): void {
    const insert = this.#statement('INSERT INTO words (rowid, text) VALUES (?, ?)')
    for (let i = 0; i < words.length; i++) if (words[i] !== '') insert.run(start + i, words[i]!)
  }

  async search(filter: ParsedFilter, window: IndexWindow): Promise<number[]> {
    return this.#reading((search) => search.find(filter, window))
  }

  async count(filter: ParsedFilter, upper: number): Promise<number> {
    return this.#reading((search) => search.count(filter, upper))
  }

  /** In one transaction: another process may end a block meanwhile. */
  #reading<T>(work: (search: SqliteSearch) => T): T {
    this.#db.exec('BEGIN')
    try {
      const { size, block } = this.#state()
      return work(new SqliteSearch((sql) => this.#statement(sql), block, size))
    } finally {
      this.#db.exec('COMMIT')
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

function removeFiles(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}

function open(path: string, block: number): DatabaseSync {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = connect(path, {})
  try {
    // Losing the last transactions of an index to a crash costs only their time.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const hasTables = (db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()!.n as number) > 0
    if (!hasTables) db.exec(`BEGIN IMMEDIATE; ${SCHEMA(block)} COMMIT`)
    return db
  } catch (error) {
    db.close()
    if (error instanceof IndelibleError) throw error
    throw storeError(error, 'cannot open the index: delete it, it is made anew')
  }
}
