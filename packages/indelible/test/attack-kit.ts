/** A real log to attack, copies of it to do that on, and the verifiers who look at them. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { expect, it, vi } from 'vitest'
import { fromBase64 } from '../src/bytes.ts'
import { Ratchet } from '../src/chain/chain.ts'
import { type MacVerificationKey, parseMacVerificationKey } from '../src/chain/verification-key.ts'
import { type AgentEvent, createLog, openLog, Pins } from '../src/index.ts'
import { signerFromSkey } from '../src/keys/signer.ts'
import { parseVkey, type SyncNoteSigner, type VerifierKey } from '../src/note/signed-note.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import type { Pin } from '../src/verify/evidence.ts'
import type { FindingCode, Report } from '../src/verify/report.ts'
import type { VerifyLogOptions } from '../src/verify/verify-log.ts'
import { ATTACKS, type Attack, type AttackId } from './attack-table.ts'
import { verifyBoth } from './verify-both.ts'

export const START_MS = Date.UTC(2026, 5, 1, 9)
export const EPOCH_SECONDS = 2
export const ORIGIN = 'attacked.example/log'

/** A log with all that its owner and its verifiers keep elsewhere. */
export interface Specimen {
  readonly directory: string
  readonly home: string
  readonly origin: string
  readonly size: number
  /** Keys that the log was opened with, and that it has now. */
  readonly firstKey: VerifierKey
  readonly lastKey: VerifierKey
  /** The private half of the first one, as somebody stole it before a rotation. */
  readonly firstSigner: SyncNoteSigner
  readonly macKey: MacVerificationKey
  readonly pins: Pins
  /** Checkpoint accepted when the log had `EARLY` entries, and the latest one. */
  readonly earlyPin: Pin
  readonly pin: Pin
  /** What was in the database at the early pin. */
  readonly earlyDatabase: string
}

export interface SpecimenOptions {
  readonly origin?: string
  /** Entries recorded in each epoch but the last, and how many epochs. */
  readonly perEpoch?: number
  readonly epochs?: number
  /** Epochs before which the key is rotated. */
  readonly rotateAt?: readonly number[]
  /** Epochs slept through after the first one. */
  readonly sleep?: number
  readonly profile?: 'default' | 'fips'
}

const directories: string[] = []

/** A fresh folder, removed by {@link cleanUp}. */
export function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'attack-'))
  directories.push(directory)
  return directory
}

export function cleanUp(): void {
  vi.useRealTimers()
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
}

/** Records through the public API, with a clock of our own, and closes the log. */
export async function makeSpecimen(options: SpecimenOptions = {}): Promise<Specimen> {
  const { origin = ORIGIN, perEpoch = 100, epochs = 6, rotateAt = [], sleep = 0, profile = 'default' } = options
  vi.useFakeTimers({ toFake: ['Date'], now: START_MS })
  const directory = temporary()
  const home = join(directory, 'home')
  const pins = new Pins(join(directory, 'config', 'indelible', 'pins'))
  const made = await createLog({ home, origin, epochSeconds: EPOCH_SECONDS, pins, profile })
  keepParts(home)
  const firstSigner = readSigner(home)
  let earlyPin: Pin | null = null
  const earlyDatabase = join(directory, 'early.db')
  for (let epoch = 0; epoch < epochs; epoch++) {
    vi.setSystemTime(START_MS + (epoch + (epoch > 0 ? sleep : 0)) * EPOCH_SECONDS * 1000 + 100)
    const log = await openLog({ home })
    if (rotateAt.includes(epoch)) await log.rotateKey()
    for (let n = 0; n < perEpoch; n += 20) {
      vi.setSystemTime(Date.now() + 1)
      await log.recordMany(Array.from({ length: Math.min(20, perEpoch - n) }, (_, i) => eventNumber(epoch, n + i)))
    }
    const note = (await log.checkpoint())!
    await log.close()
    if (epoch === Math.floor(epochs / 2)) {
      earlyPin = pinOf(note)
      cpSync(join(home, 'log.db'), earlyDatabase)
    }
  }
  const store = openSqliteStore(join(home, 'log.db'), { readOnly: true })
  const pin = pinOf((await store.head())!.checkpoint)
  await store.close()
  vi.useRealTimers()
  return {
    directory,
    home,
    origin,
    size: pin.size,
    firstKey: parseVkey(made.vkey),
    lastKey: parseVkey(readFileSync(join(home, 'log.vkey'), 'utf8').trim()),
    firstSigner,
    macKey: parseMacVerificationKey(made.macVerificationKey),
    pins,
    earlyPin: earlyPin!,
    pin,
    earlyDatabase,
  }
}

function keepParts(home: string): void {
  const path = join(home, 'config.json')
  const config = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...config, privacy: { parts: { output: 'full', reason: 'none' } } }))
}

/** Kinds of entries that take turns. Parts in the modes full (output), fingerprint (input) and none (reason). */
function eventNumber(epoch: number, n: number): AgentEvent {
  const actor = { type: 'agent', id: 'agent-1', on_behalf_of: 'user-7' } as const
  const run = { id: `run-${epoch}` }
  switch (n % 4) {
    case 0:
      return { type: 'llm.request', actor, run, model: { name: 'm-1' }, usage: { input_tokens: n } }
    case 1:
      return { type: 'tool.start', actor, run, tool: { name: 'search' }, parts: { input: { value: { n } } } }
    case 2:
      return {
        type: 'tool.end',
        actor,
        run,
        tool: { name: 'search' },
        outcome: 'success',
        parts: { input: { value: n }, output: { value: `answer ${n}` } },
      }
    default:
      return { type: 'policy.evaluated', actor, run, policy: { id: 'p', decision: 'deny', reason: `no ${n}` } }
  }
}

function pinOf(note: string): Pin {
  const [, size, root] = note.split('\n')
  return { size: Number(size), root: fromBase64(root!) }
}

/** What the database's owner has on disk: the current signing key and the current ratchet. */
export function stolenKeys({ home }: Specimen): { signer: SyncNoteSigner; ratchet: Ratchet } {
  const state = JSON.parse(readFileSync(join(home, 'keys', 'state.json'), 'utf8'))
  return {
    signer: readSigner(home),
    ratchet: new Ratchet(state.epoch, fromBase64(state.key)),
  }
}

function readSigner(home: string): SyncNoteSigner {
  return signerFromSkey(readFileSync(join(home, 'keys', 'log.skey'), 'utf8'))
}

/** A copy of a specimen's database, its triggers dropped: somebody has the file and all the time in the world. */
export class Victim {
  readonly specimen: Specimen
  readonly path: string
  readonly db: DatabaseSync

  constructor(specimen: Specimen) {
    this.specimen = specimen
    this.path = join(temporary(), 'log.db')
    cpSync(join(specimen.home, 'log.db'), this.path)
    this.db = openDatabase(this.path)
    dropTriggers(this.db)
  }

  sql(text: string, ...values: (string | number | Uint8Array)[]): void {
    this.db.prepare(text).run(...values)
  }

  one<T>(text: string, ...values: (string | number | Uint8Array)[]): T {
    return Object.values(this.db.prepare(text).get(...values)!)[0] as T
  }

  /** Puts the file of another database in the place of this one. */
  replaceBy(path: string): void {
    this.db.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.path + suffix, { force: true })
    cpSync(path, this.path)
  }

  done(): void {
    if (this.db.isOpen) this.db.close()
  }
}

export function openDatabase(path: string): DatabaseSync {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
  const db = new DatabaseSync(path)
  db.exec('PRAGMA synchronous = OFF')
  return db
}

export function dropTriggers(db: DatabaseSync): void {
  const triggers = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
}

/** What a verifier holds beside the log. Keys: by default the one that the log was opened with. */
export interface Verifier {
  readonly keys?: readonly VerifierKey[]
  readonly pin?: Pin
  readonly macKey?: MacVerificationKey
  readonly options?: VerifyLogOptions
}

export async function verify(path: string, specimen: Specimen, verifier: Verifier = {}): Promise<Report> {
  const { keys = [specimen.firstKey], options = {}, ...rest } = verifier
  const store = openSqliteStore(path, { readOnly: true })
  try {
    return await verifyBoth(store, { origin: specimen.origin, keys, ...rest }, options)
  } finally {
    await store.close()
  }
}

export interface Expected {
  /** Index that the finding must carry. */
  readonly index?: number | ((specimen: Specimen) => number)
  /** The specimen's early pin unless given. */
  readonly pin?: (specimen: Specimen) => Pin
  /** Keys of the verifier, if not the one that the log was opened with. */
  readonly keys?: (specimen: Specimen) => VerifierKey[]
  /** Other findings there may be; default any. Given, there are these and no others. */
  readonly only?: readonly FindingCode[]
  readonly options?: VerifyLogOptions
}

/** The row of the table, whose words name the test. */
export function rowOf(id: AttackId): Attack {
  return ATTACKS.find((attack) => attack.id === id)!
}

/** A test: the attack is done on a copy, and whoever the table names catches it. Those who hold less are told what they miss. */
export function attack(
  id: AttackId,
  specimen: () => Specimen,
  tamper: (victim: Victim) => void | Promise<void>,
  expected: Expected = {},
): void {
  const row = rowOf(id)
  it(`${row.attack}: ${row.finding} (${row.needs})`, async () => {
    const victim = new Victim(specimen())
    try {
      await tamper(victim)
    } finally {
      victim.done()
    }
    await expectCaught(row, victim.path, specimen(), expected)
  })
}

async function expectCaught(row: Attack, path: string, specimen: Specimen, expected: Expected): Promise<void> {
  const { needs, finding } = row
  const keys = expected.keys?.(specimen)
  const pin = expected.pin?.(specimen) ?? specimen.earlyPin
  const { macKey } = specimen
  const base: Verifier = { ...(keys && { keys }), ...(expected.options && { options: expected.options }) }
  const holds = needs === 'pin' ? { ...base, pin } : needs === 'K_0' ? { ...base, macKey } : base
  const catching = await verify(path, specimen, holds)
  expect(codesOf(catching)).toContain(finding)
  const found = catching.findings.filter(({ code }) => code === finding)
  const index = typeof expected.index === 'function' ? expected.index(specimen) : expected.index
  if (index !== undefined) expect(found.map((one) => one.index)).toContain(index)
  if (expected.only) expect(new Set(codesOf(catching))).toEqual(new Set([finding, ...expected.only]))
  expect(catching.verdict).toBe('failed')
  // Who holds more catches no less.
  const full = await verify(path, specimen, { ...base, pin, macKey })
  expect(full.verdict).toBe('failed')
  expect(codesOf(full)).toContain(finding)
  if (needs === 'signature') return
  // What is not caught is said to be open.
  const plain = await verify(path, specimen, base)
  expect(plain).toMatchObject({ verdict: 'verified', findings: [] })
  const open = needs === 'pin' ? 'truncation and roll-back: no checkpoint' : 'HMAC chain and epoch seals: no mac key'
  expect(plain.not_checked.join('\n')).toContain(open)
}

export function codesOf(report: Report): FindingCode[] {
  return report.findings.map(({ code }) => code)
}
