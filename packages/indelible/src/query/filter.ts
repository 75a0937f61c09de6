/** What can be asked of a log: one filter for every store, every surface and every export. */
import { IndelibleError } from '../errors.ts'
import type { ReadRecord } from '../record/entry.ts'
import { normalizeTime } from '../record/time.ts'

/** Members that an index keeps a column for; each compares with one of the given values. */
export const FILTER_COLUMNS = [
  'type',
  'actor',
  'on_behalf_of',
  'tenant',
  'session',
  'run',
  'tool',
  'model',
  'outcome',
  'decision',
  'assurance',
] as const
export type FilterColumn = (typeof FILTER_COLUMNS)[number]

/** Every condition given must hold. A list means: one of these. In `type`, `tool.*` means everything that begins so. */
export type EntryFilter = { readonly [column in FilterColumn]?: string | readonly string[] } & {
  /** Event time, inclusive; RFC 3339. */
  readonly since?: string
  /** Event time, exclusive; RFC 3339. */
  readonly until?: string
  /** Words that all occur in attributes or in disclosed parts; case does not matter. */
  readonly text?: string
}

/** A filter in the form that indexes work with. */
export interface ParsedFilter {
  readonly columns: ReadonlyMap<FilterColumn, readonly string[]>
  readonly since: string | null
  readonly until: string | null
  readonly words: readonly string[]
}

/** @throws IndelibleError `ERR_FILTER_INVALID` naming the member */
export function parseFilter(filter: EntryFilter): ParsedFilter {
  const columns = new Map<FilterColumn, readonly string[]>()
  for (const column of FILTER_COLUMNS) {
    const value = filter[column]
    if (value !== undefined) columns.set(column, typeof value === 'string' ? [value] : value)
  }
  return {
    columns,
    since: parseBound('since', filter.since),
    until: parseBound('until', filter.until),
    words: filter.text === undefined ? [] : wordsOf(filter.text),
  }
}

function parseBound(member: string, text: string | undefined): string | null {
  if (text === undefined) return null
  // A date alone is its first moment, in UTC.
  const time = normalizeTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  if (time === null) {
    throw new IndelibleError(
      'ERR_FILTER_INVALID',
      `${member}: expected a date or an RFC 3339 time such as 2026-11-21T09:00:00Z`,
    )
  }
  return comparableTime(time)
}

/** A time such that times compare as texts: always six digits of a second. */
export function comparableTime(time: string): string {
  return time.length === 24 ? `${time.slice(0, 23)}000Z` : time
}

/** The words of a text, as the full-text index has them: runs of letters, digits and marks, without case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? []
}
const WORD = /[\p{L}\p{N}\p{M}]+/gu

/** The value of a record in a column; `undefined` if it has none. */
export function columnOf(record: ReadRecord, column: FilterColumn): string | undefined {
  switch (column) {
    case 'type':
    case 'outcome':
    case 'assurance':
    case 'tenant':
    case 'session':
      return record[column]
    case 'actor':
      return record.actor.id
    case 'on_behalf_of':
      return record.actor.on_behalf_of
    case 'run':
      return record.run?.id
    case 'tool':
      return record.tool?.name
    case 'model':
      return record.model?.name
    case 'decision':
      return record.policy?.decision
  }
}

/** Whether one value answers a condition on `column`. */
export function matchesValue(column: FilterColumn, wanted: string, value: string): boolean {
  return column === 'type' && wanted.endsWith('.*') ? value.startsWith(wanted.slice(0, -1)) : value === wanted
}

/** Whether a record answers the filter. `text` is called only if the filter has words. */
export function matches(filter: ParsedFilter, record: ReadRecord, text: () => string): boolean {
  if (filter.since !== null || filter.until !== null) {
    const time = comparableTime(record.time)
    if (filter.since !== null && time < filter.since) return false
    if (filter.until !== null && time >= filter.until) return false
  }
  for (const [column, wanted] of filter.columns) {
    const value = columnOf(record, column)
    if (value === undefined || !wanted.some((one) => matchesValue(column, one, value))) return false
  }
  if (filter.words.length === 0) return true
  const words = new Set(wordsOf(text()))
  return filter.words.every((word) => words.has(word))
}

/** What free text is searched in: attribute names and values, and the values of disclosed parts. */
export function searchableText(record: ReadRecord, disclosures: Iterable<string>): string {
  const pieces: string[] = []
  for (const [key, value] of Object.entries(record.attributes ?? {})) pieces.push(key, String(value))
  for (const disclosure of disclosures) {
    // Encrypted, and its key not at hand.
    if (!disclosure.startsWith('[')) continue
    const value = (JSON.parse(disclosure) as unknown[])[5]
    if (value !== null) collectText(value, pieces)
  }
  return pieces.join(' ')
}

function collectText(value: unknown, pieces: string[]): void {
  if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) pieces.push(key)
      collectText(inner, pieces)
    }
  } else {
    pieces.push(String(value))
  }
}
