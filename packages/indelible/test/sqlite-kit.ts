/** A SQLite log in a folder of each test's own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach } from 'vitest'
import { openSqliteStore, type SqliteOptions } from '../src/store/sqlite.ts'
import type { Batch, LogStore } from '../src/store/store.ts'
import { BatchWriter, numbered } from '../src/testing/batches.ts'

/** Of the test that runs. */
export let folder = ''
export let path = ''
const opened: LogStore[] = []

/** To be called once by a test file: gives each test a folder, and closes and removes what it leaves. */
export function inFolder(): void {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'indelible-store-'))
    path = join(folder, 'log.db')
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    await rm(folder, { recursive: true })
  })
}

/** Another log in the test's folder from here on. */
export function turnTo(file: string): void {
  path = file
}

export function open(options?: SqliteOptions): LogStore {
  const store = openSqliteStore(path, options)
  opened.push(store)
  return store
}

/** A closed log of one batch. */
export async function filled(count = 300): Promise<Batch> {
  const store = open()
  const batch = await new BatchWriter(store).append(numbered('a', count, { payload: true }), { publish: true })
  await store.close()
  return batch
}

/** Does something to the file behind the store's back. */
export function behindItsBack<T>(work: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(path)
  try {
    return work(db)
  } finally {
    db.close()
  }
}
