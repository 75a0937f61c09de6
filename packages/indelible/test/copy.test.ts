/** A log goes from store to store and stays the same log. */
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBase64, utf8 } from '../src/bytes.ts'
import { openLog } from '../src/index.ts'
import { copyLog } from '../src/log/copy-log.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { openFileStore } from '../src/store/file.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { openPostgresStore } from '../src/store/postgres.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import type { LogStore } from '../src/store/store.ts'
import { BatchWriter, buildBatch, numbered } from '../src/testing/batches.ts'
import { faultyStore } from '../src/testing/faulty-store.ts'
import { collect, readContents, sameContents } from '../src/testing/store-kit.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { cleanUp, makeSpecimen, type Specimen, temporary } from './attack-kit.ts'
import { Sandbox } from './cli/kit.ts'
import { noServer, sharedServer } from './postgres/shared.ts'

let specimen: Specimen
let source: LogStore
let ids: string[]

beforeAll(async () => {
  specimen = await makeSpecimen({ perEpoch: 150, rotateAt: [2], sleep: 2 })
  source = openSqliteStore(join(specimen.home, 'log.db'))
  ids = (await collect(source.ids(0, specimen.size))).map(({ id }) => id)
}, 60_000)
afterAll(async () => {
  await source.close()
  cleanUp()
})

const options = () => ({ origin: specimen.origin, maxBatch: 300 })
const refused = (code: string) => expect.objectContaining({ code })

/** The specimen's home in another place, its modes included. */
function copyHome(home: string): void {
  cpSync(specimen.home, home, { recursive: true })
  chmodSync(join(home, 'keys'), 0o700)
}

/** A store to copy to: sqlite, files, memory. */
const TARGETS: Readonly<Record<string, () => Promise<LogStore>>> = {
  sqlite: async () => openSqliteStore(join(temporary(), 'log.db')),
  file: () => openFileStore(join(temporary(), 'log')),
  memory: async () => new MemoryStore(),
}

async function isSame(target: LogStore): Promise<void> {
  sameContents(await readContents(target, ids), await readContents(source, ids))
  const { origin, firstKey, macKey, pin } = specimen
  const report = await verifyLog(target, { origin, keys: [firstKey], macKey, pin })
  expect(report).toMatchObject({ verdict: 'verified', findings: [] })
}

describe('a copy', () => {
  it('of sqlite in files, of that in sqlite, keeps entries, macs, root, ids and proofs', async () => {
    let from = source
    for (const kind of ['file', 'sqlite', 'memory', 'file'] as const) {
      const target = await TARGETS[kind]!()
      const seen: number[] = []
      const outcome = await copyLog(from, target, { ...options(), onProgress: (done) => seen.push(done) })
      expect(outcome).toEqual({ size: specimen.size, root: specimen.pin.root, copied: specimen.size, isComplete: true })
      expect(seen.at(-1)).toBe(specimen.size)
      await isSame(target)
      if (from !== source) await from.close()
      from = target
    }
    await from.close()
  })

  it('of sqlite in Postgres, of that in files, of that in sqlite, is the same log, purged or not', async ({ skip }) => {
    skip(noServer !== null, noServer ?? '')
    const url = await sharedServer()
    const path = join(temporary(), 'log.db')
    cpSync(join(specimen.home, 'log.db'), path)
    const from = openSqliteStore(path)
    for (const below of [0, 512]) {
      await from.purge(below)
      const { origin } = specimen
      const schema = `copy_${below}_${Date.now()}`
      const postgres = await openPostgresStore(`${url}${url.includes('?') ? '&' : '?'}schema=${schema}`, {
        origin,
        create: true,
      })
      expect(await copyLog(from, postgres, options())).toMatchObject({ isComplete: true, copied: specimen.size })
      sameContents(await readContents(postgres, ids), await readContents(from, ids))
      const files = await TARGETS.file!()
      await copyLog(postgres, files, options())
      const back = await TARGETS.sqlite!()
      await copyLog(files, back, options())
      sameContents(await readContents(back, ids), await readContents(from, ids))
      for (const store of [postgres, files, back]) await store.close()
    }
    await from.close()
  })

  for (const kind of Object.keys(TARGETS)) {
    it(`in ${kind} goes on where it was interrupted, and may not be written to before`, async () => {
      const target = await TARGETS[kind]!()
      for (let round = 0; ; round++) {
        const stop = new AbortController()
        const signal = stop.signal
        const outcome = await copyLog(source, target, { ...options(), signal, onProgress: () => stop.abort() })
        if (outcome.isComplete) break
        expect(round).toBeLessThan(5)
        const size = (await target.head())!.size
        if (size === specimen.size) continue
        const report = await verifyLog(target, { origin: specimen.origin, keys: [specimen.firstKey] })
        expect(report.verdict).toBe('failed')
        expect(report.findings.map(({ code }) => code)).toContain('checkpoint_invalid')
        expect((await collect(target.entries(0, size))).length).toBe(size)
      }
      await isSame(target)
      await target.close()
    })

    it(`in ${kind} survives a failure of any call of either store`, async () => {
      const counted = faultyStore(await TARGETS[kind]!())
      await copyLog(source, counted, options())
      await counted.close()
      for (const [i, method] of [...new Set(counted.calls)].entries()) {
        if (method === 'close') continue
        const calls = counted.calls.filter((name) => name === method).length
        // What is written is kept, or not, and reported as failed; reads just fail.
        const writes = ['append', 'publish'].includes(method)
        for (const faultKind of writes
          ? (['refused', 'lost', 'kept'] as const)
          : ([i % 2 ? 'lost' : 'kept'] as const)) {
          const target = faultyStore(await TARGETS[kind]!())
          target.fail({ method, kind: faultKind, call: Math.ceil(calls / 2) })
          const first = await copyLog(source, target, options()).catch((error: unknown) => error)
          expect(first).toEqual(refused('ERR_STORE_FAILED'))
          expect(await copyLog(source, target, options())).toMatchObject({ isComplete: true })
          expect((await target.head())?.checkpoint).toBe((await source.head())?.checkpoint)
          await target.close()
        }
      }
    }, 60_000)
  }

  it('forgets what the source has forgotten since, and a purge comes along', async () => {
    const home = join(temporary(), 'home')
    mkdirSync(home)
    cpSync(join(specimen.home, 'log.db'), join(home, 'log.db'))
    const changing = openSqliteStore(join(home, 'log.db'))
    const subject = new Uint8Array(16).fill(5)
    for (const kind of ['file', 'sqlite'] as const) {
      const target = await TARGETS[kind]!()
      await copyLog(changing, target, options())
      const [part] = await collect(changing.payloads(550, 650))
      await changing.erase([{ index: part!.index, id: ids[part!.index]!, name: part!.name }])
      await changing.forgetSubject(subject, 100)
      await copyLog(changing, target, options())
      expect(await target.payload(part!.index, part!.name)).toBe(null)
      sameContents(await readContents(target, ids), await readContents(changing, ids))
      await target.close()
    }
    const early = await TARGETS.file!()
    await copyLog(changing, early, options())
    await changing.purge(512)
    for (const target of [early, await TARGETS.file!(), await TARGETS.sqlite!(), await TARGETS.memory!()]) {
      expect(await copyLog(changing, target, options())).toMatchObject({ isComplete: true })
      sameContents(await readContents(target, ids), await readContents(changing, ids))
      expect((await collect(target.entries(0, 600))).length).toBe(600 - 512)
      await target.close()
    }
    await changing.close()
  })

  it('knows whom entries concern', async () => {
    const from = new MemoryStore()
    const ann = new Uint8Array(16).fill(9)
    const specs = numbered('a', 3).map((spec, i) => ({ ...spec, entry: entry(i), concerns: i === 1 ? [ann] : [] }))
    const { batch } = buildBatch(null, specs)
    const head = { ...batch.head, checkpoint: batch.head.checkpoint.replace('made+up+signature=', 'bWFkZSB1cA==') }
    await from.append([], () => ({ ...batch, head }))
    const target = await TARGETS.file!()
    await copyLog(from, target, { origin: head.checkpoint.split('\n')[0]! })
    expect(await collect(target.subjectEntries(ann))).toEqual([1])
    await target.close()
  })

  const entry = (i: number) => {
    const time = '2026-01-01T00:00:00.000Z'
    const actor = { id: 'a', type: 'agent' }
    const id = `019b76da-a800-70a1-a2a3-a4a5a6a7a8a${i}`
    return JSON.stringify({
      actor,
      assurance: 'observed',
      id,
      observed: time,
      outcome: 'success',
      schema: 'indelible/entry@1',
      time,
      type: 'tool.end',
    })
  }

  it('is refused where another log is, or more of this one', async () => {
    const other = await makeSpecimen({ origin: 'other.example/log', perEpoch: 40, epochs: 1 })
    const taken = openSqliteStore(join(other.home, 'log.db'))
    await expect(copyLog(source, taken, options())).rejects.toEqual(refused('ERR_STORE_CONFLICT'))
    const large = await TARGETS.memory!()
    await new BatchWriter(large).append(numbered('x', specimen.size + 1))
    await expect(copyLog(source, large, options())).rejects.toEqual(refused('ERR_STORE_CONFLICT'))
    await expect(copyLog(new MemoryStore(), await TARGETS.memory!(), options())).rejects.toEqual(
      refused('ERR_ENTRY_NOT_FOUND'),
    )
    await taken.close()
  })

  it('is not made of an altered log', async () => {
    const home = temporary()
    cpSync(join(specimen.home, 'log.db'), join(home, 'log.db'))
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    const db = new DatabaseSync(join(home, 'log.db'))
    db.exec('DROP TRIGGER entries_no_update')
    db.prepare('UPDATE entries SET entry = ? WHERE idx = 500').run(utf8('{"altered":true}'))
    db.close()
    const altered = openSqliteStore(join(home, 'log.db'))
    await expect(copyLog(altered, await TARGETS.memory!(), options())).rejects.toEqual(refused('ERR_STORE_CORRUPT'))
    await altered.close()
  })
})

describe('indelible copy', () => {
  it('brings a home over to another store, where it goes on', async (context) => {
    const sandbox = new Sandbox(context)
    await sandbox.makeLog(2500)
    const copied = await sandbox.indelible(['copy', '--to', 'file:audit', '--json'])
    expect([copied.code, copied.stderr]).toEqual([0, ''])
    expect(JSON.parse(copied.stdout)).toMatchObject({ to: 'file:audit', size: 2501, copied: 2501, verdict: 'verified' })
    // Not before all of it is there.
    await sandbox.indelible(['record'], { input: '{"type":"tool.end","actor":{"type":"agent","id":"a"}}\n' })
    expect((await sandbox.indelible(['config', 'set', 'log.store', 'file:audit'])).code).toBe(2)
    const again = await sandbox.indelible(['copy', '--to', 'file:audit', '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ size: 2502, copied: 1, verdict: 'verified' })
    expect((await sandbox.indelible(['config', 'set', 'log.store', 'file:audit'])).code).toBe(0)
    await sandbox.indelible(['record'], { input: '{"type":"tool.end","actor":{"type":"agent","id":"a"}}\n' })
    const verified = await sandbox.indelible(['verify', '--json'])
    // One of its entries states the change of the store.
    expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: 'verified', size: 2504 })
    const listed = await sandbox.indelible(['list', '--type', 'audit.config.changed', '--json'])
    expect(listed.stdout).toContain('file:audit')
    const back = await sandbox.indelible(['copy', '--to', 'sqlite:log.db', '--json'])
    expect(JSON.parse(back.stdout)).toMatchObject({ copied: 2, verdict: 'verified' })
    expect((await sandbox.indelible(['copy', '--to', 'file:audit'])).code).toBe(2)
    expect((await sandbox.indelible(['copy', '--to', 'null:'])).code).toBe(2)
    expect((await sandbox.indelible(['archive', '--before', '2020-01-01', '--json'])).stdout).toContain('"files":[]')
    expect((await sandbox.indelible(['archive', '--before', 'yesterday'])).code).toBe(2)
  }, 60_000)

  it('refuses to write to half a copy', async () => {
    const home = join(temporary(), 'home')
    copyHome(home)
    const half = await openFileStore(join(home, 'half'))
    const stop = new AbortController()
    await copyLog(source, half, { ...options(), signal: stop.signal, onProgress: () => stop.abort() })
    await half.close()
    const path = join(home, 'config.json')
    const config = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...config, log: { ...config.log, store: 'file:half' } }))
    await expect(openLog({ home, adopt: true })).rejects.toEqual(refused('ERR_COPY_UNFINISHED'))
    const report = await verifyHome({ home, pins: null })
    expect(report.verdict).toBe('failed')
  })
})

describe('a log that is switched off', () => {
  it('counts and forgets, and goes on later', async () => {
    const home = join(temporary(), 'home')
    copyHome(home)
    const before = toBase64(specimen.pin.root)
    process.env.INDELIBLE_LOG__STORE = 'null:'
    try {
      const log = await openLog({ home, adopt: true })
      const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' } } as const
      const first = await log.record(event)
      const [, second] = await log.recordMany([event, event])
      expect([first.index, second!.index, first.checkpoint]).toEqual([0, 2, ''])
      expect(await log.checkpoint()).toBe(null)
      await expect(log.read(0)).rejects.toEqual(refused('ERR_ENTRY_NOT_FOUND'))
      await expect(log.rotateKey()).rejects.toEqual(refused('ERR_STORE_READONLY'))
      await expect(log.record({ type: 'nonsense' } as never)).rejects.toEqual(refused('ERR_EVENT_INVALID'))
      await log.close()
      await expect(log.record(event)).rejects.toEqual(refused('ERR_CLOSED'))
      const report = await verifyHome({ home, pins: specimen.pins })
      expect(report.verdict).toBe('failed')
      expect(report.not_checked).toContain('log.store is null: what is recorded now is counted and forgotten')
    } finally {
      delete process.env.INDELIBLE_LOG__STORE
    }
    const report = await verifyHome({ home, pins: null })
    expect(report).toMatchObject({ verdict: 'verified', root: before })
  })
})
