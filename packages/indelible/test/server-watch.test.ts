/** What a running server does by itself: the directory of its logs, verification, alerts, what is read again. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { startServer } from '../src/server/server.ts'
import { server, toolEnd } from './server-kit.ts'

type Made = Awaited<ReturnType<typeof server>>

/** The same home once more, after `meanwhile` was done to it. */
async function again(made: Made, meanwhile: (tenants: string) => void, verifyDelayMs = 60_000) {
  await made.stop()
  meanwhile(join(made.home, 'tenants'))
  const lines: Record<string, unknown>[] = []
  const log = (facts: object, message: string) => void lines.push({ ...facts, message })
  const logger = { info: log, warn: log, error: log }
  const next = await startServer({ home: made.home, port: 0, logger, onSecret: () => {}, verifyDelayMs })
  onTestFinished(() => next.stop())
  return { ...next, lines, alerts: () => lines.filter(({ message }) => message === 'alert') }
}

const folderOf = (made: Made) => made.service.state.tenant('acme')!.folder

async function withAcme(configure: object = {}) {
  const made = await server({ configure })
  await made.service.tenants.create('acme')
  for (let i = 0; i < 3; i++) await made.json('/v1/events', { tenant: 'acme', body: toolEnd() })
  return made
}

describe('the directory log', () => {
  it('commits to where each log stands, and finds nothing wrong where nothing is', async () => {
    const made = await withAcme()
    await made.service.directory.commit()
    expect(await made.service.directory.commit()).toBe(0)
    const response = await fetch(`${made.url}/v1/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.operator}` },
    })
    expect(await response.json()).toMatchObject({ verdict: 'verified', logs: 2, findings: [] })
    const next = await again(made, () => {})
    expect(next.alerts()).toEqual([])
  })

  it('shows a log that is gone', async () => {
    const made = await withAcme()
    const folder = folderOf(made)
    const next = await again(made, (tenants) => rmSync(join(tenants, folder), { recursive: true }))
    const wrong = { code: 'log_missing', origin: `indelible.invalid/${folder}`, expected: 4 }
    expect(next.alerts()).toMatchObject([{ alert: 'verify_failed', ...wrong }])
    expect(await next.service.metrics.text()).toMatch(/indelible_verify_failures_total 1/)
    const response = await fetch(`${next.url}/v1/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.operator}` },
    })
    expect(await response.json()).toMatchObject({ verdict: 'failed', findings: [wrong] })
  })

  it('shows one that was put back to an earlier state, keys and all', async () => {
    const made = await server()
    await made.service.tenants.create('acme')
    const folder = folderOf(made)
    await made.stop()
    const old = `${made.home}-old`
    cpSync(join(made.home, 'tenants', folder), old, { recursive: true })
    const second = await again(made, () => {})
    await second.service.tenants.use('acme', ({ log }) => log.record(toolEnd() as never))
    await second.stop()
    rmSync(join(made.home, 'tenants', folder), { recursive: true })
    cpSync(old, join(made.home, 'tenants', folder), { recursive: true })
    const third = await again(made, () => {})
    expect(third.alerts()).toMatchObject([{ code: 'log_rolled_back', expected: 2, found: 1 }])
  })

  it('is not asked by those who are no operators', async () => {
    const made = await withAcme()
    const auditor = made.key({ role: 'auditor', tenant: 'acme' })
    const { body } = await made.json('/v1/verify', { key: auditor, method: 'POST' })
    expect(body).toMatchObject({ verdict: 'verified', origin: `indelible.invalid/${folderOf(made)}` })
  })
})

describe('verification by itself', () => {
  it('verifies every log in a thread of its own, and tells whoever is to be told', async () => {
    const told: Record<string, unknown>[] = []
    const hook = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk) => {
        text += chunk
      })
      request.on('end', () => {
        told.push(JSON.parse(text))
        response.end()
      })
    })
    await new Promise<void>((done) => hook.listen(0, '127.0.0.1', done))
    onTestFinished(() => void hook.close())
    const { port } = hook.address() as { port: number }
    const made = await withAcme({ server: { alert_webhook: `http://127.0.0.1:${port}/x` } })
    const folder = folderOf(made)
    const next = await again(
      made,
      (tenants) => {
        // Behind everybody's back: an entry that was never written so.
        const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
        const db = new DatabaseSync(join(tenants, folder, 'log.db'))
        for (const { name } of db.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all()) {
          db.exec(`DROP TRIGGER "${name}"`)
        }
        db.exec(
          "UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), 'refund', 'reward') AS BLOB) WHERE idx = 2",
        )
        db.close()
      },
      10,
    )
    await vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 20_000, interval: 50 })
    expect(told[0]).toMatchObject({ alert: 'verify_failed', origin: `indelible.invalid/${folder}`, verdict: 'failed' })
    await vi.waitFor(() => expect(next.lines.filter(({ message }) => message === 'verified by itself')).toHaveLength(3))
  }, 30_000)
})

describe('reload', () => {
  it('has limits count at once, and keeps what was in force if the configuration is wrong', async () => {
    const made = await server()
    const path = join(made.home, 'config.json')
    const config = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...config, server: { max_batch: 1, port: 1 } }))
    made.reload()
    expect(made.lines.at(-1)).toMatchObject({ needs_restart: ['port'] })
    expect((await made.json('/v1/events', { body: [toolEnd(), toolEnd()] })).status).toBe(413)
    writeFileSync(path, JSON.stringify({ ...config, server: { verify_schedule: 'never' } }))
    expect(() => made.reload()).toThrow(expect.objectContaining({ code: 'ERR_CONFIG_INVALID' }))
  })
})
