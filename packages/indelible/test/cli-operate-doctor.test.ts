import {
  chmodSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import type { Check } from '../src/cli/doctor-check.ts'
import { processToken } from '../src/keys/process.ts'
import { type RunOptions, Sandbox } from './cli/kit.ts'

interface Diagnosis {
  readonly failures: number
  readonly warnings: number
  readonly checks: readonly Check[]
  readonly not_checked: readonly string[]
}

/** A process that is gone: no system hands out this pid. */
const GONE = processToken().replace(/^\d+/, '99999999')

class Clinic extends Sandbox {
  readonly keys = join(this.home, 'keys')
  readonly pins = this.path('config/indelible/pins')

  async diagnose(args: string[] = [], options: RunOptions = {}): Promise<Diagnosis & { readonly code: number | null }> {
    const { stdout, code, stderr } = await this.indelible(['doctor', '--json', ...args], options)
    expect(stderr).toBe('')
    return { ...JSON.parse(stdout), code }
  }

  /** What is not ok, but for the keys that stand where `init` puts them. */
  async complaints(args: string[] = [], options: RunOptions = {}): Promise<Check[]> {
    const { checks } = await this.diagnose(args, options)
    return checks.filter(({ state, check }) => state !== 'ok' && check !== 'keys_folder')
  }

  editState(change: (state: Record<string, number>) => object): void {
    const path = join(this.keys, 'state.json')
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))))
  }

  get pin(): string {
    return join(this.pins, readdirSync(this.pins)[0]!)
  }
}

describe.concurrent('indelible doctor', () => {
  it('finds nothing wrong with a log as init makes it, and recommends another place for the keys', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(2)
    const { code, failures, warnings, checks, not_checked } = await box.diagnose()
    expect({ code, failures, warnings }).toEqual({ code: 0, failures: 0, warnings: 1 })
    const names = ['node', 'config', 'permissions', 'keys_folder', 'place', 'signing_key', 'writers', 'spool']
    const more = ['leftovers', 'database', 'wal', 'disk', 'clock', 'epochs', 'index', 'pin']
    expect(checks.map(({ check }) => check)).toEqual([...names, ...more])
    expect(checks.find(({ state }) => state === 'warning')).toMatchObject({
      check: 'keys_folder',
      action: expect.stringContaining('leave it out of backups; better,'),
    })
    expect(not_checked).toEqual([expect.stringContaining('is for indelible verify to say')])

    const { stdout, code: textCode } = await box.indelible(['doctor'])
    expect(textCode).toBe(0)
    expect(stdout).toMatch(/^ok {7}node {9}Node /)
    expect(stdout).toMatch(/\nwarning {2}keys_folder {2}.*\n {22}to do: leave it out/)
    expect(stdout).toMatch(/\n0 failures, 1 warning\nnot checked: the log itself: .*\n$/)
  })

  it('has nothing to recommend where the keys are elsewhere', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(0, ['--keys-dir', '../elsewhere'])
    const { checks, warnings } = await box.diagnose(['--deep'])
    expect(warnings).toBe(0)
    const { message } = checks.find(({ check }) => check === 'keys_folder')!
    expect(message).toContain('keep it out of the backups that have the database')
    expect(checks.map(({ check }) => check)).toContain('database_file')
  })

  it('names modes by which others get at the log or at its keys, and how to change them', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    const modes = {
      keys: 0o755,
      'keys/ids.key': 0o604,
      'log.db': 0o640,
      'config.json': 0o666,
      '.': 0o711,
      'log.vkey': 0o644,
    }
    for (const [name, mode] of Object.entries(modes)) chmodSync(join(box.home, name), mode)
    chmodSync(box.pins, 0o777)
    const { checks, code } = await box.diagnose()
    expect(code).toBe(1)
    const found = checks.filter(({ check }) => check === 'permissions')
    expect(found.map(({ state, message }) => [state, message])).toEqual([
      ['failure', `${box.keys} has mode 755: others may use the keys`],
      ['failure', `${box.keys}/ids.key has mode 604: others may use the keys`],
      ['failure', `${box.home}/config.json has mode 666: others may write it`],
      ['failure', `${box.pins} has mode 777: others may write it`],
      ['warning', `${box.home} has mode 711: others may read it`],
      ['warning', `${box.home}/log.db has mode 640: others may read it`],
    ])
    const follow = async (complaints: readonly Check[]) => {
      for (const { action } of complaints) await box.run('bash', ['-c', action!.replace(/,.*/, '')])
    }
    await follow(found)
    // SQLite may have made its files with the mode that the database had.
    await follow(await box.complaints())
    expect(await box.complaints()).toEqual([])
  })

  it('refuses to call a copy, or another log in its place, well', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1, ['--origin', 'example.com/a'])
    await box.run('cp', ['-a', box.home, box.path('copy')])
    expect(await box.complaints(['--home', box.path('copy')])).toEqual([
      expect.objectContaining({ check: 'place', state: 'failure', action: expect.stringContaining('--adopt') }),
    ])
    const config = join(box.home, 'config.json')
    writeFileSync(config, readFileSync(config, 'utf8').replace('example.com/a', 'example.com/b'))
    const complaints = await box.complaints()
    expect(complaints.map(({ check, state }) => [check, state])).toEqual([
      ['place', 'failure'],
      ['pin', 'failure'],
    ])
    expect(complaints[0]!.message).toBe('keys are of example.com/a, the configuration says example.com/b')
    expect(complaints[1]!.message).toBe('the log that was seen here before is example.com/a')
  })

  it('names an unknown key, and variables that nobody reads', async (test) => {
    const box = new Clinic(test)
    await box.makeLog()
    const env = { INDELIBLE_PRIVACY_MODE: 'full', INDELIBLE_HOME: box.home }
    expect(await box.complaints([], { env })).toEqual([
      expect.objectContaining({
        check: 'config',
        state: 'warning',
        message: expect.stringContaining('INDELIBLE_PRIVACY_MODE'),
      }),
    ])
    const config = join(box.home, 'config.json')
    writeFileSync(config, readFileSync(config, 'utf8').replace('"store"', '"stoer"'))
    const { code, checks } = await box.diagnose()
    expect(code).toBe(1)
    expect(checks.map(({ check, state }) => [check, state])).toEqual([
      ['node', 'ok'],
      ['config', 'failure'],
    ])
    expect(checks[1]!.message).toContain('unknown key log.stoer; did you mean log.store?')
  })

  it('sees clocks that stand wrong, seals that are overdue, and an old key', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(0, ['--epoch-seconds', '60'])
    box.editState((state) => ({ ...state, epoch_start_ms: state.epoch_start_ms! - 600_000 }))
    utimesSync(join(box.keys, 'log.skey'), new Date(), Date.now() / 1000 - 366 * 86_400)
    box.tamper(`UPDATE head SET observed = '2999-01-01T00:00:00.000Z'`)
    const late = await box.complaints()
    expect(late.map(({ check, state }) => [check, state])).toEqual([
      ['signing_key', 'warning'],
      ['clock', 'warning'],
      ['epochs', 'warning'],
    ])
    expect(late[0]).toMatchObject({ message: 'in use for 366 days, more than a year', action: 'indelible keys rotate' })
    expect(late[1]!.message).toMatch(/^the last entry is of 2999-.* years in the future/)
    expect(late[2]!.message).toMatch(/^1[0-9] epochs have ended since epoch 0 and are not sealed/)
    box.editState((state) => ({ ...state, epoch_start_ms: Date.now() + 7_300_000, epoch: 9 }))
    const early = await box.complaints()
    expect(early.map(({ check, state }) => [check, state])).toEqual([
      ['signing_key', 'warning'],
      ['clock', 'failure'],
      ['epochs', 'failure'],
    ])
    expect(early[1]!.message).toBe('the system clock is 2 h before the log was made')
    expect(early[2]!.message).toBe('keys are in epoch 9, the log in 0: seals were rolled back or cut off')
  })

  it('fails a log that was rolled back, as its pin and its signer know', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    copyFileSync(join(box.home, 'log.db'), box.path('before'))
    await box.indelible(['record', '--type', 'x.a', '--actor', 'user:u'])
    await box.indelible(['list'])
    await box.indelible(['verify'])
    expect(await box.complaints()).toEqual([])
    for (const suffix of ['-wal', '-shm']) rmSync(join(box.home, `log.db${suffix}`), { force: true })
    copyFileSync(box.path('before'), join(box.home, 'log.db'))
    const { code } = await box.diagnose()
    expect(code).toBe(1)
    expect(
      (await box.complaints()).map(({ check, state, message, action }) => [check, state, message, action]),
    ).toEqual([
      [
        'signer',
        'failure',
        'the log has 2 entries, and its signer has signed 3: it was rolled back',
        'run indelible verify',
      ],
      ['index', 'warning', 'it has seen 3 entries, the log has 2', 'indelible index rebuild'],
      [
        'pin',
        'failure',
        'the log has 2 entries, and 3 were accepted before: it was rolled back',
        'run indelible verify',
      ],
    ])
  })

  it('tells a missing pin, a damaged one, and one of another log of that size', async (test) => {
    const box = new Clinic(test)
    await box.makeLog()
    const text = readFileSync(box.pin, 'utf8')
    const pinned = async (content: string | null) => {
      if (content === null) rmSync(box.pin)
      else writeFileSync(existsSync(box.pins) && readdirSync(box.pins).length > 0 ? box.pin : box.path('pin'), content)
      const [complaint, ...others] = await box.complaints()
      expect(others).toEqual([])
      return complaint
    }
    const root = /"root":"(.)/.exec(text)![1]!
    expect(await pinned(text.replace(`"root":"${root}`, `"root":"${root === 'A' ? 'B' : 'A'}`))).toMatchObject({
      check: 'pin',
      state: 'failure',
      message: 'the log is another one than the 1 entries that were accepted before',
    })
    expect(await pinned('damaged')).toMatchObject({
      check: 'pin',
      state: 'failure',
      message: expect.stringContaining('is damaged'),
    })
    expect(await pinned(null)).toMatchObject({ check: 'pin', state: 'warning', action: 'run indelible verify' })
  })

  it('lists what processes that are gone have left, and what they have not', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    const left = {
      [`${box.home}.init-${GONE}-0123abcd`]: 'and holds keys',
      [join(box.home, `config.json.${GONE}.0123abcd.tmp`)]: 'of a process that was killed',
      [join(box.keys, `state.json.${GONE}.0123abcd.tmp`)]: 'of a process that was killed',
      [join(box.keys, 'lock')]: 'of a process that was killed',
      [`${box.pin}.lock`]: 'of a process that was killed',
    }
    const pinLock = `${box.pin}.lock`
    for (const path of Object.keys(left)) writeFileSync(path, GONE)
    writeFileSync(join(box.home, `config.json.${processToken()}.0123abcd.tmp`), '')
    writeFileSync(join(box.home, 'applied-config.json.lock'), processToken())
    writeFileSync(join(box.home, 'writers', `${GONE}-0123abcd`), '')
    writeFileSync(join(box.home, 'spool/waiting'), '')
    for (const path of Object.keys(left)) chmodSync(path, 0o600)
    const complaints = await box.complaints()
    expect(complaints.map(({ check, state }) => `${check} ${state}`).toSorted()).toEqual([
      ...Array(5).fill('leftovers warning'),
      'spool warning',
      'writers warning',
    ])
    for (const [path, why] of Object.entries(left)) {
      const found = complaints.find(({ message }) => message.startsWith(`${path} `))
      expect(found).toMatchObject({
        message: expect.stringContaining(why),
        action: expect.stringMatching(`^rm .*${path}$`),
      })
    }
    expect(existsSync(pinLock)).toBe(true)
  })

  it('goes on where the database, the keys or the index cannot be read', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    const index = join(box.home, 'index.db')
    writeFileSync(index, 'x'.repeat(5000), { mode: 0o600 })
    expect((await box.indelible(['list'])).code).not.toBe(0)
    const [complaint] = await box.complaints()
    expect(complaint).toMatchObject({ check: 'index', state: 'failure' })
    await box.run('bash', ['-c', complaint!.action!.replace(/;.*/, '')])
    expect((await box.indelible(['list'])).code).toBe(0)
    expect(await box.complaints()).toEqual([])

    const db = new DatabaseSync(join(box.home, 'log.db'))
    db.exec('PRAGMA user_version = 99')
    db.close()
    renameSync(box.keys, box.path('keys'))
    const { code, checks } = await box.diagnose()
    expect(code).toBe(1)
    const failures = checks.filter(({ state }) => state === 'failure')
    expect(failures.map(({ check, message }) => [check, /ERR_\w+|ENOENT/.exec(message)?.[0]])).toEqual([
      ['keys_folder', 'ENOENT'],
      ['place', 'ERR_HOME_NOT_FOUND'],
      ['signing_key', 'ENOENT'],
      ['database', 'ERR_STORE_VERSION'],
    ])
    rmSync(join(box.home, 'log.db'))
    expect((await box.complaints()).map(({ message }) => message)).toContainEqual(
      expect.stringContaining('(ERR_STORE_MISSING)'),
    )
  })

  it('has SQLite read the files only with --deep, and warns of a large write-ahead log', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(300)
    await box.indelible(['list'])
    const whole = await box.diagnose(['--deep'])
    expect(whole.checks.slice(-2).map(({ check, state }) => [check, state])).toEqual([
      ['database_file', 'ok'],
      ['index_file', 'ok'],
    ])
    for (const suffix of ['-wal', '-shm']) rmSync(join(box.home, `log.db${suffix}`), { force: true })
    const db = new DatabaseSync(join(box.home, 'log.db'))
    const { rootpage } = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'payloads'").get() as {
      rootpage: number
    }
    db.close()
    const fd = openSync(join(box.home, 'log.db'), 'r+')
    writeSync(fd, Buffer.alloc(4096, 0x0d), 0, 4096, (rootpage - 1) * 4096)
    const [damaged, ...others] = await box.complaints(['--deep'])
    expect(others).toEqual([])
    expect(damaged).toMatchObject({ check: 'database_file', state: 'failure' })
    expect(await box.complaints()).toEqual([])
    writeFileSync(join(box.home, 'log.db-wal'), '', { mode: 0o600 })
    truncateSync(join(box.home, 'log.db-wal'), 65 * 1024 * 1024)
    expect(await box.complaints()).toEqual([
      expect.objectContaining({ check: 'wal', state: 'warning', message: expect.stringContaining('68 MB') }),
    ])
  })

  it('ends with 3 where there is no log', async (test) => {
    const none = await new Sandbox(test).indelible(['doctor'])
    expect(none).toMatchObject({ code: 3, stderr: expect.stringContaining('(ERR_HOME_NOT_FOUND)') })
  })
})
