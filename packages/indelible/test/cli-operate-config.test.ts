import { readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { jsonLines, Sandbox } from './cli/kit.ts'

interface Line {
  readonly key: string
  readonly value: unknown
  readonly source: string
  readonly variable?: string
}

const configFile = (box: Sandbox) => JSON.parse(readFileSync(join(box.home, 'config.json'), 'utf8'))

const REFUSED = [
  ['privacy.mood', 'full', 'unknown key privacy.mood; did you mean privacy.mode?'],
  ['max_batch', '7', 'unknown key max_batch; did you mean log.max_batch?'],
  ['privacy', '{}', 'privacy is a section: set one of its keys'],
  [
    'privacy.mode',
    'some',
    'privacy.mode: Invalid option: expected one of "none"|"fingerprint"|"keys"|"preview"|"full"',
  ],
  [
    'privacy.parts.output',
    '1',
    'privacy.parts.output: Invalid option: expected one of "none"|"fingerprint"|"keys"|"preview"|"full"',
  ],
  ['privacy.parts.Out put', 'full', 'privacy.parts.Out put: Invalid string: must match pattern'],
  ['log.max_batch', '0', 'log.max_batch: Too small: expected number to be >=1'],
  ['log.max_batch', 'many', 'log.max_batch: Invalid input: expected number, received string'],
  ['log.origin', 'example.com/b', 'log.origin cannot change: it is the name of this log'],
  ['log.profile', 'fips', 'log.profile cannot change: it says with what this log was signed'],
  ['log.store', 'sqlite:other.db', 'log.store cannot change: it says where the entries of this log are'],
  ['keys.dir', 'elsewhere', 'keys.dir cannot change: the keys of this log are not there'],
] as const

describe.concurrent('indelible config', () => {
  it('says of every key what it is and where it comes from', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(0, ['--origin', 'example.com/a'])
    const env = { INDELIBLE_LOG__MAX_BATCH: '500', INDELIBLE_PRIVACY__PARTS: '{"output":"none","input":"full"}' }
    const { stdout, code } = await box.indelible(['config'], { env })
    expect(code).toBe(0)
    const rows = stdout.split('\n').map((line) => line.split(/ {2,}/))
    // Sections of later parts follow.
    expect(rows.filter(([key]) => /^(key|home|(log|keys|privacy\.(mode|parts))(\..*)?)$/.test(key!))).toEqual([
      ['key', 'value', 'source'],
      ['home', box.home, 'default'],
      ['log.origin', 'example.com/a', 'config.json'],
      ['log.store', 'sqlite:log.db', 'config.json'],
      ['log.profile', 'default', 'default'],
      ['log.max_batch', '500', 'environment INDELIBLE_LOG__MAX_BATCH'],
      ['log.max_pending_bytes', '268435456', 'default'],
      ['keys.dir', 'keys', 'default'],
      ['keys.host', 'not set', 'default'],
      ['privacy.mode', 'fingerprint', 'default'],
      ['privacy.parts.output', 'none', 'environment INDELIBLE_PRIVACY__PARTS'],
      ['privacy.parts.input', 'full', 'environment INDELIBLE_PRIVACY__PARTS'],
    ])
    const lines = jsonLines<Line>((await box.indelible(['config', '--json'], { env })).stdout)
    expect(lines).toHaveLength(rows.length - 2)
    expect(lines).toContainEqual({ key: 'keys.host', value: null, source: 'default' })
    expect(lines).toContainEqual({
      key: 'log.max_batch',
      value: 500,
      source: 'environment',
      variable: 'INDELIBLE_LOG__MAX_BATCH',
    })
  })

  it('answers for one key, one section, and for where the home comes from', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const ask = async (args: string[], options = {}) =>
      jsonLines<Line>((await box.indelible(['config', '--json', ...args], options)).stdout)
    expect(await ask(['privacy.mode'])).toEqual([{ key: 'privacy.mode', value: 'fingerprint', source: 'default' }])
    expect((await ask(['privacy'])).map(({ key }) => key)).toEqual(
      expect.arrayContaining(['privacy.mode', 'privacy.parts', 'privacy.rules', 'privacy.vault.dir']),
    )
    const home = { key: 'home', value: box.home }
    expect(await ask(['home', '--home', box.home], { cwd: box.folder })).toEqual([{ ...home, source: 'flag' }])
    const env = { INDELIBLE_HOME: box.home }
    expect(await ask(['home'], { cwd: box.folder, env })).toEqual([
      { ...home, source: 'environment', variable: 'INDELIBLE_HOME' },
    ])
    expect((await box.indelible(['config', 'home', '--home', box.home])).stdout).toContain('flag --home')
    const unknown = await box.indelible(['config', 'privacy.mood'])
    expect(unknown).toMatchObject({ code: 2, stdout: '' })
    expect(unknown.stderr).toContain('unknown key privacy.mood; did you mean privacy.mode? (ERR_CONFIG_INVALID)')
  })
})

describe.concurrent('indelible config set', () => {
  it('writes one key, leaves the others, and says what happens next', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(0, ['--origin', 'example.com/a'])
    const log = { origin: 'example.com/a', store: 'sqlite:log.db' }
    const said = await box.indelible(['config', 'set', 'privacy.mode', 'full'])
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(said.stdout).toBe(
      `privacy.mode is full in ${box.home}/config.json
  before: fingerprint
  next: it counts for whoever opens the log from now on; what has the log open keeps the old value until then
  the first of them states the change in the log, as audit.config.changed
`,
    )
    expect(configFile(box)).toEqual({ log, privacy: { mode: 'full' } })
    expect(statSync(join(box.home, 'config.json')).mode & 0o777).toBe(0o600)
    await box.indelible(['config', 'set', 'privacy.parts.output', 'none'])
    await box.indelible(['config', 'set', 'log.max_batch', '7'])
    await box.indelible(['config', 'set', 'keys.host', '1234'])
    const privacy = { mode: 'full', parts: { output: 'none' } }
    expect(configFile(box)).toEqual({ log: { ...log, max_batch: 7 }, privacy, keys: { host: '1234' } })
    const again = await box.indelible(['config', 'set', 'privacy.mode', 'full'])
    expect(again.stdout).toContain('nothing changes: it was full before')
    const { stdout } = await box.indelible(['config', 'set', 'privacy.parts', '{"a":"none","b":"full"}', '--json'])
    expect(JSON.parse(stdout)).toEqual({
      key: 'privacy.parts',
      before: { output: 'none' },
      value: { a: 'none', b: 'full' },
      path: join(box.home, 'config.json'),
      changed: true,
    })
  })

  it('says so when a variable counts instead', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const env = { INDELIBLE_PRIVACY__MODE: 'none' }
    const { stdout } = await box.indelible(['config', 'set', 'privacy.mode', 'full'], { env })
    expect(stdout).toContain('here INDELIBLE_PRIVACY__MODE counts: a variable goes before config.json')
    expect(configFile(box).privacy).toEqual({ mode: 'full' })
  })

  it('refuses what is unknown, bad, or of a log for life', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const before = readFileSync(join(box.home, 'config.json'))
    await Promise.all(
      REFUSED.map(async ([key, value, message]) => {
        const refused = await box.indelible(['config', 'set', key, value])
        expect(refused).toMatchObject({ code: 2, stdout: '' })
        expect(refused.stderr).toContain(message)
        expect(refused.stderr).toContain('(ERR_CONFIG_INVALID)')
      }),
    )
    expect(readFileSync(join(box.home, 'config.json'))).toEqual(before)
  })

  it('follows a keys folder that was moved', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(1)
    renameSync(join(box.home, 'keys'), box.path('moved'))
    expect((await box.indelible(['record'])).code).toBe(3)
    expect((await box.indelible(['config', 'set', 'keys.dir', box.path('moved')])).code).toBe(0)
    expect((await box.indelible(['record'])).code).toBe(0)
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('writes through a link, and of several at once loses none', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    renameSync(join(box.home, 'config.json'), box.path('linked.json'))
    symlinkSync(box.path('linked.json'), join(box.home, 'config.json'))
    const names = ['a', 'b', 'c', 'd']
    await Promise.all(names.map((name) => box.indelible(['config', 'set', `privacy.parts.${name}`, 'full'])))
    expect(Object.keys(JSON.parse(readFileSync(box.path('linked.json'), 'utf8')).privacy.parts).toSorted()).toEqual(
      names,
    )
  })
})

describe.concurrent('indelible config unset', () => {
  it('brings back the default, and takes out what nobody knows', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const made = configFile(box)
    await box.indelible(['config', 'set', 'privacy.mode', 'full'])
    const unset = await box.indelible(['config', 'unset', 'privacy.mode'])
    expect(unset.stdout).toContain(`privacy.mode is out of ${box.home}/config.json: fingerprint by default`)
    expect(unset.stdout).toContain('before: full')
    expect(configFile(box)).toEqual(made)

    writeFileSync(join(box.home, 'config.json'), JSON.stringify({ ...made, logg: { a: 1 }, keys: { dirr: 'x' } }))
    expect((await box.indelible(['record'])).stderr).toContain('did you mean')
    const first = await box.indelible(['config', 'unset', 'logg'])
    expect(first).toMatchObject({ code: 0 })
    expect(first.stdout).toContain('still wrong: ')
    expect((await box.indelible(['config', 'unset', 'keys.dirr'])).stdout).not.toContain('still wrong')
    expect(configFile(box)).toEqual(made)
    expect((await box.indelible(['record'])).code).toBe(0)
  })

  it('refuses what a log needs and what is not there', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    for (const key of ['log.origin', 'log']) {
      expect((await box.indelible(['config', 'unset', key])).stderr).toContain('log.origin cannot change')
    }
    expect((await box.indelible(['config', 'unset', 'no.such'])).stderr).toContain('unknown key no.such')
    const nothing = await box.indelible(['config', 'unset', 'keys.host'])
    expect(nothing).toMatchObject({ code: 0 })
    expect(nothing.stdout).toContain(`keys.host was not in ${box.home}/config.json`)
    rmSync(box.home, { recursive: true })
    expect(await box.indelible(['config', 'unset', 'keys.host'])).toMatchObject({ code: 3 })
  })
})
