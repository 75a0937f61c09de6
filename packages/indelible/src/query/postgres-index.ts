/**
 * The index of a log in Postgres, in tables beside the log's own: filled behind the log by whoever may write it, read by
 * everybody, under the same row-level security as the entries. Derived; never evidence.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isEqual } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { parseEntry } from '../record/entry.ts'
import { Connection, loadDriver, Readers } from '../store/postgres-driver.ts'
import { postgresError } from '../store/postgres-error.ts'
import { bytesOf } from '../store/postgres-rows.ts'
import { type PostgresPlace, parsePostgresUrl } from '../store/postgres-url.ts'
import type { LogStore } from '../store/store.ts'
import { matches, type ParsedFilter, searchableText } from './filter.ts'
import { BLOCK, type Indexed, indexRows, readChunk } from './postgres-index-rows.ts'
import { type Compiled, type Condition, compile } from './postgres-search.ts'
import { type DerivedIndex, disclosuresOf, type IndexWindow, type RunSummary, type UpdateOptions } from './query.ts'

/** Raised whenever what is put into the tables changes: an index of another version is made anew. */
const INDEX_VERSION = 1

/** Entries of one transaction: memory grows with it. */
const CHUNK = 1000

/** How many of the last rows of a condition are looked at to learn which is the rarest. */
const PROBE = 200

/** Entries that a search for words looks at first, and how much further it looks each time. */
const FIRST_SPAN = 16_384
const SPAN_GROWTH = 8

/** Span of indexes whose payloads are opened together. */
const OPENED = 500

/** Rows that may match, fetched at a time where payloads have to be opened to know. */
const CANDIDATES = 500

export class PostgresIndex implements DerivedIndex {
  readonly #s: string
  readonly #log: number
  readonly #readers: Readers
  readonly #writer: Connection
  readonly #store: LogStore
  /** Whether what is there belongs to another state of the log, and this process may not make it anew. */
  #isUseless = false

  private constructor({ schema }: PostgresPlace, log: number, readers: Readers, writer: Connection, store: LogStore) {
    this.#s = schema
    this.#log = log
    this.#readers = readers
    this.#writer = writer
    this.#store = store
  }

  /** @throws IndelibleError `ERR_STORE_…`, `ERR_DRIVER_MISSING` */
  static async open(url: string, origin: string, store: LogStore): Promise<PostgresIndex> {
    const place = parsePostgresUrl(url)
    const driver = await loadDriver()
    const readers = new Readers(driver, place)
    const writer = new Connection(driver, place.client)
    try {
      const [row] = await readers.query(`SELECT id FROM ${place.schema}.logs WHERE origin = $1`, [origin])
      const index = new PostgresIndex(place, (row?.id as number) ?? 0, readers, writer, store)
      if (!(await index.#fits())) await index.#tryReset()
      return index
    } catch (error) {
      await Promise.all([readers.close(), writer.close()])
      throw postgresError(error, 'cannot open the index')
    }
  }

  async #fits(): Promise<boolean> {
    const text = `SELECT version, size, leaf FROM ${this.#s}.index_state WHERE log = $1`
    const [state] = await this.#readers.query(text, [this.#log])
    if (!state || ((state.version === INDEX_VERSION || state.version === 0) && state.size === 0)) return true
    const head = await this.#store.head()
    if (state.version !== INDEX_VERSION || !head || head.size < state.size) return false
    try {
      const [stored] = await this.#store.leaves(state.size - 1, state.size)
      return isEqual(stored!, bytesOf(state.leaf))
    } catch (error) {
      // The entry is of a tenant whom this role may not see.
      if (error instanceof RangeError) return true
      throw error
    }
  }

  async #tryReset(): Promise<void> {
    try {
      await this.reset()
    } catch (error) {
      if (!isForbidden(error)) throw error
      this.#isUseless = true
    }
  }

  async reset(): Promise<void> {
    try {
      await this.#writer.query(`SELECT ${this.#s}.index_reset($1, $2)`, [this.#log, INDEX_VERSION])
    } catch (error) {
      throw postgresError(error, 'cannot empty the index')
    }
  }

  async size(): Promise<number> {
    return this.#isUseless ? 0 : (await this.#state()).size
  }

  /** How far the index has come, and a number that rises when something is deleted. */
  async #state(): Promise<{ readonly size: number; readonly generation: number }> {
    const text = `SELECT size, generation FROM ${this.#s}.index_state WHERE log = $1`
    const [row] = await this.#readers.query(text, [this.#log])
    return { size: 0, generation: 0, ...row }
  }

  async update(store: LogStore, options: UpdateOptions = {}): Promise<number> {
    if (this.#isUseless) return 0
    const size = options.upTo ?? (await store.head())?.size ?? 0
    let indexed = 0
    for (;;) {
      const { size: start, generation } = await this.#state()
      if (start >= size || options.signal?.aborted) return indexed
      const end = Math.min(size, start + CHUNK)
      const chunk = await readChunk(this.#readers.query, this.#s, this.#log, start, end)
      const leaf = chunk.leaf ?? (await store.leaves(end - 1, end))[0]!
      try {
        if (await this.#write({ start, end, generation }, chunk.rows, leaf)) indexed += end - start
        // Somebody else is at it.
        else await sleep(20)
      } catch (error) {
        const coded = postgresError(error, 'cannot write the index')
        if (isForbidden(coded)) return indexed
        throw coded
      }
      options.onProgress?.(end, size)
    }
  }

  /** `false` if another process indexes these entries, or has, or if something was deleted since they were read. */
  async #write(
    { start, end, generation }: { start: number; end: number; generation: number },
    rows: readonly Indexed[],
    leaf: Uint8Array,
  ): Promise<boolean> {
    const connection = this.#writer
    try {
      await connection.script('BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off')
      const [lock] = await connection.query(`SELECT ${this.#s}.index_lock($1, $2, $3, $4) AS mine`, [
        this.#log,
        INDEX_VERSION,
        start,
        generation,
      ])
      if (lock!.mine) await indexRows(connection, this.#s, this.#log, rows, { size: end, leaf })
      await connection.script(lock!.mine ? 'COMMIT' : 'ROLLBACK')
      return lock!.mine as boolean
    } catch (error) {
      await connection.script('ROLLBACK').catch(() => connection.discard())
      throw error
    }
  }

  async search(filter: ParsedFilter, window: IndexWindow): Promise<number[]> {
    const bounds = await this.#bounds(filter, window)
    if (bounds === null) return []
    const found: number[] = []
    if (filter.words.length === 0) {
      const lead = await this.#lead(filter, bounds)
      const compiled = compile(filter, lead)
      // One walk for each value of the leading condition: each comes in order, so the first of all are among the first of each.
      for (const alternative of lead?.alternatives ?? [null]) {
        found.push(...(await this.#walk(compiled, alternative, { ...window, ...bounds })).map(({ idx }) => idx))
      }
      if (!lead || lead.alternatives.length === 1) return found
      // An entry may answer several.
      const sorted = [...new Set(found)].sort((a, b) => (window.order === 'ascending' ? a - b : b - a))
      return sorted.slice(0, window.limit)
    }
    for await (const index of this.#withWords(filter, bounds, window.order)) {
      found.push(index)
      if (found.length >= window.limit) break
    }
    return found
  }

  async count(filter: ParsedFilter, upper: number): Promise<number> {
    const bounds = await this.#bounds(filter, { lower: 0, upper })
    if (bounds === null) return 0
    if (filter.words.length > 0) {
      let count = 0
      for await (const _ of this.#withWords(filter, bounds, 'ascending')) count++
      return count
    }
    const { where, values } = compile(filter, null)
    const [row] = await this.#readers.query(
      `SELECT count(*) AS n FROM ${this.#s}.index_rows WHERE log = $1 AND idx >= $2 AND idx < $3 ${where}`,
      [this.#log, bounds.lower, bounds.upper, ...values],
    )
    return row!.n as number
  }

  /** The condition that the fewest entries answer, if there is one. */
  async #lead(filter: ParsedFilter, { lower, upper }: Bounds): Promise<Condition | null> {
    const { conditions } = compile(filter, null)
    if (conditions.length < 2) return conditions[0] ?? null
    const probes = conditions.flatMap((condition, at) =>
      condition.alternatives.map(({ column, term }) => ({ at, column, term })),
    )
    const counts = await this.#readers.query(
      probes
        .map(
          ({ at, column }, i) =>
            `SELECT ${at} AS at, count(*) AS n, min(idx) AS first FROM (
               SELECT idx FROM ${this.#s}.index_rows WHERE log = $1 AND ${column} = $${i + 4}::bigint AND idx >= $2
                 AND idx < $3 ORDER BY idx DESC LIMIT ${PROBE}) probe_${i}`,
        )
        .join(' UNION ALL '),
      [this.#log, lower, upper, ...probes.map(({ term }) => String(term))],
    )
    const sums = conditions.map(() => 0)
    for (const { at, n, first } of counts) {
      // As many in the whole window as in the part of it that was looked at.
      sums[at]! += n < PROBE ? n : (PROBE * (upper - lower)) / (upper - first)
    }
    return conditions[sums.indexOf(Math.min(...sums))]!
  }

  async #walk(
    { where, values, leading }: Compiled,
    alternative: Condition['alternatives'][number] | null,
    { lower, upper, order, limit }: Bounds & { order: IndexWindow['order']; limit: number },
  ): Promise<{ idx: number; is_sealed: boolean }[]> {
    const lead = alternative === null ? { text: '', values: [] } : leading(alternative)
    const rows = await this.#readers.query(
      `SELECT idx, is_sealed FROM ${this.#s}.index_rows WHERE log = $1 AND idx >= $2 AND idx < $3 ${lead.text} ${where}
       ORDER BY idx ${order === 'ascending' ? 'ASC' : 'DESC'} LIMIT ${Math.floor(limit)}`,
      [this.#log, lower, upper, ...values, ...lead.values],
    )
    return rows as { idx: number; is_sealed: boolean }[]
  }

  /**
   * Entries with all words, in order. Looked for in spans that grow, so that frequent words end soon and rare ones take
   * few questions. Words of payloads that are encrypted are nowhere in the database: those payloads are opened and looked at.
   */
  async *#withWords(filter: ParsedFilter, bounds: Bounds, order: IndexWindow['order']): AsyncIterable<number> {
    const compiled = compile(filter, null, { schema: this.#s, log: this.#log })
    let { lower, upper } = bounds
    for (let span = FIRST_SPAN; lower < upper; span *= SPAN_GROWTH) {
      const isUp = order === 'ascending'
      let [from, to] = isUp ? [lower, Math.min(upper, lower + span)] : [Math.max(lower, upper - span), upper]
      if (isUp) lower = to
      else upper = from
      for (;;) {
        const rows = await this.#walk(compiled, null, { lower: from, upper: to, order, limit: CANDIDATES })
        const opened = await this.#opened(filter, rows)
        for (const { idx, is_sealed } of rows) if (!is_sealed || opened.has(idx)) yield idx
        if (rows.length < CANDIDATES) break
        if (isUp) from = rows.at(-1)!.idx + 1
        else to = rows.at(-1)!.idx
      }
    }
  }

  /** Those of the entries with encrypted payloads that answer the filter. */
  async #opened(filter: ParsedFilter, rows: readonly { idx: number; is_sealed: boolean }[]): Promise<Set<number>> {
    const sealed = rows.flatMap(({ idx, is_sealed }) => (is_sealed ? [idx] : [])).sort((a, b) => a - b)
    const found = new Set<number>()
    for (let at = 0; at < sealed.length; ) {
      const start = sealed[at]!
      const asked = new Set<number>()
      while (at < sealed.length && sealed[at]! < start + OPENED) asked.add(sealed[at++]!)
      const end = sealed[at - 1]! + 1
      const texts = await disclosuresOf(this.#store, start, end)
      for await (const chunk of this.#store.entries(start, end)) {
        for (const { index, entry } of chunk) {
          if (!asked.has(index)) continue
          const record = parseEntry(entry)
          if (matches(filter, record, () => searchableText(record, texts.get(index) ?? []))) found.add(index)
        }
      }
    }
    return found
  }

  /** The window, narrowed to the blocks in which a time of the range can be; `null` if there is none. */
  async #bounds({ since, until }: ParsedFilter, { lower, upper }: Bounds): Promise<Bounds | null> {
    if (since === null && until === null) return { lower, upper }
    const [row] = await this.#readers.query(
      `SELECT min(block) AS first, max(block) AS last FROM ${this.#s}.index_blocks
       WHERE log = $1 AND latest >= $2 AND earliest < $3`,
      [this.#log, since ?? '', until ?? '~'],
    )
    if (row!.first === null) return null
    return { lower: Math.max(lower, row!.first * BLOCK), upper: Math.min(upper, (row!.last + 1) * BLOCK) }
  }

  async runs({ before, limit }: { before: number; limit: number }): Promise<RunSummary[]> {
    const rows = await this.#readers.query(
      `SELECT summary FROM ${this.#s}.index_runs WHERE log = $1 AND last < $2 ORDER BY last DESC LIMIT ${Math.floor(limit)}`,
      [this.#log, before],
    )
    return rows.map(({ summary }) => JSON.parse(summary) as RunSummary)
  }

  async run(run: string): Promise<RunSummary | null> {
    const text = `SELECT summary FROM ${this.#s}.index_runs WHERE log = $1 AND run = $2`
    const [row] = await this.#readers.query(text, [this.#log, run])
    return row ? (JSON.parse(row.summary) as RunSummary) : null
  }

  async close(): Promise<void> {
    await Promise.all([this.#readers.close(), this.#writer.close()])
  }
}

interface Bounds {
  readonly lower: number
  readonly upper: number
}

/** Whether an error says that this role, or this server, lets nobody like us write. */
function isForbidden(error: unknown): boolean {
  return isIndelibleError(error, 'ERR_STORE_DENIED', 'ERR_STORE_READONLY')
}

/** Entries that the index of a log has seen; `null` if it has none of this version. */
export async function postgresIndexed(url: string, origin: string): Promise<number | null> {
  const place = parsePostgresUrl(url)
  const readers = new Readers(await loadDriver(), place)
  try {
    const [row] = await readers.query(
      `SELECT i.version, i.size FROM ${place.schema}.index_state i JOIN ${place.schema}.logs l ON l.id = i.log WHERE l.origin = $1`,
      [origin],
    )
    return row?.version === INDEX_VERSION ? (row.size as number) : null
  } finally {
    await readers.close()
  }
}
