import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Check } from '../src/cli/doctor-check.ts'
import { processToken } from '../src/keys/process.ts'
import { Clinic } from './cli/clinic.ts'
import { Sandbox } from './cli/kit.ts'

/** A process that is gone: no system hands out this pid. */
const GONE = processToken().replace(/^\d+/, '99999999')

describe.concurrent('indelible doctor, of the home,', () => {
  it('finds nothing wrong with a log as init makes it, and recommends another place for the keys', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(2)
    const { code, failures, warnings, checks, not_checked } = await box.diagnose()
    expect({ code, failures, warnings }).toEqual({ code: 0, failures: 0, warnings: 1 })
    const names = ['node', 'config', 'permissions', 'keys_folder', 'place', 'signing_key', 'writers', 'spool']
    const more = ['leftovers', 'database', 'wal', 'disk', 'clock', 'epochs', 'index', 'pin', 'anchors']
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

  it('ends with 3 where there is no log', async (test) => {
    const none = await new Sandbox(test).indelible(['doctor'])
    expect(none).toMatchObject({ code: 3, stderr: expect.stringContaining('(ERR_HOME_NOT_FOUND)') })
  })
})
