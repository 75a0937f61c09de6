/**
 * Questions to a log. Indexes answer for what they have seen, a scan for the entries since: an answer never misses what was
 * acknowledged. Neither is evidence; an answer that must be believed carries its proofs.
 */
import { createHash } from 'node:crypto'
import { IndelibleError } from '../errors.ts'
import { formatTlogProof } from '../note/tlog-proof.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import type { LogStore } from '../store/store.ts'
import { proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { type EntryFilter, matches, type ParsedFilter, parseFilter, searchableText } from './filter.ts'
import { addToRun, mergeRuns } from './run-summary.ts'

/** Indexes `[lower, upper)` of a log, walked up or down. */
export interface IndexWindow {
  readonly lower: number
  readonly upper: number
  readonly order: 'ascending' | 'descending'
  readonly limit: number
}

export interface RunSummary {
  readonly run: string
  readonly parent: string | null
  readonly agent: string | null
  readonly model: string | null
  /** Event times of its first and last entry. */
  readonly start: string
  readonly end: string
  readonly first: number
  readonly last: number
  readonly entries: number
  readonly tools: number
  readonly errors: number
  readonly denied: number
  /** Outcome of its `run.end`, or `null`: it never ended. */
  readonly outcome: string | null
}

/** A derived index over the entries `[0, size)`. May be deleted at any time; never evidence. */
export interface QueryIndex {
  /** Entries indexed so far. */
  size(): Promise<number>
  /** Indexes that match, in the window's order. */
  search(filter: ParsedFilter, window: IndexWindow): Promise<number[]>
  count(filter: ParsedFilter, upper: number): Promise<number>
  /** Runs, latest first, whose last entry is before `before`. */
  runs(options: { before: number; limit: number }): Promise<RunSummary[]>
  run(run: string): Promise<RunSummary | null>
  close(): Promise<void>
}

export interface UpdateOptions {
  /** Index only so far. Default the log's size. */
  readonly upTo?: number
  readonly onProgress?: (indexed: number, size: number) => void
  readonly signal?: AbortSignal
}

/** An index that can be brought up to date. Several processes may do so at once; each entry is indexed once. */
export interface DerivedIndex extends QueryIndex {
  /**
   * Indexes what the log has gained. An index that this process may not write is left to those that may.
   * @returns how many entries were indexed
   */
  update(store: LogStore, options?: UpdateOptions): Promise<number>
  /** Forgets everything. */
  reset(): Promise<void>
}

export interface QueryHit {
  readonly index: number
  readonly record: ReadRecord
  readonly entry: Uint8Array
  /** `.tlog-proof` text, where asked for. */
  readonly proof?: string
}

export interface PageOptions {
  /** Default 50, at most 10,000. */
  readonly limit?: number
  /** Latest entries first, or earliest. Default latest. A cursor keeps the order that it was made in. */
  readonly order?: 'ascending' | 'descending'
  /** `next` or `previous` of another page of the same filter. */
  readonly cursor?: string
  /** Whether each entry comes with its proof, all under one checkpoint. */
  readonly proofs?: boolean
}

export interface Page {
  readonly hits: readonly QueryHit[]
  /** Cursor of the page after this one; `null` at the end as it was when asked. */
  readonly next: string | null
  readonly previous: string | null
  /** Size of the log that was searched. */
  readonly size: number
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 10_000
/** Entries read at a time: memory grows with it, speed hardly. */
const SCAN_CHUNK = 250

export class QueryEngine {
  readonly #store: LogStore
  readonly #index: QueryIndex
  readonly #translate: (filter: EntryFilter) => EntryFilter

  /** @param translate makes of a filter as it is asked one as entries are: persons may stand there under pseudonyms */
  constructor(
    store: LogStore,
    index: QueryIndex,
    translate: (filter: EntryFilter) => EntryFilter = (filter) => filter,
  ) {
    this.#store = store
    this.#index = index
    this.#translate = translate
  }

  /**
   * One page. Pages are stable: entries that are appended later do not move those that a cursor has passed.
   * @throws IndelibleError `ERR_FILTER_INVALID` for a bad bound, or a cursor of another filter
   */
  async page(filter: EntryFilter, options: PageOptions = {}): Promise<Page> {
    const parsed = parseFilter(this.#translate(filter))
    const limit = options.limit ?? DEFAULT_LIMIT
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new IndelibleError('ERR_FILTER_INVALID', `limit: expected 1 to ${MAX_LIMIT}`)
    }
    const head = await this.#store.head()
    const size = head?.size ?? 0
    const mark = markOf(parsed)
    const cursor = options.cursor === undefined ? null : parseCursor(options.cursor, mark)
    const order = cursor?.order ?? options.order ?? 'descending'
    const backwards = cursor?.backwards ?? false
    // Walking back through pages is walking the other way, and turning the page around.
    const walk = (order === 'ascending') !== backwards ? 'ascending' : 'descending'
    const window = {
      lower: walk === 'ascending' ? (cursor?.at ?? 0) : 0,
      upper: walk === 'descending' ? (cursor?.at ?? size) : size,
      order: walk,
      limit: limit + 1,
    } as const
    const found = await this.#search(parsed, window)
    const more = found.length > limit
    const hits = found.slice(0, limit)
    if (backwards) hits.reverse()
    // Both cursors name a boundary between two indexes, not a hit: a page that is empty has them too.
    const first = hits[0]?.index
    const last = hits.at(-1)?.index
    const after = last === undefined ? null : order === 'ascending' ? last + 1 : last
    const before = first === undefined ? null : order === 'ascending' ? first : first + 1
    const hasNext = backwards ? true : more
    const hasPrevious = backwards ? more : cursor !== null
    return {
      hits: options.proofs && head ? await this.#prove(hits, size, head.checkpoint) : hits,
      next: after !== null && hasNext ? formatCursor({ at: after, order, backwards: false }, mark) : null,
      previous: before !== null && hasPrevious ? formatCursor({ at: before, order, backwards: true }, mark) : null,
      size,
    }
  }

  /** Every hit in log order, in pages of bounded memory. */
  async *all(filter: EntryFilter, from = 0): AsyncIterable<QueryHit> {
    const parsed = parseFilter(this.#translate(filter))
    const upper = (await this.#store.head())?.size ?? 0
    for (let lower = from; lower < upper; ) {
      const hits = await this.#search(parsed, { lower, upper, order: 'ascending', limit: SCAN_CHUNK })
      yield* hits
      if (hits.length < SCAN_CHUNK) return
      lower = hits.at(-1)!.index + 1
    }
  }

  async count(filter: EntryFilter): Promise<number> {
    const parsed = parseFilter(this.#translate(filter))
    const size = (await this.#store.head())?.size ?? 0
    const indexed = Math.min(await this.#index.size(), size)
    let count = await this.#index.count(parsed, indexed)
    for await (const _ of this.#scan(parsed, indexed, size, 'ascending')) count++
    return count
  }

  /**
   * Runs, the one with the latest entry first; those of the unindexed tail are among them.
   * @param options.before only runs whose last entry has a smaller index: the `last` of the run at the end of a page
   */
  async runs(options: { limit?: number; before?: number } = {}): Promise<RunSummary[]> {
    const { limit = DEFAULT_LIMIT, before = Number.MAX_SAFE_INTEGER } = options
    const tail = await this.#tailRuns()
    const indexed = await this.#index.runs({ before, limit: limit + tail.size })
    const all = [...tail.values(), ...indexed.filter(({ run }) => !tail.has(run))]
    return all
      .filter(({ last }) => last < before)
      .sort((a, b) => b.last - a.last)
      .slice(0, limit)
  }

  async run(run: string): Promise<RunSummary | null> {
    return (await this.#tailRuns()).get(run) ?? (await this.#index.run(run))
  }

  async #tailRuns(): Promise<Map<string, RunSummary>> {
    const size = (await this.#store.head())?.size ?? 0
    const tail = new Map<string, RunSummary>()
    for await (const { index, record } of this.#scan(EVERYTHING, await this.#index.size(), size, 'ascending')) {
      if (record.run) tail.set(record.run.id, addToRun(tail.get(record.run.id) ?? null, index, record))
    }
    for (const [run, summary] of tail) {
      const earlier = await this.#index.run(run)
      if (earlier) tail.set(run, mergeRuns(earlier, summary))
    }
    return tail
  }

  async close(): Promise<void> {
    await this.#index.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #search(filter: ParsedFilter, window: IndexWindow): Promise<QueryHit[]> {
    const indexed = Math.min(await this.#index.size(), window.upper)
    const hits: QueryHit[] = []
    const tail = async () => {
      const lower = Math.max(indexed, window.lower)
      for await (const hit of this.#scan(filter, lower, window.upper, window.order)) {
        hits.push(hit)
        if (hits.length >= window.limit) return
      }
    }
    const body = async () => {
      let { lower, upper } = { lower: window.lower, upper: indexed }
      // A row that was purged since it was indexed is no hit, and no end either.
      while (hits.length < window.limit && lower < upper) {
        const limit = window.limit - hits.length
        const found = await this.#index.search(filter, { lower, upper, order: window.order, limit })
        hits.push(...(await this.#read(found)))
        if (found.length < limit) return
        if (window.order === 'ascending') lower = found.at(-1)! + 1
        else upper = found.at(-1)!
      }
    }
    if (window.order === 'ascending') {
      await body()
      if (hits.length < window.limit) await tail()
    } else {
      await tail()
      await body()
    }
    return hits
  }

  /** Entries that no index has seen yet, or for want of an index all. */
  async *#scan(
    filter: ParsedFilter,
    lower: number,
    upper: number,
    order: 'ascending' | 'descending',
  ): AsyncIterable<QueryHit> {
    for (let done = 0; done < upper - lower; done += SCAN_CHUNK) {
      const start = order === 'ascending' ? lower + done : Math.max(lower, upper - done - SCAN_CHUNK)
      const end = order === 'ascending' ? Math.min(upper, start + SCAN_CHUNK) : upper - done
      const hits: QueryHit[] = []
      const texts = filter.words.length > 0 ? await disclosuresOf(this.#store, start, end) : null
      for await (const rows of this.#store.entries(start, end)) {
        for (const { index, entry } of rows) {
          const record = parseEntry(entry)
          if (matches(filter, record, () => searchableText(record, texts?.get(index) ?? []))) {
            hits.push({ index, record, entry: own(entry) })
          }
        }
      }
      yield* order === 'ascending' ? hits : hits.reverse()
    }
  }

  async #read(indexes: readonly number[]): Promise<QueryHit[]> {
    const hits: QueryHit[] = []
    if (this.#store.entriesAt) {
      for (let at = 0; at < indexes.length; at += SCAN_CHUNK) {
        const asked = indexes.slice(at, at + SCAN_CHUNK)
        const rows = new Map((await this.#store.entriesAt(asked)).map((row) => [row.index, row.entry]))
        for (const index of asked) {
          const entry = rows.get(index)
          if (entry) hits.push({ index, record: parseEntry(entry), entry })
        }
      }
      return hits
    }
    for (let at = 0; at < indexes.length; ) {
      // Neighbours in one read.
      let end = at + 1
      while (end < indexes.length && Math.abs(indexes[end]! - indexes[end - 1]!) === 1 && end - at < SCAN_CHUNK) end++
      const [low, high] = [Math.min(indexes[at]!, indexes[end - 1]!), Math.max(indexes[at]!, indexes[end - 1]!)]
      const rows = new Map<number, Uint8Array>()
      for await (const chunk of this.#store.entries(low, high + 1))
        for (const row of chunk) rows.set(row.index, row.entry)
      for (; at < end; at++) {
        // An entry that was purged since it was indexed is no hit.
        const entry = rows.get(indexes[at]!)
        if (entry) hits.push({ index: indexes[at]!, record: parseEntry(entry), entry: own(entry) })
      }
    }
    return hits
  }

  async #prove(hits: readonly QueryHit[], size: number, checkpoint: string): Promise<QueryHit[]> {
    const read = sourceNodeReader(this.#store, size)
    const proven: QueryHit[] = []
    for (const hit of hits) {
      const proof = await proveInclusion(hit.index, size, read)
      proven.push({ ...hit, proof: formatTlogProof({ index: hit.index, proof, checkpoint }) })
    }
    return proven
  }
}

/** Bytes of their own: those of a row may be a view of hundreds, and a hit is kept longer than they are. */
function own(entry: Uint8Array): Uint8Array {
  return new Uint8Array(entry)
}

const EVERYTHING: ParsedFilter = parseFilter({})

/** Disclosures of `[start, end)` by entry. */
export async function disclosuresOf(store: LogStore, start: number, end: number): Promise<Map<number, string[]>> {
  const disclosures = new Map<number, string[]>()
  for await (const chunk of store.payloads(start, end)) {
    for (const { index, disclosure } of chunk) {
      const known = disclosures.get(index)
      if (known) known.push(disclosure)
      else disclosures.set(index, [disclosure])
    }
  }
  return disclosures
}

interface Cursor {
  /** A boundary: entries before `at` lie on one side, entries from it on the other. */
  readonly at: number
  readonly order: 'ascending' | 'descending'
  readonly backwards: boolean
}

function formatCursor({ at, order, backwards }: Cursor, mark: string): string {
  return `${order === 'ascending' ? 'a' : 'd'}${backwards ? 'p' : 'n'}${at}.${mark}`
}

function parseCursor(text: string, mark: string): Cursor {
  const match = /^([ad])([pn])(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{8})$/.exec(text)
  if (!match || match[4] !== mark) {
    const why = match ? 'it belongs to another filter' : 'it is none that this log gave'
    throw new IndelibleError('ERR_FILTER_INVALID', `cursor: ${why}; begin without one`)
  }
  return {
    at: Number(match[3]),
    order: match[1] === 'a' ? 'ascending' : 'descending',
    backwards: match[2] === 'p',
  }
}

/** Names a filter, so that a cursor is not used with another. */
function markOf(filter: ParsedFilter): string {
  const text = JSON.stringify([[...filter.columns].sort(), filter.since, filter.until, filter.words])
  return createHash('sha256').update(text).digest('base64url').slice(0, 8)
}
