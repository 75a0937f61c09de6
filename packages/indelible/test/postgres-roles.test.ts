import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { macKey } from '#crypto'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { PrivacyPolicy } from '../src/privacy/policy.ts'
import { PostgresIndex } from '../src/query/postgres-index.ts'
import { QueryEngine } from '../src/query/query.ts'
import { openPostgresStore, setupPostgres } from '../src/store/postgres.ts'
import { BatchWriter, numbered } from '../src/testing/batches.ts'
import { assertHolds, collect } from '../src/testing/store-kit.ts'
import { Pooler, pgbouncer } from './postgres/pooler.ts'
import { sql } from './postgres/server.ts'
import { noServer, sharedServer } from './postgres/shared.ts'

const name = () => `n${randomBytes(5).toString('hex')}`
const as = (url: string, role: string) => {
  const other = new URL(url)
  other.username = role
  return other.href
}

async function rowsOf(url: string, table: string): Promise<number> {
  const [row] = await sql(url, `SELECT count(*)::int AS n FROM ${table}`)
  return row!.n as number
}

const TABLES = ['entries', 'payloads', 'ids', 'subjects', 'tiles', 'checkpoints', 'head', 'logs', 'access', 'meta']
const INDEX = ['index_state', 'index_rows', 'index_words', 'index_blocks', 'index_runs']

describe.skipIf(noServer)(`roles in Postgres${noServer ? `: ${noServer}` : ''}`, () => {
  it('let a writer append and read, and change or delete nothing', async () => {
    const server = await sharedServer()
    const [schema, role, origin] = [name(), name(), 'example.com/roles']
    const url = `${server}?schema=${schema}&partition=256`
    await sql(server, `CREATE ROLE ${role} LOGIN`)
    await setupPostgres(url, { grants: [{ role, rights: 'write' }] })
    const own = as(url, role)
    const store = await openPostgresStore(own, { origin, create: true })
    const specs = numbered('a', 600, { payload: true }).map((spec) => ({ ...spec, concerns: [new Uint8Array(16)] }))
    const batches = [await new BatchWriter(store).append(specs, { publish: true })]
    await assertHolds(store, batches)
    const writer = new BatchWriter(store)
    batches.push(await writer.append(numbered('b', 3, { payload: true })))
    // Within a partition, across the end of the last one, and within the next.
    for (const [label, count] of [
      ['c', 100],
      ['d', 100],
      ['e', 3],
    ] as const) {
      batches.push(await writer.appendAhead(numbered(label, count, { payload: true })))
    }
    await assertHolds(store, batches)
    const index = await PostgresIndex.open(own, origin, store)
    expect(await index.update(store)).toBe(806)

    const parts = await sql(
      server,
      `SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p')
      AND relnamespace = '${schema}'::regnamespace`,
    )
    const tables = parts.map((part) => part.name as string)
    expect(tables.length).toBeGreaterThan(TABLES.length + INDEX.length + 6)
    for (const table of tables) {
      const column = (
        await sql(
          server,
          `SELECT attname FROM pg_attribute WHERE attrelid = '${table}'::regclass AND attnum > 0 AND attidentity = '' LIMIT 1`,
        )
      )[0]!
      for (const text of [
        `UPDATE ${table} SET ${column.attname} = ${column.attname}`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table}`,
        `DROP TABLE ${table}`,
        `ALTER TABLE ${table} ADD COLUMN more int`,
      ]) {
        await expect(sql(own, text), text).rejects.toMatchObject({ code: '42501' })
      }
    }
    await expect(store.purge(256)).rejects.toMatchObject({ code: 'ERR_STORE_DENIED' })
    await expect(store.erase([{ index: 1, id: 'a 1', name: 'input' }])).rejects.toMatchObject({
      code: 'ERR_STORE_DENIED',
    })
    expect(await store.scrub()).not.toEqual([])
    await assertHolds(store, batches)
    // The owner's triggers stop accidents.
    for (const text of [
      `UPDATE ${schema}.entries SET entry = ''`,
      `DELETE FROM ${schema}.entries`,
      `DELETE FROM ${schema}.entries_1_0`,
      `TRUNCATE ${schema}.entries`,
      `UPDATE ${schema}.head SET size = 1`,
      `DELETE FROM ${schema}.ids`,
      `UPDATE ${schema}.tiles SET root = ''`,
    ]) {
      await expect(sql(server, text), text).rejects.toMatchObject({ code: 'IL002' })
    }
    await index.close()
    await store.close()
  })

  it('drop whole partitions that were purged, and delete the rest', async () => {
    const server = await sharedServer()
    const schema = name()
    const url = `${server}?schema=${schema}&partition=256`
    const store = await openPostgresStore(url, { origin: 'example.com/parts', create: true })
    await new BatchWriter(store).append(numbered('a', 1100, { payload: true }))
    const parts = async () =>
      (
        await sql(
          server,
          `SELECT relname FROM pg_class WHERE relnamespace = '${schema}'::regnamespace AND relname ~ '^entries_[0-9]' AND relkind = 'r'`,
        )
      )
        .map(({ relname }) => relname)
        .sort()
    expect(await parts()).toEqual(['entries_1_0', 'entries_1_1024', 'entries_1_256', 'entries_1_512', 'entries_1_768'])
    await store.purge(768)
    expect(await parts()).toEqual(['entries_1_1024', 'entries_1_768'])
    expect((await collect(store.entries(0, 1100))).length).toBe(332)
    await store.close()
  })

  it('show a reader of one tenant nothing of another', async () => {
    const server = await sharedServer()
    const [schema, a, b, all, nobody] = [name(), name(), name(), name(), name()]
    const url = `${server}?schema=${schema}`
    const origin = 'example.com/tenants'
    for (const role of [a, b, all, nobody]) await sql(server, `CREATE ROLE ${role} LOGIN`)
    const keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
    const create = () => openPostgresStore(url, { origin, create: true })
    await writeFirstEntry(await create(), keys, formatVkey(keys.signer.key), 'default')
    const store = await create()
    const privacy = new PrivacyPolicy({ mode: 'full' }, origin, macKey(new Uint8Array(32)))
    const log = await Log.open({ store, keys, privacy })
    const events = Array.from({ length: 40 }, (_, i) => ({
      type: 'tool.end',
      actor: { type: 'agent', id: `agent of ${i % 2 ? 'a' : 'b'}` },
      outcome: 'success',
      tenant: i % 2 ? 'a' : 'b',
      run: { id: `run ${i % 2 ? 'a' : 'b'}${i % 3}` },
      attributes: { note: i % 2 ? 'apple shared' : 'banana shared' },
      parts: { output: { value: i % 2 ? 'apricot' : 'blueberry' } },
    }))
    await log.recordMany(events as never)
    const filled = await PostgresIndex.open(url, origin, store)
    await filled.update(store)
    await filled.close()
    const access = { rights: 'read' as const, origin }
    await setupPostgres(url, {
      grants: [
        { ...access, role: a, tenant: 'a' },
        { ...access, role: b, tenant: 'b' },
        { ...access, role: all },
      ],
    })

    for (const [role, own, words] of [
      [a, 'a', { apple: 20, apricot: 20, banana: 0, blueberry: 0, shared: 20 }],
      [b, 'b', { apple: 0, apricot: 0, banana: 20, blueberry: 20, shared: 20 }],
    ] as const) {
      const as_ = as(url, role)
      expect(await rowsOf(as_, `${schema}.entries`)).toBe(20)
      expect(await rowsOf(as_, `${schema}.payloads`)).toBe(20)
      expect(await rowsOf(as_, `${schema}.ids`)).toBe(20)
      expect(await rowsOf(as_, `${schema}.index_rows`)).toBe(20)
      for (const table of ['entries', 'payloads', 'ids', 'index_rows', 'index_words', 'index_runs']) {
        expect(await rowsOf(as_, `${schema}.${table} WHERE tenant IS DISTINCT FROM '${own}'`)).toBe(0)
      }
      for (const table of ['entries_1_0', 'payloads_1_0', 'ids_all', 'index_rows_all', 'index_words_all', 'access']) {
        await expect(sql(as_, `SELECT * FROM ${schema}.${table}`)).rejects.toMatchObject({ code: '42501' })
      }
      const reader = await openPostgresStore(as_, { origin, readOnly: true })
      const index = await PostgresIndex.open(as_, origin, reader)
      const engine = new QueryEngine(reader, index)
      expect(await index.update(reader)).toBe(0)
      expect(await engine.count({})).toBe(20)
      expect(await engine.count({ actor: `agent of ${own}` })).toBe(20)
      expect(await engine.count({ actor: `agent of ${own === 'a' ? 'b' : 'a'}` })).toBe(0)
      for (const [word, count] of Object.entries(words)) expect(await engine.count({ text: word })).toBe(count)
      expect((await engine.runs({ limit: 10 })).map(({ run }) => run.slice(0, 5))).toEqual(Array(3).fill(`run ${own}`))
      expect(await reader.payload(own === 'a' ? 1 : 2, 'output')).toBe(null)
      await expect(new BatchWriter(reader).append([])).rejects.toMatchObject({ code: 'ERR_STORE_READONLY' })
      await expect(sql(as_, `SELECT * FROM ${schema}.lock_head(1)`)).rejects.toMatchObject({ code: '42501' })
      await Promise.all([engine.close(), reader.close()])
    }
    expect(await rowsOf(as(url, all), `${schema}.entries`)).toBe(41)
    await expect(openPostgresStore(as(url, nobody), { origin, readOnly: true })).rejects.toMatchObject({
      code: 'ERR_STORE_DENIED',
    })
    await log.close()
    await store.close()
  })
})

const noPooler = noServer ?? (pgbouncer ? null : 'pgbouncer is not installed')

describe.skipIf(noPooler)(`through pgbouncer in transaction mode${noPooler ? `: ${noPooler}` : ''}`, () => {
  let pooler: Pooler | null = null
  afterAll(() => pooler?.stop())

  it('appends, reads and queries from several handles at once, on fewer connections than handles', async () => {
    pooler = await Pooler.start(await sharedServer())
    const { url } = pooler
    const origin = `example.com/${name()}`
    const stores = await Promise.all(Array.from({ length: 6 }, () => openPostgresStore(url, { origin, create: true })))
    const race = stores.flatMap((store, i) => {
      const writer = new BatchWriter(store)
      return [0, 1, 2].map((n) => writer.append(numbered(`${i}.${n}`, 40, { payload: true })))
    })
    const batches = (await Promise.all(race)).sort((x, y) => x.from - y.from)
    const ahead = stores.map((store) => new BatchWriter(store))
    for (const [i, writer] of [...ahead, ...ahead].entries()) {
      batches.push(await writer.append(numbered(`${i} under the lock`, 40, { payload: true })))
      batches.push(await writer.appendAhead(numbered(`${i} ahead`, 40, { payload: true })))
    }
    for (const store of stores) await assertHolds(store, batches)
    const index = await PostgresIndex.open(url, origin, stores[0]!)
    expect(await index.update(stores[0]!)).toBe(1680)
    expect(await index.size()).toBe(1680)
    await index.close()
    for (const store of stores) await store.close()
  }, 60_000)
})

it('says which version of pgbouncer it ran', () => {
  if (pgbouncer) expect(execFileSync(pgbouncer, ['--version'], { encoding: 'utf8' })).toMatch(/PgBouncer 1\./)
})
