/** OTLP/HTTP: what an agent's own instrumentation says becomes events, once each, however often it is sent. */
import { gzipSync } from 'node:zlib'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import * as pb from '../src/server/otlp/otlp_pb.ts'
import { server } from './server-kit.ts'

const TRACE = '5b8efff798038103d269b633813fc60c'
const NANOS = 1_795_226_379_211_000_000n

type Value = string | number | boolean | readonly Value[]
const any = (value: Value): object =>
  typeof value === 'string'
    ? { stringValue: value }
    : typeof value === 'boolean'
      ? { boolValue: value }
      : typeof value === 'number'
        ? Number.isInteger(value)
          ? { intValue: String(value) }
          : { doubleValue: value }
        : { arrayValue: { values: value.map(any) } }
const list = (attributes: Record<string, Value>) =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: any(value) }))

const span = (
  id: string,
  name: string,
  from: number,
  to: number,
  attributes: Record<string, Value>,
  more: object = {},
) => ({
  traceId: TRACE,
  spanId: id.padStart(16, '0'),
  name,
  kind: 3,
  startTimeUnixNano: String(NANOS + BigInt(from) * 1_000_000n),
  endTimeUnixNano: String(NANOS + BigInt(to) * 1_000_000n),
  attributes: list(attributes),
  ...more,
})

const resource = { attributes: list({ 'service.name': 'support-agent', 'host.name': 'not-for-the-log' }) }
const scope = { name: 'my-instrumentation', version: '1.2.0' }
const request = (...spans: object[]) => ({ resourceSpans: [{ resource, scopeSpans: [{ scope, spans }] }] })

/** As an exporter sends it: children first. */
const conversation = request(
  span('2', 'chat gpt-4o', 1, 40, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4o',
    'gen_ai.response.model': 'gpt-4o-2024-08-06',
    'gen_ai.request.temperature': 0.2,
    'gen_ai.response.finish_reasons': ['tool_calls'],
    'gen_ai.usage.input_tokens': 100,
    'gen_ai.usage.output_tokens': 20,
    'gen_ai.input.messages': '[{"role":"user","parts":[{"type":"text","content":"my number is 0170 1234567"}]}]',
    'gen_ai.output.messages': '[{"role":"assistant","parts":[]}]',
    'my.own': 'secret-of-ours',
    'user.id': 'carla@example.org',
  }),
  span('3', 'execute_tool refund', 41, 60, {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'refund',
    'gen_ai.tool.call.id': 'call_1',
    'gen_ai.tool.call.arguments': '{"amount":5}',
    'gen_ai.tool.call.result': '{"ok":true}',
  }),
  span(
    '4',
    'execute_tool mail',
    61,
    70,
    { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'mail' },
    {
      status: { code: 2, message: 'no such address' },
      events: [{ timeUnixNano: String(NANOS), name: 'exception', attributes: list({ 'exception.type': 'MailError' }) }],
    },
  ),
  span('9', 'GET /', 0, 100, { 'http.request.method': 'GET' }),
  span('1', 'invoke_agent support', 0, 90, {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': 'support',
    'gen_ai.conversation.id': 'conv-7',
  }),
)

async function started(configure: object = { privacy: { mode: 'full' } }) {
  const made = await server({ configure })
  const send = async (path: string, body: object) => made.json(path, { body })
  const entries = async () => {
    const { hits } = (await made.json('/v1/audit?order=ascending&limit=100')).body
    return (hits as { index: number; entry: { readonly type: string } }[]).filter(
      ({ entry }) => !entry.type.startsWith('audit.'),
    )
  }
  return { ...made, send, entries }
}

describe('POST /v1/traces', () => {
  it('makes a run of a GenAI trace, in the order in which things began', async () => {
    const { send, entries, json } = await started()
    expect(await send('/v1/traces', conversation)).toMatchObject({ status: 200, body: {} })
    const got = await entries()
    expect(got.map(({ entry }) => entry.type)).toEqual([
      'run.start',
      'llm.request',
      'llm.response',
      'tool.start',
      'tool.end',
      'tool.start',
      'tool.error',
      'run.end',
    ])
    for (const { entry } of got) {
      expect(entry).toMatchObject({
        assurance: 'reported',
        run: { id: TRACE },
        trace: { trace_id: TRACE },
        source: { adapter: 'otlp', sdk: 'my-instrumentation@1.2.0' },
      })
    }
    const [run, , answer, , refunded, , failed] = got.map(({ entry }) => entry)
    expect(run).toMatchObject({ actor: { id: 'support' }, session: 'conv-7', time: '2026-11-21T01:59:39.211000Z' })
    expect(answer).toMatchObject({
      actor: { id: 'support-agent' },
      model: { name: 'gpt-4o', provider: 'openai', version: 'gpt-4o-2024-08-06' },
      usage: { input_tokens: 100, output_tokens: 20 },
      duration_ms: 39,
      attributes: { 'gen_ai.request.temperature': 0.2, 'gen_ai.response.finish_reasons': 'tool_calls' },
    })
    expect(refunded).toMatchObject({ tool: { name: 'refund' }, call: 'call_1', outcome: 'success' })
    expect(failed).toMatchObject({ tool: { name: 'mail' }, outcome: 'failure', error: { type: 'MailError' } })
    const trace = (await json(`/v1/runs/${TRACE}/trace`)).body
    expect(trace).toMatchObject({ complete: true, summary: { tools: 2, model_calls: 1, unfinished: 0 } })
    expect((await json('/v1/verify', { method: 'POST' })).body.verdict).toBe('verified')
  })

  it('keeps what may be personal in parts, under the privacy policy', async () => {
    const { send, entries, json } = await started()
    await send('/v1/traces', conversation)
    const got = await entries()
    const text = JSON.stringify(got)
    for (const secret of ['1234567', 'secret-of-ours', 'carla', 'not-for-the-log', 'no such address']) {
      expect(text).not.toContain(secret)
    }
    const at = (type: string) => got.find(({ entry }) => entry.type === type)!.index
    const asked = (await json(`/v1/entries/${at('llm.request')}`)).body.disclosures
    expect(asked.input).toContain('my number is')
    const answered = (await json(`/v1/entries/${at('llm.response')}`)).body.disclosures
    expect(answered.otel).toContain('secret-of-ours')
    const output = (await json(`/v1/entries/${at('tool.end')}`)).body.disclosures.output
    expect(JSON.parse(output)).toContainEqual({ ok: true })
  })

  it('takes protobuf, gzipped, and the same spans again as JSON: nothing is recorded twice', async () => {
    const { ask, send, entries } = await started()
    const id = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
    const message = create(pb.ExportTraceServiceRequestSchema, {
      resourceSpans: [
        {
          resource: { attributes: [{ key: 'service.name', value: { value: { case: 'stringValue', value: 'a' } } }] },
          scopeSpans: [
            {
              spans: [
                {
                  traceId: id(TRACE),
                  spanId: id('00000000000000aa'),
                  name: 'execute_tool x',
                  startTimeUnixNano: NANOS,
                  endTimeUnixNano: NANOS + 1000n,
                  attributes: [{ key: 'gen_ai.tool.name', value: { value: { case: 'stringValue', value: 'x' } } }],
                },
              ],
            },
          ],
        },
      ],
    })
    const body = gzipSync(toBinary(pb.ExportTraceServiceRequestSchema, message))
    const headers = { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' }
    for (let i = 0; i < 2; i++) {
      const response = await ask('/v1/traces', { body, headers })
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-protobuf'])
      const answer = fromBinary(pb.ExportTraceServiceResponseSchema, new Uint8Array(await response.arrayBuffer()))
      expect(answer.partialSuccess).toBeUndefined()
    }
    const again = {
      resourceSpans: [
        {
          resource: { attributes: list({ 'service.name': 'a' }) },
          scopeSpans: [
            {
              spans: [
                {
                  ...span('aa', 'execute_tool x', 0, 0, { 'gen_ai.tool.name': 'x' }),
                  endTimeUnixNano: String(NANOS + 1000n),
                },
              ],
            },
          ],
        },
      ],
    }
    await send('/v1/traces', again)
    expect((await entries()).map(({ entry }) => entry.type)).toEqual(['tool.start', 'tool.end'])
  })

  it('says which spans it refused, and takes the others', async () => {
    const { send, entries } = await started()
    const good = span('a', 'execute_tool x', 0, 1, { 'gen_ai.tool.name': 'x' })
    const unnamed = { ...good, traceId: '' }
    const timeless = { ...good, spanId: '00000000000000bb', startTimeUnixNano: '0', endTimeUnixNano: '0' }
    const { body } = await send('/v1/traces', request(unnamed, good, timeless))
    expect(body.partialSuccess).toMatchObject({ rejectedSpans: '2' })
    expect(body.partialSuccess.errorMessage).toContain('no time')
    expect(await entries()).toHaveLength(2)
    const changed = { ...good, name: 'execute_tool another' }
    expect((await send('/v1/traces', request(changed))).body.partialSuccess.errorMessage).toContain('ERR_ID_CONFLICT')
  })

  it('records spans that are none of an agent’s only where that is asked for', async () => {
    const { send, entries } = await started({ server: { otlp_unknown: 'record' } })
    await send('/v1/traces', request(span('9', 'GET /', 0, 100, { 'http.request.method': 'GET' })))
    expect((await entries()).map(({ entry }) => entry.type)).toEqual(['x.otel.span'])
  })

  it('refuses what is no OTLP request in the encoding that it came in, and those who may not append', async () => {
    const { ask, key } = await started()
    const garbage = await ask('/v1/traces', {
      body: Uint8Array.of(255, 255, 255),
      headers: { 'content-type': 'application/x-protobuf' },
    })
    expect(garbage.status).toBe(400)
    const status = fromBinary(pb.RpcStatusSchema, new Uint8Array(await garbage.arrayBuffer()))
    expect(status.message).toContain('ERR_REQUEST_INVALID')
    expect((await ask('/v1/traces', { body: '[[', headers: { 'content-type': 'application/json' } })).status).toBe(400)
    expect((await ask('/v1/traces', { body: 'x', headers: { 'content-type': 'text/plain' } })).status).toBe(415)
    const deep = `${'{"resourceSpans":['.repeat(20_000)}`
    expect((await ask('/v1/traces', { body: deep, headers: { 'content-type': 'application/json' } })).status).toBe(400)
    const auditor = key({ role: 'auditor', tenant: 'default' })
    expect((await ask('/v1/traces', { key: auditor, body: conversation })).status).toBe(403)
  })

  it('has what is within a span between its beginning and its end, whatever the clocks say', async () => {
    const { send, entries } = await started()
    const outer = span('1', 'outer', 10, 20, { 'gen_ai.tool.name': 'outer' })
    const inner = span('2', 'inner', 9, 21, { 'gen_ai.tool.name': 'inner' }, { parentSpanId: '1'.padStart(16, '0') })
    await send('/v1/traces', request(inner, outer))
    const got = (await entries()) as unknown as { entry: { type: string; time: string; tool: { name: string } } }[]
    expect(got.map(({ entry }) => entry.tool.name)).toEqual(['outer', 'inner', 'inner', 'outer'])
    expect(got[1]!.entry.time < got[0]!.entry.time).toBe(true)
  })

  it('has what is of one time in the order of nesting, whatever calls itself its own parent', async () => {
    const { send, entries } = await started()
    const at = (id: string, parent: string, tool: string) => ({
      ...span(id, tool, 0, 0, { 'gen_ai.tool.name': tool }),
      parentSpanId: parent.padStart(16, '0'),
    })
    await send(
      '/v1/traces',
      request(at('c', 'b', 'c'), at('b', 'a', 'b'), at('a', '99', 'a'), at('f', '10', 'f'), at('10', 'f', 'g')),
    )
    const got = (await entries()) as unknown as { entry: { type: string; tool: { name: string } } }[]
    const names = got.map(({ entry }) => `${entry.type === 'tool.start' ? '+' : '-'}${entry.tool.name}`)
    expect(names.join(' ')).toBe('+a +b +c -c -b -a +f +g -g -f')
  })

  it('takes attributes that are as odd as they come', async () => {
    const { send, entries, json } = await started()
    const nested = { kvlistValue: { values: [{ key: '__proto__', value: { intValue: '9007199254740993' } }] } }
    const odd = span('d', 'x'.repeat(5000), 5, 1, { 'gen_ai.operation.name': 'never_heard_of', 'gen_ai.agent.id': '' })
    const attributes = [...odd.attributes, { key: '__proto__', value: nested }, { key: 'nothing' }]
    expect(await send('/v1/traces', request({ ...odd, attributes }))).toMatchObject({ status: 200, body: {} })
    expect((await entries()).map(({ entry }) => entry.type)).toEqual(['step.start', 'step.end'])
    expect((await json('/v1/verify', { method: 'POST' })).body.verdict).toBe('verified')
  })
})

describe('POST /v1/logs', () => {
  it('makes results of evaluations, and messages; the same record again is the same', async () => {
    const { send, entries } = await started()
    const record = (eventName: string, attributes: Record<string, Value>, more: object = {}) => ({
      timeUnixNano: String(NANOS),
      eventName,
      traceId: TRACE,
      spanId: '0000000000000002',
      attributes: list(attributes),
      ...more,
    })
    const logRecords = [
      record('gen_ai.evaluation.result', {
        'gen_ai.evaluation.name': 'relevance',
        'gen_ai.evaluation.score.value': 0.9,
        'gen_ai.evaluation.explanation': 'it answers Carla',
      }),
      record('gen_ai.user.message', {}, { body: { stringValue: 'hello, I am Carla' } }),
      record('something.else', {}),
    ]
    const body = { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords }] }] }
    expect(await send('/v1/logs', body)).toMatchObject({ status: 200, body: {} })
    expect(await send('/v1/logs', body)).toMatchObject({ status: 200, body: {} })
    const got = await entries()
    expect(got.map(({ entry }) => entry.type)).toEqual(['eval.result', 'x.otel.message'])
    expect(got[0]!.entry).toMatchObject({
      run: { id: TRACE },
      attributes: { 'gen_ai.evaluation.name': 'relevance', 'gen_ai.evaluation.score.value': 0.9 },
    })
    expect(JSON.stringify(got)).not.toContain('Carla')
    const nameless = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ eventName: 'gen_ai.choice' }] }] }] }
    expect((await send('/v1/logs', nameless)).body.partialSuccess).toMatchObject({ rejectedLogRecords: '1' })
  })
})
