/** Answers filters from the tables of the SQLite index. To be used within one transaction. */
import type { StatementSync } from 'node:sqlite'
import { FILTER_COLUMNS, type FilterColumn, type ParsedFilter } from './filter.ts'
import { keepWanted, wantedCodes } from './index-blocks.ts'
import { TIME_LENGTH, token } from './index-chunk.ts'
import type { IndexWindow } from './query.ts'

/** As the tables name them: a filter's may be words of SQL one day. */
export const COLUMNS = FILTER_COLUMNS.map((column) => `c_${column}`)

/** Hits of the full-text index that are taken at first; more each time that too few of them answer the rest of a filter. */
const FIRST_WORDED = 256
const MOST_WORDED = 16_384

interface Condition {
  /** Number of the column. */
  readonly column: number
  /** Of the terms that answer it. */
  readonly ids: readonly number[]
  /** Entries that it holds for. */
  readonly n: number
}

/** A filter, and between which indexes its answers are. */
interface Plan {
  /** The rarest first. */
  readonly conditions: readonly Condition[]
  readonly filter: ParsedFilter
  readonly lower: number
  readonly upper: number
}

type Term = { readonly id: number; readonly n: number; readonly first: number; readonly last: number }

export class SqliteSearch {
  readonly #statement: (sql: string) => StatementSync
  readonly #block: number
  /** Entries in full blocks. */
  readonly #packed: number

  /**
   * @param block entries of a block
   * @param size entries that are indexed
   */
  constructor(statement: (sql: string) => StatementSync, block: number, size: number) {
    this.#statement = statement
    this.#block = block
    this.#packed = Math.floor(size / block) * block
  }

  /** Indexes that match, in the window's order. */
  find(filter: ParsedFilter, window: IndexWindow): number[] {
    const found: number[] = []
    for (const some of this.#walk(filter, window)) {
      for (const index of some) {
        found.push(index)
        if (found.length === window.limit) return found
      }
    }
    return found
  }

  count(filter: ParsedFilter, upper: number): number {
    let count = 0
    const window = { lower: 0, upper, order: 'ascending', limit: Number.POSITIVE_INFINITY } as const
    for (const some of this.#walk(filter, window)) count += some.length
    return count
  }

  /** Answers a few at a time, in order. */
  #walk(filter: ParsedFilter, window: IndexWindow): Iterable<readonly number[]> {
    const plan = this.#plan(filter, window)
    if (!plan) return []
    return filter.words.length > 0 ? this.#walkWorded(plan, window) : this.#walkBlocks(plan, window)
  }

  *#walkBlocks(plan: Plan, { order }: IndexWindow): Generator<readonly number[]> {
    const isUp = order === 'ascending'
    const [first, last] = [Math.floor(plan.lower / this.#block), Math.floor((plan.upper - 1) / this.#block)]
    for (let i = 0; i <= last - first; i++) {
      const block = isUp ? first + i : last - i
      const start = block * this.#block
      const [lower, upper] = [Math.max(plan.lower, start), Math.min(plan.upper, start + this.#block)]
      const found =
        start < this.#packed ? this.#inBlock(block, plan, range(lower, upper)) : this.#inFresh(plan, lower, upper)
      yield isUp ? found : found.toReversed()
    }
  }

  /** FTS5 walks its rows in order, but knows nothing of columns. */
  *#walkWorded(plan: Plan, { order, limit }: IndexWindow): Generator<readonly number[]> {
    const isUp = order === 'ascending'
    const match = plan.filter.words.map((word) => `"${token(word)}"`).join(' AND ')
    const sql = `SELECT rowid AS idx FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ?
      ORDER BY rowid ${isUp ? 'ASC' : 'DESC'} LIMIT ?`
    let { lower, upper } = plan
    for (
      let most = Math.max(FIRST_WORDED, Math.min(limit, MOST_WORDED));
      lower < upper;
      most = Math.min(4 * most, MOST_WORDED)
    ) {
      const worded = this.#statement(sql).all(match, lower, upper, most) as { idx: number }[]
      const indexes = worded.map(({ idx }) => idx)
      yield this.#among(plan, isUp ? indexes : indexes.toReversed(), isUp)
      if (indexes.length < most) return
      if (isUp) lower = indexes.at(-1)! + 1
      else upper = indexes.at(-1)!
    }
  }

  /** Those of `indexes`, which ascend, that answer all but the words. */
  #among(plan: Plan, indexes: readonly number[], isUp: boolean): readonly number[] {
    const { since, until } = plan.filter
    const found: number[] = []
    if (plan.conditions.length === 0 && since === null && until === null) found.push(...indexes)
    else {
      for (let at = 0; at < indexes.length; ) {
        const block = Math.floor(indexes[at]! / this.#block)
        const start = block * this.#block
        let end = at
        while (end < indexes.length && indexes[end]! < start + this.#block) end++
        const some = indexes.slice(at, end)
        at = end
        if (start < this.#packed) found.push(...this.#inBlock(block, plan, some))
        else {
          const matching = new Set(this.#inFresh(plan, some[0]!, some.at(-1)! + 1))
          found.push(...some.filter((index) => matching.has(index)))
        }
      }
    }
    return isUp ? found : found.reverse()
  }

  /** Those of `indexes`, which ascend and are of one full block, that answer all but the words. */
  #inBlock(block: number, { conditions, filter }: Plan, indexes: readonly number[]): readonly number[] {
    const start = block * this.#block
    let places: readonly number[] = indexes.map((index) => index - start)
    for (const { column, ids } of conditions) {
      const place = block * FILTER_COLUMNS.length + column
      const row = this.#statement('SELECT terms FROM columns WHERE place = ?').get(place)
      const wanted = row ? wantedCodes(row.terms as Uint8Array, ids) : null
      if (!wanted) return []
      const codes = this.#statement('SELECT codes FROM columns WHERE place = ?').get(place)!.codes as Uint8Array
      places = keepWanted(places, codes, wanted)
      if (places.length === 0) return []
    }
    return this.#timely(block, places, filter, conditions.length > 0).map((place) => place + start)
  }

  /** @param areThere whether it is known that there is an entry at every one of `places` */
  #timely(
    block: number,
    places: readonly number[],
    { since, until }: ParsedFilter,
    areThere: boolean,
  ): readonly number[] {
    const span = this.#statement('SELECT earliest, latest, n FROM blocks WHERE block = ?').get(block)
    if (!span) return []
    const isWithin = (since === null || span.earliest! >= since) && (until === null || span.latest! < until)
    if (isWithin && (areThere || span.n === this.#block)) return places
    const times = this.#statement('SELECT times FROM blocks WHERE block = ?').get(block)!.times as string
    return places.filter((place) => {
      const time = times.slice(place * TIME_LENGTH, (place + 1) * TIME_LENGTH)
      return time[0] !== ' ' && (since === null || time >= since) && (until === null || time < until)
    })
  }

  /** Entries of `[lower, upper)`, behind the last full block, that answer all but the words. */
  #inFresh({ conditions, filter: { since, until } }: Plan, lower: number, upper: number): number[] {
    const where = ['idx >= ?', 'idx < ?', 'time >= ?', 'time < ?']
    const values: (string | number)[] = [lower, upper, since ?? '', until ?? '~']
    for (const { column, ids } of conditions) {
      where.push(`${COLUMNS[column]} IN (${ids.map(() => '?').join(', ')})`)
      values.push(...ids)
    }
    const rows = this.#statement(`SELECT idx FROM fresh WHERE ${where.join(' AND ')} ORDER BY idx`).all(...values)
    return rows.map((row) => row.idx as number)
  }

  /** `null` if nothing can match. */
  #plan(filter: ParsedFilter, window: IndexWindow): Plan | null {
    let { lower, upper } = this.#inTime(filter, window)
    const conditions: Condition[] = []
    for (const [column, wanted] of filter.columns) {
      const terms = wanted.flatMap((value) => this.#terms(column, value))
      lower = Math.max(
        lower,
        terms.reduce((least, { first }) => Math.min(least, first), Number.POSITIVE_INFINITY),
      )
      upper = Math.min(
        upper,
        terms.reduce((most, { last }) => Math.max(most, last + 1), 0),
      )
      conditions.push({
        column: FILTER_COLUMNS.indexOf(column),
        ids: [...new Set(terms.map(({ id }) => id))],
        n: terms.reduce((sum, { n }) => sum + n, 0),
      })
    }
    conditions.sort((a, b) => a.n - b.n)
    return lower < upper ? { conditions, filter, lower, upper } : null
  }

  #terms(column: FilterColumn, wanted: string): Term[] {
    const col = FILTER_COLUMNS.indexOf(column)
    const sql = 'SELECT id, n, first, last FROM terms WHERE col = ?'
    const rows =
      column === 'type' && wanted.endsWith('.*')
        ? // '/' follows '.'
          this.#statement(`${sql} AND value >= ? AND value < ?`).all(
            col,
            wanted.slice(0, -1),
            `${wanted.slice(0, -2)}/`,
          )
        : this.#statement(`${sql} AND value = ?`).all(col, wanted)
    return rows as Term[]
  }

  /** The window, narrowed to the blocks in which a time of the range can be. */
  #inTime({ since, until }: ParsedFilter, { lower, upper }: IndexWindow): { lower: number; upper: number } {
    if (since === null && until === null) return { lower, upper }
    const row = this.#statement(
      'SELECT min(block) AS first, max(block) AS last FROM blocks WHERE latest >= ? AND earliest < ?',
    ).get(since ?? '', until ?? '~')!
    if (row.first === null) return { lower, upper: lower }
    return {
      lower: Math.max(lower, (row.first as number) * this.#block),
      upper: Math.min(upper, ((row.last as number) + 1) * this.#block),
    }
  }
}

function range(lower: number, upper: number): number[] {
  return Array.from({ length: upper - lower }, (_, i) => lower + i)
}
