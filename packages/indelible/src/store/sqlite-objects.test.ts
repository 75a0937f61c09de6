import { describe, expect, it } from 'vitest'
import { behindItsBack, filled, inFolder, path } from '../../test/sqlite-kit.ts'
import { BatchWriter, numbered } from '../testing/batches.ts'
import { assertHolds } from '../testing/store-kit.ts'
import { openSqliteStore } from './sqlite.ts'

inFolder()

const ROWS = 'SELECT idx, entry, leaf, mac, epoch'

const change = (sql: string) => behindItsBack((db) => db.exec(sql))

describe('a sqlite log in which somebody else made something', () => {
  it.for([
    ['view entries', `ALTER TABLE entries RENAME TO e2; CREATE VIEW entries AS ${ROWS} FROM e2`],
    ['table entries', 'ALTER TABLE entries RENAME TO e2'],
    ['view shown', `CREATE VIEW shown AS ${ROWS} FROM entries`],
    ['trigger t', 'CREATE TRIGGER t AFTER INSERT ON entries BEGIN UPDATE head SET observed = observed; END'],
    [
      'trigger entries_no_update',
      'DROP TRIGGER entries_no_update; CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT 1; END',
    ],
    ['table entries', 'ALTER TABLE entries ADD COLUMN more TEXT'],
    ['table copy', 'CREATE TABLE copy AS SELECT * FROM payloads'],
    ['table words', 'CREATE VIRTUAL TABLE words USING fts5(word)'],
    ['table ids', 'DROP TABLE ids; CREATE TABLE ids (id TEXT, idx INTEGER, digest BLOB)'],
    ['index once', 'CREATE UNIQUE INDEX once ON entries (mac)'],
    ['table tiles', 'DROP TABLE tiles'],
  ] as const)('is refused by name: %s', async ([object, sql]) => {
    await filled()
    change(sql)
    const objects = expect.arrayContaining([object])
    for (const readOnly of [true, false]) {
      expect(() => openSqliteStore(path, { readOnly })).toThrow(
        expect.objectContaining({ code: 'ERR_STORE_CORRUPT', objects }),
      )
    }
  })

  it.for([
    ['a plain index', 'CREATE INDEX by_epoch ON entries (epoch)'],
    ['what ANALYZE leaves', 'ANALYZE'],
    ['no triggers', 'DROP TRIGGER entries_no_update; DROP TRIGGER head_min_index'],
    ['a file written anew', 'VACUUM'],
  ] as const)('opens with %s', async ([, sql]) => {
    const first = await filled()
    change(sql)
    const store = openSqliteStore(path)
    const second = await new BatchWriter(store).append(numbered('b', 3))
    await assertHolds(store, [first, second])
    await store.close()
  })
})
