/** One run as a timeline for people. */
import type { RunSummary } from '../query/query.ts'
import type { ReadRecord } from '../record/entry.ts'
import { outcomeStyle, timeText, whatOf } from './entry-table.ts'
import { count, formatPairs, inline, paint, printable } from './output.ts'

/** An entry of the run, with the values of those of its parts that are disclosed. */
export interface RunStep {
  readonly index: number
  readonly record: ReadRecord
  readonly values: ReadonlyMap<string, unknown>
}

export function describeRun(run: RunSummary, steps: readonly RunStep[]): string {
  const start = Date.parse(run.start)
  const seconds = (Date.parse(run.end) - start) / 1000
  const head = formatPairs(
    [
      ['began', timeText(run.start)],
      ['took', run.end === run.start ? 'its entries have one time' : `${seconds.toFixed(3)} s`],
      ['outcome', run.outcome === null ? paint('yellow', 'not ended: incomplete, or still going on') : run.outcome],
      ['agent', printable(run.agent ?? '–')],
      ['model', printable(run.model ?? '–')],
      [
        'contains',
        [
          count(run.entries, 'entry', 'entries'),
          count(run.tools, 'tool call'),
          count(run.errors, 'error'),
          `${run.denied} denied`,
        ].join(', '),
      ],
    ],
    '  ',
  )
  const width = String(steps.at(-1)?.index ?? 0).length
  const lines = steps.map((step) => describeStep(step, start, width))
  return `${paint('bold', `run ${printable(run.run)}`)}\n${head}\n${lines.join('')}`
}

function describeStep({ index, record, values }: RunStep, start: number, width: number): string {
  const offset = `+${((Date.parse(record.time) - start) / 1000).toFixed(3)}s`
  const outcome = record.outcome === 'success' ? '' : record.outcome
  const style = outcomeStyle(record.outcome)
  const words = [
    paint('dim', String(index).padStart(width)),
    paint('dim', offset.padStart(9)),
    paint(style === 'red' ? 'red' : 'bold', record.type),
    printable(whatOf(record)),
    outcome === '' ? '' : style ? paint(style, outcome) : outcome,
    record.call === undefined ? '' : paint('dim', printable(record.call)),
    record.duration_ms === undefined ? '' : paint('dim', `${record.duration_ms} ms`),
    record.actor.type === 'user' ? `by ${printable(record.actor.id)}` : '',
  ]
  const indent = ' '.repeat(width + 12)
  const room = process.stdout.isTTY ? (process.stdout.columns ?? 80) - indent.length : 200
  const parts = [...values].map(([name, value]) => {
    const label = `${printable(name)}:`
    return `${indent}${paint('dim', label)} ${inline(value, Math.max(40, room - label.length - 1))}\n`
  })
  return `${words.filter((word) => word !== '').join('  ')}\n${parts.join('')}`
}
