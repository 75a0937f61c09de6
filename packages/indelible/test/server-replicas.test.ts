/** The deployment example under load, while replicas are killed and drained. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config/config.ts'
import { verifyHome } from '../src/index.ts'
import { openStore } from '../src/log/home-store.ts'
import { newId } from '../src/record/id.ts'
import { parseMacVerificationKey } from '../src/verify/index.ts'
import { pgbouncer } from './postgres/pooler.ts'
import { localBinaries } from './postgres/server.ts'
import { toolEnd } from './server-kit.ts'

const none =
  localBinaries().size === 0 ? ': skipped, no Postgres is installed' : pgbouncer ? '' : ': skipped, no pgbouncer'
/** How long each phase of the load lasts, ms; more for a longer soak. */
const PHASE_MS = Number(process.env.INDELIBLE_SOAK_SECONDS ?? 2) * 1000
const CLIENTS = 8
const BATCH = 20

interface Facts {
  readonly url: string
  readonly home: string
  readonly api_key: string
  readonly mac_keys: readonly { readonly origin: string; readonly mac_key: string }[]
  readonly replicas: readonly { readonly port: number; readonly pid: number }[]
}

/** Sends batches one after the other and repeats each with the same ids until it is acknowledged. */
class Client {
  readonly acknowledged: { readonly id: string; readonly index: number }[] = []
  readonly sent = new Set<string>()
  readonly answers = new Map<number, number>()
  readonly #facts: Facts
  readonly #load: { isOver: boolean }

  constructor(facts: Facts, load: { isOver: boolean }) {
    this.#facts = facts
    this.#load = load
  }

  async run(): Promise<void> {
    while (!this.#load.isOver)
      await this.#send(Array.from({ length: BATCH }, () => ({ ...toolEnd(), id: newId(Date.now()) })))
  }

  async #send(events: readonly { readonly id: string }[]): Promise<void> {
    for (const { id } of events) this.sent.add(id)
    const headers = { authorization: `Bearer ${this.#facts.api_key}`, 'indelible-tenant': 'default' }
    for (let attempt = 0; attempt < 200; attempt++) {
      const answer = await fetch(`${this.#facts.url}/v1/events`, {
        method: 'POST',
        headers,
        body: JSON.stringify(events),
      }).catch(() => null)
      const status = answer?.status ?? 0
      this.answers.set(status, (this.answers.get(status) ?? 0) + 1)
      if (status === 200) {
        const { results } = (await answer!.json()) as { results: { id: string; index: number }[] }
        const refused = results.filter(({ index }) => index === undefined)
        if (refused.length > 0) throw new Error(JSON.stringify(refused))
        this.acknowledged.push(...results)
        return
      }
      await answer?.arrayBuffer().catch(() => {})
      if (![0, 502, 503].includes(status)) throw new Error(`status ${status}`)
      await sleep(50)
    }
    throw new Error('never acknowledged')
  }
}

describe.skipIf(none)(`two replicas over Postgres${none}`, () => {
  it(
    'lose nothing and write nothing twice while one is killed and the other drained, and the log verifies',
    async () => {
      const script = fileURLToPath(new URL('../../../examples/replicas/start.mjs', import.meta.url))
      const example = spawn(process.execPath, [script, '--json', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] })
      const ended = once(example, 'exit')
      let errors = ''
      example.stderr.on('data', (text) => {
        errors += text
      })
      const lines = createInterface({ input: example.stdout })[Symbol.asyncIterator]()
      const gone = ended.then(() => ({ value: '' }))
      const next = async () => JSON.parse((await Promise.race([lines.next(), gone])).value as string)
      try {
        const facts: Facts = await next().catch(() => expect.fail(errors))
        const load = { isOver: false }
        const clients = Array.from({ length: CLIENTS }, () => new Client(facts, load))
        const running = Promise.all(clients.map((client) => client.run()))
        running.catch(() => {})
        const [first, second] = facts.replicas
        await sleep(PHASE_MS)
        process.kill(first!.pid, 'SIGKILL')
        expect(await next()).toMatchObject({ port: first!.port })
        await sleep(PHASE_MS)
        const before = refusals(clients)
        process.kill(second!.pid, 'SIGTERM')
        expect(await next()).toMatchObject({ port: second!.port })
        await sleep(PHASE_MS)
        load.isOver = true
        await running
        // A connection may be closed just when the proxy sends over it; that is rare, and the client repeats.
        expect(refusals(clients) - before).toBeLessThan(CLIENTS)

        const home = tenantHome(facts)
        const store = await openStore(home, loadConfig(home), { readOnly: true })
        const indexes = new Map<string, number[]>()
        const { size } = (await store.head())!
        let index = 0
        for await (const rows of store.entries(0, size)) {
          for (const { entry } of rows) {
            const { id, type } = JSON.parse(Buffer.from(entry).toString())
            if (type === 'tool.end') indexes.set(id, [...(indexes.get(id) ?? []), index])
            index++
          }
        }
        await store.close()
        for (const { acknowledged, sent } of clients) {
          expect(acknowledged.length).toBeGreaterThan(BATCH)
          expect(acknowledged.length).toBe(sent.size)
          for (const { id, index } of acknowledged) expect(indexes.get(id)).toEqual([index])
          const order = acknowledged.map(({ index }) => index)
          expect(order).toEqual(order.toSorted((a, b) => a - b))
        }
        expect(indexes.size).toBe(clients.reduce((sum, { sent }) => sum + sent.size, 0))

        const macKey = facts.mac_keys.map(({ mac_key }) => parseMacVerificationKey(mac_key))
        const ours = macKey.find(({ origin }) => origin === loadConfig(home).log.origin)!
        const report = await verifyHome({ home, pins: null, macKey: ours })
        expect(report.findings).toEqual([])
        expect(report.size).toBeGreaterThan(indexes.size)
      } finally {
        example.kill('SIGTERM')
        await ended
      }
    },
    60_000 + 4 * PHASE_MS,
  )
})

function refusals(clients: readonly Client[]): number {
  return clients.reduce((sum, { answers }) => sum + [...answers].reduce((n, [s, k]) => n + (s === 200 ? 0 : k), 0), 0)
}

function tenantHome({ home }: Facts): string {
  const [folder] = readdirSync(join(home, 'tenants'))
  return join(home, 'tenants', folder!)
}
