/** Where the checks of `indelible doctor` begin to complain, for what no test can bring about on a machine. */
import { describe, expect, it } from 'vitest'
import { checkSigningKey, checkVariables } from '../src/cli/doctor-home.ts'
import { checkClock, checkDisk, checkEpochs, checkIndex, checkWal } from '../src/cli/doctor-log.ts'

const DAY_MS = 86_400_000
const GB = 1e9

describe('disk', () => {
  it('is enough while a quarter of it and 30 days are left', () => {
    const of = (use: number, freeBytes: number, logBytes = GB, days = 10) =>
      checkDisk({ use, freeBytes }, logBytes, days * DAY_MS)
    expect(of(0.5, 3 * GB)).toEqual({
      check: 'disk',
      state: 'ok',
      message: '3.0 GB free, 50 % in use; the log grows by 100 MB a day, enough for 30 days',
    })
    expect(of(0.7499, 3 * GB).state).toBe('ok')
    expect(of(0.75, 3 * GB)).toMatchObject({ state: 'warning', action: expect.stringContaining('make room') })
    expect(of(0.1, 2.9 * GB)).toMatchObject({
      state: 'warning',
      message: expect.stringContaining('enough for 29 days'),
    })
    expect(of(0.1, 0).state).toBe('warning')
    expect(of(0.1, 5000 * GB).message).toContain('over 100 years')
  })

  it('is not judged by the first hours of a log', () => {
    const newborn = checkDisk({ use: 0.1, freeBytes: GB }, 66_000, 1000)
    expect(newborn).toMatchObject({ state: 'ok', message: expect.stringContaining('grows by 66 kB a day') })
  })
})

describe('clocks', () => {
  const now = Date.parse('2026-11-21T12:00:00Z')
  const clock = { startMs: now - 10 * 3_600_000, seconds: 3600 }
  const at = (ms: number) => new Date(now + ms).toISOString()

  it('may differ by five seconds', () => {
    expect(checkClock(at(5000), clock, now).state).toBe('ok')
    expect(checkClock(at(5001), clock, now).state).toBe('warning')
    expect(checkClock(at(0), clock, clock.startMs - 1).state).toBe('failure')
    expect(checkClock(at(0), null, now).state).toBe('ok')
  })

  it('may be two epochs ahead of the seals', () => {
    const keys = { origin: 'a', clock, size: 1, isInPlace: true }
    expect(checkEpochs({ ...keys, epoch: 8 }, 9, now).state).toBe('ok')
    expect(checkEpochs({ ...keys, epoch: 7 }, 9, now).state).toBe('warning')
    expect(checkEpochs({ ...keys, epoch: 10 }, 9, now).state).toBe('failure')
  })
})

describe('limits', () => {
  it('of the index, the write-ahead log and the age of a key', () => {
    expect(checkIndex(0, 100_000).state).toBe('ok')
    expect(checkIndex(0, 100_001)).toMatchObject({ state: 'warning', action: 'indelible list --count' })
    expect(checkIndex(null, 9)).toMatchObject({ state: 'ok', message: 'none yet: the first query makes it' })
    expect(checkWal(64 * 1024 * 1024).state).toBe('ok')
    expect(checkWal(64 * 1024 * 1024 + 1).state).toBe('warning')
    expect(checkSigningKey(0, 365 * DAY_MS).state).toBe('ok')
    expect(checkSigningKey(0, 365 * DAY_MS + 1).state).toBe('warning')
  })

  it('of which variables are ours', () => {
    const env = { INDELIBLE_HOME: '/x', INDELIBLE_LOG__STORE: 'sqlite:x', INDELIBLE_LOG_STORE: 'x', OTHER: 'y' }
    expect(checkVariables(env).map(({ message }) => message)).toEqual([
      'nothing reads the variable INDELIBLE_LOG_STORE',
    ])
  })
})
