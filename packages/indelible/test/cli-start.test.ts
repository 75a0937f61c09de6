import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { VERSION } from '../src/version.ts'
import { BIN, findProgram, Sandbox, someEvents } from './cli/kit.ts'

const MAIN = pathToFileURL(BIN.replace('bin/indelible.js', 'dist/cli/main.js')).href

/** A Node that is too old, if this machine has one. */
function oldNode(): { path: string; version: string } | undefined {
  const path = findProgram('/usr/bin/node', '/usr/local/bin/node')
  if (path === undefined) return undefined
  const version = execFileSync('/usr/bin/env', ['-i', path, '-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < 22 || (major === 22 && minor < 18) ? { path, version } : undefined
}

describe.concurrent('bin/indelible.js', () => {
  it('says what is needed on an old Node, and ends with 2', async (test) => {
    const old = oldNode()
    test.skip(old === undefined, 'no Node older than 22.18 here')
    const box = new Sandbox(test)
    const { code, stdout, stderr } = await box.run('/usr/bin/env', ['-i', old!.path, BIN, '--version'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(`indelible needs Node 22.18 or newer; this is Node ${old!.version} (${old!.path})`)
  })

  it('is plain ES2015 but for import()', () => {
    const source = readFileSync(BIN, 'utf8')
    expect(source).not.toMatch(/^\s*(import|export)\s|\bawait\b|\?\.|\?\?/m)
  })

  it('prints its version', async (test) => {
    expect(await new Sandbox(test).indelible(['--version'])).toMatchObject({
      code: 0,
      stdout: `${VERSION}\n`,
      stderr: '',
    })
  })

  it('works through npx, as the README says', async (test) => {
    const box = new Sandbox(test)
    const { code, stdout } = await box.run('npx', ['--no-install', 'indelible', '--version'], {
      cwd: join(BIN, '../../../..'),
    })
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${VERSION}\n` })
  })
})

describe.concurrent('help', () => {
  const ours = ['init', 'record', 'show', 'verify', 'prove', 'check', 'checkpoint', 'keys', 'keys show', 'keys rotate']

  it('of every command, and of commands in commands, has an example', { timeout: 30_000 }, async (test) => {
    const box = new Sandbox(test)
    const found: string[] = []
    const visit = async (command: string): Promise<void> => {
      const { code, stdout } = await box.indelible([...command.split(' ').filter(Boolean), '--help'])
      expect(code, command).toBe(0)
      expect(stdout, command).toMatch(new RegExp(`\nExamples?:\n(.*\n)*  \\$ .*indelible( [^|]*)? ?${command}`))
      expect(stdout).not.toMatch(/tamper-proof/i)
      const [, list = ''] = /\nCommands:\n((?: .*\n)+)/.exec(stdout) ?? []
      const names = [...list.matchAll(/^ {2}([a-z]+(?:-[a-z]+)*)/gm)]
        .map((match) => match[1]!)
        .filter((name) => name !== 'help')
      found.push(...names.map((name) => `${command} ${name}`.trim()))
      await Promise.all(names.map((name) => visit(`${command} ${name}`.trim())))
    }
    await visit('')
    expect(found).toEqual(expect.arrayContaining(ours))
  })
})

describe.concurrent('output', () => {
  it('has colours on a terminal only, and not under NO_COLOR', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const plain = await box.indelible(['verify'])
    expect(plain.stdout).toMatch(/^verified: /)
    const forced = await box.indelible(['verify'], { env: { FORCE_COLOR: '1' } })
    expect(forced.stdout).toMatch(/^\u001b\[32mverified/)
    const not = await box.indelible(['verify'], { env: { NO_COLOR: '1' } })
    expect(not.stdout).toMatch(/^verified: /)
  })

  it('survives a reader that goes away', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const { stdout, stderr } = await box.run('bash', ['-c', 'indelible verify | true; echo "$PIPESTATUS"'])
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' })
  })

  it('never prints a stack for an error of ours, and one for a bug only where asked', async (test) => {
    const box = new Sandbox(test)
    expect((await box.indelible(['verify'])).stderr.split('\n')).toHaveLength(2)
    expect((await box.indelible(['verify'], { env: { DEBUG: '1' } })).stderr).toMatch(/\n {4}at /)
  })
})

describe.concurrent('start-up', () => {
  it('loads no store to check a proof', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(2)
    await box.indelible(['prove', '1'])
    const program = `
      const { main } = await import(${JSON.stringify(MAIN)})
      await main([...process.argv.slice(0, 1), 'indelible', ...process.argv.slice(1)])
      if (process.moduleLoadList.some((name) => name.endsWith(' sqlite'))) console.log('loaded a store')`
    const run = (...args: string[]) => box.run(process.execPath, ['--input-type=module', '-e', program, '--', ...args])
    const checked = await run('check', 'entry-1.tlog-proof', '--entry', 'entry-1.json', '--vkey', '.indelible/log.vkey')
    expect(checked.stdout).toMatch(/^verified: /)
    expect(checked.stdout).not.toContain('loaded a store')
    expect((await run('checkpoint')).stdout).toContain('loaded a store')
  })
})

describe.concurrent('the network', () => {
  it('is never touched', async (test) => {
    const strace = findProgram('/usr/bin/strace', '/usr/local/bin/strace')
    const box = new Sandbox(test)
    test.skip(strace === undefined, 'no strace here')
    const traced = await box.run(strace!, ['-f', '-e', 'trace=network', 'true'])
    test.skip(traced.code !== 0, 'strace may not trace here')
    writeFileSync(join(box.work, 'events'), someEvents(5))
    const script = `
      set -e
      indelible init && indelible record < events && indelible prove 3 && indelible verify && indelible keys rotate
      indelible check entry-3.tlog-proof --entry entry-3.json --vkey "$(sed 1q .indelible/log.vkey)" || test $? = 3`
    const { code } = await box.run(strace!, ['-f', '-o', 'trace', '-e', 'trace=network', 'bash', '-c', script])
    expect(code).toBe(0)
    const trace = readFileSync(join(box.work, 'trace'), 'utf8')
    expect(trace).toContain('exited with 0')
    expect(trace).not.toMatch(/AF_INET/)
  })
})
