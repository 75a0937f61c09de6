/** An agent with the OpenTelemetry SDK and nothing of ours: its trace goes over OTLP to a server, which keeps and proves it. Offline. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'

const folder = mkdtempSync(join(tmpdir(), 'indelible-otel-'))
const bin = new URL('../../packages/indelible/bin/indelible.js', import.meta.url).pathname
const env = { ...process.env, XDG_CONFIG_HOME: join(folder, 'config'), LOG_LEVEL: 'silent' }
const server = spawn(process.execPath, [bin, '--json', '--home', join(folder, 'home'), 'serve', '--port', '0'], {
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const { url, api_key: key } = JSON.parse(await firstLine(server.stdout))
  const headers = { authorization: `Bearer ${key}`, 'indelible-tenant': 'default' }
  const exporters = [
    new ProtobufExporter({ url: `${url}/v1/traces`, headers, compression: 'gzip' }),
    new JsonExporter({ url: `${url}/v1/traces`, headers }),
  ]
  for (const exporter of exporters) await runAgent(exporter)

  const get = async (path, init) => (await fetch(`${url}${path}`, { headers, ...init })).json()
  const { hits } = await get('/v1/audit?order=ascending&limit=100')
  const found = hits.filter(({ entry }) => entry.source?.adapter === 'otlp')
  for (const { index, entry } of found) {
    console.log(
      String(index).padStart(3),
      entry.type.padEnd(14),
      entry.tool?.name ?? entry.model?.name ?? '',
      entry.outcome,
    )
  }
  const types = 'run.start llm.request llm.response tool.start tool.error run.end'
  const expected = `${types} ${types}`
  const made = found.map(({ entry }) => entry.type).join(' ')
  if (made !== expected) throw new Error(`expected ${expected}, found ${made}`)
  const { verdict, size } = await get('/v1/verify', { method: 'POST' })
  console.log(`${verdict}, ${size} entries`)
  if (verdict !== 'verified') process.exitCode = 1
} finally {
  server.kill('SIGTERM')
  await once(server, 'exit')
  rmSync(folder, { recursive: true, force: true })
}

/** As an instrumentation by the GenAI conventions does it. */
async function runAgent(exporter) {
  let failure = null
  const told = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        failure ??= result.error ?? null
        done(result)
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  }
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'support-agent' }),
    // Spans that are sent together are in the log in the order in which they began.
    spanProcessors: [new BatchSpanProcessor(told)],
  })
  const tracer = provider.getTracer('example', '1.0.0')
  const agent = tracer.startSpan('invoke_agent support', {
    attributes: { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.name': 'support' },
  })
  const within = trace.setSpan(ROOT_CONTEXT, agent)
  const chat = tracer.startSpan('chat gpt-4o', { attributes: { 'gen_ai.operation.name': 'chat' } }, within)
  chat.setAttributes({
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4o',
    'gen_ai.usage.input_tokens': 12,
    'gen_ai.usage.output_tokens': 3,
    'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: 'refund me' }] }]),
  })
  await sleep(5)
  chat.end()
  // Clocks of spans are off by up to a millisecond.
  await sleep(5)
  const tool = tracer.startSpan(
    'execute_tool refund',
    { attributes: { 'gen_ai.operation.name': 'execute_tool' } },
    within,
  )
  tool.setAttributes({ 'gen_ai.tool.name': 'refund', 'gen_ai.tool.call.id': 'call_1' })
  tool.recordException(new RangeError('over the limit'))
  tool.setStatus({ code: SpanStatusCode.ERROR, message: 'over the limit' })
  tool.end()
  agent.end()
  await provider.forceFlush()
  await provider.shutdown()
  if (failure) throw failure
}

async function firstLine(stream) {
  let text = ''
  for await (const chunk of stream) {
    text += chunk
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'))
  }
  throw new Error('the server ended')
}
