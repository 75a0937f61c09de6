/** An entry for people. */
import type { PartDisclosure } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import type { ErasedPart } from './erased-parts.ts'
import { formatPairs, inline, paint, printable } from './output.ts'

/** A part of an entry: what its disclosure says, or that there is none, or that it is not the one committed to. */
export type ShownPart =
  | { readonly state: 'disclosed'; readonly mode: string; readonly disclosure: PartDisclosure }
  | { readonly state: 'erased'; readonly mode: string; readonly erased: ErasedPart }
  | { readonly state: 'absent' | 'altered' | 'unreadable'; readonly mode: string }

/** Most lines of one value. */
const MAX_VALUE_LINES = 60

/** What stands first, in this order. */
const FIRST = ['type', 'outcome', 'actor', 'time', 'observed', 'assurance', 'id'] as const
/** What has a place of its own, or says nothing to people. */
const APART = new Set<string>(['schema', 'parts', ...FIRST])

/** The members of a record but its parts. */
export function describeRecord(record: ReadRecord): string {
  const rest = Object.keys(record).filter((name) => !APART.has(name))
  return formatPairs([
    ...FIRST.map((name): [string, string] => [name, name === 'actor' ? actorText(record) : inline(record[name])]),
    ...rest.map((name): [string, string] => [printable(name), memberText(record[name])]),
  ])
}

const STATES = {
  absent: 'not here, and no audit.erased entry says that it was erased: run indelible verify',
  unreadable: 'unreadable: encrypted, and the vault with its key is not at hand',
  altered: 'altered: it is not what the entry commits to',
}

/** Parts one below the other, the values of those that are disclosed in full. */
export function describeParts(parts: ReadonlyMap<string, ShownPart>): string {
  if (parts.size === 0) return ''
  return `${paint('bold', 'parts')}\n${Array.from(parts, ([name, part]) => describePart(name, part)).join('')}`
}

function describePart(name: string, part: ShownPart): string {
  const line = (text: string) => `  ${printable(name)} (${printable(part.mode)}): ${text}\n`
  if (part.state === 'erased') return line(erasedText(part.erased))
  if (part.state !== 'disclosed') return line(STATES[part.state])
  const { value, meta } = part.disclosure
  const facts = Object.entries(meta).map(([key, fact]) => `${printable(key)} ${inline(fact)}`)
  if (part.mode === 'none') return line('not kept')
  return line(facts.join(', ') || 'kept') + (value === null && part.mode === 'fingerprint' ? '' : indented(value))
}

function erasedText({ entry, time, by, reason, approved_by: approved = [], state }: ErasedPart): string {
  const agreed = approved.length > 0 ? `, approved by ${approved.map((name) => inline(name)).join(' and ')}` : ''
  const pending = state === 'pending' ? '; bytes may still be in files' : ''
  return `erased ${inline(time)} by ${inline(by)}${agreed}: ${inline(reason)} (entry ${entry}${pending})`
}

function indented(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  const lines = text.split('\n')
  const shown = lines.slice(0, MAX_VALUE_LINES).map((line) => `    ${inline(line, 2000)}\n`)
  const more = lines.length - MAX_VALUE_LINES
  return shown.join('') + (more > 0 ? `    … (${more} more lines; --json has all)\n` : '')
}

function actorText({ actor }: ReadRecord): string {
  const { type, id, on_behalf_of: principal, ...rest } = actor
  const also = Object.keys(rest).length > 0 ? ` (${memberText(rest)})` : ''
  const behalf = principal === undefined ? '' : ` on behalf of ${inline(principal)}`
  return `${inline(type)} ${inline(id)}${also}${behalf}`
}

/** `name write_file, server local` of an object; anything else in one line of JSON. */
function memberText(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return inline(value)
  return Object.entries(value)
    .map(([key, member]) => `${printable(key)} ${inline(member, 200)}`)
    .join(', ')
}
