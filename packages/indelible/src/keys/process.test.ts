import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { isGone, processToken } from './process.ts'

const ownTokenWith = (change: Partial<Record<'pid' | 'host' | 'boot' | 'space' | 'start', string>>) => {
  const [pid, host, boot, space, start] = processToken().split('-') as [string, string, string, string, string]
  const token = { pid, host, boot, space, start, ...change }
  return [token.pid, token.host, token.boot, token.space, token.start].join('-')
}

describe('isGone', () => {
  it('knows this process', () => {
    expect(isGone(processToken())).toBe(false)
  })

  it('knows a process that has ended', () => {
    const { pid } = spawnSync(process.execPath, ['--version'])
    expect(isGone(ownTokenWith({ pid: String(pid) }))).toBe(true)
  })

  it.runIf(process.platform === 'linux')('tells an earlier process of the same pid', () => {
    expect(isGone(ownTokenWith({ start: '1' }))).toBe(true)
  })

  it.runIf(process.platform === 'linux')('knows that nothing outlives a restart of the machine', () => {
    expect(isGone(ownTokenWith({ boot: '00000000' }))).toBe(true)
  })

  it('cannot look into another host or container', () => {
    expect(isGone(ownTokenWith({ host: '00000000' }))).toBeUndefined()
    expect(isGone(ownTokenWith({ space: '7' }))).toBeUndefined()
    for (const other of ['', '12', '0-0-0-0-0', `${processToken()}x`]) expect(isGone(other)).toBeUndefined()
  })
})
