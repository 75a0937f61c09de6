/** Cases of the store suite: what an append writes, and that one that fails writes nothing. */
import assert from 'node:assert/strict'
import { utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import type { Batch, LogStore } from '../store/store.ts'
import { MAX_ENTRY_BYTES } from '../tree/tile.ts'
import { allBytes, BatchWriter, buildBatch, type EntrySpec, numbered, positionAt } from './batches.ts'
import { assertHolds, type DefineCase, rejects } from './store-kit.ts'

export function appendCases(define: DefineCase): void {
  define('shows an empty log to the first append', async ({ open }) => {
    const store = await open()
    await assertHolds(store, [])
    let calls = 0
    await store.append(['nobody'], ({ head, known }) => {
      calls++
      assert.equal(head, null)
      assert.equal(known.size, 0)
      return buildBatch(null, numbered('a', 1)).batch
    })
    assert.equal(calls, 1)
  })

  define('gives back all that was appended, byte for byte', async ({ open }) => {
    const store = await open()
    const writer = new BatchWriter(store)
    const batches = [
      await writer.append(awkward, { publish: true }),
      await writer.append(numbered('single', 1)),
      await writer.append(numbered('a', 700, { payload: true }), { publish: true }),
      await writer.append(numbered('b', 5)),
    ]
    await assertHolds(store, batches)
  })

  define('takes a batch of 10,000 entries', async ({ open }) => {
    const store = await open()
    await assertHolds(store, [await new BatchWriter(store).append(numbered('a', 10_000, { payload: true }))])
  })

  define('refuses a batch that starts elsewhere than at its end', async ({ open }) => {
    const store = await open()
    const { batch: tooEarly } = buildBatch(null, numbered('early', 3, { payload: true }), { publish: true })
    await refuses(store, { ...tooEarly, from: 1 }, [])
    const written = await new BatchWriter(store).append(numbered('a', 300, { payload: true }), { publish: true })
    await refuses(store, tooEarly, [written])
    const { batch } = buildBatch(await positionAt(store, await store.head()), numbered('b', 300), { publish: true })
    for (const from of [0, 299, 301, 600]) await refuses(store, { ...batch, from }, [written])
  })

  define('refuses a batch with an id that the log has', async ({ open }) => {
    const store = await open()
    const written = await new BatchWriter(store).append(numbered('a', 250))
    const specs = numbered('b', 300, { payload: true })
    const { batch } = buildBatch(await positionAt(store, await store.head()), specs.with(299, numbered('a', 8)[7]!), {
      publish: true,
    })
    await refuses(store, batch, [written])
  })

  define('refuses a batch with an id twice', async ({ open }) => {
    const store = await open()
    const written = await new BatchWriter(store).append(numbered('a', 2))
    const [first] = numbered('b', 1, { payload: true })
    const { batch } = buildBatch(await positionAt(store, await store.head()), [first!, first!])
    await refuses(store, batch, [written])
  })

  for (const [kind, seal] of Object.entries(throwing)) {
    define(`passes on what seal throws, ${kind}, and writes nothing`, async ({ open }) => {
      const store = await open()
      const writer = new BatchWriter(store)
      const written = await writer.append(numbered('a', 3))
      // Errors that look like those of a database, or of the store itself, are not the store's to interpret.
      const looksBusy = Object.assign(new Error('busy'), { code: 'ERR_SQLITE_ERROR', errcode: 5 })
      for (const thrown of [
        new Error('no'),
        new IndelibleError('ERR_STORE_BUSY', 'no'),
        looksBusy,
        'text',
        undefined,
      ]) {
        const outcome = await store
          .append([], () => seal(thrown))
          .then(
            () => assert.fail('append resolved'),
            (reason: unknown) => ({ reason }),
          )
        assert.equal(outcome.reason, thrown)
        await assertHolds(store, [written])
      }
      const next = await writer.append(numbered('b', 3))
      await assertHolds(await open(), [written, next])
    })
  }

  define('writes nothing if seal returns null', async ({ open }) => {
    const store = await open()
    const writer = new BatchWriter(store)
    await store.append([], () => null)
    await assertHolds(store, [])
    const written = await writer.append(numbered('a', 3))
    await store.append([], async () => null)
    await assertHolds(store, [written])
    await assertHolds(await open(), [written, await writer.append(numbered('b', 3))])
  })

  define('keeps what it was handed, however the arrays change afterwards', async ({ open }) => {
    const store = await open()
    const specs = () => [
      ...numbered('a', 300, { payload: true }),
      { id: 'bytes', entry: allBytes(1000), digest: allBytes(36) },
    ]
    const { batch } = buildBatch(null, specs(), { publish: true })
    await store.append([], () => batch)
    for (const bytes of bytesIn(batch)) bytes.fill(0xee)
    await assertHolds(store, [buildBatch(null, specs(), { publish: true }).batch])
  })

  define('lets no batch move minIndex', async ({ open }) => {
    const store = await open()
    const first = buildBatch(null, numbered('a', 600)).batch
    await store.append([], () => ({ ...first, head: { ...first.head, minIndex: 512 } }))
    await assertHolds(store, [first])
    await store.purge(256)
    for (const minIndex of [0, 512]) {
      const { batch } = buildBatch(await positionAt(store, await store.head()), numbered(`${minIndex}`, 1))
      await store.append([], () => ({ ...batch, head: { ...batch.head, minIndex } }))
      assert.equal((await store.head())?.minIndex, 256)
    }
  })
}

const throwing = {
  'at once': (reason: unknown): Batch => {
    throw reason
  },
  later: async (reason: unknown): Promise<Batch> => {
    await new Promise((resolve) => setImmediate(resolve))
    throw reason
  },
}

const awkwardTexts = {
  empty: '',
  mebibyte: 'x'.repeat(1024 * 1024),
  quotes: `'"\`\\; DROP TABLE entries; -- $1 ? :name %s {}`,
  lines: 'a\nb\r\nc\u2028d\te\u0001f',
  planes: 'é e\u0301 ß 漢字 العربية 👩‍👩‍👧 \u{10ffff}\uffff\ufeff',
  mark: '\ufefffirst',
  digits: '0123456789012345678901234567890',
}

const awkward: EntrySpec[] = [
  { id: 'plain', entry: 'plain' },
  { id: 'every byte', entry: allBytes(512), digest: allBytes(36), payloads: awkwardTexts },
  { id: 'longest', entry: allBytes(MAX_ENTRY_BYTES), digest: null },
  { id: 'o\'clock — 漢 "', entry: Uint8Array.of(0), digest: Uint8Array.of(0) },
  { id: '1', entry: utf8('1'), payloads: { __proto__x: '{}', 'a b/c%': 'null', '1': '1', '01': '01', Z: 'z', a: 'A' } },
  { id: '01', entry: '01' },
]

/** Fails unless `batch` is a conflict that leaves the log as `written` made it. */
async function refuses(store: LogStore, batch: Batch, written: readonly Batch[]): Promise<void> {
  await rejects(
    store.append([], () => batch),
    'ERR_STORE_CONFLICT',
  )
  await assertHolds(store, written)
  const ids = batch.ids
    .map(({ id }) => id)
    .filter((id) => written.every(({ ids }) => ids.every((old) => old.id !== id)))
  assert.equal((await store.findIds(ids)).size, 0)
}

function bytesIn(batch: Batch): Uint8Array[] {
  const digests = batch.ids.flatMap(({ digest }) => digest ?? [])
  const tiles = batch.tiles.flatMap(({ root, hashes }) => [root, hashes])
  return [
    ...batch.entries,
    ...batch.leaves,
    ...batch.macs,
    ...digests,
    ...tiles,
    batch.head.mac,
    ...batch.head.frontier,
  ]
}
