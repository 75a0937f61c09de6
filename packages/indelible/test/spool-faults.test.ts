import { mkdirSync, readdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Spool } from '../src/capture/spool.ts'
import { newId } from '../src/record/id.ts'
import { folder, memoryLog, ORIGIN } from './capture-kit.ts'
import { event, FAILS, KEY, numbersOf, range, recorderOn, TIME } from './spool-kit.ts'

/** A spool that a process that is gone has left: one segment, with a frame for each of `counts`. */
async function leftSpool(counts: readonly number[]): Promise<string> {
  const directory = folder()
  const { log } = await memoryLog()
  const spool = new Spool({ directory, key: KEY, origin: ORIGIN, maxBytes: 1e9 })
  let n = 0
  for (const count of counts) {
    const drafts = range(count).map(() => log.draft({ ...event(n++), id: newId(Date.now()), time: TIME }))
    expect(spool.write(drafts.map((draft) => draft.toEvent()))).toBe(true)
  }
  spool.close()
  return directory
}

/** The only file of a folder. */
const onlyFile = (directory: string) => join(directory, readdirSync(directory)[0]!)

describe('a spool', () => {
  it('that was left is taken over and replayed, once by all', async () => {
    const directory = await leftSpool([3, 4])
    const { log, records, gaps } = await memoryLog()
    const recorders = [recorderOn(log, directory), recorderOn(log, directory), recorderOn(log, directory)]
    for (const recorder of recorders) await recorder.flush()
    expect(numbersOf(await records())).toEqual(range(7))
    expect((await gaps()).map(({ cause, events }) => [cause, events])).toEqual([['spooled', 7]])
    expect(readdirSync(directory)).toEqual([])
  })

  it('that is torn gives what is whole, and says what is missing', async () => {
    for (const cut of [1, 20, 200]) {
      const directory = await leftSpool([3, 3])
      const path = onlyFile(directory)
      truncateSync(path, readFileSync(path).length - cut)
      const { log, records, gaps } = await memoryLog()
      const recorder = recorderOn(log, directory)
      await recorder.flush()
      const kept = cut < 100 ? 6 : 3
      expect(numbersOf(await records())).toEqual(range(kept))
      expect(await gaps()).toMatchObject([{ cause: 'spool_damaged', events: kept, unfinished: true }])
      expect(readdirSync(directory)[0]).toMatch(/\.damaged$/)
    }
  })

  it('any byte of which was changed gives what can be opened, and never another event', async () => {
    const directory = await leftSpool([2, 2])
    const path = onlyFile(directory)
    const file = readFileSync(path)
    const bodyStart = file.indexOf(10) + 1
    for (let at = 0; at < file.length; at += at < bodyStart ? 7 : 41) {
      const changed = Buffer.from(file)
      changed[at]! ^= 1
      const own = folder()
      writeFileSync(join(own, path.slice(path.lastIndexOf('/') + 1)), changed)
      const { log, records, gaps } = await memoryLog()
      const recorder = recorderOn(log, own)
      await recorder.flush()
      const numbers = numbersOf(await records())
      expect([[], [0, 1], [2, 3], [0, 1, 2, 3]]).toContainEqual(numbers)
      const [gap] = await gaps()
      expect(gap?.cause).toMatch(/spool_(damaged|foreign)/)
    }
  })

  it('takes no part of another in exchange: frames are chained to their segment and their place', async () => {
    const [first, second] = [await leftSpool([1, 1]), await leftSpool([1, 1])]
    const { log, records } = await memoryLog()
    const other = readFileSync(onlyFile(second))
    const mine = readFileSync(onlyFile(first))
    const header = mine.subarray(0, mine.indexOf(10) + 1)
    writeFileSync(onlyFile(first), Buffer.concat([header, other.subarray(other.indexOf(10) + 1)]))
    await recorderOn(log, first).flush()
    expect(await records()).toEqual([])
  })

  it('of another log, or no spool at all, is left alone, and counted', async () => {
    const directory = await leftSpool([2])
    const { log, records, gaps } = await memoryLog()
    const path = onlyFile(directory)
    writeFileSync(join(directory, 'notes.spool'), 'not a spool')
    const other = new Spool({ directory, key: KEY, origin: 'other.example/log', maxBytes: 1e9 })
    other.write([event(9) as never])
    other.close()
    const [name] = readdirSync(directory).filter((name) => !path.endsWith(name) && name !== 'notes.spool')
    await recorderOn(log, directory).flush()
    expect(numbersOf(await records())).toEqual([0, 1])
    expect(readdirSync(directory).sort()).toEqual(['notes.spool', name].sort())
    expect((await gaps()).find(({ cause }) => cause === 'spool_foreign')).toMatchObject({ files: 2 })
  })

  it('whose replay is interrupted goes on, and appends nothing twice', async () => {
    const directory = await leftSpool([1200, 1200])
    const { log, store, records } = await memoryLog()
    for (const call of [1, 2, 3]) {
      const recover = store.fail({ method: 'append', kind: call === 2 ? 'kept' : 'lost', call })
      const recorder = recorderOn(log, directory)
      await recorder.flush()
      recover()
      await recorder.close()
    }
    await recorderOn(log, directory).flush()
    expect(numbersOf(await records())).toEqual(range(2400))
  })

  it('that cannot be written leaves events in memory, not lost', async () => {
    const directory = join(folder(), 'file')
    writeFileSync(directory, 'in the way')
    const { log, store, records } = await memoryLog()
    const recorder = recorderOn(log, directory)
    const recover = store.fail(FAILS)
    const acks = range(5).map((n) => recorder.record(event(n)))
    await sleep(10)
    recover()
    await recorder.flush()
    expect((await Promise.all(acks)).every(({ state }) => state === 'recorded')).toBe(true)
    expect(numbersOf(await records())).toEqual(range(5))
  })

  it('whose file is taken away while it is written goes on in another', async () => {
    const directory = folder()
    const spool = new Spool({ directory, key: KEY, origin: ORIGIN, maxBytes: 1e9 })
    expect(spool.write([event(0) as never])).toBe(true)
    mkdirSync(join(directory, 'away'))
    renameSync(onlyFile(directory).replace(/away$/, ''), join(directory, 'away', 'x'))
    expect(spool.write([event(1) as never])).toBe(true)
    const segment = spool.oldest()!
    expect([...spool.read(segment)!.frames()]).toHaveLength(1)
    spool.close()
  })
})
