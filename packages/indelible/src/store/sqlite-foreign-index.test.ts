/** An index of somebody else's is tolerated, and says nothing to us: it need not hold what the table holds. */
import { describe, expect, it } from 'vitest'
import { behindItsBack, filled, inFolder, open } from '../../test/sqlite-kit.ts'
import { utf8 } from '../bytes.ts'
import type { LogStore } from './store.ts'

inFolder()

/** What has a planner think that the index is small, and the table large. */
const PREFERRED = (table: string) => `DELETE FROM sqlite_stat1 WHERE idx = 'foreign_one';
  INSERT INTO sqlite_stat1 VALUES ('${table}', 'foreign_one', '9000 1 1 1 1 1 1 1 1 1 1 sz=1'), ('${table}', NULL, '9000 sz=4000')`

/** Has an index hold what a table held before `sql`. */
function alterBehind(table: string, columns: string, sql: string, isPreferred: boolean): void {
  behindItsBack((db) => {
    for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()) {
      db.exec(`DROP TRIGGER ${name}`)
    }
    db.exec(`CREATE INDEX foreign_one ON ${table} (${columns}); ANALYZE`)
    if (isPreferred) db.exec(PREFERRED(table))
    db.enableDefensive(false)
    db.exec(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET type = 'no', name = 'no', tbl_name = 'no', sql = '' WHERE name = 'foreign_one'",
    )
  })
  // Connections know the schema that they began with.
  behindItsBack((db) => {
    db.enableDefensive(false)
    db.exec('PRAGMA writable_schema = ON')
    db.exec(sql)
    const create = `CREATE INDEX foreign_one ON ${table} (${columns})`
    db.exec(
      `UPDATE sqlite_schema SET type = 'index', name = 'foreign_one', tbl_name = '${table}', sql = '${create}' WHERE name = 'no'`,
    )
    db.exec('PRAGMA writable_schema = RESET')
  })
}

async function all<T>(chunks: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = []
  for await (const chunk of chunks) items.push(...chunk)
  return items
}

describe('what a sqlite log holds is read from its tables, not from an index that another made', () => {
  it.for<[string, string, string, (store: LogStore) => Promise<unknown>, unknown]>([
    [
      'entries',
      'idx, entry, leaf, mac, epoch',
      "UPDATE entries SET entry = x'21' WHERE idx = 20",
      async (store) => [(await all(store.entries(0, 100)))[20]!.entry, (await all(store.entries(20, 21)))[0]!.entry],
      [utf8('!'), utf8('!')],
    ],
    [
      'payloads',
      'idx, name, disclosure',
      "UPDATE payloads SET disclosure = '!' WHERE idx = 20",
      async (store) => [(await all(store.payloads(0, 100)))[20]!.disclosure, await store.payload(20, 'input')],
      ['!', '!'],
    ],
    [
      'ids',
      'id, idx',
      "UPDATE ids SET idx = 20 WHERE id = 'a 30'",
      async (store) =>
        store.areIdsAt!(
          Array.from({ length: 20 }, (_, i) => `a ${20 + i}`),
          20,
        ),
      false,
    ],
    [
      'ids',
      'id, idx, digest',
      "UPDATE ids SET idx = 20 WHERE id = 'a 30'",
      async (store) => [
        (await store.findIds(['a 30'])).get('a 30')!.index,
        (await store.findIds(Array.from({ length: 20 }, (_, i) => `a ${20 + i}`))).get('a 30')!.index,
      ],
      [20, 20],
    ],
    [
      'tiles',
      'level, tile, root, hashes',
      "UPDATE tiles SET root = x'21', hashes = x'21' WHERE tile = 0",
      async (store) => [await store.tile(0, 0), await store.tileRoots(0, 0, 1)],
      [utf8('!'), [utf8('!')]],
    ],
    [
      'checkpoints',
      'size, note',
      "UPDATE checkpoints SET note = '!'",
      async (store) => (await all(store.checkpoints(0, 1000))).map(({ note }) => note),
      ['!'],
    ],
    [
      'head',
      'one, size, frontier, mac, epoch, observed, checkpoint, published, min_index',
      "UPDATE head SET observed = '!'",
      async (store) => (await store.head())!.observed,
      '!',
    ],
  ])('%s (%s)', async ([table, columns, sql, read, expected]) => {
    await filled()
    alterBehind(table, columns, sql, table !== 'ids')
    expect(await read(open({ readOnly: true }))).toEqual(expected)
  })
})
