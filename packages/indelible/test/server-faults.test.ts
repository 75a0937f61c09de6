/** What goes wrong around a server: slow and broken clients, certificates, a store that goes away, too much at once. */
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { get } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { newId } from '../src/record/id.ts'
import { startServer } from '../src/server/server.ts'
import { localBinaries, TestServer } from './postgres/server.ts'
import { server, toolEnd } from './server-kit.ts'

type Running = Awaited<ReturnType<typeof server>>

/** Sends text as it is over a connection of its own; resolves with all that comes back until the end. */
async function raw(url: string, send: (write: (text: string) => void) => Promise<void> | void): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let answer = ''
  socket.on('data', (text) => {
    answer += text
  })
  socket.on('error', () => {})
  const closed = new Promise((done) => socket.on('close', done))
  await once(socket, 'connect')
  await send((text) => socket.writable && socket.write(text))
  await closed
  return answer
}

async function toolEnds({ json }: Running): Promise<number> {
  return (await json('/v1/audit?type=tool.end&limit=10000')).body.hits.length
}

const head = (key: string, more: string) =>
  `POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\n${more}\r\n`

describe('a client', () => {
  it('that sends its header byte by byte is cut off, and holds up nobody', async () => {
    const running = await server({ configure: { server: { header_timeout_seconds: 0.4 } } })
    let isOver = false
    const slow = Array.from({ length: 20 }, () =>
      raw(running.url, async (write) => {
        write('GET /healthz HTTP/1.1\r\nx-slow: ')
        while (!isOver) {
          write('x')
          await sleep(50)
        }
      }),
    )
    expect((await running.json('/v1/events', { body: toolEnd() })).status).toBe(201)
    const watched = Promise.all(slow)
    await sleep(1500)
    isOver = true
    for (const answer of await watched) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('that stops in the middle of a batch gets 408, and nothing of it is recorded', async () => {
    const limits = { header_timeout_seconds: 0.3, request_timeout_seconds: 0.6 }
    const running = await server({ configure: { server: limits } })
    const line = `${JSON.stringify(toolEnd())}\n`
    const answer = await raw(running.url, (write) => {
      write(head(running.operator, `content-type: application/x-ndjson\r\ncontent-length: ${line.length * 3}\r\n`))
      write(line)
    })
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    expect(await toolEnds(running)).toBe(0)
  })

  it.each(['content-length: 5000', 'transfer-encoding: chunked'])(
    'that goes away in the middle of a batch (%s) leaves nothing',
    async (framing) => {
      const running = await server()
      const { hostname, port } = new URL(running.url)
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      const line = `${JSON.stringify(toolEnd())}\n`
      socket.write(head(running.operator, `content-type: application/x-ndjson\r\n${framing}\r\n`))
      socket.write(framing.startsWith('t') ? `${line.length.toString(16)}\r\n${line}\r\n` : line)
      await sleep(100)
      socket.resetAndDestroy()
      await sleep(100)
      expect(await toolEnds(running)).toBe(0)
      // Not a bug of the server, so not said to be one.
      expect(running.lines.filter(({ message }) => message === 'request failed')).toEqual([])
    },
  )

  it('whose gzip ends early gets 400, and nothing of it is recorded', async () => {
    const running = await server()
    const whole = gzipSync(`${JSON.stringify(toolEnd())}\n`.repeat(1000))
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' }
    const { status, body } = await running.json('/v1/events', { body: whole.subarray(0, -12), headers })
    expect([status, body.code]).toEqual([400, 'ERR_ENCODING_INVALID'])
    expect(await toolEnds(running)).toBe(0)
  })

  it('that talks no HTTP, or lies about lengths, is refused', async () => {
    const running = await server()
    expect(await raw(running.url, (write) => write('\x16\x03\x01 hello\r\n\r\n'))).toMatch(/^HTTP\/1\.1 400 /)
    const both = 'content-length: 3\r\ntransfer-encoding: chunked\r\n'
    expect(await raw(running.url, (write) => write(`${head(running.operator, both)}{}\n`))).toMatch(/^HTTP\/1\.1 400 /)
    const large = `x-large: ${'x'.repeat(70_000)}\r\n`
    expect(await raw(running.url, (write) => write(head(running.operator, large)))).toMatch(/^HTTP\/1\.1 431 /)
    expect((await running.ask('/healthz')).status).toBe(200)
  })

  it('whose path is a trick finds nothing', async () => {
    const { url, operator } = await server({ configure: { server: { public_tiles: true } } })
    const paths = [
      '/v1/logs/../../../config.json',
      '/v1/logs/%2e%2e/%2e%2e/config.json',
      '/v1/logs/indelible.invalid/..%2f..%2fkeys%2flog.skey',
      '/v1/logs/%00/checkpoint',
      '/v1/logs/%ff/checkpoint',
      '/v1/logs//checkpoint',
      '//v1/audit',
      '/v1/entries/..%2f0',
      '/v1/entries/0%00',
      '/v1/runs/%ff',
      '/config.json',
    ]
    for (const path of paths) {
      const answer = await raw(url, (write) =>
        write(
          `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${operator}\r\nindelible-tenant: default\r\nconnection: close\r\n\r\n`,
        ),
      )
      expect(answer, path).toMatch(/^HTTP\/1\.1 40[04] /)
    }
  })

  it('whose clock is wrong is believed about its own time only', async () => {
    const { json } = await server()
    for (const time of ['1999-12-31T23:59:59Z', '2199-01-01T00:00:00Z']) {
      const { body, status } = await json('/v1/events', { body: toolEnd({ time }) })
      expect(status).toBe(201)
      const { entry } = (await json(`/v1/entries/${body.index}`)).body
      expect(Date.parse(entry.time)).toBe(Date.parse(time))
      expect(Math.abs(Date.parse(entry.observed) - Date.now())).toBeLessThan(60_000)
    }
    expect((await json('/v1/verify', { method: 'POST' })).body.findings).toEqual([])
  })
})

const openssl = spawnSync('openssl', ['version']).error === undefined
describe.skipIf(!openssl)(`a certificate${openssl ? '' : ': skipped, openssl is not installed'}`, () => {
  const made = () => {
    const folder = mkdtempSync(join(tmpdir(), 'indelible-tls-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    for (const name of ['a', 'b']) {
      const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)]
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
      execFileSync('openssl', ['req', '-x509', ...key, ...files, ...subject], { stdio: 'ignore' })
    }
    return folder
  }

  it('lets the server speak TLS, and nothing else', async () => {
    const folder = made()
    const { url } = await server({
      configure: { server: { tls_cert: join(folder, 'a.crt'), tls_key: join(folder, 'a.key') } },
    })
    expect(url).toMatch(/^https:/)
    const ask = (ca: string) =>
      new Promise<number | string>((done) => {
        get(`${url}/healthz`, { ca: readFileSync(join(folder, ca)) }, (answer) => {
          answer.resume()
          done(answer.statusCode!)
        }).on('error', (error: NodeJS.ErrnoException) => done(error.code!))
      })
    expect(await ask('a.crt')).toBe(200)
    expect(await ask('b.crt')).toBe('DEPTH_ZERO_SELF_SIGNED_CERT')
    expect(await raw(url, (write) => write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'))).not.toContain('200 OK')
  })

  it.each([
    ['missing', 'c.crt', 'a.key'],
    ['of another key', 'a.crt', 'b.key'],
    ['no certificate', 'a.key', 'a.key'],
    ['without its key', 'a.crt', undefined],
  ])('that is %s stops the server from starting', async (_, cert, key) => {
    const folder = made()
    const options = {
      home: join(folder, 'home'),
      port: 0,
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      onSecret: () => {},
      tlsCert: join(folder, cert),
      ...(key !== undefined && { tlsKey: join(folder, key) }),
    }
    await expect(startServer(options)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })
})

const [postgres] = [...localBinaries().values()]
describe.skipIf(!postgres)(`a store that goes away${postgres ? '' : ': skipped, no Postgres is installed'}`, () => {
  it('is 503 and not ready, nothing is acknowledged; and all goes on when it is back', async () => {
    const database = await TestServer.start(postgres!, { durable: true })
    onTestFinished(() => database.stop())
    const running = await server({ configure: { server: { store: `${database.url()}?lock_timeout=1` } } })
    const ids = Array.from({ length: 6 }, () => newId(Date.now()))
    const post = (id: string) => running.json('/v1/events', { body: toolEnd({ id }) })
    expect((await post(ids[0]!)).status).toBe(201)
    await database.halt('SIGKILL')
    const away = await Promise.all(ids.slice(1).map(post))
    for (const { status, headers } of away) expect([status, headers.get('retry-after')]).toEqual([503, '1'])
    expect((await running.json('/readyz', { key: '' })).status).toBe(503)
    expect((await running.ask('/healthz', { key: '' })).status).toBe(200)
    await database.run()
    for (let attempt = 0; (await running.ask('/readyz', { key: '' })).status !== 200; attempt++) {
      expect(attempt).toBeLessThan(100)
      await sleep(100)
    }
    const back = await Promise.all(ids.map(post))
    expect(back.map(({ status }) => status)).toEqual(ids.map(() => 201))
    expect(new Set(back.map(({ body }) => body.index)).size).toBe(ids.length)
    expect(await toolEnds(running)).toBe(ids.length)
  }, 60_000)
})

describe('more than a server can take', () => {
  it('in bytes is refused while it comes, however it is packed, and one alone is taken', async () => {
    const running = await server({ configure: { server: { max_waiting_bytes: 4096 } } })
    const large = JSON.stringify(Array.from({ length: 100 }, () => toolEnd()))
    expect((await running.json('/v1/events', { body: large })).status).toBe(200)
    const { port } = new URL(running.url)
    const held = connect(Number(port), '127.0.0.1')
    onTestFinished(() => void held.destroy())
    const headers = `authorization: Bearer ${running.operator}\r\nindelible-tenant: default\r\n`
    held.write(`POST /v1/events HTTP/1.1\r\nhost: x\r\n${headers}content-length: 9000\r\n\r\n${'['.repeat(4000)}`)
    const refused = async () => {
      const plain = await running.json('/v1/events', { body: large })
      const packed = { 'content-encoding': 'gzip' }
      const small = await running.json('/v1/events', { body: gzipSync(large), headers: packed })
      const otlp = { 'content-type': 'application/json' }
      const traces = await running.json('/v1/traces', {
        body: `{"resourceSpans":[]}${' '.repeat(4000)}`,
        headers: otlp,
      })
      return [plain, small, traces].map((one) => [one.status, one.headers.get('retry-after')])
    }
    await vi.waitFor(async () => expect(await refused()).toEqual(Array(3).fill([503, '1'])))
    held.destroy()
    await vi.waitFor(async () => expect((await running.json('/v1/events', { body: large })).status).toBe(200))
    expect(await toolEnds(running)).toBe(200)
    // It is no failure to write, and no flood of the server's own log.
    expect(await (await running.ask('/metrics')).text()).toMatch(/^indelible_write_failures_total 0$/m)
    expect(running.lines.filter(({ error }) => error === 'ERR_OVERLOADED')).toEqual([])
  })

  it('of one key is 429, and other keys do not notice', async () => {
    const running = await server({ configure: { server: { rate_limit: 5 } } })
    const [loud, quiet] = ['a', 'b'].map(() => running.key({ role: 'writer', tenant: 'default' }))
    const flood = await Promise.all(
      Array.from({ length: 20 }, () => running.json('/v1/events', { key: loud!, body: toolEnd() })),
    )
    const refused = flood.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(5)
    for (const { headers } of refused) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await running.json('/v1/events', { key: quiet!, body: toolEnd() })).status).toBe(201)
  })
})
