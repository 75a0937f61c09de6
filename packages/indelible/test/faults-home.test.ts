/** Homes that were copied, moved, restored, damaged, filled up or half made. */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { IndelibleError } from '../src/errors.ts'
import { FileKeys } from '../src/keys/file-keys.ts'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { type LogPin, Pins } from '../src/keys/pins.ts'
import { createLog, openLog, writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { formatVkey, parseVkey, SIGNATURE_ECDSA_P256 } from '../src/note/signed-note.ts'
import { DEFAULT_PRIVACY, PrivacyPolicy } from '../src/privacy/policy.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import {
  Child,
  EVENT,
  entriesOf,
  expectVerified,
  nextEpoch,
  numbered,
  openError,
  opened,
  recordAndClose,
  recoveredIn,
  rejection,
  sizeOf,
  temporaryFolder,
  testHome,
  testLog,
} from './faults-kit.ts'

describe('a home', () => {
  it('that was copied is refused until it is adopted, and the log says so', async () => {
    const made = await testHome()
    await recordAndClose(made.home)
    const copy = join(made.folder, 'copy')
    execFileSync('cp', ['-a', made.home, copy])
    expect(await openError(copy)).toMatchObject({ code: 'ERR_HOME_COPIED' })
    // An attempt to adopt that fails is none.
    renameSync(join(copy, 'log.db'), join(copy, 'aside'))
    expect(await openError(copy, { adopt: true })).toMatchObject({ code: 'ERR_STORE_MISSING' })
    renameSync(join(copy, 'aside'), join(copy, 'log.db'))
    expect(await openError(copy)).toMatchObject({ code: 'ERR_HOME_COPIED' })
    await openLog({ home: copy, adopt: true }).then((log) => log.close())
    const log = await opened(copy)
    expect(await recoveredIn(log)).toEqual(['adopted'])
    await log.close()
    // Not again where there is nothing to adopt.
    await openLog({ home: copy, adopt: true }).then((again) => again.close())
    expect(await recoveredIn(await opened(copy))).toEqual(['adopted'])
    await recordAndClose(made.home)
    await expectVerified({ ...made, home: copy })
  })

  it('that was moved is the same', async () => {
    const made = await testHome()
    const moved = join(made.folder, 'moved')
    renameSync(made.home, moved)
    await recordAndClose(moved)
    await expectVerified({ ...made, home: moved })
  })

  it('with an older ratchet goes on, says so, and erases the old key again', async () => {
    const made = await testHome({ epochSeconds: 1 })
    const state = join(made.home, 'keys', 'state.json')
    const old = readFileSync(state, 'utf8')
    await nextEpoch(made)
    await recordAndClose(made.home)
    writeFileSync(state, old)
    const oldKey = JSON.parse(old).key as string
    const log = await opened(made.home)
    expect(readFileSync(state, 'utf8')).not.toContain(oldKey)
    await log.record(EVENT)
    expect(await recoveredIn(log)).toEqual(['old_key_found'])
    await log.close()
    await expectVerified(made)
  })

  it('with an older keys folder from before a rotation is refused, and goes on with the right one', async () => {
    const made = await testHome()
    const keys = join(made.home, 'keys')
    const backup = join(made.folder, 'backup')
    execFileSync('cp', ['-a', keys, backup])
    const log = await opened(made.home)
    await log.rotateKey()
    await log.record(EVENT)
    await log.close()
    renameSync(keys, join(made.folder, 'right'))
    renameSync(backup, keys)
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_HOME_COPIED' })
    expect(await openError(made.home, { adopt: true })).toMatchObject({ code: 'ERR_HEAD_FORGED' })
    rmSync(keys, { recursive: true })
    renameSync(join(made.folder, 'right'), keys)
    await recordAndClose(made.home)
    await expectVerified(made)
  })

  it('with an older database is refused', async () => {
    const made = await testHome({ epochSeconds: 1 })
    await recordAndClose(made.home)
    const db = join(made.home, 'log.db')
    copyFileSync(db, join(made.folder, 'older'))
    await recordAndClose(made.home, 3)
    rmSync(`${db}-wal`, { force: true })
    rmSync(`${db}-shm`, { force: true })
    copyFileSync(join(made.folder, 'older'), db)
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_ROLLED_BACK' })
    expect(await verifyHome(made)).toMatchObject({ verdict: 'verified' })
    // Nor is an empty one taken for a beginning.
    truncateSync(db, 0)
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_ROLLED_BACK' })
  })

  it('whose log lacks the seals of epochs that its keys have left is refused', async () => {
    const made = await testLog()
    const ratchet = made.keys.ratchet()
    ratchet.advance(3)
    await made.keys.erase(ratchet)
    expect(await rejection(made.reopen())).toMatchObject({ code: 'ERR_ROLLED_BACK' })
  })

  it('without its database, or with that of a newer version or another program, is refused', async () => {
    const made = await testHome()
    const db = join(made.home, 'log.db')
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    const change = (sql: string) => {
      const connection = new DatabaseSync(db)
      connection.exec(sql)
      connection.close()
    }
    change('PRAGMA user_version = 99')
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_STORE_VERSION' })
    change('PRAGMA user_version = 1; PRAGMA application_id = 7')
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_STORE_VERSION' })
    writeFileSync(db, 'no database at all, but a text that is long enough to look at. '.repeat(100))
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    rmSync(db)
    expect(await openError(made.home)).toMatchObject({ code: 'ERR_STORE_MISSING' })
    expect(existsSync(db)).toBe(false)
  })

  it('whose database may not be written refuses to record, and goes on afterwards', async () => {
    const made = await testHome()
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', '65534:65534', made.folder])
    const child = new Child('readOnly', { home: made.home })
    await child.done()
    expect(child.lines).toEqual(['first 1', 'code ERR_STORE_READONLY', 'second 2'])
    if (process.getuid?.() === 0) execFileSync('chown', ['-R', '0:0', made.folder])
    await expectVerified(made)
  })
})

describe('a database that is locked', () => {
  it('by another program for too long is ERR_STORE_BUSY, and recording goes on afterwards', async () => {
    const made = await testHome()
    const db = join(made.home, 'log.db')
    const keys = new FileKeys(join(made.home, 'keys'))
    const privacy = new PrivacyPolicy(DEFAULT_PRIVACY, keys.origin, keys.fingerprint)
    const log = await Log.open({ store: openSqliteStore(db, { lockTimeoutMs: 50 }), keys, privacy })
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    const other = new DatabaseSync(db)
    other.exec('BEGIN IMMEDIATE')
    const event = numbered('waits')
    expect(await rejection(log.record(event))).toMatchObject({ code: 'ERR_STORE_BUSY' })
    expect(await sizeOf(log)).toBe(1)
    other.exec('ROLLBACK')
    other.close()
    expect(await log.record(event)).toMatchObject({ index: 1 })
    await log.close()
    await expectVerified(made)
  })
})

describe('a full disk', () => {
  it('by the size of the database: ERR_STORE_FULL, nothing lost, and room again', async () => {
    const made = await testHome()
    const keys = new FileKeys(join(made.home, 'keys'))
    const privacy = new PrivacyPolicy({ mode: 'full' }, keys.origin, keys.fingerprint)
    const db = join(made.home, 'log.db')
    const small = await Log.open({ store: openSqliteStore(db, { maxPages: 100 }), keys, privacy })
    const event = (n: number) => ({ ...numbered(`${n}`), parts: { output: { value: 'x'.repeat(3000) } } })
    const kept: string[] = []
    let refused: ReturnType<typeof event> | undefined
    for (let n = 0; refused === undefined; n++) {
      const next = event(n)
      await small.record(next).then(
        ({ id }) => kept.push(id),
        (error) => {
          expect(error).toMatchObject({ code: 'ERR_STORE_FULL' })
          refused = next
        },
      )
    }
    expect(kept.length).toBeGreaterThan(10)
    expect(await rejection(small.recordMany([event(-1), event(-2)]))).toMatchObject({ code: 'ERR_STORE_FULL' })
    for (const [i, id] of kept.entries()) expect((await small.read(id)).index).toBe(i + 1)
    await small.close()
    const log = await opened(made.home)
    expect(await log.record(refused!)).toMatchObject({ index: kept.length + 1 })
    await log.close()
    await expectVerified(made)
  })

  it('for all files of the process: a coded refusal, nothing lost, and room again', async () => {
    const made = await testHome({ epochSeconds: 1 })
    // Blocks of 512 bytes, whatever the shell: a file that would grow beyond gets EFBIG.
    const limited = ['sh', '-c', 'ulimit -S -f 2000; exec "$0" "$@"', process.execPath]
    const child = new Child('fill', { home: made.home }, limited)
    await child.heard('full')
    const codes = new Set(child.lines.filter((line) => line.startsWith('code ')).map((line) => line.slice(5)))
    // SQLite tells a file that may not grow from a disk that is full by the system's error number only.
    for (const code of codes) expect(['ERR_STORE_FULL', 'ERR_STORE_FAILED']).toContain(code)
    execFileSync('prlimit', ['--pid', String(child.process.pid), '--fsize=unlimited:'])
    child.say('room')
    await child.done()
    const got = child.lines.filter((line) => line.startsWith('got ')).map((line) => line.split(' '))
    expect(got.length).toBeGreaterThan(10)
    const log = await opened(made.home)
    for (const [, index, id] of got) expect((await log.read(Number(index))).record.id).toBe(id)
    await log.close()
    await expectVerified(made)
  })
})

describe('createLog', () => {
  it('overwrites nothing', async () => {
    const folder = temporaryFolder()
    const pins = new Pins(join(folder, 'pins'))
    const home = join(folder, 'home')
    mkdirSync(home)
    writeFileSync(join(home, 'mine'), 'mine')
    expect(await rejection(createLog({ home, pins }))).toMatchObject({ code: 'ERR_HOME_EXISTS' })
    expect(readFileSync(join(home, 'mine'), 'utf8')).toBe('mine')
    expect(await rejection(createLog({ home: join(home, 'mine'), pins }))).toMatchObject({ code: 'ERR_HOME_EXISTS' })
    rmSync(join(home, 'mine'))
    const keysDir = join(folder, 'keys')
    const { origin } = await createLog({ home, pins, keysDir })
    const keys = readFileSync(join(keysDir, 'state.json'), 'utf8')
    expect(await rejection(createLog({ home, pins, keysDir }))).toMatchObject({ code: 'ERR_HOME_EXISTS' })
    expect(await rejection(createLog({ home: join(folder, 'two'), pins, keysDir }))).toMatchObject({
      code: 'ERR_HOME_EXISTS',
    })
    expect(await rejection(createLog({ home: join(folder, 'two'), pins, origin }))).toMatchObject({
      code: 'ERR_PIN_CONFLICT',
    })
    expect(readFileSync(join(keysDir, 'state.json'), 'utf8')).toBe(keys)
    expect(readdirSync(folder).sort()).toEqual(['home', 'keys', 'pins'])
    await recordAndClose(home)
  })

  it('takes over the keys folder of one that was killed before its home stood, and no other', async () => {
    const made = await testHome()
    const keysDir = join(made.folder, 'keys')
    const gone = new Child('openOnly', { home: made.home })
    await gone.done()
    const writer = readdirSync(join(made.home, 'writers'))[0]!
    const left = (home: string) => {
      mkdirSync(keysDir, { recursive: true, mode: 0o700 })
      writeFileSync(join(keysDir, 'log.skey'), 'left behind', { mode: 0o600 })
      const unfinished = { home, process: writer.slice(0, writer.lastIndexOf('-')) }
      writeFileSync(join(keysDir, 'unfinished.json'), JSON.stringify(unfinished), { mode: 0o600 })
    }
    left(made.home)
    const again = { home: join(made.folder, 'two'), pins: made.pins, keysDir }
    expect(await rejection(createLog(again))).toMatchObject({ code: 'ERR_HOME_EXISTS' })
    left(again.home)
    await createLog(again)
    expect(readFileSync(join(keysDir, 'log.skey'), 'utf8')).not.toBe('left behind')
    expect(existsSync(join(keysDir, 'unfinished.json'))).toBe(false)
    await recordAndClose(again.home)
  })

  it('leaves nothing behind when the pin cannot be made', async () => {
    const folder = temporaryFolder()
    class Failing extends Pins {
      override async raise(_before: LogPin | null, _pin: LogPin): Promise<void> {
        throw new IndelibleError('ERR_STORE_FULL', 'made up')
      }
    }
    const options = { home: join(folder, 'home'), keysDir: join(folder, 'keys') }
    const failed = createLog({ ...options, pins: new Failing(join(folder, 'pins')) })
    expect(await rejection(failed)).toMatchObject({ code: 'ERR_STORE_FULL' })
    expect(readdirSync(folder)).toEqual([])
    await createLog({ ...options, pins: null })
    await recordAndClose(options.home)
  })

  it('shows K_0 before anything is in its place, and makes nothing if that fails', async () => {
    const folder = temporaryFolder()
    const options = { home: join(folder, 'home'), keysDir: join(folder, 'keys'), pins: new Pins(join(folder, 'pins')) }
    let seen: string[] = []
    const shown = createLog({
      ...options,
      show: () => {
        seen = readdirSync(folder)
        throw new IndelibleError('ERR_STORE_FULL', 'made up')
      },
    })
    expect(await rejection(shown)).toMatchObject({ code: 'ERR_STORE_FULL' })
    expect(seen.filter((name) => /^(home|keys|pins)$/.test(name))).toEqual([])
    expect(readdirSync(folder)).toEqual([])
    const keys: string[] = []
    const made = await createLog({ ...options, show: ({ macVerificationKey }) => void keys.push(macVerificationKey) })
    expect(keys).toEqual([made.macVerificationKey])
    await recordAndClose(options.home)
  })

  it('puts the first entry into epoch 0, however long the making took', async () => {
    const keys = new MemoryKeys('slow.example/log', { clock: { startMs: Date.now() - 5000, seconds: 1 } })
    const store = new MemoryStore()
    await writeFirstEntry(store, keys, formatVkey(keys.signer.key), 'default')
    expect((await store.head())!.epoch).toBe(0)
    const log = await Log.open({
      store,
      keys,
      privacy: new PrivacyPolicy(DEFAULT_PRIVACY, keys.origin, keys.fingerprint),
    })
    await log.record(EVENT)
    await log.close()
    const macKey = { origin: keys.origin, clock: keys.clock, key: keys.firstKey }
    expect(await verifyLog(store, { origin: keys.origin, keys: keys.trusted, macKey })).toMatchObject({ findings: [] })
  })
})

describe('a writer that was killed', () => {
  it('is noticed although its pid is in use again, and a live one is not', async () => {
    const made = await testHome()
    const log = await opened(made.home)
    const [mark] = readdirSync(join(made.home, 'writers'))
    // The same pid, an earlier process.
    const [pid, host, boot, space, , random] = mark!.split('-')
    writeFileSync(join(made.home, 'writers', [pid, host, boot, space, '1', random].join('-')), '')
    const second = await opened(made.home)
    await second.record(EVENT)
    expect(await recoveredIn(second)).toEqual(['unclean_shutdown'])
    await second.close()
    await log.close()
    expect(readdirSync(join(made.home, 'writers'))).toEqual([])
    expect(await recoveredIn(await opened(made.home))).toEqual(['unclean_shutdown'])
  })
})

describe('the fips profile', () => {
  it('signs with P-256 from end to end, also after a rotation', async () => {
    const made = await testHome({ profile: 'fips' })
    const type = (vkey: string) => parseVkey(vkey).type
    expect(type(made.vkey)).toBe(SIGNATURE_ECDSA_P256)
    const log = await opened(made.home)
    await log.record(EVENT)
    const vkey = await log.rotateKey()
    expect(type(vkey)).toBe(SIGNATURE_ECDSA_P256)
    expect(vkey).not.toBe(made.vkey)
    await log.record(EVENT)
    await log.close()
    await recordAndClose(made.home)
    const report = await expectVerified(made)
    expect(report.key).toBe(vkey)
  })
})

describe('verifyHome', () => {
  it('pins at first sight, rises with the log, and notices a roll-back', async () => {
    const folder = temporaryFolder()
    const home = join(folder, 'home')
    await createLog({ home, pins: null })
    const pins = new Pins(join(folder, 'pins'))
    const first = await verifyHome({ home, pins })
    expect(first.not_checked.join()).toContain('first sight')
    expect(pins.read(first.origin)).toMatchObject({ size: 1 })
    copyFileSync(join(home, 'log.db'), join(folder, 'older'))
    await recordAndClose(home, 5)
    expect(await verifyHome({ home, pins })).toMatchObject({ verdict: 'verified', size: 6 })
    expect(pins.read(first.origin)).toMatchObject({ size: 6 })
    copyFileSync(join(folder, 'older'), join(home, 'log.db'))
    const rolledBack = await verifyHome({ home, pins })
    expect(rolledBack).toMatchObject({ verdict: 'failed', findings: [{ code: 'rolled_back' }] })
    expect(pins.read(first.origin)).toMatchObject({ size: 6 })
    rmSync(home, { recursive: true })
    expect(await verifyHome({ home, pins })).toMatchObject({ verdict: 'failed' })
  })

  it('ends well for several verifiers at once, of a log that is being written', async () => {
    const folder = temporaryFolder()
    const home = join(folder, 'home')
    await createLog({ home, pins: null, epochSeconds: 1 })
    const pins = new Pins(join(folder, 'pins'))
    const log = await opened(home)
    let isOver = false
    const writing = (async () => {
      while (!isOver) await log.recordMany([EVENT, EVENT])
    })()
    for (let round = 0; round < 5; round++) {
      const reports = await Promise.all([1, 2, 3, 4].map(() => verifyHome({ home, pins })))
      for (const { verdict, findings } of reports) expect([verdict, findings]).toEqual(['verified', []])
      const { size } = pins.read(log.origin)!
      expect(size).toBe(Math.max(...reports.map((report) => report.size)))
    }
    isOver = true
    await writing
  })

  it('never lowers a pin that somebody else has raised', async () => {
    const made = await testHome()
    await recordAndClose(made.home, 3)
    await expectVerified(made)
    const { size } = made.pins.read(made.origin)!
    const entries = await entriesOf(await opened(made.home))
    expect(size).toBe(entries.length)
  })
})
