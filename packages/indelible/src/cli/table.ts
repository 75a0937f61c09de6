/** Rows for a terminal of any width. */
import type { Context } from './context.ts'
import { paint, printable, type Style } from './output.ts'

export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  readonly style?: (row: T) => Style | null
  /** Columns with the smallest number go first where the terminal is narrow; those without stay. */
  readonly rank?: number
  /** Most characters, where all do not fit. */
  readonly least?: number
}

const GAP = '  '

/** @param width characters of a line; where it is not a terminal, nothing is cut */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[], width = terminalWidth()): string {
  const cells = columns.map(({ title, value }) => [title, ...rows.map((row) => printable(value(row)))])
  const kept = columns.map((column, i) => ({ column, cells: cells[i]!, width: Math.max(...cells[i]!.map(lengthOf)) }))
  const total = () => kept.reduce((sum, one) => sum + one.width, 0) + GAP.length * (kept.length - 1)
  for (const one of kept) {
    const { least } = one.column
    if (least !== undefined && total() > width) one.width = Math.max(least, one.width - (total() - width))
  }
  while (total() > width) {
    const ranked = kept.filter(({ column }) => column.rank !== undefined)
    if (ranked.length === 0) break
    const [first] = ranked.sort((a, b) => a.column.rank! - b.column.rank!)
    kept.splice(kept.indexOf(first!), 1)
  }
  const line = (at: number) =>
    kept
      .map(({ column, cells, width }, i) => {
        const text = fit(cells[at]!, width)
        const padded = i === kept.length - 1 ? text : text + ' '.repeat(Math.max(0, width - lengthOf(text)))
        const style = at === 0 ? 'bold' : column.style?.(rows[at - 1]!)
        return style ? paint(style, padded) : padded
      })
      .join(GAP)
      .trimEnd()
  return `${cells[0]!.map((_, at) => line(at)).join('\n')}\n`
}

/** Answers with rows: a line of JSON each for programs, a table for people, and a word if there are none. */
export async function answerRows<T>(
  context: Context,
  rows: readonly T[],
  none: string,
  columns: readonly Column<T>[],
): Promise<void> {
  if (context.isJson) {
    for (const row of rows) await context.out.json(row)
  } else if (rows.length === 0) {
    context.say(none)
  } else {
    await context.out.write(formatTable(rows, columns))
  }
}

/** Characters of a line of the terminal; without end where stdout is none. */
export function terminalWidth(): number {
  return process.stdout.isTTY ? Math.max(40, process.stdout.columns ?? 80) : Number.POSITIVE_INFINITY
}

/** `text`, cut to `width` characters. */
export function fit(text: string, width: number): string {
  return lengthOf(text) <= width ? text : `${[...text].slice(0, width - 1).join('')}…`
}

function lengthOf(text: string): number {
  return [...text].length
}
