/** `/docs` and the traces of runs. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { server, toolEnd } from './server-kit.ts'

describe('/docs', () => {
  it('tells of every operation, needs no key, and loads nothing from elsewhere', async () => {
    const { ask, json } = await server()
    const response = await ask('/docs', { key: '' })
    expect(response.status).toBe(200)
    const page = await response.text()
    const { paths } = (await json('/openapi.json', { key: '' })).body as {
      paths: Record<string, Record<string, { operationId: string }>>
    }
    for (const { operationId } of Object.values(paths).flatMap((methods) => Object.values(methods))) {
      expect(page).toContain(`id="${operationId}"`)
    }
    expect(page).not.toMatch(/<script|<link|src=|https?:\/\//)
    const [, style] = /<style>(.*?)<\/style>/s.exec(page)!
    const hash = createHash('sha256').update(style!).digest('base64')
    expect(response.headers.get('content-security-policy')).toContain(`style-src 'sha256-${hash}'`)
  })
})

describe('parameters that nobody knows', () => {
  it('are refused by their name: a filter with a typing mistake would find more than was asked for', async () => {
    const { json } = await server()
    for (const path of [
      '/v1/audit?outcom=denied',
      '/v1/runs?limt=1',
      '/v1/stream?form=1',
      '/v1/proofs/inclusion?index=0&sizes=1',
    ]) {
      const { status, body } = await json(path)
      expect([path, status, body.code]).toEqual([path, 400, 'ERR_REQUEST_INVALID'])
    }
    expect((await json('/v1/audit?outcom=denied')).body.detail).toContain('outcom')
    for (const query of ['atomic=yes', 'atomc=true']) {
      const { status, body } = await json(`/v1/events?${query}`, { body: [toolEnd()] })
      expect([query, status, body.code]).toEqual([query, 400, 'ERR_REQUEST_INVALID'])
    }
    expect((await json('/v1/audit?type=tool.end')).body.hits).toEqual([])
  })
})

describe('GET /v1/runs/{run}/trace', () => {
  it('is the run with its actions and proofs; parts only for those who may see them', async () => {
    const { json, key } = await server({ configure: { privacy: { mode: 'full' } } })
    const run = { id: 'r' }
    const start = toolEnd({ type: 'tool.start', call: 'c', run, outcome: 'pending' })
    await json('/v1/events', { body: [start, toolEnd({ call: 'c', run, parts: { output: { value: 'paid' } } })] })
    const auditor = key({ role: 'auditor', tenant: 'default', disclose: true })
    const blind = key({ role: 'auditor', tenant: 'default' })
    const { body } = await json('/v1/runs/r/trace?disclose=output', { key: auditor })
    expect(body).toMatchObject({ run: { id: 'r' }, actions: [{ kind: 'tool' }] })
    expect(JSON.stringify(body)).toContain('paid')
    expect(JSON.stringify((await json('/v1/runs/r/trace', { key: blind })).body)).not.toContain('paid')
    expect((await json('/v1/runs/r/trace?disclose=output', { key: blind })).status).toBe(403)
    expect((await json('/v1/runs/none/trace')).status).toBe(404)
    const stranger = key({ role: 'reader', tenant: 'default', actor: 'another' })
    expect((await json('/v1/runs/r/trace', { key: stranger })).status).toBe(404)
  })
})
