/** A log on a server, used as one of this process: the same runs, failure modes and spool. */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type ClientOptions, openClient } from '../src/client/index.ts'
import { freePort, serve } from './serve-kit.ts'
import { server, toolEnd } from './server-kit.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-client-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function connected(made: Awaited<ReturnType<typeof server>>, options: Partial<ClientOptions> = {}) {
  const key = made.key({ role: 'administrator', tenant: 'default', disclose: true })
  const client = await openClient({ url: made.url, key, ...options })
  onTestFinished(() => client.close())
  return client
}

describe('a client', () => {
  it('records runs, and reads them back with proofs', async () => {
    const made = await server({ configure: { privacy: { mode: 'full' } } })
    const client = await connected(made, { privacy: { mode: 'full' } })
    expect(await client.whoami()).toMatchObject({ role: 'administrator', origin: client.origin })
    await client.run({ agent: 'bot', id: 'r-1' }, (run) => run.tool('refund', { amount: 5 }, () => 'paid'))
    await client.flush()
    const { run, hits } = await client.runEntries('r-1')
    expect(hits.map(({ entry }) => entry.type)).toEqual(['run.start', 'tool.start', 'tool.end', 'run.end'])
    expect(run).toMatchObject({ tools: 1, outcome: 'success' })
    expect(hits.every(({ entry }) => entry.assurance === 'reported')).toBe(true)
    const { index } = hits[2]!
    expect((await client.entry(index)).disclosures.output).toContain('"paid"')
    expect((await client.trace('r-1')).complete).toBe(true)
    expect((await client.proveInclusion(index)).checkpoint).toContain(client.origin)
    expect((await client.proveConsistency(1)).from).toBe(1)
    expect((await client.runs()).map(({ run: id }) => id)).toEqual(['r-1'])
    const all: number[] = []
    for await (const hit of client.auditAll({ run: 'r-1', limit: 1 })) all.push(hit.index)
    expect(all).toHaveLength(4)
    const { id } = await client.createExport({ format: 'csv', run: 'r-1' })
    const job = await vi.waitFor(async () => {
      const now = await client.exportJob(id)
      expect(now.state).toBe('done')
      return now
    })
    expect(await new Response(await client.exportContent(id, 5)).text()).toHaveLength(job.bytes! - 5)
    expect((await client.verify()).verdict).toBe('verified')
  })

  it('lets nothing leave that its own policy withholds', async () => {
    const made = await server({ configure: { privacy: { mode: 'full' } } })
    const sent: string[] = []
    const spy = (async (url: string, init: RequestInit) => {
      sent.push(String(init.body))
      return fetch(url, init)
    }) as typeof fetch
    const client = await connected(made, { fetch: spy })
    const parts = { output: { value: 'a secret answer' } }
    const { index } = await client.record(toolEnd({ parts, error: { type: 'E', message: 'a secret reason' } }) as never)
    const { entry, disclosures } = await client.entry(index)
    expect(entry.parts!.output).toMatchObject({ mode: 'fingerprint' })
    expect(disclosures.output).toContain('hmac-sha256:')
    expect(sent.join()).not.toContain('secret')
    const full = await connected(made, { privacy: { mode: 'full' }, fetch: spy })
    const mail = { output: { value: 'write to carla@example.org' } }
    const redacted = await full.record(toolEnd({ parts: mail }) as never)
    expect((await full.entry(redacted.index)).disclosures.output).toContain('write to')
    expect(sent.join()).not.toContain('carla@')
  })

  it('records the same event once, however often it is sent, and all of a batch or none', async () => {
    const client = await connected(await server())
    const drafts = [client.draft(toolEnd() as never), client.draft(toolEnd() as never)]
    const first = await client.append(drafts)
    const again = await client.append(drafts)
    expect(again.map(({ index, duplicate }) => [index, duplicate])).toEqual(first.map(({ index }) => [index, true]))
    const { size } = await client.audit()
    const [a, b] = [toolEnd({ id: first[0]!.id, outcome: 'failure' }), toolEnd()]
    await expect(client.recordMany([b, a] as never)).rejects.toMatchObject({ code: 'ERR_ID_CONFLICT' })
    expect((await client.audit({ type: 'tool.end' })).hits).toHaveLength(2)
    expect((await client.audit()).size).toBeGreaterThan(size)
    expect(() => client.draft({ ...toolEnd(), nonsense: 1 } as never)).toThrow(
      expect.objectContaining({ code: 'ERR_EVENT_INVALID' }),
    )
  })

  it('tries again when the server says so, and not what is not safe to repeat', async () => {
    const made = await server()
    let refusals = 2
    let asked = 0
    const flaky = (async (url: string, init: RequestInit) => {
      asked++
      if (!url.includes('whoami') && refusals-- > 0) {
        const body = JSON.stringify({ code: 'ERR_OVERLOADED', detail: 'later' })
        return new Response(body, { status: 503, headers: { 'retry-after': '0' } })
      }
      return fetch(url, init)
    }) as typeof fetch
    const client = await connected(made, { fetch: flaky })
    await client.record(toolEnd() as never)
    expect(asked).toBe(4)
    refusals = 1
    await expect(client.recordGap({ cause: 'dropped', count: 1 })).rejects.toMatchObject({
      code: 'ERR_OVERLOADED',
      status: 503,
    })
  })

  it('is told what its key may not do', async () => {
    const made = await server()
    const writer = made.key({ role: 'writer', tenant: 'default' })
    const client = await openClient({ url: made.url, key: writer })
    await client.record(toolEnd() as never)
    await expect(client.audit()).rejects.toMatchObject({
      code: 'ERR_SERVER_REFUSED',
      status: 403,
      serverCode: 'ERR_FORBIDDEN',
    })
    await expect(openClient({ url: made.url, key: 'ik_no' })).rejects.toMatchObject({ code: 'ERR_SERVER_REFUSED' })
    await expect(openClient({ url: 'http://127.0.0.1:9', key: writer, retries: 0 })).rejects.toMatchObject({
      code: 'ERR_SERVER_UNREACHABLE',
    })
  })

  it('follows the log', async () => {
    const made = await server()
    const client = await connected(made)
    const stop = new AbortController()
    const seen: string[] = []
    const following = (async () => {
      for await (const { entry } of client.stream({ from: 0, signal: stop.signal })) {
        seen.push(entry.type)
        if (seen.includes('tool.end')) return
      }
    })()
    await vi.waitFor(() => expect(seen).toContain('audit.read'))
    await client.record(toolEnd() as never)
    await following
    expect(seen[0]).toBe('audit.opened')
  })

  it('in mode block refuses an action that the server cannot record', async () => {
    const made = await server()
    const client = await connected(made, { capture: { onFailure: 'block', timeoutMs: 300 }, retries: 0 })
    const run = client.run({ agent: 'bot' })
    await made.stop()
    let isDone = false
    await expect(
      run.tool('refund', {}, () => {
        isDone = true
      }),
    ).rejects.toMatchObject({ code: 'ERR_CAPTURE_BLOCKED' })
    expect(isDone).toBe(false)
  })
})

describe('a server that is killed', () => {
  it('costs nothing: what it does not take is spooled, encrypted, and sent by whoever comes next', async () => {
    const home = join(folder(), 'server')
    const port = await freePort()
    const first = await serve(home, port)
    const clientHome = join(folder(), 'client')
    const options = { url: first.url, key: first.key!, tenant: 'default', home: clientHome, retries: 0 }
    const client = await openClient({ ...options, capture: { retryMs: 50 } })
    const run = client.run({ agent: 'bot', id: 'r' })
    await run.tool('one', {}, () => 1)
    await client.flush()
    first.child.kill('SIGKILL')
    await once(first.child, 'exit')
    await run.tool('two', { note: 'not-in-the-clear' }, () => 2)
    await client.flush()
    expect(client.recorder.state).toMatchObject({ isDown: true, lastError: 'ERR_SERVER_UNREACHABLE', dropped: 0 })
    await client.close()
    const spooled = readdirSync(join(clientHome, 'spool')).map((name) => readFileSync(join(clientHome, 'spool', name)))
    expect(spooled.length).toBeGreaterThan(0)
    for (const bytes of spooled) expect(bytes.includes('not-in-the-clear') || bytes.includes('"two"')).toBe(false)

    // Begins although the server is away: the folder knows which log it is for.
    const next = await openClient({ ...options, capture: { retryMs: 50 } })
    await next.run({ agent: 'bot', id: 'r2' }, (again) => again.tool('three', {}, () => 3))
    const second = await serve(home, port)
    await vi.waitFor(
      async () => {
        await next.flush()
        expect(next.recorder.state).toMatchObject({ isDown: false, pending: 0, spoolBytes: 0 })
      },
      { timeout: 10_000, interval: 100 },
    )
    const { hits } = await next.audit({ order: 'ascending', type: 'tool.*' })
    expect(hits.map(({ entry }) => `${entry.type} ${entry.tool!.name}`)).toEqual(
      ['one', 'two', 'three'].flatMap((name) => [`tool.start ${name}`, `tool.end ${name}`]),
    )
    const gaps = await next.audit({ type: 'audit.gap' })
    expect(gaps.hits[0]!.entry.audit).toMatchObject({ cause: 'spooled', told: 'client' })
    expect((await next.verify()).verdict).toBe('verified')
    await next.close()
    second.child.kill('SIGTERM')
    await once(second.child, 'exit')
  })
})
