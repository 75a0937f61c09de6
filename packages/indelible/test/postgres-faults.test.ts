import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openPostgresStore, setupPostgres } from '../src/store/postgres.ts'
import { Connection, loadDriver } from '../src/store/postgres-driver.ts'
import { migrate, POSTGRES_SCHEMA_VERSION } from '../src/store/postgres-schema.ts'
import { parsePostgresUrl } from '../src/store/postgres-url.ts'
import type { Batch, LogStore } from '../src/store/store.ts'
import { openStoreAt } from '../src/store/stores.ts'
import { BatchWriter, numbered } from '../src/testing/batches.ts'
import { assertHolds } from '../src/testing/store-kit.ts'
import { CuttingProxy } from './postgres/proxy.ts'
import { localBinaries, sql, TestServer } from './postgres/server.ts'
import { binaries, noServer } from './postgres/shared.ts'

const none = noServer ?? (localBinaries().size === 0 ? 'a server of our own is needed, to kill it' : null)
const name = () => `n${randomBytes(5).toString('hex')}`

describe.skipIf(none)(`Postgres, when something is wrong${none ? `: ${none}` : ''}`, () => {
  let server: TestServer
  const opened: { close(): Promise<unknown> }[] = []

  beforeAll(async () => {
    server = await TestServer.start(binaries('newest'))
    await setupPostgres(server.url())
  })
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close()
  })
  afterAll(() => server?.stop())

  async function open(url = server.url(), origin = `example.com/${name()}`, create = true): Promise<LogStore> {
    const store = await openPostgresStore(url, { origin, create })
    opened.push(store)
    return store
  }

  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'no error',
      (error: { code?: string; message: string }) => {
        expect(error.message).not.toMatch(/s3cret/)
        return error.code
      },
    )

  it.each([
    ['postgres://user:s3cret@host:port/db', 'ERR_CONFIG_INVALID'],
    ['postgres://user:s3cret%@127.0.0.1/db', 'ERR_CONFIG_INVALID'],
    ['postgres://user:s3cret@127.0.0.1/db?schema=a;b', 'ERR_CONFIG_INVALID'],
    ['postgres://user:s3cret@127.0.0.1/db?partition=100', 'ERR_CONFIG_INVALID'],
    ['postgres://user:s3cret@127.0.0.1:1/db', 'ERR_STORE_UNREACHABLE'],
    ['postgres://user:s3cret@nowhere.invalid/db', 'ERR_STORE_UNREACHABLE'],
  ])('says what is wrong with %s, and no password', async (url, code) => {
    expect(await codeOf(openStoreAt(url, { home: '/', origin: 'example.com/a' }))).toBe(code)
  })

  it('says that a driver is missing', async () => {
    const load = () => Promise.reject(new Error('Cannot find package'))
    await expect(loadDriver(load)).rejects.toMatchObject({ code: 'ERR_DRIVER_MISSING' })
  })

  it('says that a password, a role, a database, a log or a right is missing', async () => {
    const role = name()
    await sql(server.url(), `CREATE ROLE ${role} LOGIN PASSWORD 'right'`)
    await sql(server.url(), `CREATE DATABASE db_${role}`)
    server.demandPassword(role)
    await sleep(300)
    const as = (password: string, database = 'postgres') => server.url(database, role, password)
    expect(await codeOf(open(as('s3cret')))).toBe('ERR_STORE_DENIED')
    expect(await codeOf(open(server.url('postgres', `${role}_nobody`)))).toBe('ERR_STORE_DENIED')
    expect(await codeOf(open(as('right', 'nothing')))).toBe('ERR_STORE_MISSING')
    // Tables that it may not touch, and a database in which it may make none.
    expect(await codeOf(open(as('right')))).toBe('ERR_STORE_DENIED')
    expect(await codeOf(open(as('right', `db_${role}`)))).toBe('ERR_STORE_DENIED')
    expect(await codeOf(open(as('right', `db_${role}`), 'example.com/a', false))).toBe('ERR_STORE_MISSING')
    expect(await codeOf(open(server.url(), 'example.com/not-there', false))).toBe('ERR_STORE_MISSING')
  })

  it('brings older tables up as their owner, tells others to, and refuses newer ones', async () => {
    const [schema, role, origin] = [name(), name(), 'example.com/old']
    const url = `${server.url()}?schema=${schema}`
    const connection = new Connection(await loadDriver(), parsePostgresUrl(url).client)
    await migrate(connection, schema, 1)
    await connection.script(`SELECT ${schema}.make_log('${origin}', 4096); CREATE ROLE ${role} LOGIN;
      GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT SELECT ON ${schema}.meta TO ${role}`)
    const asRole = `${server.url('postgres', role)}?schema=${schema}`
    expect(await codeOf(open(asRole, origin, false))).toBe('ERR_STORE_VERSION')
    const store = await open(url, origin, false)
    await assertHolds(store, [await new BatchWriter(store).append(numbered('a', 300, { payload: true }))])
    expect(await sql(url, `SELECT version FROM ${schema}.meta`)).toEqual([{ version: POSTGRES_SCHEMA_VERSION }])
    await sql(url, `UPDATE ${schema}.meta SET version = ${POSTGRES_SCHEMA_VERSION + 1}`)
    expect(await codeOf(open(url, origin, false))).toBe('ERR_STORE_VERSION')
    await connection.close()
  })

  it('makes its tables once, however many want them at once', async () => {
    const url = `${server.url()}?schema=${name()}`
    const stores = await Promise.all(Array.from({ length: 5 }, () => open(url, 'example.com/one')))
    const batch = await new BatchWriter(stores[0]!).append(numbered('a', 3))
    for (const store of stores) await assertHolds(store, [batch])
  })

  it('goes on when the server restarts in the middle of a batch, whose entries are written once', async () => {
    const store = await open()
    const writer = new BatchWriter(store)
    const batches = [await writer.append(numbered('a', 300, { payload: true }))]
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const underLock = async () => {
        await server.halt(signal)
        setTimeout(() => server.run(), 200)
      }
      batches.push(await writer.append(numbered(signal, 300, { payload: true }), { underLock }))
      await assertHolds(store, batches)
    }
  }, 60_000)

  it.each(['before', 'after'] as const)(
    'learns what became of a batch when the connection is cut %s the commit, and writes it once',
    async (when) => {
      const proxy = await CuttingProxy.to(server.port)
      opened.push(proxy)
      const url = server.url().replace(`:${server.port}`, `:${proxy.port}`)
      const store = await open(url)
      const writer = new BatchWriter(store)
      const batches = [await writer.append(numbered('a', 10))]
      proxy.cutAt = { text: 'COMMIT\0', when }
      setTimeout(() => {
        proxy.cutAt = null
      }, 150)
      batches.push(await writer.append(numbered('b', 300, { payload: true })))
      expect(proxy.cuts).toBeGreaterThan(0)
      // In the background, where the batch is sealed before.
      const head = (await store.head())!
      proxy.cutAt = { text: 'COMMIT\0', when }
      setTimeout(() => {
        proxy.cutAt = null
      }, 150)
      const { buildBatch, positionAt } = await import('../src/testing/batches.ts')
      const { batch } = buildBatch(await positionAt(store, head), numbered('c', 300, { payload: true }))
      expect(await store.appendAfter!(head, batch)).toBe(true)
      await assertHolds(store, [...batches, batch])
    },
  )

  it('says that it does not know when the server stays away, and knows once it is back', async () => {
    const proxy = await CuttingProxy.to(server.port)
    const origin = `example.com/${name()}`
    const store = await open(`${server.url().replace(`:${server.port}`, `:${proxy.port}`)}?lock_timeout=1`, origin)
    const writer = new BatchWriter(store)
    const first = await writer.append(numbered('a', 10))
    proxy.cutAt = { text: 'COMMIT\0', when: 'after' }
    const cut = codeOf(writer.append(numbered('b', 10)))
    for (let i = 0; i < 100 && proxy.cuts === 0; i++) await sleep(5)
    proxy.isShut = true
    expect(await cut).toBe('ERR_STORE_UNREACHABLE')
    proxy.cutAt = null
    proxy.isShut = false
    expect((await store.head())!.size).toBe(20)
    await proxy.close()
    expect(await codeOf(store.head())).toBe('ERR_STORE_UNREACHABLE')
    const direct = await open(server.url(), origin, false)
    expect((await direct.head())!.size).toBe(first.head.size + 10)
  }, 40_000)

  it.each([
    ['a deadlock', '40P01', 1, 'no error'],
    ['a serialization failure', '40001', 3, 'no error'],
    ['a disk that is full', '53100', 1, 'ERR_STORE_FULL'],
    ['too many connections', '53300', 1, 'ERR_STORE_BUSY'],
    ['a damaged page', 'XX001', 1, 'ERR_STORE_CORRUPT'],
    ['an error of which nothing is known', 'XX000', 1, 'ERR_STORE_FAILED'],
  ])('meets %s, and loses nothing', async (_, state, times, code) => {
    const schema = name()
    const url = `${server.url()}?schema=${schema}`
    const store = await open(url)
    const writer = new BatchWriter(store)
    const batches: Batch[] = [await writer.append(numbered('a', 10))]
    // nextval outlives the transaction that it was called in.
    await sql(
      url,
      `CREATE SEQUENCE ${schema}.hits;
       CREATE FUNCTION ${schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('${schema}.hits') <= ${times} THEN RAISE EXCEPTION 'row with secret' USING ERRCODE = '${state}'; END IF;
         RETURN NEW; END $$;
       CREATE TRIGGER fail BEFORE UPDATE ON ${schema}.head FOR EACH ROW EXECUTE FUNCTION ${schema}.fail()`,
    )
    let seals = 0
    const appended = writer.append(numbered('b', 300, { payload: true }), { underLock: () => seals++ })
    expect(await codeOf(appended)).toBe(code)
    expect(seals).toBe(1)
    if (code === 'no error') batches.push(await appended)
    else if (state.startsWith('XX'))
      await expect(appended).rejects.not.toMatchObject({ message: expect.stringContaining('secret') })
    await assertHolds(store, batches)
    batches.push(await new BatchWriter(store).append(numbered('c', 3)))
    await assertHolds(store, batches)
    // The same in the background, where all of it is one question.
    await sql(url, `ALTER SEQUENCE ${schema}.hits RESTART`)
    const next = new BatchWriter(store)
    const error = await codeOf(next.append([]).then(() => next.appendAhead(numbered('d', 300, { payload: true }))))
    expect(error).toBe(code)
    expect((await store.head())!.size).toBe(batches.at(-1)!.head.size + (code === 'no error' ? 300 : 0))
  })

  it('gives up waiting for a lock in time, and has it as soon as its holder is gone', async () => {
    const origin = `example.com/${name()}`
    const store = await open(`${server.url()}?lock_timeout=1`, origin)
    const written = await new BatchWriter(store).append(numbered('a', 10))
    const holder = new Connection(await loadDriver(), parsePostgresUrl(server.url()).client)
    await holder.script(`BEGIN; SELECT indelible.lock_head(id) FROM indelible.logs WHERE origin = '${origin}'`)
    expect(await codeOf(new BatchWriter(store).append(numbered('b', 3)))).toBe('ERR_STORE_BUSY')
    await assertHolds(store, [written])
    const waiting = new BatchWriter(store).append(numbered('c', 3))
    await sleep(100)
    holder.discard()
    await assertHolds(store, [written, await waiting])
  })

  it('reads on a server that takes no writes, and says so when asked to write', async () => {
    const origin = `example.com/${name()}`
    const store = await open(server.url(), origin)
    const written = await new BatchWriter(store).append(numbered('a', 300, { payload: true }))
    const role = name()
    await sql(server.url(), `CREATE ROLE ${role} LOGIN; ALTER ROLE ${role} SET default_transaction_read_only = on`)
    await setupPostgres(server.url(), { grants: [{ role, rights: 'write' }] })
    const shut = await open(server.url('postgres', role), origin, false)
    await assertHolds(shut, [written])
    expect(await codeOf(new BatchWriter(shut).append(numbered('b', 3)))).toBe('ERR_STORE_READONLY')
    const reader = await openPostgresStore(server.url(), { origin, readOnly: true })
    opened.push(reader)
    await assertHolds(reader, [written])
    expect(await codeOf(new BatchWriter(reader).append(numbered('b', 3)))).toBe('ERR_STORE_READONLY')
  })

  const canCopy = [...localBinaries().values()].find((bin) => existsSync(join(bin, 'pg_basebackup')))
  it.skipIf(!canCopy)(
    'reads a replica while it follows, and refuses to write to it',
    async () => {
      const primary = await TestServer.start(canCopy!, { settings: ['wal_level=replica', 'max_wal_senders=4'] })
      let replica: TestServer | null = null
      try {
        const origin = 'example.com/replicated'
        const store = await open(primary.url(), origin)
        const writer = new BatchWriter(store)
        const batches = [await writer.append(numbered('a', 300, { payload: true }))]
        replica = await TestServer.start(canCopy!, { replicaOf: primary })
        batches.push(await writer.append(numbered('b', 10)))
        const follower = await openPostgresStore(replica.url(), { origin, readOnly: true })
        opened.push(follower)
        for (let i = 0; i < 100 && (await follower.head())?.size !== 310; i++) await sleep(50)
        await assertHolds(follower, batches)
        const wrong = await open(replica.url(), origin, false)
        expect(await codeOf(new BatchWriter(wrong).append(numbered('c', 3)))).toBe('ERR_STORE_READONLY')
        await Promise.all(opened.splice(0).map((one) => one.close()))
      } finally {
        await replica?.stop()
        await primary.stop()
      }
    },
    60_000,
  )

  it('tells those who listen that the log grew', async () => {
    const origin = `example.com/${name()}`
    const [store, other] = [await open(server.url(), origin), await open(server.url(), origin)]
    let heard = 0
    const stop = other.subscribe!(() => heard++)
    await sleep(300)
    heard = 0
    await new BatchWriter(store).append(numbered('a', 3))
    for (let i = 0; i < 40 && heard === 0; i++) await sleep(25)
    expect(heard).toBeGreaterThan(0)
    await stop()
  })
})

it('finds the programs of a server that tests start', () => {
  for (const [version, bin] of localBinaries()) {
    expect(version).toBeGreaterThan(9)
    expect(existsSync(join(dirname(bin), 'bin', 'initdb'))).toBe(true)
  }
})
