/** Exports as jobs, and anchors over HTTP. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { server, toolEnd } from './server-kit.ts'

type Made = Awaited<ReturnType<typeof server>>

async function finished({ json }: Made, id: string, key?: string) {
  return vi.waitFor(
    async () => {
      const { body } = await json(`/v1/exports/${id}`, key === undefined ? {} : { key })
      expect(['done', 'failed']).toContain(body.state)
      return body
    },
    { timeout: 10_000, interval: 20 },
  )
}

async function filled() {
  const made = await server({ configure: { privacy: { mode: 'full' } } })
  const events = Array.from({ length: 50 }, () => toolEnd({ run: { id: 'r' }, parts: { output: { value: 'paid' } } }))
  await made.json('/v1/events', { body: events })
  const auditor = made.key({ role: 'auditor', tenant: 'default', disclose: true })
  return { ...made, auditor }
}

describe('POST /v1/exports', () => {
  it('writes in the background what can then be fetched, in pieces, and says so in the log', async () => {
    const made = await filled()
    const { auditor: key } = made
    const asked = { format: 'jsonl', filter: { type: 'tool.end' }, disclose: ['output'] }
    const { status, body } = await made.json('/v1/exports', { key, body: asked })
    expect(status).toBe(202)
    const job = await finished(made, body.id, key)
    expect(job).toMatchObject({ state: 'done', entries: 50, gone: 0, error: null })
    const path = `/v1/exports/${body.id}/content`
    const whole = await made.ask(path, { key })
    const bytes = Buffer.from(await whole.arrayBuffer())
    expect([whole.status, bytes.length]).toEqual([200, job.bytes])
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(job.sha256)
    expect(bytes.toString()).toContain('paid')
    const etag = whole.headers.get('etag')!
    const rest = await made.ask(path, { key, headers: { range: 'bytes=100-', 'if-range': etag } })
    expect([rest.status, rest.headers.get('content-range')]).toEqual([206, `bytes 100-${job.bytes - 1}/${job.bytes}`])
    expect(Buffer.from(await rest.arrayBuffer()).equals(bytes.subarray(100))).toBe(true)
    const tail = await made.ask(path, { key, headers: { range: 'bytes=-7' } })
    expect(await tail.text()).toBe(bytes.subarray(-7).toString())
    expect((await made.ask(path, { key, headers: { range: `bytes=${job.bytes}-` } })).status).toBe(416)
    expect((await made.ask(path, { key, headers: { range: 'bytes=0-1', 'if-range': '"other"' } })).status).toBe(200)
    const { hits } = (await made.json('/v1/audit?type=audit.exported')).body
    expect(hits[0].entry.audit).toMatchObject({ entries: 50, format: 'jsonl', parts: ['output'], export: body.id })
    const folder = join(made.home, 'exports')
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
  })

  it('is for those who may read, and parts for those who may see them', async () => {
    const made = await filled()
    const blind = made.key({ role: 'auditor', tenant: 'default' })
    const writer = made.key({ role: 'writer', tenant: 'default' })
    expect((await made.json('/v1/exports', { key: writer, body: { format: 'csv' } })).status).toBe(403)
    const wants = { format: 'csv', disclose: ['output'] }
    expect((await made.json('/v1/exports', { key: blind, body: wants })).status).toBe(403)
    const { id } = (await made.json('/v1/exports', { key: made.auditor, body: wants })).body
    await finished(made, id, made.auditor)
    for (const path of [`/v1/exports/${id}`, `/v1/exports/${id}/content`]) {
      expect((await made.ask(path, { key: blind })).status).toBe(404)
    }
    await made.service.tenants.create('acme')
    expect((await made.ask(`/v1/exports/${id}`, { tenant: 'acme' })).status).toBe(404)
    expect((await made.ask('/v1/exports/..%2Fserver')).status).toBe(404)
    expect((await made.json('/v1/exports', { body: { format: 'pdf' } })).status).toBe(422)
  })

  it('makes evidence and traces, and fails with a code where it cannot', async () => {
    const made = await filled()
    for (const [body, expected] of [
      [
        { format: 'evidence', run: 'r' },
        { state: 'done', entries: 50 },
      ],
      [
        { format: 'trace', run: 'r' },
        { state: 'done', entries: 50 },
      ],
      [{ format: 'trace' }, { state: 'failed', error: 'ERR_EXPORT_INVALID' }],
    ] as const) {
      const { id } = (await made.json('/v1/exports', { body })).body
      expect(await finished(made, id)).toMatchObject(expected)
      if (expected.state === 'failed') {
        expect((await made.ask(`/v1/exports/${id}/content`)).status).toBe(409)
      }
    }
  })

  it('has failed what was interrupted, and forgets what has expired', async () => {
    const made = await filled()
    const { id } = (await made.json('/v1/exports', { body: { format: 'jsonl' } })).body
    await finished(made, id)
    const path = join(made.home, 'exports', `${id}.json`)
    const job = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...job, state: 'running', finished: null, expires: null }))
    expect((await made.json(`/v1/exports/${id}`)).body).toMatchObject({
      state: 'failed',
      error: 'ERR_EXPORT_INTERRUPTED',
    })
    writeFileSync(path, JSON.stringify({ ...job, expires: new Date(Date.now() - 1).toISOString() }))
    expect((await made.ask(`/v1/exports/${id}`)).status).toBe(404)
  })
})

describe('anchors', () => {
  it('tell how far they have come, and are asked by administrators', async () => {
    const made = await server()
    expect((await made.json('/v1/anchors')).body).toEqual({ anchors: [] })
    expect((await made.json('/v1/anchors/runs', { body: {} })).body).toEqual({ busy: false, outcomes: [] })
    expect((await made.json('/v1/anchors/runs', { body: { names: ['w1'] } })).body.code).toBe('ERR_CONFIG_INVALID')
    const auditor = made.key({ role: 'auditor', tenant: 'default' })
    expect((await made.json('/v1/anchors/runs', { key: auditor, body: {} })).status).toBe(403)
  })
})
