import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Clinic } from './cli/clinic.ts'

describe.concurrent('indelible doctor, of anchors,', () => {
  it('says which were never heard of, are late, or vouch for more than there is', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(2)
    const copies = box.path('copies')
    mkdirSync(copies)
    const done = async (...args: string[]) => {
      const { code, stderr } = await box.indelible(args)
      expect([code, stderr]).toEqual([0, ''])
    }
    const found = async () =>
      (await box.complaints()).map(({ check, state, message, action }) => [check, state, message, action])
    await done('anchor', 'add', 'copy', '--kind', 'folder', '--option', `path=${copies}`, '--every', '1h')
    expect(await found()).toEqual([
      [
        'anchors',
        'warning',
        'copy (folder) has never vouched for anything: it was not asked yet',
        expect.stringMatching(/^indelible anchor now copy; then have it done on its schedule/),
      ],
    ])
    await done('anchor', 'now')
    expect(await found()).toEqual([])

    const path = join(box.home, 'anchors', 'copy.jsonl')
    const receipt = JSON.parse(readFileSync(path, 'utf8').trim().split('\n').at(-1)!)
    const last = (change: object) => writeFileSync(path, `${JSON.stringify({ ...receipt, ...change })}\n`)
    last({ received: new Date(Date.now() - 3 * 3_600_000).toISOString() })
    const [[, state, message, action] = []] = await found()
    expect(state).toBe('warning')
    expect(message).toMatch(/^copy \(folder\) vouched for \d+ entries 3 h ago, \d+ behind; it is to be asked every 1h$/)
    expect(action).toContain('indelible anchor now copy')

    last({ size: receipt.size + 7 })
    const { code, checks } = await box.diagnose()
    expect(code).toBe(1)
    expect(checks.find(({ check }) => check === 'anchors')).toMatchObject({
      state: 'failure',
      action: 'run indelible verify',
    })
  })

  it('repeats what went wrong, and does not complain of those that are optional', async (test) => {
    const box = new Clinic(test)
    await box.makeLog(1)
    for (const [name, ...more] of [['c1'], ['c2', '--optional']] as const) {
      mkdirSync(box.path(name))
      const option = ['--kind', 'folder', '--option', `path=${box.path(name)}`, ...more]
      expect((await box.indelible(['anchor', 'add', name, ...option])).code).toBe(0)
      rmSync(box.path(name), { recursive: true })
    }
    await box.indelible(['anchor', 'now'])
    const { checks } = await box.diagnose()
    const anchors = checks.filter(({ check }) => check === 'anchors')
    expect(anchors.map(({ state }) => state)).toEqual(['warning', 'ok'])
    expect(anchors[0]).toMatchObject({
      message: expect.stringMatching(
        /^c1 \(folder\) has never vouched for anything; the last attempt failed: .*ERR_ANCHOR_/,
      ),
      action: expect.stringMatching(/, then indelible anchor now c1$/),
    })
  })
})
