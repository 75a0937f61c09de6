import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { removeTemporaries, withFileLock, writeFileAtomic } from './files.ts'
import { processToken } from './process.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'indelible-files-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const [pid, host, boot, space, start] = processToken().split('-')
const EARLIER = [pid, host, boot, space, String(Number(start) - 1)].join('-')
const ELSEWHERE = [pid, host, boot, '7', start].join('-')

const makeOld = (path: string) => utimesSync(path, new Date(0), new Date(Date.now() - 3_600_000))

describe('writeFileAtomic', () => {
  it('replaces a file whole, for its owner alone', () => {
    const path = join(folder(), 'file')
    writeFileAtomic(path, 'one')
    writeFileAtomic(path, 'x'.repeat(100_000))
    expect(readFileSync(path, 'utf8')).toHaveLength(100_000)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('leaves the old file, and nothing beside it, when it fails', () => {
    const parent = folder()
    // A folder in the file's place: the rename fails.
    const path = join(parent, 'folder')
    writeFileAtomic(join(parent, 'file'), 'one')
    rmSync(path, { force: true })
    expect(() => writeFileAtomic(join(parent, 'file', 'below'), 'two')).toThrow()
    expect(readdirSync(parent)).toEqual(['file'])
    expect(readFileSync(join(parent, 'file'), 'utf8')).toBe('one')
  })
})

describe('removeTemporaries', () => {
  it.runIf(process.platform === 'linux')('removes what the dead left, and nothing of the living', () => {
    const parent = folder()
    const names = {
      dead: `state.json.${EARLIER}.0123abcd.tmp`,
      living: `state.json.${processToken()}.0123abcd.tmp`,
      elsewhere: `state.json.${ELSEWHERE}.0123abcd.tmp`,
      elsewhereOld: `log.skey.${ELSEWHERE}.0123abcd.tmp`,
      own: 'state.json',
      another: 'notes.tmp',
    }
    for (const name of Object.values(names)) writeFileSync(join(parent, name), 'secret')
    makeOld(join(parent, names.elsewhereOld))
    makeOld(join(parent, names.another))
    removeTemporaries(parent)
    expect(readdirSync(parent).sort()).toEqual([names.living, names.elsewhere, names.own, names.another].sort())
  })
})

describe('withFileLock', () => {
  it('lets one in at a time', async () => {
    const path = join(folder(), 'lock')
    let inside = 0
    let most = 0
    const all = Array.from({ length: 20 }, () =>
      withFileLock(path, async () => {
        most = Math.max(most, ++inside)
        await new Promise((resolve) => setTimeout(resolve, 1))
        inside--
      }),
    )
    await Promise.all(all)
    expect(most).toBe(1)
    expect(existsSync(path)).toBe(false)
  })

  it('gives up on one that is held', async () => {
    const path = join(folder(), 'lock')
    writeFileSync(path, processToken())
    makeOld(path)
    await expect(withFileLock(path, () => {}, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' })
    expect(readFileSync(path, 'utf8')).toBe(processToken())
  })

  it.runIf(process.platform === 'linux')('takes over one whose process is gone, for one at a time', async () => {
    const path = join(folder(), 'lock')
    let inside = 0
    for (let round = 0; round < 20; round++) {
      writeFileSync(path, EARLIER)
      const all = Array.from({ length: 5 }, () =>
        withFileLock(path, async () => {
          expect(++inside).toBe(1)
          await new Promise((resolve) => setImmediate(resolve))
          inside--
        }),
      )
      await Promise.all(all)
    }
  })

  it('takes over one of another container, or without an owner, once it is old', async () => {
    const path = join(folder(), 'lock')
    for (const owner of [ELSEWHERE, '']) {
      writeFileSync(path, owner)
      await expect(withFileLock(path, () => 'in', { timeoutMs: 30 })).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' })
      makeOld(path)
      expect(await withFileLock(path, () => 'in', { timeoutMs: 1000 })).toBe('in')
    }
  })

  it.runIf(process.platform === 'linux')('is not held up by somebody who was killed while taking over', async () => {
    const path = join(folder(), 'lock')
    writeFileSync(path, EARLIER)
    writeFileSync(`${path}.break`, EARLIER)
    makeOld(`${path}.break`)
    expect(await withFileLock(path, () => 'in', { timeoutMs: 1000 })).toBe('in')
  })

  it('lets go when the work fails', async () => {
    const path = join(folder(), 'lock')
    await expect(withFileLock(path, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await withFileLock(path, () => 'in')).toBe('in')
  })
})
