/** Adapters of clients, with clients that are made up: what real ones do is tried in `adapters/`. */
import { describe, expect, it } from 'vitest'
import { lines, memoryLog, partOf } from '../../test/capture-kit.ts'
import { recordAnthropic } from './anthropic.ts'
import { recordHuggingFace } from './hugging-face.ts'

type Middleware = (request: object, next: (request: object) => Promise<Response>, context: object) => Promise<Response>

/** A client of version 1 that answers with `response`. */
function anthropic(response: () => Response | Promise<Response>) {
  const client = { middleware: [] as Middleware[], getUserAgent: () => 'Anthropic/JS 1.11.0', sent: 0 }
  const ask = async (body: object, { path = '/v1/messages', retry = '0' } = {}) => {
    const context = {
      options: { method: 'post', path, body },
      parse: async (answer: Response) => answer.clone().json(),
    }
    const headers = new Headers({ 'x-stainless-retry-count': retry, 'x-api-key': 'sk-secret' })
    const send = async () => {
      client.sent++
      return response()
    }
    return client.middleware[0]!({ url: 'http://model.example', headers }, send, context)
  }
  return Object.assign(client, { ask })
}

const MESSAGE = { model: 'm-2', content: [{ type: 'text', text: 'hi' }], usage: { input_tokens: 1, output_tokens: 2 } }
const sse = (...events: object[]) =>
  new Response(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''), { status: 200 })

describe('the client of Anthropic', () => {
  it('records a request outside of any run as one of its own, without credentials', async () => {
    const { log, records } = await memoryLog()
    const client = anthropic(() => Response.json(MESSAGE))
    recordAnthropic(client, { recorder: log.recorder })
    expect(recordAnthropic(client, { recorder: log.recorder }).middleware).toHaveLength(1)
    await client.ask({ model: 'm-1', messages: ['q'] }, { retry: '2' })
    await log.flush()
    const all = await records()
    expect(lines(all)).toEqual(['run.start pending', 'llm.request pending', 'llm.response success', 'run.end success'])
    expect(all[1]).toMatchObject({ model: { name: 'm-1', provider: 'anthropic' }, attributes: { attempt: 2 } })
    expect(all[2]).toMatchObject({ model: { name: 'm-2' }, usage: { input_tokens: 1, output_tokens: 2 } })
    expect(JSON.stringify(await partOf(log, all[1]!.id, 'input'))).not.toContain('sk-secret')
  })

  it('passes what is no question to a model', async () => {
    const { log, records } = await memoryLog()
    const client = anthropic(() => Response.json({}))
    recordAnthropic(client, { recorder: log.recorder })
    for (const path of ['/v1/messages/count_tokens', '/v1/files', '/v1/messages/batches'])
      await client.ask({}, { path })
    await log.flush()
    expect(await records()).toEqual([])
    expect(client.sent).toBe(3)
  })

  it('records what the provider refuses, and what the network does', async () => {
    const { log, records } = await memoryLog()
    const refused = anthropic(() =>
      Response.json({ error: { type: 'overloaded_error', message: 'later' } }, { status: 529 }),
    )
    recordAnthropic(refused, { recorder: log.recorder })
    expect((await refused.ask({ model: 'm' })).status).toBe(529)
    const broken = anthropic(() => Promise.reject(new TypeError('fetch failed')))
    recordAnthropic(broken, { recorder: log.recorder })
    await expect(broken.ask({ model: 'm' })).rejects.toThrow('fetch failed')
    await log.flush()
    const errors = (await records()).filter(({ type }) => type === 'llm.error')
    expect(errors.map(({ error }) => [error?.type, error?.code])).toEqual([
      ['overloaded_error', '529'],
      ['TypeError', undefined],
    ])
  })

  it('records a stream that its reader leaves, and one that the provider breaks off', async () => {
    const { log, records } = await memoryLog()
    const start = { type: 'message_start', message: { model: 'm-2', usage: { input_tokens: 4 } } }
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'later' } }
    for (const [events, read] of [
      [[start], (body: ReadableStream) => body.cancel()],
      [[start, error], (body: ReadableStream) => new Response(body).text()],
    ] as const) {
      const client = anthropic(() => sse(...events))
      recordAnthropic(client, { recorder: log.recorder })
      const { body } = await client.ask({ model: 'm', stream: true })
      await read(body!)
    }
    await log.flush()
    const [left, broken] = (await records()).filter(({ type }) => /^llm\.(response|error)$/.test(type))
    expect(left).toMatchObject({ type: 'llm.response', attributes: { streamed: true, left: true } })
    expect(broken).toMatchObject({ type: 'llm.error', error: { type: 'overloaded_error' } })
  })

  it('lets nothing leave in mode block that the log does not take, and hands streams on byte by byte', async () => {
    const { log, store } = await memoryLog({ onFailure: 'block', retryMs: 20 })
    const client = anthropic(() => sse({ type: 'message_stop' }))
    recordAnthropic(client, { recorder: log.recorder })
    const response = await client.ask({ model: 'm', stream: true })
    expect(await response.text()).toBe('data: {"type":"message_stop"}\n\n')
    const recover = store.fail({ method: 'append', kind: 'refused' })
    await expect(client.ask({ model: 'm' })).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    expect(client.sent).toBe(1)
    recover()
  })

  it('leaves it to the client what to make of an answer that nobody can read', async () => {
    const { log, records } = await memoryLog()
    const client = anthropic(() => new Response('<html>'))
    recordAnthropic(client, { recorder: log.recorder })
    expect(await (await client.ask({ model: 'm' })).text()).toBe('<html>')
    await log.flush()
    expect((await records())[2]).toMatchObject({ type: 'llm.response', attributes: { unreadable: true } })
  })

  it('is refused where it is none, or of another version', async () => {
    const { log } = await memoryLog()
    const options = { recorder: log.recorder }
    for (const client of [
      {},
      { getUserAgent: () => 'Anthropic/JS 0.60.0' },
      { getUserAgent: () => 'Anthropic/JS 1.2.3' },
    ]) {
      expect(() => recordAnthropic(client, options)).toThrow(
        expect.objectContaining({ code: 'ERR_CAPTURE_UNSUPPORTED' }),
      )
    }
  })
})

describe('the client of Hugging Face', () => {
  it('keeps tokens, addresses with keys, and vectors to itself', async () => {
    const { log, records } = await memoryLog()
    const plain = {
      featureExtraction: async () => [[1, 2]],
      textToImage: async () => new Blob(['png'], { type: 'image/png' }),
    }
    const client = recordHuggingFace(plain, { recorder: log.recorder, version: '4.13.30' }) as unknown as Record<
      string,
      (params: object) => Promise<unknown>
    >
    const params = { accessToken: 'hf_secret', endpointUrl: 'https://h.example/v1?key=hf_secret', inputs: 'text' }
    expect(await client.featureExtraction!(params)).toEqual([[1, 2]])
    await client.textToImage!({ ...params, model: 'painter', provider: 'fal-ai' })
    await log.flush()
    const all = await records()
    const parts = await Promise.all(
      all.flatMap(({ id, parts }) => Object.keys(parts ?? {}).map((name) => partOf(log, id, name))),
    )
    expect(JSON.stringify([all, parts])).not.toContain('hf_secret')
    expect(parts).toContainEqual({ inputs: 'text' })
    expect(parts).toContainEqual({ type: 'image/png', bytes: 3 })
    expect(all.find(({ model }) => model?.name === 'painter')).toMatchObject({
      model: { provider: 'fal-ai' },
      attributes: { task: 'textToImage', endpoint: 'h.example' },
    })
  })

  it('asks nobody when a stream is not read, and records one that is left', async () => {
    const { log, records } = await memoryLog()
    let asked = 0
    const plain = {
      async *chatCompletionStream() {
        asked++
        yield { choices: [{ delta: { content: 'one' } }] }
        yield { choices: [{ delta: { content: 'two' } }] }
      },
    }
    const client = recordHuggingFace(plain, { recorder: log.recorder, version: '4.0.0' })
    client.chatCompletionStream()
    expect(asked).toBe(0)
    for await (const _ of client.chatCompletionStream()) break
    await log.flush()
    const response = (await records()).find(({ type }) => type === 'llm.response')!
    expect(response.attributes).toMatchObject({ streamed: true, left: true })
    expect(await partOf(log, response.id, 'output')).toMatchObject({ content: 'one' })
  })
})
