/** Homes, children and checks that the fault tests share. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { type MacVerificationKey, parseMacVerificationKey } from '../src/chain/verification-key.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { Pins } from '../src/keys/pins.ts'
import { type CreatedLog, type CreateLogOptions, createLog, openLog, writeFirstEntry } from '../src/log/home.ts'
import { Log, type LogEntry } from '../src/log/log.ts'
import type { SequencerOptions } from '../src/log/sequencer.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy, type PrivacyRules } from '../src/privacy/policy.ts'
import { newId } from '../src/record/id.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { LogStore } from '../src/store/store.ts'
import type { Report } from '../src/verify/report.ts'
import { verifyLog } from '../src/verify/verify-log.ts'

export const EVENT = { type: 'x.test', actor: { type: 'agent', id: 'tester' } } as const satisfies AgentEvent

/** An event with an id of its own, and something to tell it by. */
export function numbered(name: string): AgentEvent & { id: string } {
  return { ...EVENT, id: newId(Date.now()), time: '2026-01-02T03:04:05.678Z', run: { id: name } }
}

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-faults-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface TestHome extends CreatedLog {
  readonly folder: string
  readonly pins: Pins
  readonly macKey: MacVerificationKey
}

/** A fresh home in a folder that goes with the test; its pins are beside it. */
export async function testHome(options: CreateLogOptions = {}): Promise<TestHome> {
  const folder = temporaryFolder()
  const pins = new Pins(join(folder, 'pins'))
  const created = await createLog({ home: join(folder, 'home'), pins, ...options })
  return { ...created, folder, pins, macKey: parseMacVerificationKey(created.macVerificationKey) }
}

/** A log that is open until the test is over. */
export async function opened(home: string, options: { adopt?: boolean } = {}): Promise<Log> {
  const log = await openLog({ home, ...options })
  onTestFinished(() => log.close().catch(() => {}))
  return log
}

/** Verifies with K_0 and the pin, and raises the pin. */
export async function expectVerified({ home, pins, macKey }: TestHome): Promise<Report> {
  const report = await verifyHome({ home, pins, macKey })
  expect(report.findings).toEqual([])
  expect(report.verdict).toBe('verified')
  return report
}

export interface TestLog {
  readonly log: Log
  readonly keys: MemoryKeys
  readonly store: LogStore
  /** Opens the log once more, as another process would with the same keys. */
  reopen(options?: { store?: LogStore; privacy?: PrivacyRules; sequencer?: SequencerOptions }): Promise<Log>
  verify(): Promise<Report>
}

/** A log in memory, with a first entry. `wrap` gets the store before the log is opened on it. */
export async function testLog(
  options: { seconds?: number; wrap?: (store: LogStore) => LogStore; sequencer?: SequencerOptions } = {},
): Promise<TestLog> {
  const inner = new MemoryStore()
  const keys = new MemoryKeys('faults.example/log', {
    clock: { startMs: Math.floor(Date.now() / 1000) * 1000, seconds: options.seconds ?? 3600 },
  })
  await writeFirstEntry(inner, keys, formatVkey(keys.signer.key), 'default')
  const firstVkey = keys.signer.key
  const store = options.wrap?.(inner) ?? inner
  const reopen: TestLog['reopen'] = async (again = {}) => {
    const privacy = new PrivacyPolicy(again.privacy ?? DEFAULT_PRIVACY, keys.origin, keys.fingerprint)
    const log = await Log.open({
      store: again.store ?? store,
      keys,
      privacy,
      options: { ...options.sequencer, ...again.sequencer },
    })
    onTestFinished(() => {
      log.close().catch(() => {})
    })
    return log
  }
  const verify = async () => {
    const macKey = { origin: keys.origin, clock: keys.clock, key: keys.firstKey }
    const report = await verifyLog(inner, { origin: keys.origin, keys: [firstVkey], macKey })
    expect(report.findings).toEqual([])
    return report
  }
  return { log: await reopen(), keys, store: inner, reopen, verify }
}

/** Entries `[start, end)` as they stand in the log. */
export async function entriesOf(log: Log, start = 0, end?: number): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  const upTo = end ?? (await sizeOf(log))
  for (let index = start; index < upTo; index++) entries.push(await log.read(index))
  return entries
}

export async function sizeOf(log: Log): Promise<number> {
  return Number((await log.checkpoint())?.split('\n')[1] ?? 0)
}

/** `kind` of every `audit.recovered` entry from `start` on. */
export async function recoveredIn(log: Log, start = 0): Promise<string[]> {
  const entries = await entriesOf(log, start)
  return entries
    .filter(({ record }) => record.type === 'audit.recovered')
    .map(({ record }) => String(record.audit?.kind))
}

/** What a promise was rejected with; fails if it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise
  } catch (error) {
    return error as Error & { code?: string }
  }
  throw new Error('was not rejected')
}

/** Waits until `check` holds. */
export async function until(check: () => boolean | Promise<boolean>, what: string, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const SCRIPT = fileURLToPath(new URL('faults-child.ts', import.meta.url))

// Most of what a child costs is compiling; those that are killed leave nothing in the cache.
const CHILD_ENV = {
  ...process.env,
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../../node_modules/.cache/indelible-faults', import.meta.url)),
}
let isWarm = false

function warmUp(): void {
  if (!isWarm) spawnSync(process.execPath, [SCRIPT, 'record', '{}'], { input: '', env: CHILD_ENV })
  isWarm = true
}

/** A process of its own, doing one of the jobs in `faults-child.ts`. Killed when the test is over. */
export class Child {
  readonly lines: string[] = []
  readonly process: ChildProcessWithoutNullStreams
  readonly exited: Promise<unknown>
  #errors = ''

  constructor(job: string, options: Record<string, unknown>, command: readonly string[] = [process.execPath]) {
    warmUp()
    const [program, ...rest] = [...command, SCRIPT, job, JSON.stringify(options)]
    this.process = spawn(program!, rest, { stdio: 'pipe', env: CHILD_ENV })
    const lines = createInterface(this.process.stdout)
    lines.on('line', (line) => this.lines.push(line))
    this.exited = Promise.all([once(this.process, 'exit'), once(lines, 'close')])
    this.process.stderr.on('data', (chunk) => {
      this.#errors += chunk
    })
    this.process.stdin.on('error', () => {}) // killed before it read
    onTestFinished(() => {
      this.process.kill('SIGKILL')
    })
  }

  get errors(): string {
    return this.#errors
  }

  say(line: string): void {
    this.process.stdin.write(`${line}\n`)
  }

  /** Waits for a line that begins like this, and gives the rest of it. */
  async heard(start: string): Promise<string> {
    await until(
      () => this.lines.some((line) => line.startsWith(start)) || this.process.exitCode !== null,
      `a child says ${start}`,
    )
    const line = this.lines.find((line) => line.startsWith(start))
    if (line === undefined) throw new Error(`child ended without saying ${start}: ${this.#errors}`)
    return line.slice(start.length).trim()
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.exited
  }

  async done(): Promise<void> {
    await this.exited
    if (this.process.exitCode !== 0) throw new Error(`child failed: ${this.#errors}`)
  }
}

/** The receipts that a child has said. */
function receiptsOf(child: Child): { index: number; id: string }[] {
  // The last line may be cut off.
  return child.lines
    .map((line) => /^got (\d+) ([0-9a-f-]{36})$/.exec(line))
    .filter((match) => match !== null)
    .map(([, index, id]) => ({ index: Number(index), id: id! }))
}

/** Every receipt that the children have said names an entry. Returns how many there are. */
export async function expectAllThere(log: Log, children: readonly Child[]): Promise<number> {
  let count = 0
  for (const { index, id } of children.flatMap(receiptsOf)) {
    expect((await log.read(index)).record.id).toBe(id)
    count++
  }
  return count
}

/** No key that a killed process was just writing is left lying about. */
export function expectNoLeftovers({ home }: TestHome): void {
  const names = readdirSync(join(home, 'keys')).filter((name) => !name.endsWith('.skey') && !name.endsWith('.key'))
  expect(names.sort()).toEqual(['.nobackup', 'CACHEDIR.TAG', 'state.json'])
}

/** What opening a home for recording throws. */
export const openError = (home: string, options: { adopt?: boolean } = {}) =>
  rejection(openLog({ home, ...options }).then((log) => log.close()))

export async function recordAndClose(home: string, count = 1): Promise<void> {
  const log = await openLog({ home })
  for (let n = 0; n < count; n++) await log.record(EVENT)
  await log.close()
}

/** Waits until the clock is in the next epoch of a home whose epochs are a second long. */
export async function nextEpoch({ macKey }: TestHome): Promise<number> {
  const { startMs } = macKey.clock
  const wanted = Math.floor((Date.now() - startMs) / 1000) + 1
  await until(() => Date.now() - startMs >= wanted * 1000, `epoch ${wanted} begins`)
  return wanted
}
