/** Servers with homes of their own and one Postgres: keys and tenants of one count at the others. Tenants' folders are on a volume. */
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { startServer } from '../src/server/server.ts'
import { localBinaries, TestServer } from './postgres/server.ts'
import { server, toolEnd } from './server-kit.ts'

const [postgres] = [...localBinaries().values()]

async function database() {
  const made = await TestServer.start(postgres!, { durable: true })
  onTestFinished(() => made.stop())
  return made
}

/** A home that has what hosts of one service share: the tenants' folders, and the pepper. */
function sharing(home: string, { pepper = true } = {}) {
  return (own: string) => {
    symlinkSync(join(home, 'tenants'), join(own, 'tenants'))
    if (pepper) copyFileSync(join(home, 'keys', 'api-pepper'), join(own, 'keys', 'api-pepper'))
  }
}

const status = async (asked: Promise<Response>) => (await asked).status

describe.skipIf(!postgres)(`servers on several hosts${postgres ? '' : ': skipped, no Postgres is installed'}`, () => {
  it('have the same keys and tenants, and see soon what another revoked', async () => {
    const url = (await database()).url()
    const configure = { server: { store: url, state: url } }
    const a = await server({ configure })
    const b = await server({ configure, prepare: sharing(a.home) })
    // The first start made the operator's key, the second found it.
    expect([a.operator === '', b.operator]).toEqual([false, ''])

    const key = (await a.json('/v1/keys', { body: { role: 'administrator', label: 'x' } })).body.key as string
    expect(await status(b.ask('/v1/events', { key, body: toolEnd() }))).toBe(201)
    expect(await status(a.ask('/v1/events', { key, body: toolEnd() }))).toBe(201)
    const { hits } = (await b.json('/v1/audit?type=tool.end', { key })).body
    expect(hits).toHaveLength(2)

    const made = await b.json('/v1/tenants', { key: a.operator, body: { tenant: 'hospital' } })
    expect(made.status).toBe(201)
    const there = await a.json('/v1/events', { tenant: 'hospital', body: toolEnd() })
    expect(there.body.origin).toBe(made.body.origin)
    const report = await b.json('/v1/verify', { key: a.operator, tenant: 'hospital', method: 'POST' })
    expect(report.body).toMatchObject({ verdict: 'verified' })

    expect(await status(b.ask(`/v1/keys/${key.slice(0, key.indexOf('_', 3))}`, { key, method: 'DELETE' }))).toBe(200)
    expect(await status(b.ask('/v1/whoami', { key }))).toBe(401)
    await vi.waitFor(async () => expect(await status(a.ask('/v1/whoami', { key }))).toBe(401), { timeout: 5000 })
    const listed = (await a.json('/v1/keys')).body.keys as { label: string; last_used: string | null }[]
    expect(listed.find(({ label }) => label === 'x')!.last_used).not.toBeNull()
  }, 60_000)

  it('go on with keys that they know while the database restarts, and take new ones then', async () => {
    const made = await database()
    const a = await server({ configure: { server: { state: made.url() } } })
    await made.halt('SIGKILL')
    expect(await status(a.ask('/v1/whoami'))).toBe(200)
    const refused = await a.json('/v1/keys', { body: { role: 'writer', label: 'x' } })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    // Nobody knows whether it counts.
    expect(await status(a.ask('/v1/whoami', { key: 'ik_0123456789ab_x' }))).toBe(503)
    // After half a minute it may have been revoked.
    const stale = vi.spyOn(a.service.registry, 'isStale').mockReturnValue(true)
    expect(await status(a.ask('/v1/whoami'))).toBe(503)
    stale.mockRestore()
    await made.run()
    await vi.waitFor(
      async () => expect(await status(a.ask('/v1/keys', { body: { role: 'writer', label: 'x' } }))).toBe(201),
      { timeout: 10_000, interval: 200 },
    )
  }, 60_000)

  it('bring along what one had by itself, and refuse what does not belong together', async () => {
    const url = (await database()).url()
    const a = await server()
    const key = a.key({ role: 'writer', tenant: 'default' })
    await a.stop()
    const silent = { info() {}, warn() {}, error() {} }
    const start = (home: string) => startServer({ home, port: 0, logger: silent, onSecret() {} })
    vi.stubEnv('INDELIBLE_SERVER__STATE', url)
    onTestFinished(() => void vi.unstubAllEnvs())
    const again = await start(a.home)
    onTestFinished(() => again.stop())
    const headers = { authorization: `Bearer ${key}` }
    expect(await status(fetch(`${again.url}/v1/whoami`, { headers }))).toBe(200)
    const folder = mkdtempSync(join(tmpdir(), 'indelible-hosts-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    await expect(start(join(folder, 'other'))).rejects.toMatchObject({ code: 'ERR_KEY_MISMATCH' })
    vi.unstubAllEnvs()
    const strange = await server()
    await strange.stop()
    copyFileSync(join(a.home, 'keys', 'api-pepper'), join(strange.home, 'keys', 'api-pepper'))
    vi.stubEnv('INDELIBLE_SERVER__STATE', url)
    await expect(start(strange.home)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  }, 60_000)
})
