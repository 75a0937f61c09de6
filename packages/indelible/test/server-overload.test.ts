/**
 * More than a server can take, and more who listen than it has time for: memory stays bounded, what is refused says when to come
 * again, and what was acknowledged is there. The server is a process of its own, so its memory is its own.
 */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openLog, verifyHome } from '../src/index.ts'
import { newId } from '../src/record/id.ts'
import { memoryMb, type Served, serve } from './serve-kit.ts'
import { toolEnd } from './server-kit.ts'

/** How long the overload lasts, and how many listen; more for a soak: 60 seconds, 1,000 listeners. */
const SECONDS = Number(process.env.INDELIBLE_SOAK_SECONDS ?? 2)
const LISTENERS = Number(process.env.INDELIBLE_SOAK_LISTENERS ?? 200)

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-overload-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
}

/** Posts events over connections that stay; cheaper than `fetch`, of which a test has many. */
function poster({ url, key }: Served, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  onTestFinished(() => agent.destroy())
  const headers = { authorization: `Bearer ${key}`, 'indelible-tenant': 'default', 'content-type': 'application/json' }
  return (body: object) =>
    new Promise<Answer>((done, fail) => {
      const asked = request(`${url}/v1/events`, { method: 'POST', agent, headers }, async (response) => {
        const text = (await response.setEncoding('utf8').toArray()).join('')
        done({ status: response.statusCode!, headers: response.headers, body: JSON.parse(text) })
      })
      asked.on('error', fail)
      asked.end(JSON.stringify(body))
    })
}

async function stopped({ child }: Served): Promise<void> {
  child.kill('SIGTERM')
  await once(child, 'exit')
}

const tenantOf = (home: string) => join(home, 'tenants', readdirSync(join(home, 'tenants'))[0]!)

describe('more than a server can take', () => {
  it(
    'is refused with Retry-After, memory stays bounded, and all that was acknowledged is in a log that verifies',
    async () => {
      const home = join(folder(), 'home')
      const served = await serve(home, 0, { INDELIBLE_SERVER__MAX_WAITING: '16' })
      const post = poster(served, 200)
      const acknowledged = new Map<string, number>()
      const statuses = new Map<number, number>()
      const body = () => ({ ...toolEnd({ attributes: { note: 'x'.repeat(3000) } }), id: newId(Date.now()) })
      const memory: number[] = []
      const begun = performance.now()
      const until = begun + SECONDS * 1000
      const watch = (async () => {
        while (performance.now() < until) {
          memory.push(await memoryMb(served.url))
          await sleep(200)
        }
      })()
      await Promise.all(
        Array.from({ length: 200 }, async () => {
          while (performance.now() < until) {
            const event = body()
            const { status, headers, body: receipt } = await post(event)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
            if (status === 201) acknowledged.set(event.id, receipt.index as number)
            else {
              expect([status, receipt.code]).toEqual([503, 'ERR_OVERLOADED'])
              expect(Number(headers['retry-after'])).toBeGreaterThan(0)
            }
          }
        }),
      )
      await watch
      expect(statuses.get(503)).toBeGreaterThan(0)
      expect(acknowledged.size).toBeGreaterThan(0)
      expect(Math.max(...memory) - memory[0]!).toBeLessThan(400)
      await stopped(served)
      const tenant = tenantOf(home)
      const log = await openLog({ home: tenant })
      let found = 0
      const { size } = (await log.store.head())!
      for await (const rows of log.store.entries(0, size)) {
        for (const { index, entry } of rows) {
          const { id } = JSON.parse(new TextDecoder().decode(entry)) as { id: string }
          if (!acknowledged.has(id)) continue
          expect(acknowledged.get(id)).toBe(index)
          found++
        }
      }
      await log.close()
      expect(found).toBe(acknowledged.size)
      expect((await verifyHome({ home: tenant, pins: null })).verdict).toBe('verified')
    },
    60_000 + SECONDS * 3000,
  )
})

/** One who listens to everything, over a socket that he may read or not. */
class Listener {
  readonly indexes: number[] = []
  isClosed = false
  #text = ''
  readonly socket: Socket

  constructor({ url, key }: Served, from: number) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    const headers = `host: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\n`
    this.socket.write(`GET /v1/stream?from=${from} HTTP/1.1\r\n${headers}\r\n`)
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isClosed = true
    })
    onTestFinished(() => void this.socket.destroy())
  }

  read(): this {
    this.socket.setEncoding('latin1').on('data', (data) => {
      this.#text += data
      const lines = this.#text.split('\n')
      this.#text = lines.pop()!
      for (const line of lines) if (line.startsWith('id: ')) this.indexes.push(Number(line.slice(4)))
    })
    return this
  }
}

/** About 8 KB as an entry: what attributes have room for. */
const large = () => {
  const attributes = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`a${i}`, 'x'.repeat(200)]))
  return toolEnd({ attributes })
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('who listens', () => {
  it(
    `hears everything in order, also as one of ${LISTENERS}`,
    async () => {
      const served = await serve(join(folder(), 'home'))
      const post = poster(served, 4)
      const first = (await post(toolEnd())).body.index as number
      const before = await memoryMb(served.url)
      const listeners: Listener[] = []
      while (listeners.length < LISTENERS) {
        const more = Array.from({ length: 50 }, () => new Listener(served, first).read())
        listeners.push(...more)
        await Promise.all(more.map(({ socket }) => once(socket, 'data')))
      }
      let last = first
      for (let i = 0; i < 40; i++) {
        const { body } = await post(Array.from({ length: 5 }, () => toolEnd()))
        last = (body.results as { index: number }[]).at(-1)!.index
      }
      const isBehind = () => listeners.some(({ indexes }) => (indexes.at(-1) ?? 0) < last)
      for (let wait = 0; isBehind() && wait < 1000; wait++) await sleep(20)
      for (const { indexes } of listeners) expect(indexes).toEqual(numbers(first, last))
      expect((await memoryMb(served.url)) - before).toBeLessThan(100 + LISTENERS / 2)
      await stopped(served)
    },
    60_000 + LISTENERS * 200,
  )

  it('notices nothing of those who read nothing, and memory does not grow; in a soak, they are cut off', async () => {
    const served = await serve(join(folder(), 'home'))
    const post = poster(served, 4)
    const first = (await post(toolEnd())).body.index as number
    const stuck = Array.from({ length: 50 }, () => new Listener(served, first))
    for (const { socket } of stuck) socket.pause()
    const reading = [new Listener(served, first).read(), new Listener(served, first).read()]
    await Promise.all(reading.map(({ socket }) => once(socket, 'data')))
    // Some 20 MB: more than the system keeps for a connection, and what the server lets wait.
    let last = first
    const memory = [await memoryMb(served.url)]
    for (let i = 0; i < 25; i++) {
      const { body } = await post(Array.from({ length: 100 }, large))
      last = (body.results as { index: number }[]).at(-1)!.index
      memory.push(await memoryMb(served.url))
    }
    for (let wait = 0; reading.some(({ indexes }) => indexes.at(-1)! < last) && wait < 500; wait++) await sleep(20)
    for (const { indexes } of reading) expect(indexes).toEqual(numbers(first, last))
    // Each by himself would have had the server keep 20 MB.
    expect(Math.max(...memory) - memory[0]!).toBeLessThan(400)
    if (SECONDS >= 60) {
      // Two signs of life, 15 s apart, that they did not take, and the time to take what waits. What comes now is what the system had.
      await sleep(40_000)
      for (const { socket } of stuck) socket.resume()
      for (let wait = 0; stuck.some(({ isClosed }) => !isClosed) && wait < 300; wait++) await sleep(100)
      expect(stuck.filter(({ isClosed }) => !isClosed)).toHaveLength(0)
      expect(reading.filter(({ isClosed }) => isClosed)).toHaveLength(0)
    }
    await stopped(served)
  }, 180_000)
})
