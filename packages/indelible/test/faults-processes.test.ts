/** Several processes at once, and those that are killed in the middle of a step. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  Child,
  entriesOf,
  expectAllThere,
  expectNoLeftovers,
  expectVerified,
  opened,
  sleep,
  temporaryFolder,
  testHome,
} from './faults-kit.ts'

describe('several processes on one home', () => {
  it('lose nothing, keep the order of each, and seal every epoch once', { timeout: 60_000 }, async () => {
    const made = await testHome({ epochSeconds: 1 })
    const children = ['a', 'b', 'c', 'd'].map(
      (name) => new Child('record', { home: made.home, name, callers: 4, count: 250 }),
    )
    for (const child of children) child.say('go')
    await Promise.all(children.map((child) => child.done()))
    const log = await opened(made.home)
    expect(await expectAllThere(log, children)).toBeGreaterThanOrEqual(4 * 4 * 250)
    const entries = await entriesOf(log)
    const last = new Map<string, number>()
    for (const { record } of entries) {
      if (record.type !== 'x.test') continue
      const [name, caller, n] = record.run!.id.split(' ')
      expect(Number(n)).toBe((last.get(`${name} ${caller}`) ?? -1) + 1)
      last.set(`${name} ${caller}`, Number(n))
    }
    expect(last.size).toBe(16)
    const sealed = entries
      .filter(({ record }) => record.type === 'audit.epoch.sealed')
      .flatMap(({ record: { audit } }) => (audit!.seals as string[]).map((_, i) => (audit!.first_epoch as number) + i))
    expect(sealed).toEqual(sealed.map((_, epoch) => epoch))
    await expectVerified(made)
    expectNoLeftovers(made)
  })

  it('all go over to a new key while they write', { timeout: 60_000 }, async () => {
    const made = await testHome({ epochSeconds: 1 })
    const children = ['a', 'b', 'c'].map(
      (name) => new Child('record', { home: made.home, name, callers: 3, count: 400 }),
    )
    const log = await opened(made.home)
    for (const child of children) child.say('go')
    await Promise.all(children.map((child) => child.heard('got')))
    let vkey = ''
    for (let n = 0; n < 6; n++) {
      // Twice in a row, too: whoever misses the first finds the second.
      vkey = await log.rotateKey()
      vkey = await log.rotateKey()
      await Promise.all([1, 2, 3].map(() => log.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })))
    }
    await Promise.all(children.map((child) => child.done()))
    await expectAllThere(log, children)
    await log.close()
    expect(readFileSync(join(made.home, 'log.vkey'), 'utf8').trim()).toBe(vkey)
    const report = await expectVerified(made)
    expect(report.key).toBe(vkey)
    expectNoLeftovers(made)
  })
})

describe('a lock on files', () => {
  it('is held by one at a time, and by nobody who was killed', { timeout: 60_000 }, async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'count'), '0')
    const start = () => new Child('count', { home: folder })
    const all = [start(), start(), start(), start()]
    const running = [...all]
    for (let round = 0; round < 12; round++) {
      const [child] = running
      await child!.heard('got')
      await sleep(20 + Math.random() * 80)
      await running.shift()!.kill()
      if (round < 8) all.push(running[running.push(start()) - 1]!)
    }
    const counted = all.flatMap(({ lines }) =>
      lines.filter((line) => line.startsWith('got ')).map((line) => Number(line.slice(4))),
    )
    // Whoever is killed after he has said a number may not have written it: then the next says it again.
    const repeated = counted.length - new Set(counted).size
    expect(repeated).toBeLessThanOrEqual(12)
    expect(new Set(counted).size).toBe(Math.max(...counted))
    expect(Math.max(...counted)).toBeGreaterThan(50)
    for (const child of all) expect(child.errors).toBe('')
  })
})

describe('a rotation', () => {
  for (const step of ['prepared', 'sealed', 'committed'] as const) {
    it(`that is killed once it is ${step} is healed by the next open`, async () => {
      const made = await testHome()
      const child = new Child('rotate', { home: made.home, step })
      await child.exited
      expect(child.process.signalCode).toBe('SIGKILL')
      expect(existsSync(join(made.home, 'keys', 'next.json'))).toBe(true)
      const log = await opened(made.home)
      await log.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })
      await log.close()
      const report = await expectVerified(made)
      expect(report.key === made.vkey).toBe(step !== 'committed')
      const again = await opened(made.home)
      const vkey = await again.rotateKey()
      await again.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })
      await again.close()
      expect((await expectVerified(made)).key).toBe(vkey)
      expectNoLeftovers(made)
    })
  }
})

describe('createLog', () => {
  it('lets exactly one of several at once win', { timeout: 60_000 }, async () => {
    const made = await testHome()
    for (const keysDir of [undefined, join(made.folder, 'elsewhere')]) {
      const home = join(made.folder, keysDir ? 'contested-2' : 'contested-1')
      const children = ['a', 'b', 'c', 'd'].map(
        (name) =>
          new Child('create', {
            home,
            keysDir,
            name: `${name}${keysDir ? 2 : 1}.example/log`,
            pins: made.pins.directory,
          }),
      )
      await Promise.all(children.map((child) => child.heard('loaded')))
      for (const child of children) child.say('go')
      await Promise.all(children.map((child) => child.done()))
      const said = children.flatMap(({ lines }) => lines.filter((line) => line !== 'loaded'))
      expect(said.filter((line) => line.startsWith('created '))).toHaveLength(1)
      expect(said.map((line) => line.replace(/^(created|refused ERR_HOME_EXISTS) .*/, '$1')).sort()).toEqual([
        'created',
        ...Array(3).fill('refused ERR_HOME_EXISTS'),
      ])
      const log = await opened(home)
      expect((await log.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })).index).toBe(1)
      await log.close()
    }
    expect(readdirSync(made.folder).sort()).toEqual(['contested-1', 'contested-2', 'elsewhere', 'home', 'pins'])
  })

  it('that is killed leaves no half home, and no keys once it is done again', { timeout: 60_000 }, async () => {
    const made = await testHome()
    const load = (round: number) =>
      new Child('create', {
        home: join(made.folder, `log-${round}`),
        ...(round % 2 === 1 && { keysDir: join(made.folder, `keys-${round}`) }),
        name: `log-${round}.example/log`,
        pins: made.pins.directory,
        epochSeconds: 1,
      })
    let created = 0
    let next = load(0)
    for (let round = 0; round < 16; round++) {
      const child = next
      next = load(round + 1)
      await child.heard('loaded')
      child.say('go')
      await sleep(Math.random() * 40)
      await child.kill()
      const home = join(made.folder, `log-${round}`)
      if (existsSync(home)) {
        created++
      } else {
        const again = load(round)
        again.say('go')
        await again.done()
        expect(again.lines).toContainEqual(expect.stringMatching(/^created /))
      }
      const log = await opened(home)
      await log.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })
      await log.close()
      const left = readdirSync(made.folder).filter((name) => name.includes(`-${round}.`))
      expect(left).toEqual([])
    }
    expect(created).toBeLessThan(16)
  })
})
