/** Truncation, roll-back and deletion: a valid signature is there, and only somebody's memory tells. */
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import { Forger } from './attack-forger.ts'
import {
  attack,
  cleanUp,
  codesOf,
  makeSpecimen,
  ORIGIN,
  openDatabase,
  rowOf,
  type Specimen,
  temporary,
  Victim,
  verify,
} from './attack-kit.ts'

let log: Specimen
beforeAll(async () => {
  log = await makeSpecimen({ perEpoch: 60 })
})
afterAll(cleanUp)

const specimen = () => log

/** Cuts the log down to the largest published checkpoint of at most `size` entries, and puts everything right for it. */
function truncate(victim: Victim, size: number, isTidy = true): void {
  const note = victim.one<string>('SELECT note FROM checkpoints WHERE size <= ? ORDER BY size DESC LIMIT 1', size)
  const kept = Number(note.split('\n')[1])
  for (const table of ['entries', 'payloads', 'ids']) victim.sql(`DELETE FROM ${table} WHERE idx >= ?`, kept)
  if (isTidy) victim.sql('DELETE FROM checkpoints WHERE size > ?', kept)
  const forged = new Forger(victim.db, ORIGIN)
  forged.retree()
  const last = forged.rows().at(-1)!
  const observed = String(forged.record(last.idx).observed)
  victim.sql(
    'UPDATE head SET mac = ?, epoch = ?, observed = ?, published = ?',
    last.mac,
    last.epoch,
    observed,
    observed,
  )
  victim.sql('UPDATE head SET checkpoint = ?', note)
}

describe('of the database', () => {
  for (const size of [1, 62, 150]) {
    attack('truncate', specimen, (victim) => truncate(victim, size), { only: [] })
    attack('truncate-lazily', specimen, (victim) => truncate(victim, size, false), { only: [] })
  }
  attack('roll-back', specimen, (victim) => victim.replaceBy(log.earlyDatabase), { pin: ({ pin }) => pin, only: [] })

  it('tells in every range that the end is gone', async () => {
    const victim = new Victim(log)
    truncate(victim, 150)
    victim.done()
    for (const options of [
      { to: 100 },
      { from: 100 },
      { from: 10, to: log.size },
      { from: log.size - 5, to: log.size },
    ]) {
      const report = await verify(victim.path, log, { pin: log.pin, options })
      expect(report.verdict).toBe('failed')
      expect(codesOf(report)).toEqual(['rolled_back'])
    }
  })
})

/** A home of its own that no test shares. */
async function home() {
  const directory = temporary()
  const path = join(directory, 'home')
  const pins = new Pins(join(directory, 'config', 'indelible', 'pins'))
  await createLog({ home: path, origin: ORIGIN, pins })
  const log = await openLog({ home: path })
  for (let i = 0; i < 3; i++) await log.record({ type: 'x.a', actor: { type: 'agent', id: 'a' } })
  await log.close()
  expect(await verifyHome({ home: path, pins })).toMatchObject({ verdict: 'verified', size: 4 })
  return { directory, home: path, pins }
}

const titled = (id: Parameters<typeof rowOf>[0]) => `${rowOf(id).attack}: ${rowOf(id).finding} (${rowOf(id).needs})`

describe('of the home', () => {
  it(titled('delete-file'), async () => {
    const { home: path, pins } = await home()
    for (const name of ['log.db', 'log.db-wal', 'log.db-shm']) rmSync(join(path, name), { force: true })
    const report = await verifyHome({ home: path, pins })
    expect(report.verdict).toBe('failed')
    expect(codesOf(report)).toEqual(expect.arrayContaining([rowOf('delete-file').finding, 'rolled_back']))
    await expect(openLog({ home: path })).rejects.toMatchObject({ code: 'ERR_STORE_MISSING' })
  })

  it(titled('delete-home'), async () => {
    const { home: path, pins } = await home()
    rmSync(path, { recursive: true })
    const report = await verifyHome({ home: path, pins })
    expect(report.verdict).toBe('failed')
    expect(codesOf(report)).toEqual(expect.arrayContaining([rowOf('delete-home').finding, 'rolled_back']))
    // Somebody who remembers nothing cannot say that there ever was a log.
    await expect(verifyHome({ home: path, pins: null })).rejects.toMatchObject({ code: 'ERR_HOME_NOT_FOUND' })
  })

  it(titled('replace-home'), async () => {
    const { home: path, pins, directory } = await home()
    renameSync(path, `${path}-away`)
    await createLog({ home: path, origin: ORIGIN, pins: new Pins(join(directory, 'their-pins')) })
    const report = await verifyHome({ home: path, pins })
    expect(report.verdict).toBe('failed')
    expect(codesOf(report)).toContain(rowOf('replace-home').finding)
    expect((await verifyHome({ home: path, pins: null })).not_checked.join()).toContain(
      'compare it with the one handed out',
    )
  })

  it(titled('replace-table'), async () => {
    const { home: path, pins } = await home()
    const db = openDatabase(join(path, 'log.db'))
    db.exec('ALTER TABLE entries RENAME TO rows; CREATE VIEW entries AS SELECT * FROM rows')
    db.close()
    const report = await verifyHome({ home: path, pins: null })
    expect(report.verdict).toBe('failed')
    expect(report.findings).toMatchObject([
      { code: rowOf('replace-table').finding, found: expect.stringContaining('view entries') },
    ])
    await expect(openLog({ home: path })).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect((await verifyHome({ home: path, pins })).origin).toBe(ORIGIN)
  })

  it('an emptied database is a roll-back, and nothing is written to it', async () => {
    const { home: path, pins } = await home()
    for (const name of ['log.db', 'log.db-wal', 'log.db-shm']) rmSync(join(path, name), { force: true })
    await openSqliteStore(join(path, 'log.db')).close()
    await expect(openLog({ home: path })).rejects.toMatchObject({ code: 'ERR_ROLLED_BACK' })
    expect(codesOf(await verifyHome({ home: path, pins }))).toEqual(['rolled_back', 'log_missing'])
  })

  it('the pin never goes back, and stays when a verification fails', async () => {
    const { home: path, pins } = await home()
    const before = readFileSync(pinFile(pins))
    cpSync(path, `${path}-old`, { recursive: true })
    const log = await openLog({ home: path })
    await log.record({ type: 'x.b', actor: { type: 'agent', id: 'a' } })
    await log.close()
    expect((await verifyHome({ home: path, pins })).verdict).toBe('verified')
    const after = readFileSync(pinFile(pins))
    expect(after.equals(before)).toBe(false)
    rmSync(path, { recursive: true })
    cpSync(`${path}-old`, path, { recursive: true })
    expect(codesOf(await verifyHome({ home: path, pins }))).toEqual(['rolled_back'])
    expect(readFileSync(pinFile(pins)).equals(after)).toBe(true)
  })

  it('a damaged pin is not made anew', async () => {
    const { home: path, pins } = await home()
    writeFileSync(pinFile(pins), '{')
    await expect(verifyHome({ home: path, pins })).rejects.toMatchObject({ code: 'ERR_PIN_CONFLICT' })
  })
})

function pinFile({ directory }: Pins): string {
  return join(directory, readdirSync(directory).find((name) => name.endsWith('.json'))!)
}
