/** `GET /v1/stream`: in order, without gaps, resumable; whoever is slow is let go, and told. */
import { describe, expect, it, vi } from 'vitest'
import { Streams } from '../src/server/streams.ts'
import type { StoredEntry } from '../src/store/store.ts'
import { server, toolEnd } from './server-kit.ts'

interface Frame {
  readonly id?: string
  readonly event?: string
  readonly data?: string
}

/** Reads frames until `done` says so, and lets go of the stream. */
async function frames(body: ReadableStream<Uint8Array>, done: (all: readonly Frame[]) => boolean): Promise<Frame[]> {
  const reader = body.getReader()
  const all: Frame[] = []
  let text = ''
  while (!done(all)) {
    const { value, done: isOver } = await reader.read()
    if (isOver) break
    text += new TextDecoder().decode(value)
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      if (lines[0]!.startsWith(':')) continue
      all.push(
        Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])),
      )
    }
  }
  await reader.cancel()
  return all
}

const types = (all: readonly Frame[]) => all.map(({ data }) => JSON.parse(data!).entry?.type)

describe('GET /v1/stream', () => {
  it('gives what is recorded from now on, in order, with the index as id', async () => {
    const { ask, json } = await server()
    const stream = await ask('/v1/stream')
    expect(stream.headers.get('content-type')).toContain('text/event-stream')
    const read = frames(stream.body!, (all) => all.length === 2)
    await json('/v1/events', { body: [toolEnd(), toolEnd({ outcome: 'failure' })] })
    const got = await read
    expect(got.map(({ id }) => id)).toEqual(['2', '3'])
    expect(types(got)).toEqual(['tool.end', 'tool.end'])
  })

  it('goes on after Last-Event-ID, and says in the log that it was read, once for each stream', async () => {
    const { ask, json, key } = await server()
    await json('/v1/events', { body: Array.from({ length: 600 }, () => toolEnd()) })
    const auditor = key({ role: 'auditor', tenant: 'default' })
    const stream = await ask('/v1/stream', { key: auditor, headers: { 'last-event-id': '99' } })
    const got = await frames(stream.body!, (all) => all.length === 502)
    expect(got.map(({ id }) => Number(id))).toEqual(Array.from({ length: 502 }, (_, i) => i + 100))
    expect(JSON.parse(got.at(-1)!.data!).entry).toMatchObject({ type: 'audit.read', audit: { what: 'stream' } })
  })

  it('is for auditors, and refuses an id that is none', async () => {
    const { ask, key } = await server()
    const writer = key({ role: 'writer', tenant: 'default' })
    expect((await ask('/v1/stream', { key: writer })).status).toBe(403)
    expect((await ask('/v1/stream', { headers: { 'last-event-id': '../x' } })).status).toBe(400)
    expect((await ask('/v1/stream', { key: '' })).status).toBe(401)
  })

  it('ends with a reason when the server stops', async () => {
    const { ask, stop } = await server()
    const stream = await ask('/v1/stream')
    const read = frames(stream.body!, () => false)
    await stop()
    expect(await read).toMatchObject([{ event: 'end', data: expect.stringContaining('"shutdown"') }])
  })

  it('has a thousand listeners hear the same from one reader', async () => {
    const { service, json } = await server()
    const streams = new Streams(service, { pollMs: 10 })
    const size = await service.tenants.use('default', async ({ log }) => (await log.store.head())!.size)
    const heads = await service.tenants.use('default', async ({ log }) => vi.spyOn(log.store, 'head'))
    const listeners = Array.from({ length: 1000 }, () => streams.open('default', size!, () => true))
    const read = listeners.map((one) => frames(one, (all) => all.length === 3))
    await json('/v1/events', { body: [toolEnd(), toolEnd(), toolEnd()] })
    const got = await Promise.all(read)
    expect(new Set(got.map((all) => JSON.stringify(all))).size).toBe(1)
    expect(heads!.mock.calls.length).toBeLessThan(1000)
    await streams.close()
    expect(streams.listeners).toBe(0)
  })
})

describe('streams', () => {
  /** A log in memory that grows when it is told to. */
  function fakeLog() {
    const rows: StoredEntry[] = []
    const store = {
      head: async () => ({ size: rows.length }),
      async *entries(start: number, end: number) {
        yield rows.slice(start, end)
      },
    }
    const add = (text: string) => {
      const entry = new TextEncoder().encode(JSON.stringify({ text }))
      rows.push({ index: rows.length, entry } as StoredEntry)
    }
    const logger = { info() {}, warn() {}, error() {} }
    return {
      add,
      service: {
        tenants: { use: async (_: string, work: (log: object) => unknown) => work({ log: { store } }) },
        logger,
      },
    }
  }

  it('let go of a listener who does not read, with the index where he goes on', async () => {
    const { add, service } = fakeLog()
    const streams = new Streams(service as never, { pollMs: 1, maxBytes: 4000, heartbeatMs: 50 })
    const slow = streams.open('t', 0, () => true)
    await vi.waitFor(() => expect(streams.listeners).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (let i = 0; i < 20; i++) add('x'.repeat(500))
    await vi.waitFor(() => expect(streams.listeners).toBe(0))
    const got = await frames(slow, () => false)
    const end = got.at(-1)!
    expect(end.event).toBe('end')
    expect(JSON.parse(end.data!)).toEqual({ reason: 'slow', next: got.length - 1 })
  })

  it('cut off one who was let go and does not take that either, and count him until then', async () => {
    const { add, service } = fakeLog()
    const streams = new Streams(service as never, { pollMs: 1, maxBytes: 4000, graceMs: 50, maxListeners: 1 })
    const cutOff = vi.fn()
    streams.open('t', 0, () => true, cutOff)
    for (let i = 0; i < 20; i++) add('x'.repeat(500))
    await vi.waitFor(() => expect(streams.listeners).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (let i = 0; i < 20; i++) add('x'.repeat(500))
    await streams.close()
    expect(cutOff).not.toHaveBeenCalled()
    await vi.waitFor(() => expect(cutOff).toHaveBeenCalledOnce())
  })

  it('let go of one who takes nothing while little happens, and not of one who reads', async () => {
    const { service } = fakeLog()
    const streams = new Streams(service as never, { pollMs: 1, heartbeatMs: 10 })
    const reads = streams.open('t', 0, () => true)
    const sleeps = streams.open('t', 0, () => true)
    let beats = 0
    const reading = (async () => {
      for await (const _ of reads) if (++beats === 12) break
    })()
    await vi.waitFor(() => expect(streams.listeners).toBe(1))
    await reading
    expect(beats).toBe(12)
    expect((await frames(sleeps, () => false)).at(-1)!.data).toContain('"slow"')
  })

  it('read for one who falls behind as fast as he takes it, and hold up nobody', async () => {
    const { add, service } = fakeLog()
    const streams = new Streams(service as never, { pollMs: 1, maxBytes: 4000 })
    const slow = streams.open('t', 0, () => true)
    const fast = frames(
      streams.open('t', 0, () => true),
      (all) => all.length === 500,
    )
    await vi.waitFor(() => expect(streams.listeners).toBe(2))
    for (let i = 0; i < 500; i++) add('x'.repeat(500))
    expect(await fast).toHaveLength(500)
    const got = await frames(slow, (all) => all.length === 500)
    expect(got.map(({ id }) => Number(id))).toEqual(Array.from({ length: 500 }, (_, i) => i))
    await streams.close()
  })

  it('wait for a listener who is behind, and lose nothing', async () => {
    const { add, service } = fakeLog()
    for (let i = 0; i < 1000; i++) add('x'.repeat(500))
    const streams = new Streams(service as never, { pollMs: 1, maxBytes: 4000 })
    const got = await frames(
      streams.open('t', 0, () => true),
      (all) => all.length === 1000,
    )
    expect(got.map(({ id }) => Number(id))).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    await streams.close()
  })

  it('end for a key that was revoked, and show signs of life for one that was not', async () => {
    const { service } = fakeLog()
    let isAllowed = true
    const streams = new Streams(service as never, { pollMs: 1, heartbeatMs: 5 })
    const reader = streams.open('t', 0, () => isAllowed).getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(': \n\n')
    isAllowed = false
    let text = ''
    for (let read = await reader.read(); !read.done; read = await reader.read())
      text += new TextDecoder().decode(read.value)
    expect(text).toContain('"reason":"forbidden"')
    expect(streams.listeners).toBe(0)
  })
})
