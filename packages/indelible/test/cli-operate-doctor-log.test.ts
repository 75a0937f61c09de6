import {
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
import { Clinic } from './cli/clinic.ts'

describe.concurrent('indelible doctor, of the log,', () => {
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

  it('goes on where the database, the keys or the index cannot be read', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    const index = join(box.home, 'index.db')
    writeFileSync(index, 'x'.repeat(5000), { mode: 0o600 })
    const [complaint] = await box.complaints()
    expect(complaint).toMatchObject({ check: 'index', state: 'failure' })
    // What is derived is made anew by the next question.
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
})
