/** GenAI log records as events: evaluations, details of model calls, messages. */
import { fitText } from '../../capture/fit.ts'
import { carry } from '../../record/carry.ts'
import { canonicalize } from '../../record/jcs.ts'
import type { AgentEvent } from '../../record/schema.ts'
import { anyValueOf, attributesOf, idOf, timeOf } from './decode.ts'
import * as names from './names.ts'
import type { LogRecord } from './otlp_pb.ts'
import { first, otlpId, partsOf, type Sender, type SpanOptions, type SpanResult } from './spans.ts'

/** Event names of the conventions, and what they become. */
const TYPES: Readonly<Record<string, string>> = {
  'gen_ai.evaluation.result': 'eval.result',
  // Of a model call whose span comes as well: its content, not the call once more.
  'gen_ai.client.inference.operation.details': 'x.otel.inference',
  'gen_ai.system.message': 'x.otel.message',
  'gen_ai.user.message': 'x.otel.message',
  'gen_ai.assistant.message': 'x.otel.message',
  'gen_ai.tool.message': 'x.otel.message',
  'gen_ai.choice': 'x.otel.message',
}

export function eventsOfLog(record: LogRecord, sender: Sender, { recordUnknown }: SpanOptions): SpanResult {
  const attributes = attributesOf(record.attributes)
  const eventName = record.eventName || fitText(attributes.get('event.name')) || ''
  const type = Object.hasOwn(TYPES, eventName) ? TYPES[eventName]! : recordUnknown ? 'x.otel.log' : null
  if (type === null) return { events: null }
  const time = timeOf(record.timeUnixNano) ?? timeOf(record.observedTimeUnixNano)
  if (time === null) return { error: 'a log record has no time' }
  const body = anyValueOf(record.body)
  const traceId = idOf(record.traceId, 16)
  const spanId = idOf(record.spanId, 8)
  // A log record has no id: one of the same time, place and content is the same one.
  const content = canonicalize(carry([eventName, body, new Map([...attributes].sort(byKey))]).value)
  const parts = {
    ...partsOf(attributes, names.INPUTS, 'input'),
    ...partsOf(attributes, names.OUTPUTS, 'output'),
    ...(body !== null && { body: { value: body } }),
  }
  const rest = [...attributes].filter(([key]) => !key.startsWith('gen_ai.') && key !== 'event.name')
  const agent = fitText(first(attributes, names.AGENT_ID)) ?? sender.service
  const session = fitText(first(attributes, names.SESSION))
  const model = fitText(first(attributes, [...names.RESPONSE_MODEL, ...names.REQUEST_MODEL]))
  const event = {
    id: otlpId(`${traceId ?? ''}\n${spanId ?? ''}\n${time}\n${content}`, time),
    time,
    type,
    actor: { type: 'agent', id: agent },
    assurance: 'reported',
    outcome: attributes.has('error.type') ? 'failure' : 'success',
    ...(traceId !== null && {
      run: { id: traceId },
      trace: { trace_id: traceId, ...(spanId !== null && { span_id: spanId }) },
    }),
    ...(spanId !== null && { call: spanId }),
    ...(session !== undefined && { session }),
    ...(model !== undefined && { model: { name: model } }),
    source: { adapter: 'otlp', ...(sender.sdk !== undefined && { sdk: sender.sdk }) },
    attributes: { ...(eventName !== '' && { event: eventName }), ...scoresOf(attributes) },
    parts: {
      ...parts,
      ...explanationOf(attributes),
      ...(rest.length > 0 && { otel: { value: { attributes: new Map(rest) } } }),
    },
  }
  return { events: [event as unknown as AgentEvent] }
}

const SCORES = [
  'gen_ai.evaluation.name',
  'gen_ai.evaluation.score.value',
  'gen_ai.evaluation.score.label',
  'gen_ai.response.id',
]

function scoresOf(attributes: ReadonlyMap<string, unknown>): object {
  return Object.fromEntries(SCORES.filter((key) => attributes.has(key)).map((key) => [key, attributes.get(key)]))
}

function explanationOf(attributes: ReadonlyMap<string, unknown>): object {
  const value = attributes.get('gen_ai.evaluation.explanation')
  return value === undefined ? {} : { reason: { value } }
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}
