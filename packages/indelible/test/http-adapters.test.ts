import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { recordExpress } from '../src/capture/express.ts'
import { recordFastify } from '../src/capture/fastify.ts'
import { recordHono } from '../src/capture/hono.ts'
import { BodyCollector } from '../src/capture/http.ts'
import { createLog, openLog } from '../src/log/home.ts'
import { TestStage } from '../src/testing/adapter-stage.ts'

const refused = { code: 'ERR_CAPTURE_UNSUPPORTED' }

describe('adapters for HTTP frameworks', () => {
  it('say so where they do not know the framework', async () => {
    const stage = await TestStage.open('continue')
    const { recorder } = stage
    const given: unknown[] = []
    recordExpress({ recorder })({ app: Object.assign(() => {}, { set() {}, lazyrouter() {} }) }, {}, (error) =>
      given.push(error),
    )
    recordExpress({ recorder })({}, {}, (error) => given.push(error))
    expect(given).toMatchObject([refused, refused])
    await expect(recordFastify({ recorder })({ version: '6.0.0', addHook() {} })).rejects.toMatchObject(refused)
    await expect(recordHono({ recorder })({ req: { raw: {} } }, async () => {})).rejects.toMatchObject(refused)
    expect(await stage.records()).toEqual([])
    await stage.close()
  })

  it('keep nothing of a body but what the redactor leaves', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'indelible-http-'))
    try {
      const home = join(folder, 'home')
      await createLog({ home, pins: null })
      const log = await openLog({ home, capture: 'full' })
      const app = new Hono()
      app.use(recordHono({ recorder: log.recorder }))
      app.post('/pay', async (c) => c.json({ paid: await c.req.json() }))
      const body = JSON.stringify({ card: '4111 1111 1111 1111', note: 'mail to ann@example.com' })
      const headers = { 'content-type': 'application/json' }
      await app.request('/pay?token=ghp_0123456789abcdefghijABCDEFGHIJ012345', { method: 'POST', headers, body })
      await log.recorder.flush()
      const kept = await Promise.all([1, 2].map(async (index) => (await log.read(index)).disclosures))
      const text = kept.map((parts) => [...parts.values()].join()).join()
      expect(kept.flatMap((parts) => [...parts.keys()]).toSorted()).toEqual(['input', 'output', 'path'])
      for (const secret of ['4111', 'ann@example.com', 'ghp_0123456789']) expect(text).not.toContain(secret)
      await log.close()
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('take a function that throws, and a nameless person, for nobody', async () => {
    const stage = await TestStage.open('continue')
    const who = [
      () => {
        throw new Error('not logged in')
      },
      () => '',
      () => ({ type: 'service' as const, id: 'cron', on_behalf_of: 'u-1' }),
    ]
    for (const one of who) {
      const app = new Hono()
      app.use(recordHono({ recorder: stage.recorder, who: one }))
      await (await app.request('/nothing')).text()
    }
    const actors = (await stage.records()).map(({ record }) => record.actor)
    expect(actors.slice(0, 4)).toEqual(Array(4).fill({ type: 'user', id: 'anonymous' }))
    expect(actors[4]).toEqual({ type: 'service', id: 'cron', on_behalf_of: 'u-1' })
    await stage.close()
  })

  it('take hostile requests as they are', async () => {
    const stage = await TestStage.open('continue')
    const app = Object.assign(() => {}, { set() {} })
    const record = recordExpress({ recorder: stage.recorder })
    const server = createServer((request, response) => {
      Object.assign(request, { app, originalUrl: request.url, baseUrl: '', route: { path: 'r'.repeat(1000) } })
      record(request, response, () => {
        response.setHeader('content-type', 'application/json')
        response.write('{"half":')
        response.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const headers = { 'user-agent': 'u'.repeat(5000), traceparent: 'nonsense' }
    const answer = await fetch(`http://127.0.0.1:${port}/${'p'.repeat(8000)}`, { method: 'PROPFIND', headers })
    expect(await answer.text()).toBe('{"half":')
    server.close()
    await expect.poll(async () => (await stage.records()).length).toBe(2)
    const [, answered] = await stage.records()
    expect(answered!.parts.output).toBe('{"half":')
    expect(answered!.record.attributes).toMatchObject({ method: 'PROPFIND', status: 200 })
    await stage.close()
  })
})

describe('BodyCollector', () => {
  it('keeps text and JSON, counts the rest, and copies what it keeps', () => {
    const collect = (type: string | undefined, ...chunks: string[]) => {
      const body = new BodyCollector(10)
      body.type = type
      for (const chunk of chunks) {
        const bytes = Buffer.from(chunk)
        body.add(bytes)
        bytes.fill(0)
      }
      return [body.value(), body.bytes, body.isClipped]
    }
    expect(collect('application/json; charset=utf-8', '{"a"', ':1}')).toEqual([{ a: 1 }, 7, false])
    expect(collect('application/problem+json', '{}')).toEqual([{}, 2, false])
    expect(collect('text/plain', '0123456789', 'more')).toEqual(['0123456789', 14, true])
    expect(collect('image/png', 'abc')).toEqual([undefined, 3, false])
    expect(collect(undefined, 'abc')).toEqual([undefined, 3, false])
    expect(collect('text/plain')).toEqual([undefined, 0, false])
  })
})
