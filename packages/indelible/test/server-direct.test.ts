/** The short way of `POST /v1/events`: which requests take it, and that nobody can tell it from the app's. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { directEvents } from '../src/server/direct.ts'
import type { Service } from '../src/server/service.ts'
import { type Asked, server, toolEnd } from './server-kit.ts'

const id = '0199a0b0-0000-7000-8000-000000000001'

/** The app's way: a query is none of the short way's business. */
const APP = '/v1/events?atomic=false'

type Running = Awaited<ReturnType<typeof server>>

/** An answer without what differs from one request to the next. */
async function shapeOf({ ask }: Running, path: string, asked: Asked) {
  const response = await ask(path, asked)
  const headers = Object.fromEntries(response.headers)
  expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  delete headers['x-request-id']
  delete headers.date
  const text = await response.text()
  const same = text
    .replaceAll(/"(index)":\d+/g, '"$1":0')
    .replaceAll(/"(leaf|checkpoint|id|request_id)":"[^"]*"/g, '"$1":""')
    .replaceAll('\\u2014', '—')
  // Indexes and checkpoints grow.
  delete headers['content-length']
  return { status: response.status, headers, text: same }
}

describe('both ways of POST /v1/events answer the same', () => {
  it.each<[string, number, (running: Running) => Asked]>([
    ['one event', 201, () => ({ body: toolEnd() })],
    ['an event for the second time', 201, () => ({ body: toolEnd({ id }) })],
    ['another event with an id that is taken', 409, () => ({ body: toolEnd({ id, outcome: 'failure' }) })],
    ['several, a bad one among them', 200, () => ({ body: [toolEnd(), { type: 'x.a' }, toolEnd()] })],
    ['an event that is refused', 422, () => ({ body: { type: 'x.a' } })],
    [
      'lines',
      200,
      () => ({ body: `${JSON.stringify(toolEnd())}\n`, headers: { 'content-type': 'application/x-ndjson' } }),
    ],
    ['no JSON', 400, () => ({ body: '{' })],
    ['no body', 400, () => ({ body: '' })],
    ['bytes that are no UTF-8', 400, () => ({ body: Buffer.from([0x22, 0xff, 0x22]) })],
    ['a message that quotes what is not ASCII', 422, () => ({ body: { 'schlüssel—': 1 } })],
    ['no key', 401, () => ({ key: '', body: toolEnd() })],
    ['a key that is none', 401, () => ({ key: 'ik_000000000000_x', body: toolEnd() })],
    ['a reader', 403, ({ key }) => ({ key: key({ role: 'reader', tenant: 'default' }), body: toolEnd() })],
    [
      'the name of another tenant',
      403,
      ({ key }) => ({ key: key({ role: 'writer', tenant: 'default' }), tenant: 'other', body: toolEnd() }),
    ],
    ['a tenant that does not exist', 404, () => ({ tenant: 'nobody', body: toolEnd() })],
    [
      'an operator who names no tenant',
      400,
      ({ key }) => ({ key: key({ role: 'operator', tenant: null }), body: toolEnd() }),
    ],
  ])('to %s', async (_, status, asked) => {
    const running = await server()
    await running.json('/v1/events', { body: toolEnd({ id }) })
    const direct = await shapeOf(running, '/v1/events', asked(running))
    expect(direct.status).toBe(status)
    expect(direct.headers['content-security-policy']).toContain("default-src 'none'")
    expect(await shapeOf(running, APP, asked(running))).toEqual(direct)
  })

  it('to more requests than a key may make', async () => {
    const running = await server({ configure: { server: { rate_limit: 1 } } })
    const key = () => running.key({ role: 'writer', tenant: 'default' })
    const second = async (path: string) => {
      const asked = { key: key(), body: toolEnd() }
      await running.ask(path, asked)
      return shapeOf(running, path, asked)
    }
    const direct = await second('/v1/events')
    expect([direct.status, direct.headers['retry-after']]).toEqual([429, '1'])
    expect(await second(APP)).toEqual(direct)
  })

  it('in their metrics', async () => {
    const running = await server()
    for (const path of ['/v1/events', APP]) await running.ask(path, { body: toolEnd() })
    await running.ask('/v1/events', { body: '{' })
    const text = await (await running.ask('/metrics')).text()
    expect(text).toContain('indelible_requests_total{route="/v1/events",status="201"} 2')
    expect(text).toContain('indelible_requests_total{route="/v1/events",status="400"} 1')
    expect(text).toContain('indelible_request_seconds_count{route="/v1/events"} 3')
    expect(text).toContain('indelible_events_total 2')
  })
})

describe('the short way', () => {
  it('leaves a connection in order whose body nobody wanted', async () => {
    const { url, operator } = await server()
    const request = (key: string, body: string) =>
      `POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let answers = ''
    socket.on('data', (data) => {
      answers += data
      if (answers.includes('"leaf"')) socket.end()
    })
    // The second request stands in the first one's body too, and must not be taken for one there.
    const second = request(operator, JSON.stringify(toolEnd()))
    socket.write(request('ik_000000000000_x', 'x'.repeat(200_000) + second) + second)
    await once(socket, 'close')
    expect([...answers.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status)).toEqual(['401', '201'])
  })

  it('leaves a connection in order whose body was given up halfway', async () => {
    const { url, operator } = await server({ configure: { server: { max_waiting_bytes: 4096 } } })
    const open = () => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      onTestFinished(() => void socket.destroy())
      return socket
    }
    const head = (length: number) =>
      `POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${operator}\r\nindelible-tenant: default\r\ncontent-length: ${length}\r\n\r\n`
    // Leaves room for what is small only.
    const held = open()
    held.write(`${head(9000)}${'['.repeat(3000)}`)
    const socket = open()
    let answers = ''
    socket.on('data', (data) => {
      answers += data
    })
    const statuses = () => [...answers.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status)
    const small = JSON.stringify(toolEnd())
    // Other than the refused one's rest, the second request is all that comes.
    await vi.waitFor(async () => {
      answers = ''
      socket.write(`${head(900_000)}${'x'.repeat(900_000)}`)
      await vi.waitFor(() => expect(statuses()).toHaveLength(1))
      expect(statuses()).toEqual(['503'])
    })
    socket.write(`${head(small.length)}${small}`)
    await vi.waitFor(() => expect(statuses()).toEqual(['503', '201']))
  })

  it('bears a client that does not wait for the answer', async () => {
    const running = await server()
    const body = JSON.stringify(Array.from({ length: 500 }, () => toolEnd()))
    for (let i = 0; i < 5; i++) {
      const socket = connect(Number(new URL(running.url).port), '127.0.0.1')
      await once(socket, 'connect')
      socket.write(
        `POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${running.operator}\r\nindelible-tenant: default\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        () => socket.resetAndDestroy(),
      )
      await once(socket, 'close')
    }
    expect((await running.json('/v1/events', { body: toolEnd() })).status).toBe(201)
    expect(running.lines.filter(({ message }) => message === 'request failed')).toEqual([])
  })

  const ordinary = { host: 'x:80', authorization: 'Bearer x', 'content-length': '2' }
  const config = { cors: [] as string[], max_body_bytes: 1024 }
  const takes = (
    request: { method?: string; url?: string; headers?: object; rawHeaders?: string[] },
    service: object = {},
  ) => {
    const headers = { ...ordinary, ...request.headers } as Record<string, string>
    const rawHeaders = request.rawHeaders ?? Object.entries(headers).flat()
    const incoming = {
      method: 'POST',
      url: '/v1/events',
      ...request,
      headers,
      rawHeaders,
    } as unknown as IncomingMessage
    // Whoever takes it asks who it is; the answer never comes.
    const gate = { admit: () => new Promise(() => {}) } as never
    const parts = { config, isDraining: () => false, ...service } as unknown as Service
    return directEvents({ service: parts, gate, headerLines: [] })(incoming, {} as ServerResponse)
  }

  it('is for ordinary requests', () => {
    expect(takes({})).toBe(true)
  })

  it.each<[string, Parameters<typeof takes>[0], object?]>([
    ['of another method', { method: 'PUT' }],
    ['for another path', { url: '/v1/audit' }],
    ['with a query', { url: '/v1/events?atomic=true' }],
    ['of the whole address', { url: 'http://x/v1/events' }],
    ['that is packed', { headers: { 'content-encoding': 'gzip' } }],
    ['in chunks', { headers: { 'transfer-encoding': 'chunked' } }],
    [
      'of a length that is not said',
      { headers: { 'content-length': undefined }, rawHeaders: ['', '', '', '', '', ''] },
    ],
    ['that is too large', { headers: { 'content-length': '1025' } }],
    ['of an odd host', { headers: { host: 'x@y' } }],
    ['with a key twice', { rawHeaders: [...Object.entries(ordinary).flat(), 'Authorization', 'Bearer y'] }],
    ['while other origins may call', {}, { config: { ...config, cors: ['*'] } }],
    ['while the server drains', {}, { isDraining: () => true }],
  ])('is not for one %s', (_, request, service) => {
    expect(takes(request, service)).toBe(false)
  })
})
