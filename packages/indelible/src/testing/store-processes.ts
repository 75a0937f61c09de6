/** Cases of the store suite: several processes on one log, and processes that are killed in the middle. */
import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { fromUtf8 } from '../bytes.ts'
import type { LogStore } from '../store/store.ts'
import { BatchWriter, buildBatch, type EntrySpec, numbered } from './batches.ts'
import type { ChildJob } from './store-child.ts'
import { assertHolds, collect, type DefineCase, type StoreHarness } from './store-kit.ts'

const KILLS = 12
const RACERS = 4
const RACER_ENTRIES = Number(process.env.INDELIBLE_RACER_ENTRIES ?? 10_000)
const RACER_BATCH = 100
/** Entries before the end that are read while others race. All are read once they are through. */
const WINDOW = 2000

export function processCases(define: DefineCase): void {
  define(
    'keeps what it acknowledged, and nothing by halves, when its process is killed',
    async (log) => {
      for (let kill = 0; kill < KILLS; kill++) {
        const batchSize = [1, 7, 100][kill % 3]!
        const job = { label: `killed ${kill}`, batchSize, count: null, ahead: kill % 2 === 1 }
        await withChild(log, job, async (child) => {
          child.go()
          await sleep(Math.random() * 60)
          await child.kill()
          const store = await log.open()
          const series = await assertWhole(store)
          const found = series.get(`killed ${kill}`) ?? 0
          assert.ok(found >= child.kept, `${found} entries found, ${child.kept} acknowledged`)
          assert.equal(found % batchSize, 0)
          await new BatchWriter(store).append(numbered(`after ${kill}`, 3, { payload: true }))
          await store.close()
        })
      }
    },
    'processes',
  )

  define(
    'is free again when a process dies with the lock',
    async (log) => {
      const store = await log.open()
      await withChild(log, { label: 'holds', batchSize: 10, count: null, hold: true }, async (child) => {
        child.go()
        await child.heard('locked')
        let landed = false
        const append = new BatchWriter(store).append(numbered('waits', 10, { payload: true })).then(() => {
          landed = true
        })
        await sleep(20)
        assert.equal(landed, false)
        await child.kill()
        await append
        assert.deepEqual(await assertWhole(store), new Map([['waits', 10]]))
      })
    },
    'processes',
  )

  define(
    'takes the appends of racing processes, each in its order',
    async (log) => {
      const store = await log.open()
      const labels = Array.from({ length: RACERS }, (_, i) => `racer ${i}`)
      let racing = true
      const readAlong = async () => {
        while (racing) {
          const size = (await store.head())?.size ?? 0
          const from = Math.max(0, size - WINDOW)
          assert.equal((await collect(store.entries(from, size))).length, size - from)
          const next = (await collect(store.entries(size, size + 500))).length
          assert.equal((size + next) % RACER_BATCH, 0)
          await sleep(5)
        }
      }
      const read = readAlong()
      let ready = 0
      const allReady = Promise.withResolvers<void>()
      await Promise.all(
        labels.map((label) =>
          withChild(log, { label, batchSize: RACER_BATCH, count: RACER_ENTRIES }, async (child) => {
            if (++ready === RACERS) allReady.resolve()
            await allReady.promise
            child.go()
            await child.exited
            assert.equal(child.kept, RACER_ENTRIES)
          }),
        ),
      )
      racing = false
      await read
      assert.deepEqual(await assertWhole(store), new Map(labels.map((label) => [label, RACER_ENTRIES])))
    },
    'processes',
  )
}

/**
 * Fails unless the log is exactly what appends of {@link numbered} entries make of it, each series without a gap and in
 * order. Returns how many entries each series has, in the order of their names.
 */
async function assertWhole(store: LogStore): Promise<Map<string, number>> {
  const size = (await store.head())?.size ?? 0
  const specs: EntrySpec[] = []
  const series = new Map<string, number>()
  for (const { entry } of await collect(store.entries(0, size))) {
    const [, label, number] = /^entry (.*) ([0-9]+)$/.exec(fromUtf8(entry)) ?? []
    const start = series.get(label!) ?? 0
    assert.equal(Number(number), start, `place of an entry in the series ${label}`)
    series.set(label!, start + 1)
    specs.push(...numbered(label!, 1, { start, payload: true }))
  }
  await assertHolds(store, size === 0 ? [] : [buildBatch(null, specs).batch])
  return new Map([...series].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Runs `body` beside a child that is ready to go; whatever happens, the child is gone afterwards. */
async function withChild(
  log: StoreHarness,
  job: Omit<ChildJob, 'store'>,
  body: (child: Child) => Promise<void>,
): Promise<void> {
  if (!log.elsewhere) throw new TypeError('harness gives neither elsewhere nor a reason why it lacks processes')
  const child = new Child({ ...job, store: { ...log.elsewhere, module: String(log.elsewhere.module) } })
  try {
    await child.heard('ready')
    await body(child)
  } finally {
    await child.kill()
  }
}

class Child {
  readonly exited: Promise<unknown>
  /** Entries that the child was told are kept. */
  kept = 0
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #heard = new Map<string, PromiseWithResolvers<void>>()

  constructor(job: ChildJob) {
    // Beside this file, as TypeScript in the repository and as JavaScript in the package.
    const script = fileURLToPath(new URL(`./store-child${extname(import.meta.url)}`, import.meta.url))
    this.#process = spawn(process.execPath, [script, JSON.stringify(job)], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.exited = once(this.#process, 'close')
    this.#process.stdin.on('error', () => {}) // of a child that is gone
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      if (line.startsWith('kept ')) this.kept = Number(line.slice(5))
      else this.#waiter(line).resolve()
    })
    this.exited.then(() => {
      for (const { reject } of this.#heard.values()) reject(new Error(`child ended with ${this.#process.exitCode}`))
    })
  }

  heard(line: string): Promise<void> {
    return this.#waiter(line).promise
  }

  #waiter(line: string): PromiseWithResolvers<void> {
    const waiter = this.#heard.get(line) ?? Promise.withResolvers<void>()
    this.#heard.set(line, waiter)
    return waiter
  }

  go(): void {
    this.#process.stdin.write('go\n')
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.exited
  }
}
