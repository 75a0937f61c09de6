import { existsSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { processToken } from '../keys/process.ts'
import { BatchWriter, buildBatch, type EntrySpec, numbered, positionAt } from '../testing/batches.ts'
import { assertHolds } from '../testing/store-kit.ts'
import { BackgroundWriter } from './background.ts'
import { type FileStoreOptions, openFileStore } from './file.ts'
import { packBatch } from './packed-batch.ts'
import type { Batch, LogStore } from './store.ts'

let folder = ''
let path = ''
const opened: LogStore[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'indelible-file-background-'))
  path = join(folder, 'log')
})

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  await rm(folder, { recursive: true })
})

async function open(options?: FileStoreOptions): Promise<LogStore> {
  const store = await openFileStore(path, options)
  opened.push(store)
  return store
}

/** The batch of `specs` that goes on from the head as it is, accepted on a day of 2026. */
async function ahead(store: LogStore, specs: readonly EntrySpec[], day = '01-01'): Promise<Batch> {
  const { batch } = buildBatch(await positionAt(store, await store.head()), specs)
  return { ...batch, head: { ...batch.head, observed: `2026-${day}T12:00:00.000Z` } }
}

async function written(store: LogStore, batch: Batch): Promise<boolean> {
  return store.appendAfter!((await store.head())!, batch)
}

const refused = (code: string) => expect.objectContaining({ code })

describe('a batch that a file store writes in the background', () => {
  it('begins the file of its day, in the rotation that was asked for', async () => {
    const store = await open()
    const batches = [await new BatchWriter(store).append(numbered('a', 3))]
    for (const day of ['01-01', '03-07']) {
      const batch = await ahead(store, numbered(day, 200, { payload: true }), day)
      expect(await written(store, batch)).toBe(true)
      batches.push(batch)
    }
    for (const name of ['audit-2026-01-01.jsonl', 'audit-2026-03-07.jsonl', 'payloads/audit-2026-03-07.jsonl']) {
      expect(existsSync(join(path, name))).toBe(true)
    }
    await assertHolds(await open({ readOnly: true }), batches)
  })

  it('waits for the lock, and gives up in time', async () => {
    const store = await open({ lockTimeoutMs: 100 })
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3))
    // As another process would that is still there.
    writeFileSync(join(path, 'lock'), processToken())
    await expect(written(store, batch)).rejects.toThrow(refused('ERR_STORE_BUSY'))
    const writing = written(store, batch)
    rmSync(join(path, 'lock'))
    expect(await writing).toBe(true)
    expect(existsSync(join(path, 'lock'))).toBe(false)
    await assertHolds(store, [first, batch])
  })

  it.skipIf(!existsSync('/dev/full')).each(['audit-2026-02-04.jsonl', 'payloads/audit-2026-02-04.jsonl'])(
    'is refused on a full disk, leaves nothing, and goes on once there is room: %s',
    async (name) => {
      const store = await open()
      const first = await new BatchWriter(store).append(numbered('a', 3))
      const batch = await ahead(store, numbered('b', 300, { payload: true }), '02-04')
      symlinkSync('/dev/full', join(path, name))
      await expect(written(store, batch)).rejects.toThrow(refused('ERR_STORE_FULL'))
      await assertHolds(store, [first])
      await store.close()
      rmSync(join(path, name))
      const again = await open()
      expect(await written(again, batch)).toBe(true)
      await assertHolds(again, [first, batch])
    },
  )

  it('is refused by a store that only reads', async () => {
    const store = await open()
    const first = await new BatchWriter(store).append(numbered('a', 3))
    const batch = await ahead(store, numbered('b', 3))
    const reader = await open({ readOnly: true })
    await expect(written(reader, batch)).rejects.toThrow(refused('ERR_STORE_READONLY'))
    await assertHolds(store, [first])
  })

  it('finds ids that the other handles of its process have written since', async () => {
    const store = await open()
    const batches = [await new BatchWriter(store).append(numbered('a', 3))]
    for (let round = 0; round < 3; round++) {
      const batch = await ahead(store, numbered(`ahead ${round}`, 100))
      expect(await written(store, batch)).toBe(true)
      batches.push(batch, await new BatchWriter(store).append(numbered(`under the lock ${round}`, 100)))
      for (const label of [`ahead ${round} 7`, `under the lock ${round} 7`]) {
        const again = await ahead(store, [...numbered(`new ${round}`, 5), { id: label, entry: 'again' }])
        expect(await written(store, again)).toBe(false)
        await store.append([label], ({ known }) => {
          expect(known.has(label)).toBe(true)
          return null
        })
      }
    }
    await assertHolds(await open(), batches)
  })
})

describe('the thread that writes', () => {
  it('says so if it has ended, and closes all the same', async () => {
    const writer = new BackgroundWriter('no-such-thread', {})
    const { batch, position } = buildBatch(null, numbered('a', 3))
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(writer.append(packBatch(position.head, batch))).rejects.toThrow(refused('ERR_STORE_FAILED'))
    }
    await writer.close()
  })
})
