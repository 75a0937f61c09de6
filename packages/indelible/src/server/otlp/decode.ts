/** OTLP requests as plain values: ids in hex, attributes as maps, whatever they were encoded in. */
import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageShape,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import { toBase64, toHex } from '../../bytes.ts'
import { HttpProblem } from '../problem.ts'
import { type AnyValue, type KeyValue, RpcStatusSchema, type SpanEvent } from './otlp_pb.ts'

/** How a request is encoded, and so its answer. */
export type Encoding = 'json' | 'protobuf'

/** @throws HttpProblem 415 */
export function encodingOf(contentType: string | undefined): Encoding {
  const type = (contentType ?? '').split(';')[0]!.trim().toLowerCase()
  if (type === 'application/x-protobuf') return 'protobuf'
  if (type === 'application/json') return 'json'
  throw new HttpProblem(
    415,
    'ERR_ENCODING_UNSUPPORTED',
    'content-type: expected application/x-protobuf or application/json',
  )
}

/** @throws HttpProblem 400 if the body is no such message */
export function decodeMessage<D extends DescMessage>(schema: D, encoding: Encoding, body: Uint8Array): MessageShape<D> {
  try {
    if (encoding === 'protobuf') return fromBinary(schema, body)
    const json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as JsonValue
    return fromJson(schema, withBase64Ids(json), { ignoreUnknownFields: true })
  } catch {
    // No cause: it may quote the body.
    throw new HttpProblem(400, 'ERR_REQUEST_INVALID', `body is no OTLP request in ${encoding}`)
  }
}

export function encodeMessage<D extends DescMessage>(
  schema: D,
  encoding: Encoding,
  message: MessageShape<D>,
): Response {
  const isBinary = encoding === 'protobuf'
  const body = isBinary
    ? (toBinary(schema, message) as Uint8Array<ArrayBuffer>)
    : JSON.stringify(toJson(schema, message))
  return new Response(body, { headers: { 'content-type': isBinary ? 'application/x-protobuf' : 'application/json' } })
}

/** A refusal, as OTLP/HTTP has it: a status message in the encoding of the request. */
export function encodeProblem(encoding: Encoding, { status, code, message, retryAfterSeconds }: HttpProblem): Response {
  const text = `${code}: ${message}`
  const { headers, body } = encodeMessage(RpcStatusSchema, encoding, create(RpcStatusSchema, { message: text }))
  if (retryAfterSeconds !== undefined) headers.set('retry-after', String(retryAfterSeconds))
  return new Response(body, { status, headers })
}

const ID_KEYS = new Set(['traceId', 'spanId', 'parentSpanId', 'trace_id', 'span_id', 'parent_span_id'])

/** In OTLP's JSON ids are hex, where protobuf's own would have base64. Only where ids can stand: attributes are the sender's. */
function withBase64Ids(json: JsonValue, depth = 0): JsonValue {
  if (Array.isArray(json)) return json.map((item) => withBase64Ids(item, depth))
  if (typeof json !== 'object' || json === null || depth > 4) return json
  const copy: Record<string, JsonValue> = {}
  for (const [key, value] of Object.entries(json)) {
    const isId = ID_KEYS.has(key) && typeof value === 'string'
    const goesOn = key !== 'attributes' && key !== 'body'
    // Not an assignment: __proto__ is a key like any other.
    const next = isId ? Buffer.from(value, 'hex').toString('base64') : goesOn ? withBase64Ids(value, depth + 1) : value
    Object.defineProperty(copy, key, { value: next, enumerable: true, configurable: true, writable: true })
  }
  return copy
}

export type Attributes = ReadonlyMap<string, unknown>

export function attributesOf(list: readonly KeyValue[]): Attributes {
  return new Map(list.map(({ key, value }) => [key, anyValueOf(value)]))
}

/** Integers beyond 2^53 as text. */
export function anyValueOf(any: AnyValue | undefined): unknown {
  const value = any?.value
  switch (value?.case) {
    case undefined:
      return null
    case 'intValue': {
      const number = Number(value.value)
      return Number.isSafeInteger(number) ? number : String(value.value)
    }
    case 'bytesValue':
      return toBase64(value.value)
    case 'arrayValue':
      return value.value.values.map(anyValueOf)
    case 'kvlistValue':
      return new Map(value.value.values.map(({ key, value: inner }) => [key, anyValueOf(inner)]))
    default:
      return value!.value
  }
}

/** What happened during a span. */
export interface Happening {
  readonly name: string
  readonly time: string | null
  readonly attributes: Attributes
}

export function happeningOf({ name, timeUnixNano, attributes }: SpanEvent): Happening {
  return { name, time: timeOf(timeUnixNano), attributes: attributesOf(attributes) }
}

/** `null` for an id that is none: of another length, or all zero. */
export function idOf(bytes: Uint8Array, length: 8 | 16): string | null {
  return bytes.length === length && bytes.some((byte) => byte !== 0) ? toHex(bytes) : null
}

/** RFC 3339 with microseconds; `null` for zero, which is no time. */
export function timeOf(nanos: bigint): string | null {
  if (nanos <= 0n) return null
  const micros = nanos / 1000n
  const text = new Date(Number(micros / 1000n)).toISOString()
  return `${text.slice(0, -1)}${String(micros % 1000n).padStart(3, '0')}Z`
}
