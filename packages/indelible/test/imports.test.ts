import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { COMMANDS, neededBy } from '../src/cli/commands.ts'
import { Context } from '../src/cli/context.ts'
import { Sandbox } from './cli/kit.ts'

const DIST = new URL('../dist/', import.meta.url).href

/**
 * Runs `program` in a process of its own, and says what that loads: builtins, packages by name, and our files by their path in
 * `dist`, without its ending.
 */
async function loadedBy(box: Sandbox, program: string, env: NodeJS.ProcessEnv = {}) {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    const load = (path) => import(${JSON.stringify(DIST)} + path)
    process.on('exit', () => console.log(JSON.stringify(loaded)))
    ${program}`
  const { stdout, stderr } = await box.run(process.execPath, ['--input-type=module', '-e', script], { env })
  expect(stderr).toBe('')
  const urls: string[] = JSON.parse(stdout.trim().split('\n').at(-1)!)
  const found = { builtins: new Set<string>(), packages: new Set<string>(), ours: new Set<string>() }
  for (const url of urls) {
    if (url.startsWith('node:')) found.builtins.add(url)
    else if (url.startsWith(DIST)) found.ours.add(url.slice(DIST.length).replace(/\.js$/, ''))
    else found.packages.add(/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)![1]!)
  }
  return { builtins: [...found.builtins], packages: [...found.packages], ours: [...found.ours].sort() }
}

/** What only some use; recording must not load it. */
const ELSEWHERE =
  /^(verify\/verify-log|verify\/check|verify\/timestamp|query\/|export\/|import\/|server\/|retention\/|testing\/|client\/|cli\/|anchor\/(witness|trust|kinds|runner|s3)|decision\/(approvals|waivers|register)$|lifecycle\/(graph|lineage)|store\/(postgres|file|memory))/

const SOME_COMMANDS = ['doctor', 'init', 'list', 'record', 'serve', 'show', 'verify'].map((name) => `cli/${name}`)

describe.concurrent('importing indelible', () => {
  it('loads no package but zod, and of ours neither the log nor a store', async (test) => {
    const { builtins, packages, ours } = await loadedBy(new Sandbox(test), "await load('index.js')")
    expect(packages).toEqual(['zod'])
    expect(builtins.filter((name) => /sqlite|worker|http|net|tls|dns|child|readline/.test(name))).toEqual([])
    expect(ours.filter((name) => ELSEWHERE.test(name))).toEqual([])
    const folders = new Set(ours.filter((name) => name.includes('/')).map((name) => name.slice(0, name.indexOf('/'))))
    const light = ['capture', 'config', 'decision', 'keys', 'lifecycle', 'log', 'note', 'platform', 'privacy', 'record']
    expect([...folders]).toEqual(light)
    expect(ours.filter((name) => name.startsWith('log/'))).toEqual(['log/home-paths', 'log/open-recorder'])
  })

  it('and opening a recorder that is switched off loads no more', async (test) => {
    const imported = await loadedBy(new Sandbox(test), "await load('index.js')")
    const program = "await (await (await load('index.js')).openRecorder({ embedded: true })).close()"
    expect(await loadedBy(new Sandbox(test), program)).toEqual(imported)
  })
})

describe.concurrent('recording', () => {
  it('loads neither verification nor queries, nor what makes proofs for others', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog()
    const program = `
      const log = await (await load('index.js')).openLog()
      const receipt = await log.record({ type: 'x.a', actor: { type: 'agent', id: 'a' }, outcome: 'success' })
      if (receipt.index !== 1) throw new Error('not recorded')
      await log.close()`
    const { builtins, ours } = await loadedBy(box, program)
    expect(ours).toContain('log/log')
    expect(ours.filter((name) => ELSEWHERE.test(name))).toEqual([])
    expect(builtins.filter((name) => /http|net|tls|dns|child|readline/.test(name))).toEqual([])
  })
})

describe.concurrent('the command line', () => {
  it('loads no package but commander, and no command, to say what it is', async (test) => {
    const program = "await (await load('cli/main.js')).main(['node', 'indelible', '--version'])"
    const { packages, ours } = await loadedBy(new Sandbox(test), program)
    expect(packages).toEqual(['commander'])
    expect(ours.filter((name) => SOME_COMMANDS.includes(name))).toEqual([])
  })

  it('loads the one command that is asked for', async (test) => {
    const program =
      "await (await load('cli/main.js')).main(['node', 'indelible', '--home', 'list', 'verify', '--help'])"
    const { packages, ours } = await loadedBy(new Sandbox(test), program)
    expect(packages).toEqual(['commander'])
    expect(ours.filter((name) => SOME_COMMANDS.includes(name))).toEqual(['cli/verify'])
  })

  it('reads a log without what writes one', async (test) => {
    const box = new Sandbox(test)
    await box.makeLog(1)
    const program = "await (await load('cli/main.js')).main(['node', 'indelible', 'show', '1'])"
    const { ours } = await loadedBy(box, program)
    expect(ours).toContain('store/sqlite')
    expect(ours.filter((name) => /^(capture|log\/(log|home|sequencer)$)/.test(name))).toEqual([])
  })

  it('knows each command by the names that it adds', async () => {
    const context = new Context(new Command())
    for (const { names, load } of COMMANDS) {
      const program = new Command()
      const add = await load()
      add(program, context)
      expect(program.commands.flatMap((command) => [command.name(), ...command.aliases()])).toEqual(names)
    }
  })

  it('is read as far as its first word', () => {
    const read = (...args: string[]) => neededBy(args).map(({ names }) => names[0])
    const all = COMMANDS.map(({ names }) => names[0])
    expect(read('--home', 'list', '--json', 'waive', 'show')).toEqual(['approve'])
    expect(read('--home=x', 'verify', '--version')).toEqual(['verify'])
    expect(read('--json', '-V', 'show')).toEqual([])
    for (const args of [
      [],
      ['--help'],
      ['help', 'show'],
      ['lst'],
      ['completion', 'bash'],
      ['--home'],
      ['--', 'show'],
    ]) {
      expect(read(...args)).toEqual(all)
    }
  })
})
