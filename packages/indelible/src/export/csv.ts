/**
 * A table for spreadsheets: RFC 4180, UTF-8, one row per entry. Not evidence: texts that a spreadsheet would run as a formula
 * are changed, which `jsonl` never does.
 */
import { parseDisclosure } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import { ExportedEntries, type ExportedEntry, type Exporter, hasPart, TextSink } from './exporter.ts'

/** An entry that somebody else wrote may hold anything where a number or a text should be. */
type Cell = unknown

const COLUMNS: readonly (readonly [name: string, cell: (record: ReadRecord, index: number) => Cell])[] = [
  ['index', (_, index) => index],
  ['time', ({ time }) => time],
  ['observed', ({ observed }) => observed],
  ['type', ({ type }) => type],
  ['actor_type', ({ actor }) => actor.type],
  ['actor_id', ({ actor }) => actor.id],
  ['on_behalf_of', ({ actor }) => actor.on_behalf_of],
  ['tenant', ({ tenant }) => tenant],
  ['session', ({ session }) => session],
  ['run', ({ run }) => run?.id],
  ['call', ({ call }) => call],
  ['tool', ({ tool }) => tool?.name],
  ['model', ({ model }) => model?.name],
  ['outcome', ({ outcome }) => outcome],
  ['decision', ({ policy }) => policy?.decision],
  ['assurance', ({ assurance }) => assurance],
  ['duration_ms', ({ duration_ms }) => duration_ms],
  ['input_tokens', ({ usage }) => usage?.input_tokens],
  ['output_tokens', ({ usage }) => usage?.output_tokens],
  ['cost_usd', ({ usage }) => usage?.cost_usd],
  ['error_type', ({ error }) => error?.type],
  ['error_code', ({ error }) => error?.code],
  ['id', ({ id }) => id],
]

/** Stand in a part's column for a value that is not there. */
export const ERASED = '[erased]'
export const NOT_KEPT = '[not kept]'

export const csv: Exporter = {
  name: 'csv',
  extension: '.csv',
  async write(source, sink) {
    const entries = new ExportedEntries(source)
    const text = new TextSink(sink)
    const parts = [...new Set(source.disclose)]
    await text.write(formatRow([...COLUMNS.map(([name]) => name), ...parts.map((name) => `part.${name}`)]))
    for await (const entry of entries) {
      const cells = COLUMNS.map(([, cell]) => cell(entry.record, entry.index))
      await text.write(formatRow([...cells, ...parts.map((name) => partCell(entry, name))]))
    }
    await text.flush()
    return entries.summary(null)
  },
}

/** The same table of entries at hand, without parts. */
export function csvRows(hits: readonly { readonly index: number; readonly record: ReadRecord }[]): string {
  const rows = hits.map(({ index, record }) => formatRow(COLUMNS.map(([, cell]) => cell(record, index))))
  return formatRow(COLUMNS.map(([name]) => name)) + rows.join('')
}

function partCell({ record, disclosures }: ExportedEntry, name: string): Cell {
  if (!hasPart(record, name)) return undefined
  const disclosure = disclosures.get(name)
  if (disclosure === null || disclosure === undefined) return ERASED
  const { value } = parseDisclosure(disclosure)
  const { mode } = record.parts![name]!
  if (value === null && (mode === 'none' || mode === 'fingerprint')) return NOT_KEPT
  return typeof value === 'object' ? JSON.stringify(value) : value
}

/** A row with its CR LF. Numbers stay numbers; everything else is text that no spreadsheet takes for a formula. */
export function formatRow(cells: readonly Cell[]): string {
  return `${cells.map(formatCell).join(',')}\r\n`
}

function formatCell(cell: Cell): string {
  if (typeof cell === 'number') return String(cell)
  if (cell === undefined || cell === null) return ''
  return quote(disarm(typeof cell === 'string' ? cell : JSON.stringify(cell)))
}

function quote(text: string): string {
  return /[",\r\n;\t]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

// What begins a formula, also as the full-width forms that some locales take for the same.
const TRIGGER = '[=+\\-@\\uFF1D\\uFF0B\\uFF0D\\uFF20\\uFE62\\uFE63\\uFE66\\uFE6B]'
const AT_START = new RegExp(`^(?:[\\t\\r\\n]|[\\s\\p{Z}\\p{C}]*${TRIGGER})`, 'u')
/**
 * A spreadsheet that parts cells at semicolons or tabs, as those of many countries do, takes what follows one for a cell of
 * its own, quoted or not; the same goes for lines.
 */
const AFTER_SEPARATOR = new RegExp(`([;\\t\\r\\n][\\s\\p{Z}\\p{C}"']*)(?=${TRIGGER})`, 'gu')

/** `text`, with an apostrophe before whatever would make it a formula: spreadsheets show the rest as it is. */
export function disarm(text: string): string {
  const inner = text.replace(AFTER_SEPARATOR, "$1'")
  return AT_START.test(inner) ? `'${inner}` : inner
}
