/** Processes killed at any moment: what they acknowledged is in the log, and the log goes on. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  Child,
  entriesOf,
  expectAllThere,
  expectNoLeftovers,
  expectVerified,
  opened,
  recoveredIn,
  sizeOf,
  sleep,
  testHome,
} from './faults-kit.ts'

describe('kill -9', () => {
  it('loses nothing that was acknowledged, in 54 rounds on one home', { timeout: 240_000 }, async () => {
    const made = await testHome({ epochSeconds: 1 })
    const load = (round: number, i: number) =>
      new Child('record', { home: made.home, name: `${round}.${i}`, callers: 12, count: 1e9 })
    const crowd = (round: number) => Array.from({ length: round % 3 === 0 ? 3 : 1 }, (_, i) => load(round, i))
    let acknowledged = 0
    let next = crowd(0)
    for (let round = 0; round < 54; round++) {
      const children = next
      await Promise.all(children.map((child) => child.heard('loaded')))
      for (const child of children) child.say('go')
      // Those after next load while these run.
      next = round < 53 ? crowd(round + 1) : []
      // Every sixth time while they are opening the log.
      if (round % 6 !== 5) await Promise.all(children.map((child) => child.heard('ready')))
      await sleep(5 + Math.random() * (round % 6 === 5 ? 60 : 295))
      await Promise.all(children.map((child) => child.kill()))
      for (const child of children) expect(child.errors).toBe('')

      const log = await opened(made.home)
      const wasReady = children.filter((child) => child.lines.includes('ready')).length
      acknowledged += await expectAllThere(log, children)
      await log.record({ type: 'x.test', actor: { type: 'system', id: 'parent' } })
      const size = await sizeOf(log)
      if (wasReady > 0) expect(await recoveredIn(log, Math.max(0, size - 10))).toContain('unclean_shutdown')
      await log.close()
      if (round % 18 === 17) await expectVerified(made)
    }
    expect(acknowledged).toBeGreaterThan(54)
    const report = await expectVerified(made)
    const log = await opened(made.home)
    const seals = (await entriesOf(log, 0, report.size)).filter(({ record }) => record.type === 'audit.epoch.sealed')
    expect(seals.length).toBeGreaterThan(5)
    expectNoLeftovers(made)
    expect(readdirSync(join(made.home, 'writers'))).toHaveLength(1)
  })
})
