/** Logs of the `AuditLogger` of selectools (`audit-YYYY-MM-DD.jsonl`), all nine events. They have no chain to verify. */
import type { AgentEvent } from '../record/schema.ts'
import { attempt, type ImportedEvent, type Importer, type ImportSource, readRecords } from './importer.ts'
import { parseForeign } from './json.ts'
import { parsePython, plainOf } from './python-json.ts'
import { asAmount, asLabel, asName, asTime, compact, Malformed, type Members, partsOf, usageOf } from './values.ts'

/** Named after the software: its logs do not say which agent it was. */
const ACTOR = { type: 'agent', id: 'selectools' } as const

/** What of an event is its own; what all events share comes later. */
interface Mapped extends Partial<AgentEvent> {
  readonly type: AgentEvent['type']
  /** Values for parts. */
  readonly keep?: Members
}

/** By `event`. What has no place, or does not fit it, is kept in the part `record`. */
const EVENTS: Readonly<Record<string, (record: Members) => Mapped>> = {
  run_start: () => ({ type: 'run.start' }),
  run_end: ({ total_cost_usd }) => ({ type: 'run.end', outcome: 'success', ...usageOf({ cost_usd: total_cost_usd }) }),
  tool_start: ({ tool_args }) => ({ type: 'tool.start', outcome: 'pending', keep: { input: tool_args } }),
  tool_end: () => ({ type: 'tool.end', outcome: 'success' }),
  tool_error: (record) => ({ type: 'tool.error', ...failure(record), keep: { input: record.tool_args } }),
  llm_end: ({ model, prompt_tokens, completion_tokens, cost_usd }) => ({
    type: 'llm.response',
    outcome: 'success',
    ...(asName(model) && { model: { name: asName(model)! } }),
    ...usageOf({ input_tokens: prompt_tokens, output_tokens: completion_tokens, cost_usd }),
  }),
  policy_decision: ({ decision, reason, tool_args }) => ({
    type: 'policy.evaluated',
    outcome: outcomeOf({ allow: 'approved', deny: 'denied', review: 'pending' }, decision),
    policy: compact({ id: 'selectools', decision: asName(decision) ?? 'unknown', reason: reason ?? undefined }),
    keep: { input: tool_args },
  }),
  guardrail_triggered: ({ stage, guardrail_name, action, detail }) => ({
    type: 'guardrail.evaluated',
    outcome: outcomeOf({ block: 'denied' }, action),
    guardrail: compact({
      name: asName(guardrail_name) ?? 'unknown',
      stage: asName(stage),
      action: asName(action) ?? 'unknown',
      detail: detail ?? undefined,
    }),
  }),
  error: (record) => ({ type: 'run.error', ...failure(record) }),
}

/** Counts, which stand beside an event as attributes. */
const COUNTS = ['message_count', 'iterations', 'result_length', 'response_length'] as const
const NAMES = ['run_id', 'model', 'decision', 'stage', 'guardrail_name', 'action']
const AMOUNTS = ['duration_ms', 'total_cost_usd', 'prompt_tokens', 'completion_tokens', 'cost_usd', ...COUNTS]
const MAPPED = new Set([
  'event',
  'ts',
  'success',
  'tool_args',
  'error',
  'error_type',
  'reason',
  'detail',
  'tool_name',
  'call_id',
])

/** Whether the mapping has a place for the member, and what stands in it fits there. */
function isMapped([key, value]: [string, unknown]): boolean {
  if (MAPPED.has(key) || value === null) return true
  if (NAMES.includes(key)) return asName(value) !== undefined
  return AMOUNTS.includes(key) && asAmount(value) !== undefined
}

function failure({ error, error_type: type }: Members): Partial<AgentEvent> {
  return { outcome: 'failure', error: compact({ type: (type ?? 'Error') as string, message: error }) }
}

function outcomeOf(known: Readonly<Record<string, AgentEvent['outcome']>>, word: unknown): AgentEvent['outcome'] {
  return typeof word === 'string' && Object.hasOwn(known, word) ? known[word] : 'unknown'
}

/** @throws Malformed */
function eventOf(record: Members): AgentEvent {
  const { event, ts, run_id, call_id, tool_name, duration_ms } = record
  if (typeof event !== 'string') throw new Malformed('event: expected a name')
  if (ts === undefined) throw new Malformed('ts: expected a time')
  const isKnown = Object.hasOwn(EVENTS, event)
  const mapped: Mapped = isKnown ? EVENTS[event]!(record) : { type: `x.selectools.${asLabel(event)}`, keep: { record } }
  const { keep = {}, ...members } = mapped
  const others = Object.entries(record).filter((member) => !isMapped(member))
  const counts = COUNTS.map((key) => [key, asAmount(record[key])])
  return compact({
    actor: ACTOR,
    time: asTime(ts, 'ts'),
    run: asName(run_id) && { id: asName(run_id)! },
    // A name that does not fit moves to a part on its own.
    call: call_id ?? undefined,
    tool: tool_name === undefined || tool_name === null ? undefined : { name: tool_name as string },
    duration_ms: asAmount(duration_ms),
    attributes: { event, ...Object.fromEntries(counts) },
    ...members,
    ...partsOf({ record: others.length > 0 ? Object.fromEntries(others) : undefined, ...keep }),
  }) as AgentEvent
}

/** `json.dumps` writes NaN as it is, which is no JSON (and honest logs have it). */
function parse(text: string): unknown {
  return /NaN|Infinity/.test(text) ? plainOf(parsePython(text)) : parseForeign(text)
}

async function* events(source: ImportSource): AsyncGenerator<ImportedEvent, void> {
  for await (const { line, value } of readRecords(source, parse)) {
    const event = attempt(source, { line }, () => eventOf(value))
    if (event !== null) yield { line, event }
  }
}

export const selectools: Importer = {
  name: 'selectools',
  describe: 'logs of the AuditLogger of selectools',
  events,
}
