import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { behindItsBack, folder, inFolder, open, path } from '../../test/sqlite-kit.ts'
import { utf8 } from '../bytes.ts'
import { BatchWriter, numbered } from '../testing/batches.ts'

inFolder()

describe('what a sqlite store has let go', () => {
  const secrets = (i: number) => [`secret ${i} of a short part`, `secret ${i} of a long part ${'x'.repeat(6000)}`]
  const specs = numbered('a', 600).map((spec, i) => {
    const [short, long] = secrets(i)
    return {
      ...spec,
      entry: `secret ${i} entry`,
      digest: utf8(`secret ${i} digest`),
      payloads: { short: short!, long: long! },
    }
  })
  const files = () => {
    const contents = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
    return (secret: string) => contents.some((content) => content.includes(secret))
  }

  it('is in none of its files after an erasure', async () => {
    const store = open()
    await new BatchWriter(store).append(specs)
    await store.erase(
      [17, 300, 599].flatMap((index) => ['short', 'long'].map((name) => ({ index, id: `a ${index}`, name }))),
    )
    await store.close()
    const inFiles = files()
    for (const index of [17, 300, 599]) {
      for (const what of ['of a short', 'of a long', 'digest']) expect(inFiles(`secret ${index} ${what}`)).toBe(false)
      expect(inFiles(`secret ${index} entry`)).toBe(true)
    }
    expect(inFiles('secret 18 of a long')).toBe(true)
    expect(inFiles('secret 18 digest')).toBe(true)
  })

  it('stays pending while a reader needs the WAL, and is gone once that is done', async () => {
    const store = open()
    await new BatchWriter(store).append(specs)
    const reader = new DatabaseSync(path, { readOnly: true })
    reader.exec('BEGIN')
    expect(reader.prepare('SELECT count(*) AS n FROM payloads').get()).toEqual({ n: 1200 })
    await store.erase([{ index: 17, id: 'a 17', name: 'long' }])
    expect(await store.scrub()).toEqual(['database file and its WAL: another process reads an older state'])
    expect(files()('secret 17 of a long')).toBe(true)
    reader.exec('ROLLBACK')
    expect(await store.scrub()).toEqual([])
    const inFiles = files()
    expect(inFiles('secret 17 of a long')).toBe(false)
    expect(inFiles('secret 18 of a long')).toBe(true)
    reader.close()
  })

  it('is not written anew by another handle, unless more was deleted since', async () => {
    const store = open()
    await new BatchWriter(store).append(specs)
    await store.erase([{ index: 17, id: 'a 17', name: 'long' }])
    expect(await store.scrub()).toEqual([])
    const counts = () => behindItsBack((db) => db.prepare('SELECT made, scrubbed FROM deletions').get())
    expect(counts()).toEqual({ made: 2, scrubbed: 2 })
    const other = open()
    await other.erase([{ index: 18, id: 'a 18', name: 'long' }])
    expect(counts()).toEqual({ made: 3, scrubbed: 2 })
    expect(await store.scrub()).toEqual([])
    expect(counts()).toEqual({ made: 3, scrubbed: 3 })
    expect(files()('secret 18 of a long')).toBe(false)
  })

  it('stays pending while another process writes', async () => {
    const store = open({ lockTimeoutMs: 50 })
    await new BatchWriter(store).append(specs)
    await store.erase([{ index: 17, id: 'a 17', name: 'long' }])
    const writer = new DatabaseSync(path)
    writer.exec('BEGIN IMMEDIATE')
    expect(await store.scrub()).toEqual(['database file: locked by another process'])
    writer.close()
    expect(await store.scrub()).toEqual([])
    expect(files()('secret 17 of a long')).toBe(false)
  })

  it('is scrubbed while the event loop goes on', async () => {
    const store = open()
    await new BatchWriter(store).append(specs)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await store.scrub()
    clearInterval(timer)
    expect(turns).toBeGreaterThan(2)
  })

  it('is in none of its files after a purge', async () => {
    const store = open()
    await new BatchWriter(store).append(specs)
    await store.purge(256)
    await store.close()
    const inFiles = files()
    for (let index = 0; index < 256; index += 5) {
      for (const what of ['of a short', 'of a long', 'entry']) expect(inFiles(`secret ${index} ${what}`)).toBe(false)
    }
    expect(inFiles('secret 256 entry')).toBe(true)
  })
})
