/** Pairs the beginnings and ends of what happened in a run. */
import type { ReadRecord } from '../record/entry.ts'
import type { TraceEntry } from './trace.ts'
import type { TraceAction } from './trace-schema.ts'

type Kind = TraceAction['kind']

const BEGINS = new Map<string, Kind>([
  ['tool.start', 'tool'],
  ['llm.request', 'llm'],
  ['step.start', 'step'],
])
const CLOSES = new Map<string, Kind>([
  ['tool.end', 'tool'],
  ['tool.error', 'tool'],
  ['llm.response', 'llm'],
  ['llm.error', 'llm'],
  ['step.end', 'step'],
  ['step.error', 'step'],
])
/** Entries that are actions by themselves, by the first word of their type. */
const ALONE = new Set<string>(['policy', 'guardrail', 'approval', 'handoff', 'memory', 'step'] satisfies Kind[])

/**
 * What a run did, in the order in which it began. An end closes the latest action of its call that is open, because ids of calls
 * do repeat; without a call, the latest open one of its kind and name.
 */
export function pairActions(entries: readonly TraceEntry[]): TraceAction[] {
  const actions: TraceAction[] = []
  const open: { readonly at: number; readonly kind: Kind; readonly begin: TraceEntry }[] = []
  for (const entry of entries) {
    const { type } = entry.record
    const begins = BEGINS.get(type)
    const closes = CLOSES.get(type)
    if (begins) {
      open.push({ at: actions.length, kind: begins, begin: entry })
      actions.push(describeAction(begins, entry, null))
    } else if (closes) {
      const which = open.findLastIndex(({ kind, begin }) => kind === closes && belongs(begin.record, entry.record))
      const [opened] = which === -1 ? [] : open.splice(which, 1)
      if (opened) actions[opened.at] = describeAction(closes, opened.begin, entry)
      else actions.push(describeAction(closes, null, entry))
    } else {
      const kind = aloneKind(type)
      if (kind) actions.push(describeAction(kind, entry, entry))
    }
  }
  return actions
}

function aloneKind(type: string): Kind | null {
  if (type.startsWith('run.') || type.startsWith('audit.')) return null
  const [word] = type.split('.', 1)
  return ALONE.has(word!) ? (word as Kind) : 'other'
}

function belongs(begin: ReadRecord, end: ReadRecord): boolean {
  if (begin.call !== undefined || end.call !== undefined) return begin.call === end.call
  return begin.tool?.name === end.tool?.name
}

/** `begin` and `end` are the same entry for what has no duration. */
function describeAction(kind: Kind, begin: TraceEntry | null, end: TraceEntry | null): TraceAction {
  const first = (begin ?? end)!
  const last = (end ?? begin)!
  const { record } = first
  const part = (name: string) => begin?.parts.get(name) ?? end?.parts.get(name) ?? null
  const { error } = last.record
  return {
    kind,
    type: record.type,
    name: nameOf(kind, last.record) ?? nameOf(kind, record),
    call: record.call ?? null,
    start_index: begin?.index ?? null,
    end_index: end?.index ?? null,
    time: record.time,
    status: last.record.outcome,
    assurance: record.assurance,
    latency_ms: latency(begin, end),
    by: kind === 'approval' && record.actor.type === 'user' ? record.actor.id : null,
    decision: last.record.policy?.decision ?? record.policy?.decision ?? null,
    input: part('input'),
    output: end?.parts.get('output') ?? part('output'),
    error: error ? { type: error.type, code: error.code ?? null, detail: last.parts.get('error') ?? null } : null,
    usage: last.record.usage ?? record.usage ?? null,
  }
}

function nameOf(kind: Kind, record: ReadRecord): string | null {
  if (kind === 'llm') return record.model?.name ?? null
  if (kind === 'handoff') return record.resource?.id ?? null
  if (kind === 'step') return typeof record.attributes?.step === 'string' ? record.attributes.step : null
  return record.tool?.name ?? record.guardrail?.name ?? record.policy?.id ?? null
}

function latency(begin: TraceEntry | null, end: TraceEntry | null): number | null {
  const stated = end?.record.duration_ms
  if (typeof stated === 'number') return stated
  if (begin === null || end === null || begin === end) return null
  return Date.parse(end.record.time) - Date.parse(begin.record.time)
}
