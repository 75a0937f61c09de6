import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { inFolder, open, path } from '../../test/sqlite-kit.ts'
import { BatchWriter, buildBatch, numbered, positionAt } from '../testing/batches.ts'
import { assertHolds } from '../testing/store-kit.ts'
import type { Batch, LogStore } from './store.ts'

inFolder()

/** The batch of `specs` that goes on from the head as it is. */
async function ahead(store: LogStore, specs: Parameters<typeof buildBatch>[1], options = {}): Promise<Batch> {
  return buildBatch(await positionAt(store, await store.head()), specs, options).batch
}

async function written(store: LogStore, batch: Batch): Promise<boolean> {
  return store.appendAfter!((await store.head())!, batch)
}

const refused = (code: string) => expect.objectContaining({ code })

describe('a batch that SQLite writes in the background', () => {
  it('waits for the lock, and gives up in time', async () => {
    const store = open({ lockTimeoutMs: 100 })
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3))
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    await expect(written(store, batch)).rejects.toThrow(refused('ERR_STORE_BUSY'))
    const writing = written(store, batch)
    other.exec('ROLLBACK')
    expect(await writing).toBe(true)
    other.close()
    await assertHolds(store, [first, batch])
  })

  it('says that the store is full, corrupt or closed by the same codes, and goes on afterwards', async () => {
    const small = open({ maxPages: 60 })
    const first = await new BatchWriter(small).append(numbered('a', 3))
    const batch = await ahead(small, numbered('b', 2000, { payload: true }))
    await expect(written(small, batch)).rejects.toThrow(refused('ERR_STORE_FULL'))
    await assertHolds(small, [first])
    const fits = await ahead(small, numbered('c', 3))
    expect(await written(small, fits)).toBe(true)
    await assertHolds(small, [first, fits])
    const head = (await small.head())!
    await small.close()
    await expect(small.appendAfter!(head, batch)).rejects.toThrow(refused('ERR_CLOSED'))
    const reader = open({ readOnly: true })
    await expect(reader.appendAfter!(head, batch)).rejects.toThrow(refused('ERR_STORE_READONLY'))
  })
})
