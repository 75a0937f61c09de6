/** W3C trace ids: from a `traceparent`, or from the active span of OpenTelemetry where the host has loaded it. */

export interface TraceIds {
  readonly trace_id: string
  readonly span_id?: string
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-|$)/

/** Ids of a `traceparent` header (W3C Trace Context, level 1); `undefined` for one that is none, or all zeros. */
export function parseTraceparent(header: string): TraceIds | undefined {
  const match = TRACEPARENT.exec(header)
  return match ? valid(match[1], match[2]) : undefined
}

// Where @opentelemetry/api keeps what it shares between copies of itself, and under which key a context holds its span.
const API = Symbol.for('opentelemetry.js.api.1')
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN')

interface OtelApi {
  context?: {
    active?(): { getValue(key: symbol): { spanContext?(): { traceId?: unknown; spanId?: unknown } } | undefined }
  }
}

/** Ids of the active OpenTelemetry span, if there is one. Loads nothing, and never throws. */
export function activeTrace(): TraceIds | undefined {
  const api = (globalThis as Record<symbol, OtelApi | undefined>)[API]
  if (!api) return undefined
  try {
    const span = api.context?.active?.().getValue(SPAN)?.spanContext?.()
    return span ? valid(span.traceId, span.spanId) : undefined
  } catch {
    return undefined
  }
}

function valid(traceId: unknown, spanId: unknown): TraceIds | undefined {
  if (typeof traceId !== 'string' || !/^[0-9a-f]{32}$/.test(traceId) || /^0+$/.test(traceId)) return undefined
  const hasSpan = typeof spanId === 'string' && /^[0-9a-f]{16}$/.test(spanId) && !/^0+$/.test(spanId)
  return { trace_id: traceId, ...(hasSpan && { span_id: spanId as string }) }
}
