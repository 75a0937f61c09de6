/** The server: who may what, what it takes, what it answers. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { fromBase64 } from '../src/bytes.ts'
import { openCheckpoint } from '../src/note/checkpoint.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { leafHash } from '../src/tree/hash.ts'
import { checkInclusion } from '../src/tree/proof.ts'
import { server, toolEnd } from './server-kit.ts'

const ids = (n: number) => `0199a0b0-0000-7000-8000-${String(n).padStart(12, '0')}`

describe('POST /v1/events', () => {
  it('answers one event with its receipt, which is durable', async () => {
    const { json, ask } = await server()
    const { status, body } = await json('/v1/events', { body: toolEnd({ id: ids(1) }) })
    expect(status).toBe(201)
    expect(body).toMatchObject({ id: ids(1), index: 1 })
    const again = await json('/v1/events', { body: toolEnd({ id: ids(1) }) })
    expect(again.body).toMatchObject({ index: 1, duplicate: true })
    const other = await json('/v1/events', { body: toolEnd({ id: ids(1), outcome: 'failure' }) })
    expect([other.status, other.body.code]).toEqual([409, 'ERR_ID_CONFLICT'])
    const read = await ask('/v1/entries/1')
    expect((await read.json()) as object).toMatchObject({
      index: 1,
      entry: { assurance: 'reported', tool: { name: 'refund' } },
    })
  })

  it.each([
    ['as JSON', (text: string) => ({ body: text, headers: { 'content-type': 'application/json' } })],
    [
      'gzipped',
      (text: string) => ({
        body: gzipSync(text),
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      }),
    ],
    [
      'as zstd',
      (text: string) => ({
        body: zstdCompressSync(text),
        headers: { 'content-type': 'application/json', 'content-encoding': 'zstd' },
      }),
    ],
  ])('answers an array %s with a result for each, a bad one among them', async (_, shape) => {
    const { json } = await server()
    const events = [toolEnd(), { ...toolEnd(), type: 'audit.opened' }, toolEnd()]
    const { status, body } = await json('/v1/events', shape(JSON.stringify(events)))
    expect(status).toBe(200)
    expect(body.results).toMatchObject([{ index: 1 }, { error: { code: 'ERR_EVENT_INVALID' } }, { index: 2 }])
  })

  it('takes NDJSON', async () => {
    const { json } = await server()
    const body = `${JSON.stringify(toolEnd())}\n\n${JSON.stringify(toolEnd())}\n`
    const taken = await json('/v1/events', { body, headers: { 'content-type': 'application/x-ndjson' } })
    expect(taken.body.results).toMatchObject([{ index: 1 }, { index: 2 }])
  })

  it.each([
    ['text that is no JSON', 400, { body: '{' }],
    ['a line that is no JSON', 400, { body: '{}\n{', headers: { 'content-type': 'application/x-ndjson' } }],
    ['a key twice', 400, { body: '{"type":"x.a","type":"x.b"}' }],
    ['bytes that are no UTF-8', 400, { body: Buffer.from([0x22, 0xff, 0x22]) }],
    ['JSON nested too deep', 400, { body: '['.repeat(5000) + ']'.repeat(5000) }],
    ['an event without an actor', 422, { body: '{"type":"x.a"}' }],
    ['another coding', 415, { body: 'x', headers: { 'content-encoding': 'br' } }],
    ['a damaged gzip', 400, { body: Buffer.from([1, 2, 3]), headers: { 'content-encoding': 'gzip' } }],
    ['a body that is too large', 413, { body: `"${'x'.repeat(9_000_000)}"` }],
    [
      'a body that unpacks to too much',
      413,
      { body: gzipSync(Buffer.alloc(50_000_000)), headers: { 'content-encoding': 'gzip' } },
    ],
  ])('refuses %s', async (_, status, asked) => {
    const { json } = await server()
    const refused = await json('/v1/events', asked)
    expect(refused.status).toBe(status)
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect(refused.body.code).toMatch(/^ERR_/)
    expect((await json('/v1/checkpoint').catch(() => ({ body: '' }))).body).toBe('')
    expect((await json('/v1/runs')).status).toBe(200)
  })
})

describe('access', () => {
  it('is denied without a key that counts, and stated once for many', async () => {
    const { json, key, service, stop, home } = await server()
    const revoked = key({ role: 'auditor', tenant: 'default' })
    service.state.revokeKey(revoked.slice(0, revoked.indexOf('_', 3)))
    const expired = key({ role: 'auditor', tenant: 'default', expires: '2020-01-01T00:00:00Z' })
    for (const bad of [
      '',
      'nonsense',
      'ik_000000000000_x',
      revoked,
      expired,
      `${key({ role: 'auditor', tenant: 'default' })}x`,
    ]) {
      const { status, body } = await json('/v1/audit', { key: bad })
      expect([status, body.code]).toEqual([401, 'ERR_UNAUTHORIZED'])
    }
    await stop()
    expect(readFileSync(join(home, 'server.db')).includes(expired)).toBe(false)
  })

  it('is what the role says, and nothing more', async () => {
    const { ask, key } = await server()
    const reads = ['/v1/audit', '/v1/entries/0', '/v1/proofs/inclusion?index=0']
    const statuses = async (role: Parameters<typeof key>[0]['role'], tenant: string | null) => {
      const text = key({ role, tenant, actor: 'bot' })
      const options = { key: text, ...(tenant === null && { tenant: 'default' }) }
      const write = (await ask('/v1/events', { ...options, body: toolEnd() })).status
      const read = await Promise.all(reads.map(async (path) => (await ask(path, options)).status))
      return [write, ...new Set(read), (await ask('/v1/runs', options)).status]
    }
    expect(await statuses('writer', 'default')).toEqual([201, 403, 403])
    expect(await statuses('reader', 'default')).toEqual([403, 403, 200])
    expect(await statuses('auditor', 'default')).toEqual([403, 200, 200])
    expect(await statuses('administrator', 'default')).toEqual([201, 200, 200])
    expect(await statuses('operator', null)).toEqual([201, 200, 200])
  })

  it('shows a reader the runs of his own agent only', async () => {
    const { json, key } = await server()
    for (const agent of ['bot', 'other']) {
      await json('/v1/events', {
        body: { type: 'run.start', actor: { type: 'agent', id: agent }, run: { id: `run-${agent}` } },
      })
    }
    const reader = key({ role: 'reader', tenant: 'default', actor: 'bot' })
    expect((await json('/v1/runs', { key: reader })).body.runs).toMatchObject([{ run: 'run-bot' }])
    expect((await json('/v1/runs/run-other', { key: reader })).status).toBe(404)
    expect((await json('/v1/runs/run-bot', { key: reader })).body.hits).toHaveLength(1)
    const nobody = key({ role: 'reader', tenant: 'default' })
    expect((await json('/v1/runs', { key: nobody })).body.runs).toEqual([])
  })

  it('ends at the tenant', async () => {
    const { json, key, service } = await server()
    await service.tenants.create('acme')
    const mine = key({ role: 'administrator', tenant: 'acme' })
    await json('/v1/events', { key: mine, body: toolEnd() })
    await json('/v1/events', { body: toolEnd() })
    for (const tenant of ['default', 'nothing', '../default']) {
      expect((await json('/v1/audit', { key: mine, tenant })).status).toBe(403)
    }
    const { hits } = (await json('/v1/audit?type=tool.end', { key: mine })).body
    expect(hits).toHaveLength(1)
    expect((await json('/v1/audit', { tenant: 'nothing' })).status).toBe(404)
  })

  it('leaves an entry of each read, and of failed sign-ins', async () => {
    const { json, ask } = await server()
    await ask('/v1/entries/0')
    await ask('/v1/audit')
    const { hits } = (await json('/v1/audit?type=audit.read')).body
    expect(hits.map(({ entry }: { entry: { audit: { what: string } } }) => entry.audit.what).sort()).toEqual([
      'audit',
      'entry',
    ])
  })

  it('shows disclosed parts to whom they were granted', async () => {
    const { json, key } = await server({ configure: { privacy: { mode: 'full' } } })
    await json('/v1/events', { body: toolEnd({ parts: { output: { value: 'paid' } } }) })
    const blind = key({ role: 'auditor', tenant: 'default' })
    const seeing = key({ role: 'auditor', tenant: 'default', disclose: true })
    const { body: list } = await json('/v1/audit?type=tool.end', { key: blind })
    const { index } = list.hits[0]
    expect((await json(`/v1/entries/${index}`, { key: blind })).body.disclosures).toEqual({})
    expect((await json(`/v1/entries/${index}`, { key: seeing })).body.disclosures.output).toContain('paid')
  })
})

describe('proofs', () => {
  it('check with nothing but the vkey', async () => {
    const { json, ask, service } = await server()
    for (let i = 0; i < 5; i++) await json('/v1/events', { body: toolEnd() })
    const { body } = await json('/v1/proofs/inclusion?index=3')
    const row = service.state.tenant('default')!
    const vkey = parseVkey(readFileSync(join(service.home, 'tenants', row.folder, 'log.vkey'), 'utf8').trim())
    const { checkpoint } = openCheckpoint(body.checkpoint, { origin: vkey.name, keys: [vkey] })
    const entry = (await (await ask('/v1/entries/3')).text()).match(/"entry":(\{.*\}),"disclosures"/)![1]!
    const proof = body.proof.map(fromBase64)
    checkInclusion({
      leaf: leafHash(Buffer.from(entry)),
      index: 3,
      size: checkpoint.size,
      root: checkpoint.root,
      proof,
    })
    expect((await json('/v1/proofs/inclusion?index=9999')).status).toBe(400)
    expect((await json('/v1/proofs/consistency?from=2&to=4')).body.proof).toBeInstanceOf(Array)
    expect((await json('/v1/verify', { method: 'POST' })).body.verdict).toBe('verified')
  })

  it('and tiles are served as tlog-tiles lays them out, entry bundles never', async () => {
    const { ask, json, service } = await server({
      configure: { server: { public_tiles: true } },
    })
    await json('/v1/events', { body: Array.from({ length: 300 }, () => toolEnd()) })
    const origin = `indelible.invalid/${service.state.tenant('default')!.folder}`
    const get = async (path: string) => {
      const response = await ask(`/v1/logs/${origin}/${path}`, { key: '' })
      return [response.status, (await response.arrayBuffer()).byteLength]
    }
    expect((await get('checkpoint'))[0]).toBe(200)
    expect(await get('tile/0/000')).toEqual([200, 8192])
    expect(await get('tile/0/001.p/40')).toEqual([200, 40 * 32])
    expect(await get('tile/1/000.p/1')).toEqual([200, 32])
    for (const path of ['tile/entries/000', 'tile/0/001', 'tile/0/001.p/250', 'tile/0/../../x', 'tile/0/0', '']) {
      expect((await get(path))[0], path).toBe(404)
    }
    expect((await ask('/v1/logs/indelible.invalid/0000000000000000/checkpoint', { key: '' })).status).toBe(404)
  })

  it('and tiles are for auditors where they are not public', async () => {
    const { ask, key, service } = await server()
    const path = `/v1/logs/indelible.invalid/${service.state.tenant('default')!.folder}/checkpoint`
    expect((await ask(path, { key: '' })).status).toBe(401)
    expect((await ask(path, { key: key({ role: 'writer', tenant: 'default' }) })).status).toBe(403)
    expect((await ask(path, { key: key({ role: 'auditor', tenant: 'default' }) })).status).toBe(200)
  })
})

describe('a server', () => {
  it('limits what one key may ask for', async () => {
    const { ask } = await server({ configure: { server: { rate_limit: 3 } } })
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask('/v1/runs')))
    const limited = answers.filter(({ status }) => status === 429)
    expect(limited.length).toBeGreaterThan(0)
    expect(Number(limited[0]!.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  it('answers 503 where the log takes nothing, and acknowledges nothing', async () => {
    const { json, service } = await server()
    await json('/v1/events', { body: toolEnd() })
    await service.tenants.use('default', ({ log }) => log.store.close())
    const { status, headers } = await json('/v1/events', { body: toolEnd() })
    expect([status, headers.get('retry-after')]).toEqual([503, '1'])
    expect((await json('/readyz', { key: '' })).status).toBe(503)
  })

  it('describes itself, and says no secret in its own log', async () => {
    const { json, lines, operator } = await server()
    const { body } = await json('/openapi.json', { key: '' })
    expect(body.openapi).toBe('3.1.0')
    expect(Object.keys(body.paths)).toContain('/v1/events')
    await json('/v1/events', { body: '{"secret":"hunter2"' })
    expect(JSON.stringify(lines)).not.toMatch(/hunter2/)
    expect(JSON.stringify(lines)).not.toContain(operator)
  })
})
