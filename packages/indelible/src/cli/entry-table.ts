/** Entries and runs in one line each. */
import type { QueryHit, RunSummary } from '../query/query.ts'
import { paint, printable, type Style } from './output.ts'
import { type Column, fit, formatTable, terminalWidth } from './table.ts'

export function outcomeStyle(outcome: string | null): Style | null {
  if (outcome === 'failure' || outcome === 'denied' || outcome === 'rejected') return 'red'
  if (outcome === 'success' || outcome === 'approved') return 'green'
  return outcome === null ? 'yellow' : 'dim'
}

/** `2026-11-21 09:00:00.123Z` */
export function timeText(time: string): string {
  return time.replace('T', ' ')
}

const ENTRY_COLUMNS: readonly Column<QueryHit>[] = [
  { title: 'index', value: ({ index }) => String(index) },
  { title: 'time', value: ({ record }) => timeText(record.time), rank: 5 },
  { title: 'type', value: ({ record }) => record.type },
  { title: 'outcome', value: ({ record }) => record.outcome, style: ({ record }) => outcomeStyle(record.outcome) },
  { title: 'actor', value: ({ record }) => record.actor.id, least: 12, rank: 4 },
  { title: 'for', value: ({ record }) => record.actor.on_behalf_of ?? '', least: 10, rank: 3 },
  { title: 'what', value: ({ record }) => whatOf(record), least: 14, rank: 6 },
  { title: 'run', value: ({ record }) => record.run?.id ?? '', least: 10, rank: 2 },
]

/** What an entry is about, in a word: its tool, model, policy, dataset … */
export function whatOf(record: QueryHit['record']): string {
  return (
    record.tool?.name ??
    record.model?.name ??
    record.guardrail?.name ??
    record.policy?.id ??
    record.dataset?.id ??
    record.deployment?.id ??
    record.resource?.id ??
    record.error?.type ??
    ''
  )
}

export function entryTable(hits: readonly QueryHit[]): string {
  // A column that says nothing takes no room.
  return formatTable(
    hits,
    ENTRY_COLUMNS.filter(({ value }) => hits.some((hit) => value(hit) !== '')),
  )
}

/** One entry in one line, for a list that has no end. Where the terminal is narrow, the date and then the run are left out. */
export function entryLine({ index, record }: QueryHit, width = terminalWidth()): string {
  const style = outcomeStyle(record.outcome)
  const time = timeText(record.time)
  const before = `${String(index).padStart(6)}  ${width < 110 ? time.slice(11, 19) : time}  ${record.type.padEnd(18)}  `
  const outcome = record.outcome.padEnd(8)
  const about = [printable(record.actor.id), printable(whatOf(record))]
  if (width >= 80) about.push(printable(record.run?.id ?? ''))
  const after = `  ${about.filter((text) => text !== '').join('  ')}`
  const rest = fit(after, Math.max(0, width - before.length - outcome.length))
  return `${before}${style ? paint(style, outcome) : outcome}${rest.trimEnd()}\n`
}

const RUN_COLUMNS: readonly Column<RunSummary>[] = [
  { title: 'run', value: ({ run }) => run, least: 12 },
  { title: 'began', value: ({ start }) => timeText(start), rank: 4 },
  { title: 'outcome', value: ({ outcome }) => outcome ?? 'not ended', style: ({ outcome }) => outcomeStyle(outcome) },
  { title: 'agent', value: ({ agent }) => agent ?? '', least: 10, rank: 3 },
  { title: 'entries', value: ({ entries }) => String(entries) },
  { title: 'tools', value: ({ tools }) => String(tools), rank: 2 },
  { title: 'errors', value: ({ errors }) => String(errors), style: ({ errors }) => (errors > 0 ? 'red' : null) },
  { title: 'denied', value: ({ denied }) => String(denied), style: ({ denied }) => (denied > 0 ? 'red' : null) },
]

export function runTable(runs: readonly RunSummary[]): string {
  return formatTable(runs, RUN_COLUMNS)
}
