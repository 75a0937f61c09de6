/** Tokens of an identity provider: only what it signed for us counts, and only what the configuration maps. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { describe, expect, it, onTestFinished } from 'vitest'
import { server, toolEnd } from './server-kit.ts'

const AUDIENCE = 'indelible-tests'

async function provider(options: { readonly algorithm?: string; readonly discovered?: boolean } = {}) {
  const { algorithm = 'ES256', discovered = false } = options
  const [ours, foreign] = await Promise.all([generateKeyPair(algorithm), generateKeyPair(algorithm)])
  const keys = [{ ...(await exportJWK(ours.publicKey)), kid: 'k1', alg: algorithm, use: 'sig' }]
  const idp = createServer((request, answer) => {
    const issuer = `http://127.0.0.1:${(idp.address() as AddressInfo).port}`
    const isDiscovery = request.url === '/.well-known/openid-configuration'
    answer.setHeader('content-type', 'application/json')
    answer.end(JSON.stringify(isDiscovery ? { issuer, jwks_uri: `${issuer}/jwks` } : { keys }))
  }).listen(0, '127.0.0.1')
  await once(idp, 'listening')
  const stopProvider = () => {
    idp.closeAllConnections()
    idp.close()
  }
  onTestFinished(stopProvider)
  const issuer = `http://127.0.0.1:${(idp.address() as AddressInfo).port}`
  const oidc = {
    issuer,
    audience: AUDIENCE,
    ...(!discovered && { jwks_uri: `${issuer}/jwks` }),
    role_claim: 'realm.role',
    tenant_claim: 'org',
    roles: { auditors: 'auditor', agents: 'writer', ops: 'operator' },
  }
  const running = await server({ configure: { server: { oidc } } })
  const sign = (claims: object, change: (token: SignJWT) => SignJWT = (token) => token, key = ours.privateKey) =>
    change(
      new SignJWT({ realm: { role: 'auditors' }, org: 'default', ...claims })
        .setProtectedHeader({ alg: algorithm, kid: 'k1' })
        .setSubject('ada')
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime('5m'),
    ).sign(key)
  const statusOf = async (key: string, path = '/v1/audit') => (await running.ask(path, { key })).status
  return { ...running, issuer, sign, statusOf, foreign, ours, stopProvider }
}

describe('a token', () => {
  it('that the provider signed for us has the role and the tenant that its claims are mapped to', async () => {
    const { sign, statusOf, ask, json } = await provider()
    const auditor = await sign({})
    expect(await statusOf(auditor)).toBe(200)
    const writer = await sign({ realm: { role: 'agents' } })
    expect(await statusOf(writer)).toBe(403)
    expect((await ask('/v1/events', { key: writer, body: toolEnd() })).status).toBe(201)
    expect((await ask('/v1/events', { key: auditor, body: toolEnd() })).status).toBe(403)
    const { hits } = (await json('/v1/audit?type=audit.read')).body
    expect(hits[0].entry.audit.by).toBe('oidc:ada')
  })

  it('finds the keys by discovery, where no place is configured', async () => {
    const { sign, statusOf } = await provider({ discovered: true, algorithm: 'RS256' })
    expect(await statusOf(await sign({}))).toBe(200)
  })

  it.each([
    ['of another issuer', (token: SignJWT) => token.setIssuer('http://127.0.0.1:1')],
    ['for another audience', (token: SignJWT) => token.setAudience('somebody-else')],
    ['that has expired', (token: SignJWT) => token.setExpirationTime('-1m')],
    ['that is not valid yet', (token: SignJWT) => token.setNotBefore('5m')],
  ])('%s is no token', async (_, change) => {
    const { sign, statusOf } = await provider()
    expect(await statusOf(await sign({}, change))).toBe(401)
  })

  it('that is unsigned, signed by another key, by a shared secret, or altered, is no token', async () => {
    const { sign, statusOf, issuer, foreign } = await provider()
    const claims = { realm: { role: 'auditors' }, org: 'default' }
    const unsigned = new UnsecuredJWT(claims).setIssuer(issuer).setAudience(AUDIENCE).setExpirationTime('5m').encode()
    expect(await statusOf(unsigned)).toBe(401)
    expect(await statusOf(await sign({}, undefined, foreign.privateKey))).toBe(401)
    const shared = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
      .setIssuer(issuer)
      .setAudience(AUDIENCE)
      .setExpirationTime('5m')
      .sign(new TextEncoder().encode('a secret that is long enough for HS256'))
    expect(await statusOf(shared)).toBe(401)
    const [header, , signature] = (await sign({})).split('.')
    const raised = Buffer.from(JSON.stringify({ ...claims, realm: { role: 'ops' }, iss: issuer, aud: AUDIENCE }))
    expect(await statusOf(`${header}.${raised.toString('base64url')}.${signature}`)).toBe(401)
  })

  it('cannot be judged while the provider is away: come back, says the server', async () => {
    const { sign, ask, stopProvider } = await provider()
    const token = await sign({})
    stopProvider()
    const answer = await ask('/v1/audit', { key: token })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  })

  it('without an expiry is no token', async () => {
    const { issuer, statusOf, ours } = await provider()
    const forever = await new SignJWT({ realm: { role: 'auditors' }, org: 'default' })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setSubject('ada')
      .setIssuer(issuer)
      .setAudience(AUDIENCE)
      .sign(ours.privateKey)
    expect(await statusOf(forever)).toBe(401)
  })

  it.each([
    ['a role that is not mapped', { realm: { role: 'kings' } }],
    ['a role of the prototype', { realm: { role: 'constructor' } }],
    ['a list in the place of a role', { realm: { role: ['auditors'] } }],
    ['no role', { realm: {} }],
    ['no tenant', { org: undefined }],
    ['a tenant that is no text', { org: ['default'] }],
  ])('with %s has no access', async (_, claims) => {
    const { sign, statusOf } = await provider()
    expect(await statusOf(await sign(claims))).toBe(403)
  })

  it('ends at its tenant, and one of a tenant that is not there finds nothing', async () => {
    const { sign, ask, statusOf } = await provider()
    const acme = await sign({ org: 'acme' })
    expect(await statusOf(acme)).toBe(404)
    expect((await ask('/v1/audit', { key: acme, tenant: 'default' })).status).toBe(403)
  })

  it('of an operator names his tenant himself', async () => {
    const { sign, ask } = await provider()
    const operator = await sign({ realm: { role: 'ops' }, org: undefined })
    expect((await ask('/v1/tenants', { key: operator })).status).toBe(200)
    expect((await ask('/v1/audit', { key: operator, tenant: 'default' })).status).toBe(200)
    expect((await ask('/v1/audit', { key: operator })).status).toBe(400)
  })
})
