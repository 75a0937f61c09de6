/** GenAI spans as events. A span arrives when it has ended: it becomes the beginning and the end of one thing. */
import { createHash } from 'node:crypto'
import { fitModel, fitText } from '../../capture/fit.ts'
import { formatId } from '../../record/id.ts'
import type { AgentEvent } from '../../record/schema.ts'
import { type Attributes, attributesOf, type Happening, happeningOf, idOf, timeOf } from './decode.ts'
import * as names from './names.ts'
import type { ResourceSpans, ScopeSpans, Span } from './otlp_pb.ts'

/** Who sent it, as far as that stands in an entry. */
export interface Sender {
  readonly service: string
  readonly sdk: string | undefined
}

export function senderOf(resource: ResourceSpans['resource'], scope: ScopeSpans['scope']): Sender {
  const service = fitText(attributesOf(resource?.attributes ?? []).get('service.name')) ?? 'unknown_service'
  const sdk = scope?.name ? `${scope.name}${scope.version ? `@${scope.version}` : ''}` : undefined
  return { service, sdk: fitText(sdk) }
}

export type SpanResult =
  | {
      readonly events: readonly AgentEvent[]
      readonly span?: { readonly key: string; readonly parentKey: string | null }
    }
  /** No span of an agent. */
  | { readonly events: null }
  | { readonly error: string }

export interface SpanOptions {
  /** Whether spans that are none of an agent's become `x.otel.span`. */
  readonly recordUnknown: boolean
}

export function eventsOfSpan(span: Span, sender: Sender, { recordUnknown }: SpanOptions): SpanResult {
  const traceId = idOf(span.traceId, 16)
  const spanId = idOf(span.spanId, 8)
  if (traceId === null || spanId === null) return { error: 'a span has no trace_id and span_id' }
  const ended = timeOf(span.endTimeUnixNano)
  const start = timeOf(span.startTimeUnixNano) ?? ended
  if (start === null || ended === null) return { error: 'a span has no time' }
  // Clocks are set back while spans run.
  const [end] = [ended, start].sort().reverse() as [string, string]
  const attributes = attributesOf(span.attributes)
  const operation = operationOf(attributes)
  if (operation === null && !recordUnknown) return { events: null }
  const kind = operation === null ? 'other' : (names.OPERATIONS[operation] ?? 'step')
  const parentId = idOf(span.parentSpanId, 8)
  const seen: Seen = {
    traceId,
    spanId,
    parentId,
    name: span.name,
    start,
    end,
    durationMs: Math.max(0, Number(span.endTimeUnixNano - span.startTimeUnixNano) / 1e6),
    attributes,
    happenings: span.events.map(happeningOf),
    operation,
    failure: failureOf(span, attributes),
    sender,
  }
  const parentKey = parentId === null ? null : `${traceId} ${parentId}`
  return { events: make(kind, seen), span: { key: `${traceId} ${spanId}`, parentKey } }
}

interface Failure {
  readonly type: string
  readonly message?: unknown
  readonly stack?: unknown
}

interface Seen {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | null
  readonly name: string
  readonly start: string
  readonly end: string
  readonly durationMs: number
  readonly attributes: Attributes
  readonly happenings: readonly Happening[]
  readonly operation: string | null
  readonly failure: Failure | null
  readonly sender: Sender
}

type Draft = Omit<AgentEvent, 'id' | 'actor'>

function make(kind: names.OperationKind | 'other', seen: Seen): AgentEvent[] {
  const { failure, attributes } = seen
  const outcome = failure ? 'failure' : 'success'
  const ended = {
    outcome,
    duration_ms: seen.durationMs,
    ...(failure && { error: failure }),
    ...usageOf(attributes),
    attributes: factsOf(seen),
    parts: { ...partsOf(attributes, names.OUTPUTS, 'output'), ...restOf(seen) },
  } as const
  const begun = { outcome: 'pending', parts: partsOf(attributes, names.INPUTS, 'input') } as const
  const pair = (begin: string, end: string, error: string, more: Draft | object): AgentEvent[] => [
    event(seen, 'start', { ...begun, ...more, type: begin } as Draft),
    event(seen, 'end', { ...ended, ...more, type: failure ? error : end } as Draft),
  ]
  const one = (type: string, more: object = {}): AgentEvent[] => {
    const parts = { ...begun.parts, ...ended.parts }
    return [event(seen, 'end', { ...ended, ...more, parts, type } as Draft)]
  }
  switch (kind) {
    case 'run':
      return pair('run.start', 'run.end', 'run.error', modelOf(attributes))
    case 'llm':
      return pair('llm.request', 'llm.response', 'llm.error', { call: seen.spanId, ...modelOf(attributes) })
    case 'tool': {
      const call = fitText(first(attributes, names.TOOL_CALL)) ?? seen.spanId
      return pair('tool.start', 'tool.end', 'tool.error', { call, tool: toolOf(seen) })
    }
    case 'step':
      return pair('step.start', 'step.end', 'step.error', { call: seen.spanId })
    case 'memory':
      // create_memory_store becomes memory.create_store.
      return one(`memory.${seen.operation!.replace('_memory', '')}`)
    case 'guardrail':
      return one('guardrail.evaluated', guardrailOf(attributes))
    default:
      return one('x.otel.span')
  }
}

function event(seen: Seen, which: 'start' | 'end', { parts, ...draft }: Draft): AgentEvent {
  const { traceId, spanId, attributes, sender } = seen
  const time = which === 'start' ? seen.start : seen.end
  const agent = fitText(first(attributes, names.AGENT_ID))
  const name = fitText(first(attributes, names.AGENT_NAME))
  const version = fitText(first(attributes, names.AGENT_VERSION))
  const session = fitText(first(attributes, names.SESSION))
  const person = fitText(first(attributes, names.PERSON))
  return {
    ...draft,
    id: otlpId(`${traceId}\n${spanId}\n${which}`, time),
    time,
    actor: {
      type: 'agent',
      id: agent ?? sender.service,
      ...(name !== undefined && name !== agent && { name }),
      ...(version !== undefined && { version }),
    },
    assurance: 'reported',
    run: { id: traceId },
    ...(session !== undefined && { session }),
    source: { adapter: 'otlp', ...(sender.sdk !== undefined && { sdk: sender.sdk }) },
    trace: { trace_id: traceId, span_id: spanId },
    ...(person !== undefined && { subjects: [person] }),
    ...(parts && Object.keys(parts).length > 0 && { parts }),
  } as AgentEvent
}

/** A UUIDv7 that is the same whenever the same thing is sent again. */
export function otlpId(what: string, time: string): string {
  const digest = createHash('sha256').update(`indelible/otlp@1\n${what}`).digest()
  return formatId(Date.parse(time), digest.subarray(0, 10))
}

/** Instrumentations of before `gen_ai.operation.name`, and of MCP, leave it to be told from the rest. */
function operationOf(attributes: Attributes): string | null {
  const stated = attributes.get('gen_ai.operation.name')
  if (typeof stated === 'string' && stated !== '') return stated
  if (attributes.has('gen_ai.tool.name') || attributes.get('mcp.method.name') === 'tools/call') return 'execute_tool'
  const isModelCall = first(attributes, [...names.PROVIDER, ...names.REQUEST_MODEL]) !== undefined
  return isModelCall ? 'chat' : null
}

function failureOf(span: Span, attributes: Attributes): Failure | null {
  const exception = span.events.find(({ name }) => name === 'exception')
  // STATUS_CODE_ERROR. An exception that was caught is no failure of the span.
  if (span.status?.code !== 2) return null
  const thrown = attributesOf(exception?.attributes ?? [])
  const type = fitText(attributes.get('error.type')) ?? fitText(thrown.get('exception.type')) ?? '_OTHER'
  const message = span.status.message || thrown.get('exception.message')
  const stack = thrown.get('exception.stacktrace')
  return { type, ...(message !== undefined && { message }), ...(stack !== undefined && { stack }) }
}

export function first(attributes: Attributes, keys: readonly string[]): unknown {
  const key = keys.find((one) => attributes.has(one) && attributes.get(one) !== '')
  return key === undefined ? undefined : attributes.get(key)
}

function modelOf(attributes: Attributes): { model?: AgentEvent['model'] } {
  const asked = first(attributes, names.REQUEST_MODEL)
  const answered = first(attributes, names.RESPONSE_MODEL)
  const name = fitText(asked) ?? fitText(answered)
  if (name === undefined) return {}
  const provider = fitText(first(attributes, names.PROVIDER))
  const version = fitText(answered)
  const model = fitModel({
    name,
    ...(provider !== undefined && { provider }),
    ...(version !== undefined && version !== name && { version }),
  })
  return model ? ({ model } as { model: AgentEvent['model'] }) : {}
}

function toolOf({ attributes, operation, name }: Seen): AgentEvent['tool'] {
  const kind = fitText(first(attributes, names.TOOL_KIND))
  const stated = first(attributes, names.TOOL_NAME) ?? (operation === 'retrieval' ? 'retrieval' : name)
  return { name: stated as string, ...(kind !== undefined && { kind }) }
}

function guardrailOf(attributes: Attributes): object {
  const text = (key: string) => fitText(attributes.get(`gen_ai.guardrail.${key}`))
  const stage = text('target.type')
  const detail = attributes.get('gen_ai.guardrail.verdict.reason')
  return {
    guardrail: {
      name: text('component.name') ?? 'guardrail',
      action: text('action.type') ?? text('verdict.type') ?? 'unknown',
      ...(stage !== undefined && { stage }),
      ...(detail !== undefined && { detail }),
    },
  }
}

function usageOf(attributes: Attributes): { usage?: Record<string, number> } {
  const usage: Record<string, number> = {}
  for (const [name, keys] of Object.entries(names.USAGE)) {
    const amount = Number(first(attributes, keys) ?? Number.NaN)
    if (Number.isFinite(amount) && amount >= 0) usage[name] = amount
  }
  return Object.keys(usage).length > 0 ? { usage } : {}
}

/** Content is JSON in text, as the conventions have it for spans, or structured. Text that is no JSON stays text. */
export function contentOf(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{"]/.test(value)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

type Parts = Record<string, { value: unknown }>

export function partsOf(
  attributes: Attributes,
  table: Readonly<Record<string, readonly string[]>>,
  numbered: string,
): Parts {
  const parts: Parts = {}
  for (const [name, keys] of Object.entries(table)) {
    const value = first(attributes, keys)
    if (value !== undefined) parts[name] = { value: contentOf(value) }
  }
  if (parts[numbered]) return parts
  const loose = [...attributes].filter(([key]) => numberedPart(key) === numbered)
  if (loose.length > 0) parts[numbered] = { value: new Map(loose) }
  return parts
}

function numberedPart(key: string): string | undefined {
  return Object.entries(names.NUMBERED).find(([prefix]) => key.startsWith(prefix))?.[1]
}

function factsOf({ attributes, name, parentId }: Seen): Record<string, unknown> {
  const facts: Record<string, unknown> = { span: name, ...(parentId !== null && { parent_span_id: parentId }) }
  for (const key of names.ATTRIBUTES) {
    const value = attributes.get(key)
    if (value !== undefined) facts[key] = Array.isArray(value) ? value.join(',') : value
  }
  return facts
}

const KNOWN = new Set([
  ...names.ATTRIBUTES,
  ...names.PERSON,
  ...[names.AGENT_ID, names.AGENT_NAME, names.AGENT_VERSION, names.SESSION, names.PROVIDER].flat(),
  ...[names.REQUEST_MODEL, names.RESPONSE_MODEL, names.TOOL_NAME, names.TOOL_KIND, names.TOOL_CALL].flat(),
  ...[names.INPUTS, names.OUTPUTS, names.USAGE].flatMap((table) => Object.values(table).flat()),
])

/** Whatever else the span says: it may be anything, so it is a part, under the privacy policy. */
function restOf({ attributes, happenings }: Pick<Seen, 'attributes' | 'happenings'>): Parts {
  const others = [...attributes].filter(([key]) => !KNOWN.has(key) && numberedPart(key) === undefined)
  const events = happenings.filter(({ name }) => name !== 'exception')
  if (others.length === 0 && events.length === 0) return {}
  return { otel: { value: { attributes: new Map(others), ...(events.length > 0 && { events }) } } }
}
