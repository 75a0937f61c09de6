import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { macKey } from '#crypto'
import { MemoryKeys } from '../src/keys/memory-keys.ts'
import { writeFirstEntry } from '../src/log/home.ts'
import { Log } from '../src/log/log.ts'
import { formatVkey } from '../src/note/signed-note.ts'
import { PrivacyPolicy } from '../src/privacy/policy.ts'
import { type EntryFilter, parseFilter, wordsOf } from '../src/query/filter.ts'
import { PostgresIndex } from '../src/query/postgres-index.ts'
import { type DerivedIndex, type Page, type PageOptions, QueryEngine } from '../src/query/query.ts'
import { SqliteIndex, type SqliteIndexOptions } from '../src/query/sqlite-index.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { forgetDerived } from '../src/store/derived-scrub.ts'
import { openFileStore } from '../src/store/file.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { openPostgresStore } from '../src/store/postgres.ts'
import { Connection, loadDriver } from '../src/store/postgres-driver.ts'
import { parsePostgresUrl } from '../src/store/postgres-url.ts'
import type { LogStore } from '../src/store/store.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { noServer, sharedServer } from './postgres/shared.ts'

const folder = mkdtempSync(join(tmpdir(), 'indelible-query-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const origin = 'example.com/query'

async function logOf(
  events: readonly AgentEvent[],
  open: () => Promise<LogStore> = async () => memory,
  memory: LogStore = new MemoryStore(),
): Promise<{ store: LogStore; log: Log; keys: MemoryKeys }> {
  const keys = new MemoryKeys(origin, { clock: { startMs: Date.now() - 1000, seconds: 3600 } })
  await writeFirstEntry(await open(), keys, formatVkey(keys.signer.key), 'default')
  const store = await open()
  const privacy = new PrivacyPolicy({ mode: 'full' }, origin, macKey(new Uint8Array(32)))
  const log = await Log.open({ store, keys, privacy })
  await log.recordMany(events)
  return { store, log, keys }
}

let files = 0
const indexOf = (store: LogStore, options?: SqliteIndexOptions) =>
  SqliteIndex.open(join(folder, `index-${files++}.db`), store, options)

/** Where a log and its index may be. */
const places = [
  {
    name: 'in a file',
    skip: false,
    runs: 60,
    make: async (events: readonly AgentEvent[]) => {
      const { store, log } = await logOf(events)
      return { store, log, index: (await indexOf(store)) as DerivedIndex }
    },
  },
  {
    name: 'in a file, in small blocks',
    skip: false,
    runs: 60,
    make: async (events: readonly AgentEvent[]) => {
      const { store, log } = await logOf(events)
      const index = (await indexOf(store, { block: 4 })) as DerivedIndex
      // A block that is filled in pieces, and perhaps one that is not full.
      for (const upTo of [2, 3, 7]) await index.update(store, { upTo: Math.min(upTo, events.length + 1) })
      return { store, log, index }
    },
  },
  {
    name: 'beside a folder of files',
    skip: false,
    runs: 20,
    make: async (events: readonly AgentEvent[]) => {
      const path = join(folder, `log-${files++}`)
      const { store, log } = await logOf(events, () => openFileStore(path))
      return { store, log, index: (await indexOf(store)) as DerivedIndex }
    },
  },
  {
    name: `in Postgres${noServer ? `: ${noServer}` : ''}`,
    skip: noServer !== null,
    runs: 25,
    make: async (events: readonly AgentEvent[]) => {
      const url = await sharedServer()
      const logOrigin = `example.com/${randomBytes(6).toString('hex')}`
      const { store, log } = await logOf(events, () => openPostgresStore(url, { origin: logOrigin, create: true }))
      return { store, log, index: (await PostgresIndex.open(url, logOrigin, store)) as DerivedIndex }
    },
  },
]

/** An engine whose index has seen nothing: every answer is a scan. */
const naive = async (store: LogStore) => new QueryEngine(store, await indexOf(store))

const one = <T>(...values: T[]) => fc.constantFrom(...values)
const words = ['refund', 'Ärger', 'ORDER', 'order', 'x-ray', '日本', 'naïve', 'x616263', 'abc', '7']
const arbitraryEvent: fc.Arbitrary<AgentEvent> = fc
  .record(
    {
      type: one('tool.start', 'tool.end', 'tool.error', 'llm.response', 'run.end', 'x.tools.odd'),
      actor: fc.record(
        { type: one('agent', 'user'), id: one('a', 'b', 'c'), on_behalf_of: one('p', 'q') },
        { requiredKeys: ['type', 'id'] },
      ),
      outcome: one('success', 'failure', 'denied'),
      run: fc.record({ id: one('r1', 'r2', 'r3') }),
      session: one('s1', 's2'),
      tenant: one('t'),
      tool: fc.record({ name: one('read', 'write') }),
      time: fc
        .date({ min: new Date('2026-01-01'), max: new Date('2026-01-04'), noInvalidDate: true })
        .map((d) => d.toISOString()),
      attributes: fc.dictionary(one('note', 'place'), one<string | number | boolean>(...words, 5, true)),
      parts: fc.record({
        output: fc.record({ value: fc.array(one(...words), { maxLength: 3 }).map((list) => list.join(' ')) }),
      }),
    },
    { requiredKeys: ['type', 'actor', 'outcome'] },
  )
  .map((event) => event as AgentEvent)

const arbitraryFilter: fc.Arbitrary<EntryFilter> = fc.record(
  {
    type: one<string | string[]>('tool.end', 'tool.*', ['tool.error', 'run.end'], 'x.*', 'handoff', [
      'tool.*',
      'tool.end',
    ]),
    actor: one<string | string[]>('a', ['a', 'b'], 'nobody'),
    on_behalf_of: one('p', 'q'),
    run: one('r1', 'r2'),
    session: one('s1'),
    tenant: one('t', 'u'),
    tool: one('read'),
    outcome: one<string | string[]>('denied', ['success', 'failure']),
    since: one('2026-01-02', '2026-01-02T12:00:00+02:00'),
    until: one('2026-01-03', '2026-01-01T00:00:00Z'),
    text: one('refund', 'order refund', 'ärger', '日本', 'x616263', 'abc', 'naïve', 'note', 'missing'),
  },
  { requiredKeys: [] },
)

async function walk(
  engine: QueryEngine,
  filter: EntryFilter,
  options: PageOptions,
): Promise<{ pages: Page[]; indexes: number[] }> {
  const pages: Page[] = [await engine.page(filter, options)]
  while (pages.at(-1)!.next !== null) pages.push(await engine.page(filter, { ...options, cursor: pages.at(-1)!.next! }))
  return { pages, indexes: pages.flatMap(({ hits }) => hits.map(({ index }) => index)) }
}

describe('a query', () => {
  for (const place of places)
    it.skipIf(place.skip)(
      `answers as a scan of the whole log does, however much of it is indexed ${place.name}`,
      async () => {
        await fc.assert(
          fc.asyncProperty(
            fc.array(arbitraryEvent, { minLength: 1, maxLength: 30 }),
            fc.array(arbitraryFilter, { minLength: 1, maxLength: 6 }),
            fc.double({ min: 0, max: 1, noNaN: true }),
            fc.integer({ min: 1, max: 7 }),
            one('ascending' as const, 'descending' as const),
            async (events, filters, share, limit, order) => {
              const { store, log, index } = await place.make(events)
              await index.update(store, { upTo: Math.floor(share * (events.length + 1)) })
              const [engine, scan] = [new QueryEngine(store, index), await naive(store)]
              for (const filter of filters) {
                const expected = (await scan.page(filter, { limit: 1000, order })).hits.map((hit) => hit.index)
                const { pages, indexes } = await walk(engine, filter, { limit, order })
                expect(indexes).toEqual(expected)
                expect(await engine.count(filter)).toBe(expected.length)
                // Back again, page by page.
                const back: number[][] = []
                for (let cursor = pages.at(-1)!.previous; cursor !== null; ) {
                  const page = await engine.page(filter, { limit, cursor })
                  back.unshift(page.hits.map((hit) => hit.index))
                  cursor = page.previous
                }
                expect(back.flat()).toEqual(pages.slice(0, -1).flatMap(({ hits }) => hits.map((hit) => hit.index)))
              }
              const [indexed, scanned] = [await engine.runs({ limit: 10 }), await scan.runs({ limit: 10 })]
              expect(indexed).toEqual(scanned)
              await Promise.all([engine.close(), scan.close(), log.close()])
              await store.close()
            },
          ),
          { numRuns: place.runs },
        )
      },
      60_000,
    )

  it('misses nothing that was acknowledged since the index was filled', async () => {
    const { store, log } = await logOf([{ type: 'run.start', actor: { type: 'agent', id: 'a' } }])
    const index = await indexOf(store)
    await index.update(store)
    const engine = new QueryEngine(store, index)
    const { index: last } = await log.record({
      type: 'run.end',
      actor: { type: 'agent', id: 'a' },
      run: { id: 'late' },
    })
    expect((await engine.page({ run: 'late' })).hits.map((hit) => hit.index)).toEqual([last])
    expect(await engine.run('late')).toMatchObject({ entries: 1, first: last })
    await engine.close()
  })

  it('goes on behind rows that are gone', async () => {
    const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' } } as const
    const { store, log } = await logOf(Array.from({ length: 1500 }, () => event))
    const index = await indexOf(store)
    await index.update(store, { upTo: 1200 })
    await store.purge(256)
    const engine = new QueryEngine(store, index)
    const all = []
    for await (const hit of engine.all({ type: 'tool.end' })) all.push(hit.index)
    expect(all).toEqual(Array.from({ length: 1501 - 256 }, (_, i) => i + 256))
    const { indexes } = await walk(engine, { type: 'tool.end' }, { limit: 100, order: 'ascending' })
    expect(indexes).toEqual(all)
    await Promise.all([engine.close(), log.close()])
  })

  it('keeps pages where they were while the log grows', async () => {
    const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' } } as const
    const { store, log } = await logOf(Array.from({ length: 20 }, () => event))
    const engine = new QueryEngine(store, await indexOf(store))
    const first = await engine.page({ type: 'tool.end' }, { limit: 5 })
    await log.recordMany(Array.from({ length: 7 }, () => event))
    const second = await engine.page({ type: 'tool.end' }, { limit: 5, cursor: first.next! })
    expect(second.hits.map(({ index }) => index)).toEqual([15, 14, 13, 12, 11])
    const back = await engine.page({ type: 'tool.end' }, { limit: 5, cursor: second.previous! })
    expect(back.hits.map(({ index }) => index)).toEqual([20, 19, 18, 17, 16])
    // What came since is on pages before the first.
    expect(back.previous).not.toBeNull()
    await engine.close()
  })

  it('carries proofs that a stranger can check', async () => {
    const events = Array.from(
      { length: 300 },
      (_, i) => ({ type: 'tool.end', actor: { type: 'agent', id: `a${i % 7}` } }) as const,
    )
    const { store, keys } = await logOf(events)
    const engine = new QueryEngine(store, await indexOf(store))
    const { hits } = await engine.page({ actor: 'a3' }, { proofs: true, limit: 10 })
    expect(hits).toHaveLength(10)
    for (const { proof, entry, index } of hits) {
      expect(checkProof(proof!, entry, { origin, keys: [keys.signer.key] }).index).toBe(index)
    }
    await engine.close()
  })

  it.each([{ since: 'yesterday' }, { until: '2026-13-01' }])('refuses %j', (filter) =>
    expect(() => parseFilter(filter)).toThrow(expect.objectContaining({ code: 'ERR_FILTER_INVALID' })),
  )

  it('refuses a cursor of another filter, or of nobody', async () => {
    const { store } = await logOf(
      Array.from({ length: 3 }, () => ({ type: 'handoff', actor: { type: 'agent', id: 'a' } }) as const),
    )
    const engine = new QueryEngine(store, await indexOf(store))
    const { next } = await engine.page({ type: 'handoff' }, { limit: 1 })
    for (const cursor of [next!, 'dn1.AAAAAAAA', '', 'dn-1.AAAAAAAA', `${next} `]) {
      await expect(engine.page({ actor: 'a' }, { cursor })).rejects.toMatchObject({ code: 'ERR_FILTER_INVALID' })
    }
    await engine.close()
  })

  it('splits texts into words without case', () => {
    expect(wordsOf('Order #1042: jane.DOE@example.com, Ärger')).toEqual([
      'order',
      '1042',
      'jane',
      'doe',
      'example',
      'com',
      'ärger',
    ])
  })
})

describe('the index', () => {
  it('is made anew for another log, for a log that was rolled back, and when deleted', async () => {
    const event = { type: 'handoff', actor: { type: 'agent', id: 'a' } } as const
    const { store } = await logOf([event, event, event])
    const path = join(folder, 'moved.db')
    const index = await SqliteIndex.open(path, store)
    await index.update(store)
    await index.close()
    const other = (await logOf([event, event, event, event])).store
    const reopened = await SqliteIndex.open(path, other)
    expect(await reopened.size()).toBe(0)
    await reopened.update(other)
    expect(await reopened.count(parseFilter({ type: 'handoff' }), 10)).toBe(4)
    await reopened.close()
    const smaller = await SqliteIndex.open(path, store)
    expect(await smaller.size()).toBe(0)
    await smaller.close()
    writeFileSync(path, 'no database at all, but long enough to be taken for one'.repeat(100))
    const damaged = await SqliteIndex.open(path, store)
    expect(await damaged.update(store)).toBe(4)
    await damaged.close()
  })
})

describe('what was erased while the index was being filled', () => {
  const secret = () => ({
    ...{ type: 'tool.end', actor: { type: 'agent', id: 'a' }, outcome: 'success' },
    parts: { output: { value: 'confidential' } },
  })

  it('is not put back in a file', async () => {
    const { store, log } = await logOf([secret() as AgentEvent])
    const path = join(folder, `index-${files++}.db`)
    const index = await SqliteIndex.open(path, store)
    let isErased = false
    const racing = new Proxy(store, {
      get(target, name) {
        if (name !== 'payloads')
          return typeof target[name as keyof LogStore] === 'function'
            ? (target[name as keyof LogStore] as () => void).bind(target)
            : undefined
        return async function* (start: number, end: number) {
          const rows = []
          for await (const some of target.payloads(start, end)) rows.push(some)
          if (!isErased) {
            isErased = true
            const { id } = (await log.read(1)).record
            await target.erase([{ index: 1, name: 'output', id }])
            await forgetDerived(path, 'index')
          }
          yield* rows
        }
      },
    })
    await index.update(racing)
    expect(isErased).toBe(true)
    expect(await index.count(parseFilter({ text: 'confidential' }), 2)).toBe(0)
    expect(await index.size()).toBe(2)
    await index.close()
  })

  it('is not put back in Postgres', async ({ skip }) => {
    skip(noServer !== null, noServer ?? '')
    const url = await sharedServer()
    const logOrigin = `example.com/${randomBytes(6).toString('hex')}`
    const { store, log } = await logOf([secret() as AgentEvent], () =>
      openPostgresStore(url, { origin: logOrigin, create: true }),
    )
    const index = await PostgresIndex.open(url, logOrigin, store)
    const { schema, client } = parsePostgresUrl(url)
    const other = new Connection(await loadDriver(), client)
    onTestFinished(() => other.close())
    const [{ id: number }] = (await other.query(`SELECT id FROM ${schema}.logs WHERE origin = $1`, [logOrigin])) as [
      { id: number },
    ]
    // Whoever fills the index has read the log, and cannot write yet.
    await other.script(`BEGIN; LOCK TABLE ${schema}.index_state IN SHARE MODE`)
    const updating = index.update(store)
    const watcher = new Connection(await loadDriver(), client)
    const isBlocked = async () => {
      const text = `SELECT 1 FROM pg_locks WHERE relation = to_regclass($1) AND NOT granted`
      expect(await watcher.query(text, [`${schema}.index_state`])).toHaveLength(1)
    }
    await vi.waitFor(isBlocked, 10_000)
    const { id } = (await log.read(1)).record
    const erasing = store.erase([{ index: 1, name: 'output', id }])
    // An erasure that does not wait for who fills the index is over by then.
    await Promise.race([erasing, sleep(500)])
    await other.script('COMMIT')
    expect(await erasing).toBe(1)
    await updating
    expect(await index.size()).toBe(2)
    expect(await index.count(parseFilter({ text: 'confidential' }), 2)).toBe(0)
    const stale = await other.query(`SELECT ${schema}.index_lock($1, 1, 2, 0) AS mine`, [number])
    expect(stale).toEqual([{ mine: false }])
    await Promise.all([watcher.close(), index.close(), log.close()])
  })

  it('and before it was filled at all is no obstacle in Postgres', async ({ skip }) => {
    skip(noServer !== null, noServer ?? '')
    const url = await sharedServer()
    const logOrigin = `example.com/${randomBytes(6).toString('hex')}`
    const { store, log } = await logOf([secret() as AgentEvent, secret() as AgentEvent], () =>
      openPostgresStore(url, { origin: logOrigin, create: true }),
    )
    const { id } = (await log.read(1)).record
    expect(await store.erase([{ index: 1, name: 'output', id }])).toBe(1)
    const index = await PostgresIndex.open(url, logOrigin, store)
    expect(await index.update(store)).toBe(3)
    expect(await index.count(parseFilter({ text: 'confidential' }), 3)).toBe(1)
    await Promise.all([index.close(), log.close()])
  })
})
