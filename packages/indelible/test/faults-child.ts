/** What a test does in a process of its own, because it is going to be killed, or because there have to be several. */
import { chmodSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { loadConfig } from '../src/config/config.ts'
import { FileKeys } from '../src/keys/file-keys.ts'
import { withFileLock, writeFileAtomic } from '../src/keys/files.ts'
import { Pins } from '../src/keys/pins.ts'
import { createLog, openLog } from '../src/log/home.ts'
import { openStore } from '../src/log/home-store.ts'
import { Log } from '../src/log/log.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../src/privacy/policy.ts'
import { newId } from '../src/record/id.ts'
import type { LogStore } from '../src/store/store.ts'

interface Options {
  readonly home: string
  readonly name: string
  readonly callers: number
  readonly count: number
  readonly step: 'prepared' | 'sealed' | 'committed'
  readonly keysDir?: string
  readonly pins: string
  readonly epochSeconds: number
}

const [job, json] = process.argv.slice(2) as [keyof typeof jobs, string]
const options = JSON.parse(json) as Options
const input = createInterface(process.stdin)[Symbol.asyncIterator]()

/** At once, and not through a stream: what was said is said although we are killed next. */
function say(line: string): void {
  writeSync(1, `${line}\n`)
}

async function hear(line: string): Promise<void> {
  for (let next = await input.next(); next.value !== line; next = await input.next()) {
    if (next.done) process.exit(0)
  }
}

const event = (run: string) =>
  ({ type: 'x.test', actor: { type: 'agent', id: 'child' }, id: newId(Date.now()), run: { id: run } }) as const

/** One caller: records until it has `count` entries, one by one and a few at a time, and says each receipt. */
async function call(log: Log, caller: number): Promise<void> {
  for (let n = 0; n < options.count; ) {
    const many = n % 3 === 1 ? 3 : 1
    const events = Array.from({ length: many }, (_, i) => ({
      ...event(`${options.name} ${caller} ${n + i}`),
      parts: { output: { value: `${options.name} ${caller} ${n + i}` } },
    }))
    const receipts = await log.recordMany(events)
    for (const { index, id } of receipts) say(`got ${index} ${id}`)
    n += many
  }
}

async function record(): Promise<void> {
  say('loaded')
  await hear('go')
  const log = await openLog(options)
  say('ready')
  await Promise.all(Array.from({ length: options.callers }, (_, caller) => call(log, caller)))
  await log.close()
  process.exit(0)
}

async function create(): Promise<void> {
  say('loaded')
  await hear('go')
  try {
    const { name: origin, pins, ...rest } = options
    const created = await createLog({ ...rest, origin, pins: new Pins(pins) })
    say(`created ${created.macVerificationKey}`)
  } catch (error) {
    say(`refused ${(error as { code?: string }).code} ${(error as Error).message}`)
  }
  process.exit(0)
}

/** Rotates the key, and dies at `step`. */
async function rotate(): Promise<void> {
  const die = () => process.kill(process.pid, 'SIGKILL')
  const { home, step } = options
  class DyingKeys extends FileKeys {
    override async prepareRotation(id: string) {
      const next = await super.prepareRotation(id)
      if (step === 'prepared') die()
      return next
    }
  }
  const keys = new DyingKeys(`${home}/keys`)
  const inner = await openStore(home, loadConfig(home))
  const append: LogStore['append'] = async (ids, seal) => {
    let rotates = false
    await inner.append(ids, async (locked) => {
      const batch = await seal(locked)
      rotates = batch !== null && (batch.head.checkpoint.match(/^— /gm)?.length ?? 0) > 1
      if (rotates && step === 'sealed') die()
      return batch
    })
    if (rotates) die()
  }
  const store = new Proxy(inner, {
    get(target, name) {
      if (name === 'append') return append
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const log = await Log.open({
    store,
    keys,
    privacy: new PrivacyPolicy(DEFAULT_PRIVACY, keys.origin, keys.fingerprint),
  })
  await log.rotateKey()
}

/** Records on a database that it may not write; as somebody whom file modes hold back. */
async function readOnly(): Promise<void> {
  if (process.getuid?.() === 0) {
    process.setgid!(65534)
    process.setuid!(65534)
  }
  const log = await openLog(options)
  const before = await log.record(event('before'))
  say(`first ${before.index}`)
  await log.close()
  chmodSync(`${options.home}/log.db`, 0o444)
  try {
    const again = await openLog(options)
    try {
      await again.record(event('refused'))
      say('recorded')
    } finally {
      await again.close()
    }
  } catch (error) {
    say(`code ${(error as { code?: string }).code}`)
  }
  // SQLite gave the files beside it the same mode.
  for (const suffix of ['', '-wal', '-shm']) {
    const path = `${options.home}/log.db${suffix}`
    if (existsSync(path)) chmodSync(path, 0o600)
  }
  const last = await openLog(options)
  say(`second ${(await last.record(event('after'))).index}`)
  await last.close()
  process.exit(0)
}

/** Fills whatever room there is, and goes on once it is told that there is more. */
async function fill(): Promise<void> {
  const log = await openLog(options)
  const big = 'x'.repeat(60_000)
  const attributes = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`a${i}`, big.slice(0, 250)]))
  const one = async () => {
    const { index, id } = await log.record({ ...event('fill'), attributes })
    say(`got ${index} ${id}`)
  }
  for (let failures = 0; failures < 3; ) {
    await one().catch((error) => {
      say(`code ${error.code}`)
      failures++
    })
  }
  say('full')
  await hear('room')
  for (let n = 0; n < 5; n++) await one()
  await log.close()
  say('closed')
  process.exit(0)
}

/** Opens a log, and does nothing more. */
async function openOnly(): Promise<void> {
  input.return?.()
  process.stdin.destroy()
  await openLog(options)
  say('opened')
}

/** Counts in a file, one at a time with others who do the same. */
async function count(): Promise<void> {
  const file = `${options.home}/count`
  say('loaded')
  for (;;) {
    await withFileLock(`${options.home}/lock`, async () => {
      const n = Number(readFileSync(file, 'utf8')) + 1
      await new Promise((resolve) => setImmediate(resolve))
      say(`got ${n}`)
      writeFileAtomic(file, String(n))
    })
    // Nobody waits in a queue for it: who takes it again at once would keep the others out.
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

const jobs = {
  count,
  record,
  create,
  rotate,
  readOnly,
  fill,
  openOnly,
}
await jobs[job]()
