/** Rows that are handed out together are those that are handed out one by one, whatever the rows are. */
import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, it } from 'vitest'
import { arePackedIdsAt, findPackedIds, readPackedEntries } from './sqlite-packed.ts'
import { Connection } from './sqlite-rows.ts'

let connection: Connection

/** Tables without the keys and the strictness of the real ones: somebody else may have made them. */
beforeEach(() => {
  const db = new DatabaseSync(':memory:')
  db.exec(
    `CREATE TABLE entries (idx INTEGER, entry, leaf, mac, epoch INTEGER);
     CREATE TABLE ids (id, idx INTEGER, digest, again DEFAULT 0, PRIMARY KEY (id, again)) WITHOUT ROWID`,
  )
  connection = new Connection(db)
  const entry = db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?, ?)')
  const id = db.prepare('INSERT INTO ids (id, idx, digest) VALUES (?, ?, ?)')
  for (let i = 0; i < 40; i++) {
    const bytes = Buffer.alloc(i * 7, i % 3)
    entry.run(i, bytes, Buffer.alloc(32, i), Buffer.alloc(32, 255 - i), 3)
    id.run(`id-${i}`, i, i % 2 === 0 ? null : Buffer.alloc(i % 5, i))
  }
})

describe('entries that are read together', () => {
  it('are those of the table, zero bytes and empty ones too', () => {
    const rows = readPackedEntries(connection, 0, 40)!
    expect(rows.map(({ index }) => index)).toEqual(Array.from({ length: 40 }, (_, i) => i))
    for (const { index, entry, leaf, mac, epoch } of rows) {
      expect(Buffer.from(entry)).toEqual(Buffer.alloc(index * 7, index % 3))
      expect(Buffer.from(leaf)).toEqual(Buffer.alloc(32, index))
      expect(Buffer.from(mac)).toEqual(Buffer.alloc(32, 255 - index))
      expect(epoch).toBe(3)
    }
  })

  it.each([
    ['a row is missing', 'DELETE FROM entries WHERE idx = 20'],
    ['a row is there twice', 'INSERT INTO entries SELECT * FROM entries WHERE idx = 20'],
    ['one stands in the place of another', 'UPDATE entries SET idx = 19 WHERE idx = 20'],
    ['an index is no integer', 'UPDATE entries SET idx = 20.5 WHERE idx = 20'],
    ['a hash is a text', "UPDATE entries SET leaf = 'twelve bytes twelve bytes 1234567' WHERE idx = 20"],
    [
      'a hash is shorter, and its neighbour longer',
      'UPDATE entries SET mac = zeroblob(31 + 2 * (idx = 21)) WHERE idx IN (20, 21)',
    ],
    ['an entry is a text', "UPDATE entries SET entry = 'text' WHERE idx = 20"],
    ['an entry is null', 'UPDATE entries SET entry = NULL WHERE idx = 20'],
    ['an epoch is another', 'UPDATE entries SET epoch = 4 WHERE idx = 20'],
    ['an epoch is a text', "UPDATE entries SET epoch = 'three'"],
    ['there is no table', 'DROP TABLE entries'],
  ])('are left to a plain reading where %s', (_, sql) => {
    connection.exec(sql)
    expect(readPackedEntries(connection, 0, 40)).toBeNull()
  })

  it('are left to a plain reading where they are few', () => {
    expect(readPackedEntries(connection, 0, 3)).toBeNull()
  })
})

describe('ids that are looked up together', () => {
  const find = (ids: string[]) => findPackedIds(connection, ids, JSON.stringify(ids))

  it('are found with index and digest, each under its own name', () => {
    const ids = ['id-7', 'no such id', 'id-2', 'id-39', 'id-5', 'id-7']
    const found = find(ids)!
    expect([...found.keys()].sort()).toEqual(['id-2', 'id-39', 'id-5', 'id-7'])
    expect(found.get('id-2')).toEqual({ id: 'id-2', index: 2, digest: null })
    expect(found.get('id-7')).toEqual({ id: 'id-7', index: 7, digest: new Uint8Array([7, 7]) })
    expect(found.get('id-5')).toEqual({ id: 'id-5', index: 5, digest: new Uint8Array(0) })
    expect(found.get('id-39')).toEqual({ id: 'id-39', index: 39, digest: new Uint8Array([39, 39, 39, 39]) })
  })

  it('are none where none is known', () => {
    expect(find(['a', 'b'])).toEqual(new Map())
  })

  it('are left to a plain reading where the table is another', () => {
    connection.exec("UPDATE ids SET idx = 'seven' WHERE id = 'id-7'")
    expect(find(['id-7'])).toBeNull()
    connection.exec('DROP TABLE ids')
    expect(find(['id-7'])).toBeNull()
  })
})

describe('ids that are asked for as a run', () => {
  const ids = Array.from({ length: 20 }, (_, i) => `id-${i + 10}`)

  it('are there', () => expect(arePackedIdsAt(connection, ids, 10)).toBe(true))

  it.each([
    ['none are asked for', '', [], 10],
    ['they begin elsewhere', '', ids, 11],
    ['one is asked for in the place of another', '', [...ids.slice(1), ids[0]!], 10],
    ['one is written with an escape', '', [...ids.slice(1), '"'], 10],
    ['one is not known', "DELETE FROM ids WHERE id = 'id-15'", ids, 10],
    ['one is somewhere else', "UPDATE ids SET idx = 16 WHERE id = 'id-15'", ids, 10],
    ['one is in its place as a real number', "UPDATE ids SET idx = 15.5 WHERE id = 'id-15'", ids, 10],
    ['one is there twice', "INSERT INTO ids SELECT id, idx, digest, 1 FROM ids WHERE id = 'id-15'", ids, 10],
    ['one answers for another as well', "UPDATE ids SET id = 'id-15', again = 1 WHERE id = 'id-16'", ids, 10],
    [
      'one is there twice and its neighbour not at all',
      "DELETE FROM ids WHERE id = 'id-16'; INSERT INTO ids SELECT id, idx, digest, 1 FROM ids WHERE id = 'id-15'",
      ids,
      10,
    ],
    ['there is no such table', 'DROP TABLE ids', ids, 10],
  ])('are not, where %s', (_, sql, asked, start) => {
    connection.exec(sql)
    expect(arePackedIdsAt(connection, asked, start)).toBe(false)
  })
})
