/** What administrators do over HTTP: each route does what its command does. */
import { describe, expect, it } from 'vitest'
import { newIdentityToken } from '../src/keys/identities.ts'
import { server, toolEnd } from './server-kit.ts'

describe('keys', () => {
  it('are made, listed without their text, and revoked', async () => {
    const { json, key } = await server()
    const admin = key({ role: 'administrator', tenant: 'default' })
    const made = await json('/v1/keys', { key: admin, body: { role: 'writer', label: 'agents' } })
    expect(made.status).toBe(201)
    expect((await json('/v1/events', { key: made.body.key, body: toolEnd() })).status).toBe(201)
    const { keys } = (await json('/v1/keys', { key: admin })).body
    expect(JSON.stringify(keys)).not.toContain(made.body.key)
    expect(keys.find(({ label }: { label: string }) => label === 'agents')).toMatchObject({ role: 'writer' })
    expect((await json(`/v1/keys/${made.body.prefix}`, { key: admin, method: 'DELETE' })).status).toBe(200)
    expect((await json('/v1/events', { key: made.body.key, body: toolEnd() })).status).toBe(401)
    expect((await json('/v1/keys', { key: admin, body: { role: 'operator', label: 'x' } })).status).toBe(403)
    expect((await json('/v1/keys', { key: admin, body: { role: 'king', label: 'x' } })).status).toBe(422)
    const { hits } = (await json('/v1/audit?type=audit.config.changed', { key: admin })).body
    expect(hits).toHaveLength(2)
  })

  it('of another tenant are nobody’s business', async () => {
    const { json, key, service } = await server()
    await service.tenants.create('acme')
    const theirs = key({ role: 'writer', tenant: 'acme' })
    const admin = key({ role: 'administrator', tenant: 'default' })
    const prefix = theirs.slice(0, theirs.indexOf('_', 3))
    expect((await json(`/v1/keys/${prefix}`, { key: admin, method: 'DELETE' })).status).toBe(404)
    expect((await json('/v1/events', { key: theirs, body: toolEnd() })).status).toBe(201)
  })
})

describe('tenants', () => {
  it('are made by operators, with logs of their own', async () => {
    const { json, key } = await server()
    const made = await json('/v1/tenants', { body: { tenant: 'acme' } })
    expect(made.body.origin).toMatch(/^indelible\.invalid\/[0-9a-f]{16}$/)
    expect((await json('/v1/events', { tenant: 'acme', body: toolEnd() })).body).toMatchObject({
      origin: made.body.origin,
      index: 1,
    })
    expect((await json('/v1/tenants')).body.tenants).toHaveLength(2)
    expect((await json('/v1/tenants', { body: { tenant: '../x' } })).status).toBe(422)
    const admin = key({ role: 'administrator', tenant: 'default' })
    expect((await json('/v1/tenants', { key: admin })).status).toBe(403)
  })
})

describe('decisions and lineage', () => {
  it('are recorded as on the command line', async () => {
    const { json } = await server()
    const waiver = { owner: 'alice', rationale: 'x', waivedControls: ['A'], modelId: 'm', timeBoundUntil: '2020-01-01' }
    expect((await json('/v1/decisions/waivers', { body: waiver })).status).toBe(201)
    expect((await json('/v1/decisions/waivers', { body: { owner: 'alice' } })).body.code).toBe('ERR_DECISION_INVALID')
    expect((await json('/v1/decisions/waivers')).body.waivers).toMatchObject([{ state: 'expired', owner: 'alice' }])
    await json('/v1/models', { body: { owner: 'dana', modelId: 'm', version: '1' } })
    expect((await json('/v1/lineage/m')).body.gaps).toMatchObject([{ code: 'model_untrained' }])
    expect((await json('/v1/lineage/nothing')).status).toBe(404)
  })
})

describe('holds, erasures and retention', () => {
  it('are done by administrators only, and keep each other in order', async () => {
    const { json, key } = await server({ configure: { privacy: { mode: 'full' } } })
    const event = toolEnd({ subjects: ['customer-7'], run: { id: 'r' }, parts: { output: { value: 'paid' } } })
    const { index } = (await json('/v1/events', { body: event })).body
    const auditor = key({ role: 'auditor', tenant: 'default' })
    for (const path of ['/v1/holds', '/v1/erasures', '/v1/retention/runs']) {
      expect((await json(path, { key: auditor, body: {} })).status, path).toBeGreaterThanOrEqual(403)
    }
    const { hold } = (await json('/v1/holds', { body: { scope: { run: 'r' } } })).body
    const erase = { subject: 'customer-7', reason: 'gdpr-17' }
    expect((await json('/v1/erasures', { body: erase })).body.code).toBe('ERR_HELD')
    expect((await json('/v1/holds')).body.holds).toHaveLength(1)
    expect((await json(`/v1/holds/${hold}`, { method: 'DELETE' })).status).toBe(200)
    expect((await json('/v1/erasures', { body: erase })).body).toMatchObject({ parts: 1 })
    expect((await json(`/v1/entries/${index}`)).body.disclosures).toEqual({})
    expect((await json('/v1/retention')).body.plan).toMatchObject({ from: 0, below: 0 })
    expect((await json('/v1/verify', { method: 'POST' })).body.verdict).toBe('verified')
  })
})

describe('approvals', () => {
  it('are decided with the token of a person, whatever key asks', async () => {
    const { json, service, key } = await server()
    const token = newIdentityToken()
    const asked = await service.tenants.use('default', async (tenant) => {
      const approvals = await tenant.approvals()
      await approvals.register.add({ name: 'carol', token })
      return approvals.request({
        actor: { type: 'agent', id: 'bot' },
        tool: 'refund',
        args: { n: 1 },
        approvers: ['carol'],
      })
    })
    expect((await json('/v1/approvals')).body.approvals).toMatchObject([{ id: asked!.id }])
    const path = `/v1/approvals/${asked!.id}/decisions`
    expect((await json(path, { body: { decision: 'approved', token: 'ind_x' } })).status).toBe(403)
    const writer = key({ role: 'writer', tenant: 'default' })
    expect((await json(path, { key: writer, body: { decision: 'approved', token } })).status).toBe(403)
    const auditor = key({ role: 'auditor', tenant: 'default' })
    const decided = await json(path, { key: auditor, body: { decision: 'approved', token } })
    expect(decided.body.ruling).toMatchObject({ decision: 'approved', by: ['carol'] })
    expect(await asked!.wait()).toMatchObject({ decision: 'approved' })
  })
})
