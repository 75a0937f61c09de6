import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { bytesText, durationText } from '../src/cli/units.ts'
import { outcome, Sandbox } from './cli/kit.ts'

/** Contents and modes of all files; those that SQLite shares among readers come and go. */
function snapshot(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).filter((path) => !/-(wal|shm)$/.test(path))
  const read = (path: string) => `${statSync(path).mode} ${readFileSync(path).toString('base64')}`
  return Object.fromEntries(paths.toSorted().map((path) => [path, read(path)]))
}

const NUMBER = expect.any(Number)

describe.concurrent('indelible status', () => {
  it('says where the log stands, without keys and without a change', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(4, ['--origin', 'example.com/a', '--keys-dir', 'keys', '--epoch-seconds', '7200'])
    await box.indelible(['list'])
    await box.indelible(['record', '--type', 'x.a', '--actor', 'user:u'])
    renameSync(join(box.work, 'keys'), box.path('gone'))
    const before = snapshot(box.work)
    const { stdout, code, stderr } = await box.indelible(['status'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [title, ...lines] = stdout.trimEnd().split('\n')
    expect(title).toBe('example.com/a')
    const said = Object.fromEntries(lines.map((line) => line.trim().split(/ {2,}/)))
    expect(said).toEqual({
      home: box.home,
      store: expect.stringMatching(`^sqlite:log.db, [0-9]+ kB in ${box.home}/log.db$`),
      entries: expect.stringMatching(/^6, the last of 20.*Z \([0-9]+ s ago\)$/),
      checkpoint: expect.stringMatching(/^at 6, made [0-9]+ s ago$/),
      epoch: '0, of 7200 s each',
      index: 'at 5, 1 behind',
      pin: `at 1, 5 behind, in ${box.path('config')}/indelible/pins`,
      anchors: 'none: nobody else vouches for this log',
      writers: '0 alive',
      spool: 'nothing waits',
      disk: expect.stringMatching(/^[0-9.]+ [kMGTP]B free$/),
    })
    const json = JSON.parse((await box.indelible(['status', '--json'])).stdout)
    expect(json).toEqual({
      origin: 'example.com/a',
      home: box.home,
      store: { uri: 'sqlite:log.db', file: join(box.home, 'log.db'), bytes: NUMBER },
      entries: 6,
      last_entry: { time: expect.stringMatching(/^20.*Z$/), age_seconds: NUMBER },
      checkpoint: { size: 6, age_seconds: NUMBER },
      epoch: { log: 0, clock: 0, seconds: 7200 },
      index: { size: 5, behind: 1 },
      pin: { size: 1, behind: 5, directory: join(box.path('config'), 'indelible/pins') },
      anchors: [],
      writers: { alive: 0, killed: 0, elsewhere: 0 },
      spool: { waiting: 0 },
      warnings: [],
      disk: { free_bytes: NUMBER },
    })
    expect((await box.indelible(['status', '--line'])).stdout).toMatch(
      /^indelible example\.com\/a: 6 entries, last [0-9]+ s ago, checkpoint 6, index 1 behind, pin 5 behind\n$/,
    )
    expect(snapshot(box.work)).toEqual(before)
  })

  it('tells what is not there from what cannot be read', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(0, ['--origin', 'example.com/a'])
    const pins = box.path('config/indelible/pins')
    const [pin] = readdirSync(pins)
    const text = readFileSync(join(pins, pin!), 'utf8')
    rmSync(join(pins, pin!))
    expect((await box.indelible(['status', '--line'])).stdout).toContain('1 entry, last')
    expect((await box.indelible(['status', '--line'])).stdout).toMatch(/, no index, no pin\n$/)
    const missing = (await box.indelible(['status'])).stdout
    expect(missing).toContain('none yet: the first query makes it')
    expect(missing).toContain('none: indelible verify makes it')
    writeFileSync(join(pins, pin!), 'damaged')
    writeFileSync(
      join(box.home, 'index.db'),
      'no database at all, but longer than a header of one hundred bytes'.repeat(3),
    )
    const line = await box.indelible(['status', '--line'])
    expect(line).toMatchObject({ code: 0, stdout: expect.stringMatching(/, index unreadable, pin unreadable\n$/) })
    expect((await box.indelible(['status'])).stdout).toContain(`cannot be read: ${pins}/${pin} is damaged`)
    writeFileSync(join(pins, pin!), text.replace('"size":1', '"size":9'))
    expect((await box.indelible(['status', '--line'])).stdout).toMatch(/, pin 8 ahead\n$/)
    expect((await box.indelible(['status'])).stdout).toContain('at 9, 8 ahead of the log: run indelible verify')
    mkdirSync(join(box.home, 'spool'), { recursive: true })
    writeFileSync(join(box.home, 'spool/1'), '')
    expect((await box.indelible(['status'])).stdout).toContain('1 file waiting')
  })

  it('counts who has the log open, and who was killed', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const writer = box.start(['record'])
    const ended = outcome(writer)
    writer.stdin!.write('{"type":"x.a","actor":{"type":"user","id":"u"}}\n')
    const marks = () => (existsSync(join(box.home, 'writers')) ? readdirSync(join(box.home, 'writers')) : [])
    while (marks().length === 0 && writer.exitCode === null) await sleep(5)
    const writers = async () => JSON.parse((await box.indelible(['status', '--json'])).stdout).writers
    expect(await writers()).toEqual({ alive: 1, killed: 0, elsewhere: 0 })
    writer.kill('SIGKILL')
    await ended
    writeFileSync(join(box.home, 'writers', `1-00000000-00000000-1-1-00000000`), '')
    expect(await writers()).toEqual({ alive: 0, killed: 1, elsewhere: 1 })
    expect((await box.indelible(['status'])).stdout).toContain('0 alive, 1 killed, 1 of another host or container')
  })

  it.for([
    ['gone', (file: string) => rmSync(file), 'ERR_STORE_MISSING'],
    ['no database', (file: string) => writeFileSync(file, 'x'.repeat(5000)), 'ERR_STORE_CORRUPT'],
  ] as const)('ends with 3 if the store is %s', async ([, damage, code], test) => {
    const box = new Sandbox(test)
    await box.makeLog(0, ['--origin', 'example.com/a'])
    damage(join(box.home, 'log.db'))
    for (const args of [['status'], ['status', '--line']]) {
      const { stdout, ...rest } = await box.indelible(args)
      expect(rest).toMatchObject({ code: 3, stderr: '' })
      expect(stdout).toMatch(new RegExp(`^indelible example\\.com/a: cannot be read: .* \\(${code}\\)\\n$`))
    }
    const json = await box.indelible(['status', '--json'])
    expect(json.code).toBe(3)
    expect(JSON.parse(json.stdout)).toMatchObject({ origin: 'example.com/a', home: box.home, error: { code } })
  })

  it('ends with 3 where there is no log', async (test) => {
    const none = await new Sandbox(test).indelible(['status', '--line'])
    expect(none).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('(ERR_HOME_NOT_FOUND)') })
  })
})

describe('amounts', () => {
  it('are rounded to what a person takes in', () => {
    expect([0, 999, 1000, 1234, 65_536, 999_499, 999_600, 5e9, 4.2e13, 2e18].map(bytesText)).toEqual([
      '0 bytes',
      '999 bytes',
      '1.0 kB',
      '1.2 kB',
      '66 kB',
      '999 kB',
      '1.0 MB',
      '5.0 GB',
      '42 TB',
      '2000 PB',
    ])
    const times = [0, 3900, 119_000, 120_000, 7_200_000, 2 * 86_400_000, 800 * 86_400_000]
    expect(times.map(durationText)).toEqual(['0 s', '3 s', '119 s', '2 min', '2 h', '2 days', '2 years'])
  })
})
