/** Agents in processes of their own that are killed, told to end, or end by themselves; and several on one spool. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openLog } from '../src/log/home.ts'
import { openQuery } from '../src/query/home-query.ts'
import { expectVerified, testHome } from './faults-kit.ts'

const PACKAGE = fileURLToPath(new URL('..', import.meta.url))

const BEGIN = `
import { closeOnSignal, openLog } from 'indelible'
const [home, name] = process.argv.slice(1)
const log = await openLog({ home })
const event = (n) => ({ type: 'x.test', actor: { type: 'agent', id: 'a' }, session: name, attributes: { n } })
const unplug = () => { log.append = () => Promise.reject(Object.assign(new Error('unplugged'), { code: 'EIO' })) }
const say = (line) => new Promise((resolve) => process.stdout.write(line + '\\n', resolve))
`

interface Agent {
  readonly process: ChildProcess
  readonly lines: string[]
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  said(line: string): Promise<void>
}

/** Runs `code` with the built package. */
function agent(home: string, name: string, code: string): Agent {
  const args = ['--input-type=module', '--eval', BEGIN + code, home, name]
  const child = spawn(process.execPath, args, { cwd: PACKAGE, stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: string[] = []
  const waiting = new Map<string, () => void>()
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    waiting.get(line)?.()
  })
  const ended = new Promise<Awaited<Agent['ended']>>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  const said = (line: string) =>
    new Promise<void>((resolve) => {
      if (lines.includes(line)) resolve()
      else waiting.set(line, resolve)
    })
  return { process: child, lines, ended, said }
}

async function numbersIn(home: string, session: string): Promise<unknown[]> {
  const query = await openQuery({ home })
  try {
    const numbers: unknown[] = []
    let cursor: string | null | undefined
    do {
      const page = await query.page({ session }, { limit: 500, ...(cursor && { cursor }) })
      numbers.push(...page.hits.map(({ record }) => record.attributes?.n))
      cursor = page.next
    } while (cursor)
    return numbers.sort((a, b) => (a as number) - (b as number))
  } finally {
    await query.close()
  }
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('an agent', () => {
  it('that is killed half-way leaves all that was acknowledged, and a run that shows as incomplete', async () => {
    const made = await testHome()
    const child = agent(
      made.home,
      'killed',
      `
      const run = log.run({ agent: 'a', id: 'half-way', session: name })
      await run.tool('first', {}, () => 1)
      for (let n = 0; ; n++) {
        const ack = await run.record({ type: 'x.test', attributes: { n } })
        if (ack.state === 'recorded') await say(ack.id)
        if (n === 20) await say('enough')
      }`,
    )
    await child.said('enough')
    child.process.kill('SIGKILL')
    expect((await child.ended).signal).toBe('SIGKILL')
    const ids = child.lines.filter((line) => line !== 'enough')
    const log = await openLog({ home: made.home })
    for (const id of ids) expect((await log.read(id)).record.run?.id).toBe('half-way')
    await log.close()
    const query = await openQuery({ home: made.home })
    expect(await query.run('half-way')).toMatchObject({ outcome: null, tools: 1 })
    await query.close()
    const bin = join(PACKAGE, 'bin', 'indelible.js')
    const shown = spawn(process.execPath, [bin, '--home', made.home, 'show', 'half-way'])
    let text = ''
    for await (const chunk of shown.stdout) text += chunk
    expect(text).toContain('not ended: incomplete')
    await expectVerified(made)
  })

  it('that is told to end brings what waits to the log, and ends by that signal', async () => {
    const made = await testHome()
    const child = agent(
      made.home,
      'told',
      `
      closeOnSignal(log)
      setInterval(() => {}, 1000)
      process.once('SIGUSR2', () => {
        for (let n = 0; n < 500; n++) void log.recorder.record(event(n))
        process.kill(process.pid, 'SIGTERM')
      })
      await say('ready')`,
    )
    await child.said('ready')
    child.process.kill('SIGUSR2')
    expect(await child.ended).toEqual({ code: null, signal: 'SIGTERM' })
    expect(await numbersIn(made.home, 'told')).toEqual(range(500))
    expect(readdirSync(join(made.home, 'writers'))).toEqual([])
  })

  it('whose host listens to the signal itself is left to it', async () => {
    const made = await testHome()
    const child = agent(
      made.home,
      'host',
      `
      closeOnSignal(log)
      process.on('SIGTERM', () => setTimeout(() => process.exit(7), 200))
      for (let n = 0; n < 50; n++) void log.recorder.record(event(n))
      await say('ready')
      setInterval(() => {}, 1000)`,
    )
    await child.said('ready')
    child.process.kill('SIGTERM')
    expect(await child.ended).toEqual({ code: 7, signal: null })
    expect(await numbersIn(made.home, 'host')).toEqual(range(50))
  })

  it('that exits in the middle of a turn leaves what was not written in the spool', async () => {
    const made = await testHome()
    const code = `
      for (let n = 0; n < 300; n++) void log.recorder.record(event(n))
      process.exit(0)`
    const child = agent(made.home, 'exits', code)
    expect((await child.ended).code).toBe(0)
    expect(readdirSync(join(made.home, 'spool'))).toHaveLength(1)
    const log = await openLog({ home: made.home })
    await log.flush()
    await log.close()
    expect(await numbersIn(made.home, 'exits')).toEqual(range(300))
    expect(readdirSync(join(made.home, 'spool'))).toEqual([])
    await expectVerified(made)
  })
})

describe('a spool', () => {
  it('that several processes write is replayed by several, nothing lost and nothing twice', async () => {
    const made = await testHome()
    const code = `
      unplug()
      for (let n = 0; n < 400; n++) {
        void log.recorder.record(event(n))
        if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
      }
      await log.recorder.flush()
      await say('spooled')
      await new Promise((resolve) => setTimeout(resolve, 60_000))`
    const writers = ['one', 'two', 'three'].map((name) => agent(made.home, name, code))
    await Promise.all(writers.map((writer) => writer.said('spooled')))
    // One is killed, the others would go on: their segments are theirs.
    writers[0]!.process.kill('SIGKILL')
    await writers[0]!.ended
    const first = await openLog({ home: made.home })
    await first.flush()
    expect(await numbersIn(made.home, 'one')).toEqual(range(400))
    expect(await numbersIn(made.home, 'two')).toEqual([])
    for (const writer of writers) writer.process.kill('SIGKILL')
    await Promise.all(writers.map(({ ended }) => ended))
    const readers = await Promise.all([0, 1, 2].map(() => openLog({ home: made.home })))
    await Promise.all(readers.map((log) => log.flush()))
    for (const log of [first, ...readers]) await log.close()
    for (const name of ['two', 'three']) expect(await numbersIn(made.home, name)).toEqual(range(400))
    expect(readdirSync(join(made.home, 'spool'))).toEqual([])
    await expectVerified(made)
  })
})

describe('10,000 runs at once', () => {
  it('leave nothing behind when they have ended', async () => {
    const made = await testHome()
    const child = agent(
      made.home,
      'many',
      `
      import { setFlagsFromString } from 'node:v8'
      import { runInNewContext } from 'node:vm'
      setFlagsFromString('--expose-gc')
      const gc = runInNewContext('gc')
      let alive = 0
      const registry = new FinalizationRegistry(() => alive--)
      const one = (i) => log.run({ agent: 'a' }, async (run) => {
        alive++
        registry.register(run, 0)
        await run.tool('t', { i }, () => new Promise((resolve) => setImmediate(resolve)))
      })
      await Promise.all(Array.from({ length: 10_000 }, (_, i) => one(i)))
      await log.flush()
      for (let i = 0; i < 20 && alive > 0; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
      await say(JSON.stringify({ alive, ...log.recorder.state }))
      await log.close()`,
    )
    expect((await child.ended).code).toBe(0)
    const { alive, pending, pendingBytes, dropped } = JSON.parse(child.lines[0]!)
    expect({ pending, pendingBytes, dropped }).toEqual({ pending: 0, pendingBytes: 0, dropped: 0 })
    // The last one may still stand in a register.
    expect(alive).toBeLessThan(10)
  })
})
