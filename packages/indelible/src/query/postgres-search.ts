/** A filter as conditions on the tables of the Postgres index. */
import { createHash } from 'node:crypto'
import type { FilterColumn, ParsedFilter } from './filter.ts'

/** One of several values that a condition takes. */
export interface Alternative {
  readonly column: string
  readonly term: bigint
  /** Of a pattern that the term does not cover whole: how the type begins. */
  readonly prefix: string | null
}

export interface Condition {
  readonly alternatives: readonly Alternative[]
}

export interface Compiled {
  readonly conditions: readonly Condition[]
  /** Begins with AND, or is empty. Its values are `$4` and on: those before are log, lower and upper bound. */
  readonly where: string
  readonly values: readonly unknown[]
  /** What finds one alternative of the leading condition, with its values after those of {@link where}. */
  leading(alternative: Alternative): { readonly text: string; readonly values: readonly unknown[] }
}

/** Longest word that is kept as it is: keys of an index are of limited length. */
const MAX_WORD = 64

/**
 * 64 bits of a hash stand for a value: an index of numbers is small, and a table of terms would show one tenant the values of
 * another. Two values of equal hash would make a false hit in 2^64, and a hit is no evidence.
 */
export function termOf(column: string, value: string): bigint {
  return createHash('sha256').update(`${column}\n${value}`).digest().readBigInt64BE(0)
}

/** `tool.` of `tool.start`: what patterns begin with. */
export function familyOf(type: string): string | null {
  const dot = type.indexOf('.')
  return dot < 0 ? null : type.slice(0, dot + 1)
}

/** A word as the index keeps it: the index is of all logs, so each word names its log. */
export function wordKey(log: number, word: string): string {
  return `${log}:${word.length > MAX_WORD ? `#${createHash('sha256').update(word).digest('base64url')}` : word}`
}

/** Name of the column that holds the terms of a filter's column. */
export function indexColumn(column: FilterColumn): string {
  // `tenant` holds the name itself, for row-level security.
  return column === 'tenant' ? 'tenant_term' : column
}

/**
 * @param lead the condition that {@link Compiled.leading} stands for; no other may lead the planner
 * @param words where to look for the filter's words; without, they are left out
 */
export function compile(
  filter: ParsedFilter,
  lead: Condition | null,
  words: { readonly schema: string; readonly log: number } | null = null,
): Compiled {
  const conditions: Condition[] = []
  for (const [column, wanted] of filter.columns) {
    conditions.push({ alternatives: wanted.map((value) => alternativeOf(column, value)) })
  }
  const values: unknown[] = []
  const place = (value: unknown) => `$${values.push(value) + 3}`
  const test = ({ column, term, prefix }: Alternative) => {
    const is = `${column} = ${place(String(term))}::bigint`
    // A CASE keeps the planner from leading with this condition, which is not the rarest, and from taking it for rare: it would
    // sort all that the leading one finds rather than walk it in its order until there are enough.
    const one = lead ? `CASE WHEN ${is} THEN true ELSE false END` : is
    return prefix === null ? one : `(${one} AND starts_with(type_name, ${place(prefix)}))`
  }
  const where: string[] = []
  for (const condition of conditions) {
    if (lead && isSame(condition, lead)) continue
    where.push(condition.alternatives.length === 0 ? 'false' : `(${condition.alternatives.map(test).join(' OR ')})`)
  }
  if (filter.since !== null) where.push(`time >= ${place(filter.since)}`)
  if (filter.until !== null) where.push(`time < ${place(filter.until)}`)
  if (words && filter.words.length > 0) {
    const having = filter.words.map(
      (word) =>
        `SELECT idx FROM ${words.schema}.index_words WHERE log = $1 AND idx >= $2 AND idx < $3
           AND words @> ARRAY[${place(wordKey(words.log, word))}]`,
    )
    where.push(`(is_sealed OR idx IN (${having.join(' INTERSECT ')}))`)
  }
  return {
    conditions,
    where: where.map((one) => `AND ${one}`).join(' '),
    values,
    leading: ({ column, term, prefix }) => {
      const at = values.length + 4
      const text = `AND ${column} = $${at}::bigint`
      return prefix === null
        ? { text, values: [String(term)] }
        : { text: `${text} AND starts_with(type_name, $${at + 1})`, values: [String(term), prefix] }
    },
  }
}

function isSame(a: Condition, b: Condition): boolean {
  return (
    a.alternatives.length === b.alternatives.length &&
    a.alternatives.every(
      ({ column, term }, i) => column === b.alternatives[i]!.column && term === b.alternatives[i]!.term,
    )
  )
}

function alternativeOf(column: FilterColumn, value: string): Alternative {
  if (column !== 'type' || !value.endsWith('.*')) {
    const name = indexColumn(column)
    return { column: name, term: termOf(name, value), prefix: null }
  }
  const prefix = value.slice(0, -1)
  const family = familyOf(prefix)!
  return { column: 'family', term: termOf('family', family), prefix: family === prefix ? null : prefix }
}
