import { appendFileSync, copyFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { IndelibleError } from '../src/errors.ts'
import { fileOf, ImportLog } from './import-kit.ts'

const from = { from: 'chat' } as const
const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' }, parts: { output: { value: 'SECRET-7' } } }
const user = { role: 'user', content: 'SECRET-7' }
const lines = (count: number) => Array.from({ length: count }, (_, i) => ({ role: 'user', content: `message ${i}` }))

async function refusal(work: Promise<unknown>): Promise<IndelibleError> {
  const error = await work.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(IndelibleError)
  return error as IndelibleError
}

describe('importing again', () => {
  it('adds nothing, touched, copied, packed by another name, or under other rules', async () => {
    const log = await ImportLog.open()
    const path = fileOf(lines(2300))
    expect(await log.import(path, from)).toMatchObject({ appended: 2302 })
    utimesSync(path, 1_000_000, 1_000_000)
    expect(await log.import(path, from)).toMatchObject({ appended: 0, duplicates: 2302 })
    const copy = join(dirname(path), 'a copy')
    copyFileSync(path, copy)
    expect(await log.import(copy, from)).toMatchObject({ appended: 0, duplicates: 2302 })
    await log.reopen({ mode: 'none' })
    expect(await log.import(path, from)).toMatchObject({ appended: 0, duplicates: 2302 })
    expect(await log.size()).toBe(2303)
  })

  it('of the same bytes as another format, or of others, adds all', async () => {
    const log = await ImportLog.open()
    await log.import(fileOf([event]), { from: 'events' })
    expect(await log.import(fileOf([event, event]), { from: 'events' })).toMatchObject({ appended: 2 })
    const odd = { ...user, ...event }
    const path = fileOf([odd])
    expect(await log.import(path, from)).toMatchObject({ appended: 3 })
  })

  it('finishes what was interrupted, and in between nothing is half', async () => {
    const log = await ImportLog.open()
    const path = fileOf(lines(3500))
    const stop = new AbortController()
    const sizes: number[] = []
    const onProgress = (done: number, total: number) => {
      sizes.push(done)
      expect(done).toBeLessThanOrEqual(total)
    }
    log.log.recordMany = new Proxy(log.log.recordMany, {
      apply: (record, _self, args) => {
        if (args[0].length > 0) setImmediate(() => stop.abort())
        return Reflect.apply(record, log.log, args)
      },
    })
    const first = await log.import(path, { ...from, signal: stop.signal, onProgress })
    expect(first).toMatchObject({ interrupted: true, events: 3502 })
    expect(first.appended).toBeGreaterThan(0)
    expect(first.appended).toBeLessThan(3502)
    expect(await log.size()).toBe(1 + first.appended)
    const rest = await log.import(path, from)
    expect(rest).toMatchObject({ interrupted: false, appended: 3502 - first.appended, duplicates: first.appended })
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
  })

  it('stopped before it began appends nothing', async () => {
    const log = await ImportLog.open()
    const signal = AbortSignal.abort()
    expect(await log.import(fileOf([user]), { ...from, signal })).toMatchObject({ interrupted: true, appended: 0 })
    expect(await log.size()).toBe(1)
  })
})

describe('a file that changes while it is read', () => {
  /** Calls `change` when so much of the file has been read, over all readings. */
  const at = (share: number, change: () => void) => {
    let isDone = false
    return (done: number, total: number) => {
      if (isDone || done < share * total) return
      isDone = true
      change()
    }
  }

  it('is refused, and nothing is appended, if it grows before it is appended', async () => {
    for (const share of [0, 0.5]) {
      const log = await ImportLog.open()
      const path = fileOf(lines(10))
      const onProgress = at(share, () => appendFileSync(path, JSON.stringify(user)))
      const error = await refusal(log.import(path, { ...from, onProgress }))
      expect(error.code).toBe('ERR_IMPORT_CHANGED')
      expect(await log.size()).toBe(1)
    }
  })

  it('is imported as it was, and said to be touched, if it grows later', async () => {
    const log = await ImportLog.open()
    const path = fileOf([event, event])
    const onProgress = at(1, () => appendFileSync(path, `${JSON.stringify(event)}\n`))
    expect(await log.import(path, { from: 'events', onProgress })).toMatchObject({ appended: 2, touched: true })
  })

  it('never has other bytes appended than those that were checked', async () => {
    const log = await ImportLog.open()
    const content = `${JSON.stringify({ ...event, attributes: { n: 1 } })}\n`.repeat(12_000)
    const path = fileOf(content)
    const onProgress = at(0.75, () =>
      writeFileSync(path, content.slice(0, -500).replaceAll('"n":1', '"n":2').padEnd(content.length)),
    )
    const error = await refusal(log.import(path, { from: 'events', onProgress }))
    expect(error.code).toBe('ERR_IMPORT_CHANGED')
    expect((await log.found()).filter(({ attributes }) => attributes?.n === 2)).toEqual([])
    writeFileSync(path, content)
    const rest = await log.import(path, { from: 'events' })
    expect(rest.appended + rest.duplicates).toBe(12_000)
  })
})
