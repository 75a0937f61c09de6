import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Config, configKeys, loadConfig } from './config.ts'

function homeWith(text: unknown): string {
  const home = mkdtempSync(join(tmpdir(), 'indelible-config-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'config.json'), typeof text === 'string' ? text : JSON.stringify(text))
  return home
}

const MINIMAL = { log: { origin: 'a.example/log' } }

function load(text: unknown, env: NodeJS.ProcessEnv = {}): Config {
  return loadConfig(homeWith(text), env)
}

function message(text: unknown, env: NodeJS.ProcessEnv = {}): string {
  const home = homeWith(text)
  try {
    loadConfig(home, env)
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    return (error as Error).message.replace(home, 'HOME')
  }
  throw new Error('was accepted')
}

describe('configuration', () => {
  it('has defaults for all but the origin', () => {
    expect(load(MINIMAL)).toMatchObject({
      log: { store: 'sqlite:log.db', profile: 'default', max_batch: 1000 },
      keys: { dir: 'keys' },
      privacy: { mode: 'fingerprint', parts: {} },
    })
    expect(message({})).toMatch(/^HOME\/config\.json: log: /)
  })

  it('names the nearest key for one that it does not know', () => {
    const wrong: [unknown, string][] = [
      [{ ...MINIMAL, kesy: {} }, 'HOME/config.json: unknown key kesy; did you mean keys?'],
      [
        { log: { ...MINIMAL.log, max_bacth: 3 } },
        'HOME/config.json: unknown key log.max_bacth; did you mean log.max_batch?',
      ],
      [
        { ...MINIMAL, privacy: { modes: 'full' } },
        'HOME/config.json: unknown key privacy.modes; did you mean privacy.mode?',
      ],
    ]
    for (const [text, expected] of wrong) expect(message(text)).toBe(expected)
    expect(configKeys()).toEqual(expect.arrayContaining(['log', 'log.origin', 'keys.dir', 'privacy.parts']))
  })

  it('says where a bad value stands', () => {
    expect(message({ log: { ...MINIMAL.log, max_batch: 0 } })).toMatch(/^HOME\/config\.json: log\.max_batch: /)
    expect(message({ ...MINIMAL, privacy: { mode: 'secret' } })).toMatch(/^HOME\/config\.json: privacy\.mode: /)
    expect(message({ ...MINIMAL, privacy: { parts: { 'Bad Name': 'full' } } })).toMatch(/privacy\.parts/)
    expect(message(MINIMAL, { INDELIBLE_LOG__MAX_BATCH: 'many' })).toMatch(
      /^INDELIBLE_LOG__MAX_BATCH: log\.max_batch: /,
    )
    expect(message(MINIMAL, { INDELIBLE_LOG__ORIGN: 'x' })).toBe(
      'INDELIBLE_LOG__ORIGN: unknown key log.orign; did you mean log.origin?',
    )
    expect(message(MINIMAL, { INDELIBLE_LOGG__ORIGIN: 'x' })).toBe(
      'INDELIBLE_LOGG__ORIGIN: unknown key logg; did you mean log?',
    )
  })

  it('takes the environment over the file', () => {
    const file = { log: { ...MINIMAL.log, max_batch: 5 }, privacy: { mode: 'none' } }
    const env = {
      INDELIBLE_LOG__MAX_BATCH: '7',
      INDELIBLE_PRIVACY__MODE: 'full',
      INDELIBLE_PRIVACY__PARTS: '{"output":"none"}',
      INDELIBLE_HOME: '/elsewhere',
      OTHER__THING: '1',
    }
    expect(load(file, env)).toMatchObject({
      log: { origin: 'a.example/log', max_batch: 7 },
      privacy: { mode: 'full', parts: { output: 'none' } },
    })
  })

  it('takes a text from the environment as it is, although it looks like a number', () => {
    const env = { INDELIBLE_KEYS__HOST: '1234', INDELIBLE_KEYS__DIR: 'true', INDELIBLE_LOG__ORIGIN: 'null' }
    expect(load(MINIMAL, env)).toMatchObject({ keys: { host: '1234', dir: 'true' }, log: { origin: 'null' } })
  })

  it('is JSON, once', () => {
    for (const text of ['', '{', '[]', 'null', '"x"', '{"log":{"origin":"a"},"log":{"origin":"b"}}']) {
      expect(message(text)).toMatch(/^HOME\/config\.json/)
    }
  })

  it('is of a home', () => {
    expect(() => loadConfig(join(homeWith(MINIMAL), 'nowhere'), {})).toThrow(
      expect.objectContaining({ code: 'ERR_HOME_NOT_FOUND' }),
    )
  })
})
