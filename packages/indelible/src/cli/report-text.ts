/** What a verification found, for people: the verdict first, then what it rests on, then what it leaves open. */
import type { AnchoredBy } from '../verify/anchors.ts'
import type { BundleReport } from '../verify/bundle-report.ts'
import type { Finding, Range, Report } from '../verify/report.ts'
import { count, formatPairs, inline, paint, printable } from './output.ts'

const STYLES = { verified: 'green', failed: 'red', incomplete: 'yellow' } as const

const STATES: Record<Range['state'], string> = {
  anchored: 'signed by the log, and vouched for',
  unanchored: 'signed by the log only: no anchor of the policy vouches for it',
  pinned: 'signed by the log, and under the checkpoint accepted before',
  signed: 'signed by the log',
  purged: 'purged: their hashes still add up',
  unchecked: 'not checked',
}

export function describeReport(report: Report): string {
  return [
    `${paint(STYLES[report.verdict], report.verdict)}: ${printable(verdictText(report))}\n`,
    section('established', establishedText(report)),
    section('findings', findingsText(report)),
    section('not checked', report.not_checked.map((what) => `  - ${printable(what)}\n`).join('')),
    report.verdict === 'failed' ? section('next', NEXT) : '',
  ].join('')
}

const NEXT = `  write nothing more to this log; copy its home and your pin to where nothing is overwritten; then look
  what each finding means: "Findings of a verification" in docs/errors.md of the repository
`

/** What the check of an evidence bundle found. */
export function describeBundle(report: BundleReport): string {
  const { verdict, origin, entries, findings, more_findings: more, established, not_checked: open } = report
  const text =
    verdict === 'failed' ? count(findings.length + more, 'finding') : `${count(entries, 'entry', 'entries')} proven`
  const list = (lines: readonly string[]) => lines.map((line) => `  - ${printable(line)}\n`).join('')
  const rest = more > 0 ? `  and ${more} more\n` : ''
  const found = findings.map(({ code, index, file, message }) => {
    const where = index === undefined ? (file === undefined ? '' : ` in ${printable(file)}`) : ` at ${index}`
    return `  ${paint('red', code)}${where}: ${printable(message)}\n`
  })
  return [
    `${paint(STYLES[verdict], verdict)}: ${printable(origin)}, ${text}\n`,
    section('established', list(established)),
    section('findings', found.join('') + rest),
    section('not checked', list(open)),
  ].join('')
}

function verdictText({ verdict, origin, size, findings, more_findings: more }: Report): string {
  if (verdict === 'verified') return `${origin}, ${count(size, 'entry', 'entries')}`
  if (verdict === 'failed') return `${origin}, ${count(findings.length + more, 'finding')}`
  return `${origin}: nothing wrong was found, but not all that was asked for could be established`
}

function establishedText({ ranges, size, root, key }: Report): string {
  const rows = ranges.map(({ start, end, state, by }): [string, string] => {
    return [rangeText(start, end), by ? `${STATES[state]} by ${by.map(anchorText).join('; ')}` : STATES[state]]
  })
  if (key !== '') rows.push(['checkpoint', `size ${size}, root ${root}`], ['signed by', printable(key)])
  return rows.length === 0 ? '' : formatPairs(rows)
}

/** `quorum (w1, w2) at 2026-…`. */
export function anchorText({ anchor, by, time }: AnchoredBy): string {
  return printable(`${anchor} (${by.join(', ')})${time === null ? '' : ` at ${time}`}`)
}

function rangeText(start: number, end: number): string {
  return end - start === 1 ? `entry ${start}` : `entries ${start} to ${end - 1}`
}

function findingsText({ findings, more_findings: more }: Report): string {
  if (findings.length === 0) return ''
  const rest = more > 0 ? `  and ${more} more\n` : ''
  return findings.map(findingText).join('') + rest
}

function findingText({ code, index, expected, found, message }: Finding): string {
  const where = index === undefined ? '' : ` at ${index}`
  const detail = [expected && `expected ${inline(expected)}`, found && `found ${inline(found)}`]
    .filter(Boolean)
    .join(', ')
  return `  ${paint('red', code)}${where}: ${printable(message)}\n${detail && `    ${detail}\n`}`
}

function section(title: string, body: string): string {
  return body === '' ? '' : `${paint('bold', title)}\n${body}`
}
