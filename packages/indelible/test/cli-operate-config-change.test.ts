/** Every change of the effective configuration is an entry. */
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/config.ts'
import { withoutPassword } from '../src/config/sources.ts'
import { IndelibleError } from '../src/errors.ts'
import { recordConfigChange, writeAppliedConfig } from '../src/log/config-change.ts'
import type { Log } from '../src/log/log.ts'
import { jsonLines, Sandbox, someEvents } from './cli/kit.ts'

interface Listed {
  readonly index: number
  readonly entry: { readonly type: string; readonly actor: object; readonly audit: { readonly changed: object[] } }
}

class Changes extends Sandbox {
  readonly applied = join(this.home, 'applied-config.json')

  record(env: NodeJS.ProcessEnv = {}, events = 1) {
    return this.indelible(['record'], { input: someEvents(events), env })
  }

  /** Types of all entries. */
  async types(): Promise<string[]> {
    return (await this.list()).map(({ entry }) => entry.type)
  }

  async changes(): Promise<object[][]> {
    const entries = await this.list()
    return entries.filter(({ entry }) => entry.type === 'audit.config.changed').map(({ entry }) => entry.audit.changed)
  }

  async list(): Promise<Listed[]> {
    const { stdout } = await this.indelible(['list', '--json', '--oldest-first', '--limit', '1000'])
    return jsonLines<Listed>(stdout).filter(({ entry }) => entry !== undefined)
  }
}

describe.concurrent('audit.config.changed', () => {
  it('stands ahead of what is recorded under the new configuration, once', async (test) => {
    const box = new Changes(test)
    await box.makeLog(1)
    expect(statSync(box.applied).mode & 0o777).toBe(0o600)
    await box.indelible(['config', 'set', 'privacy.mode', 'full'])
    await box.indelible(['config', 'set', 'log.max_batch', '7'])
    expect(await box.types()).toEqual(['audit.opened', 'tool.end'])
    await box.record()
    await box.record()
    expect(await box.types()).toEqual(['audit.opened', 'tool.end', 'audit.config.changed', 'tool.end', 'tool.end'])
    const [, , stated] = await box.list()
    expect(stated!.entry).toMatchObject({ actor: { type: 'system', id: 'indelible' }, outcome: 'success' })
    expect(stated!.entry.audit).toEqual({
      changed: [
        { key: 'log.max_batch', from: 1000, to: 7 },
        { key: 'privacy.mode', from: 'fingerprint', to: 'full' },
      ],
    })
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('is of the environment too, from init on, and of what a map gains and loses', async (test) => {
    const box = new Changes(test)
    await box.indelible(['init'], { env: { INDELIBLE_PRIVACY__MODE: 'full' } })
    const env = { INDELIBLE_PRIVACY__PARTS: '{"output":"none"}' }
    await box.record(env)
    await box.record(env)
    await box.record()
    expect(await box.changes()).toEqual([
      [{ key: 'privacy.parts.output', from: null, to: 'none' }],
      [{ key: 'privacy.parts.output', from: 'none', to: null }],
    ])
    await box.record({ INDELIBLE_PRIVACY__MODE: 'full' })
    expect((await box.changes())[2]).toEqual([{ key: 'privacy.mode', from: 'fingerprint', to: 'full' }])
  })

  it('names all keys where nothing is known any more', async (test) => {
    const box = new Changes(test)
    await box.makeLog(0, ['--origin', 'example.com/a'])
    rmSync(box.applied)
    await box.record()
    const all = [
      { key: 'keys.dir', from: null, to: 'keys' },
      { key: 'log.max_batch', from: null, to: 1000 },
      { key: 'log.max_pending_bytes', from: null, to: 268_435_456 },
      { key: 'log.origin', from: null, to: 'example.com/a' },
      { key: 'log.profile', from: null, to: 'default' },
      { key: 'log.store', from: null, to: 'sqlite:log.db' },
      { key: 'privacy.mode', from: null, to: 'fingerprint' },
    ]
    const [first, ...more] = await box.changes()
    expect(more).toEqual([])
    expect((first as { key: string }[]).filter(({ key }) => /^(log|keys)\.|^privacy\.mode$/.test(key))).toEqual(all)
    // Neither damage nor malice keeps the log from being opened.
    const deep = `${'['.repeat(1000)}${']'.repeat(1000)}`
    for (const text of [
      '',
      'null',
      '[1]',
      `{"log.origin":"\\ud800","a":1e999,"b":${deep},"c":"${'x'.repeat(70_000)}"}`,
    ]) {
      writeFileSync(box.applied, text)
      expect((await box.record()).code).toBe(0)
    }
    const changes = await box.changes()
    expect(changes).toHaveLength(5)
    for (const one of changes) expect(one).toEqual(expect.arrayContaining(all))
    expect((await box.indelible(['verify'])).code).toBe(0)
  })

  it('is recorded by one of several that come with the same change', async (test) => {
    const box = new Changes(test)
    await box.makeLog()
    const env = { INDELIBLE_PRIVACY__MODE: 'full' }
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => box.record(env)))
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    expect((await box.types()).toSorted()).toEqual([
      'audit.config.changed',
      'audit.opened',
      ...Array(4).fill('tool.end'),
    ])
    expect((await box.types())[1]).toBe('audit.config.changed')
  })

  it('comes twice after a crash between entry and file, and never not at all', async (test) => {
    const box = new Changes(test)
    await box.makeLog()
    const env = { INDELIBLE_PRIVACY__MODE: 'full' }
    copyFileSync(box.applied, box.path('before'))
    await box.record(env)
    copyFileSync(box.path('before'), box.applied)
    await box.record(env)
    const change = [{ key: 'privacy.mode', from: 'fingerprint', to: 'full' }]
    expect(await box.changes()).toEqual([change, change])
  })

  it('of many keys fills several entries', async (test) => {
    const box = new Changes(test)
    await box.makeLog()
    const names = Array.from({ length: 200 }, (_, i) => `${'long_name_'.repeat(5)}${i}`)
    const parts = Object.fromEntries(names.map((name) => [name, 'none']))
    expect((await box.record({ INDELIBLE_PRIVACY__PARTS: JSON.stringify(parts) })).code).toBe(0)
    expect((await box.changes()).map((changed) => changed.length)).toEqual([64, 64, 64, 8])
  })
})

describe.concurrent('what is applied', () => {
  const config = (mode: string) => parseConfig({ log: { origin: 'example.com/a' }, privacy: { mode } }, (key) => key)

  it('is written once the entry is in the log, and not before', async (test) => {
    const box = new Changes(test)
    await box.makeLog()
    writeAppliedConfig(box.home, config('fingerprint'))
    const before = readFileSync(box.applied, 'utf8')
    const seen: string[] = []
    const log = (outcome: () => Promise<unknown>) =>
      ({
        noticeConfigChange() {
          seen.push(readFileSync(box.applied, 'utf8'))
          return outcome()
        },
      }) as unknown as Log
    const full = () => Promise.reject(new IndelibleError('ERR_STORE_FULL', 'full'))
    await recordConfigChange(box.home, config('full'), log(full))
    expect(readFileSync(box.applied, 'utf8')).toBe(before)
    await recordConfigChange(
      box.home,
      config('full'),
      log(() => Promise.resolve()),
    )
    expect(JSON.parse(readFileSync(box.applied, 'utf8'))['privacy.mode']).toBe('full')
    expect(seen).toEqual([before, before])
    await recordConfigChange(
      box.home,
      config('full'),
      log(() => Promise.reject(new Error('asked for nothing'))),
    )
  })

  it('never takes a password into an entry', () => {
    expect(withoutPassword('postgres://user:se:c@ret@host/db?password=x&a=b')).toBe(
      'postgres://user:***@host/db?password=***&a=b',
    )
    expect(withoutPassword('sqlite:/a:b@c/log.db')).toBe('sqlite:/a:b@c/log.db')
    expect(withoutPassword(7)).toBe(7)
  })
})
