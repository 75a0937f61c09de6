/** Cases of the store suite: ranges, chunks, tiles, ids and published checkpoints. */
import assert from 'node:assert/strict'
import { concat, isEqual, toHex } from '../bytes.ts'
import type { Batch, LogStore } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { TILE_WIDTH } from '../tree/tile.ts'
import { BatchWriter, buildBatch, numbered, type Position, positionAt } from './batches.ts'
import { assertHolds, collect, contentsOf, type DefineCase, readContents, rejects, sameContents } from './store-kit.ts'

const BORDERS = [0, 1, 2, 255, 256, 257, 999, 1000, 1001, 1999, 2000, 2001, 2047, 2048, 2049, 2100]

export function readCases(define: DefineCase): void {
  define('reads any range of entries, payloads and leaves', async ({ open }) => {
    const store = await open()
    const size = 2100
    const { entries, payloads } = contentsOf([
      await new BatchWriter(store).append(numbered('a', size, { payload: true })),
    ])
    for (const start of BORDERS) {
      for (const end of BORDERS.filter((end) => end >= start)) {
        const rows = await collect(store.entries(start, end))
        assert.deepEqual(
          rows.map(({ index, leaf }) => [index, toHex(leaf)]),
          entries.slice(start, end).map(({ index, leaf }) => [index, leaf]),
        )
        assert.deepEqual(await collect(store.payloads(start, end)), payloads.slice(start, end))
        const leaves = await store.leaves(start, end)
        assert.deepEqual(
          leaves.map(toHex),
          entries.slice(start, end).map(({ leaf }) => leaf),
        )
      }
    }
  })

  define('gives nothing for what is past the end, and no leaf hash either', async ({ open }) => {
    const store = await open()
    await rejects(store.leaves(0, 1), RangeError)
    await new BatchWriter(store).append(numbered('a', 300, { payload: true }))
    for (const [start, end, count] of [
      [290, 1000, 10],
      [299, 300, 1],
      [300, 301, 0],
      [300, 10_000, 0],
      [5000, 5001, 0],
      [7, 7, 0],
    ] as const) {
      assert.equal((await collect(store.entries(start, end))).length, count)
      assert.equal((await collect(store.payloads(start, end))).length, count)
    }
    for (const [start, end] of [
      [299, 301],
      [300, 301],
      [0, 512],
      [1000, 1001],
    ] as const) {
      await rejects(store.leaves(start, end), RangeError)
    }
    assert.deepEqual(await store.leaves(300, 300), [])
    assert.equal(await store.payload(299, 'output'), null)
    assert.equal(await store.payload(300, 'input'), null)
  })

  define('orders payloads by index and then name', async ({ open }) => {
    const store = await open()
    const names = ['output', 'input', 'a', 'Z', 'preview', 'a.b', '10', '9']
    const payloads = Object.fromEntries(names.map((name) => [name, `text of ${name}`]))
    const specs = numbered('a', 1100).map((spec, i) => (i % 2 ? { ...spec, payloads } : spec))
    await new BatchWriter(store).append(specs)
    const rows = await collect(store.payloads(998, 1004))
    const sorted = names.toSorted()
    assert.deepEqual(
      rows.map(({ index, name }) => [index, name]),
      [999, 1001, 1003].flatMap((index) => sorted.map((name) => [index, name])),
    )
    assert.equal(await store.payload(1001, 'a.b'), 'text of a.b')
  })

  define('stays usable when a reader stops halfway', async ({ open }) => {
    const store = await open()
    const writer = new BatchWriter(store)
    const batches = [await writer.append(numbered('a', 3000, { payload: true }))]
    for await (const _ of store.entries(0, 3000)) break
    for await (const _ of store.payloads(0, 3000)) break
    const paused = store.entries(0, 3000)[Symbol.asyncIterator]()
    await paused.next()
    batches.push(await writer.append(numbered('b', 3)))
    await assertHolds(store, batches)
  })

  define('finds ids, thousands at a time', async ({ open }) => {
    const store = await open()
    await new BatchWriter(store).append(numbered('a', 5000))
    const asked = [...numbered('a', 5000), ...numbered('b', 100)].map(({ id }) => id)
    const found = await store.findIds([...asked, 'a 7', 'a 7', 'A 7', 'a 7 ', ''])
    assert.equal(found.size, 5000)
    assert.equal(found.get('a 4321')?.index, 4321)
    assert.equal((await store.findIds([])).size, 0)
  })

  define('lists ids by index, those of purged entries too', async ({ open }) => {
    const store = await open()
    const batch = await new BatchWriter(store).append(numbered('a', 2100))
    const expected = batch.ids.map(({ id, index, digest }) => [id, index, toHex(digest!)])
    const read = async (start: number, end: number) =>
      (await collect(store.ids(start, end))).map(({ id, index, digest }) => [id, index, digest && toHex(digest)])
    assert.deepEqual(await read(0, 3000), expected)
    assert.deepEqual(await read(999, 1001), expected.slice(999, 1001))
    assert.deepEqual(await read(2100, 2101), [])
    await store.purge(512)
    await store.erase([{ index: 600, id: 'a 600', name: 'input' }])
    assert.deepEqual(await read(500, 601), [...expected.slice(500, 600), ['a 600', 600, null]])
  })

  define('lists published checkpoints in ascending order', async ({ open }) => {
    const store = await open()
    await new BatchWriter(store).append(numbered('a', 1200))
    const sizes = Array.from({ length: 1100 }, (_, i) => i + 1)
    const note = (size: number) => `checkpoint ${size}`
    await Promise.all(sizes.toReversed().map((size) => store.publish({ size, note: note(size) })))
    const expected = sizes.map((size) => ({ size, note: note(size) }))
    assert.deepEqual(await collect(store.checkpoints(0, 1200)), expected)
    assert.deepEqual(await collect(store.checkpoints(10, 12)), expected.slice(10, 12))
    assert.deepEqual(await collect(store.checkpoints(999, 1001)), expected.slice(999, 1001))
    assert.deepEqual(await collect(store.checkpoints(1100, Number.MAX_SAFE_INTEGER)), [])
    assert.deepEqual(await collect(store.checkpoints(5, 5)), [])
  })

  define('keeps the first checkpoint of a size for good', async ({ open }) => {
    const store = await open()
    const { head } = await new BatchWriter(store).append(numbered('a', 3), { publish: true })
    const published = [{ size: 3, note: head.checkpoint }]
    await store.publish(published[0]!)
    await rejects(store.publish({ size: 3, note: 'another' }), 'ERR_STORE_CONFLICT')
    await store.publish({ size: 2, note: 'smaller' })
    const all = [{ size: 2, note: 'smaller' }, ...published]
    assert.deepEqual(await collect(store.checkpoints(0, 10)), all)
    assert.equal((await store.head())?.checkpoint, head.checkpoint)
  })

  define('hands out copies', async ({ open }) => {
    const store = await open()
    const batch = await new BatchWriter(store).append(numbered('a', 300, { payload: true }))
    const before = await readContents(store, ['a 1'])
    const rows = await collect(store.entries(0, 300))
    const head = (await store.head())!
    const { digest } = (await store.findIds(['a 1'])).get('a 1')!
    const hashes = [...(await store.leaves(0, 300)), ...(await store.tileRoots(0, 0, 1)), (await store.tile(0, 0))!]
    const read = [...rows.flatMap(({ entry, leaf, mac }) => [entry, leaf, mac]), ...hashes, head.mac, ...head.frontier]
    for (const bytes of [...read, digest!]) bytes.fill(0xee)
    await store.append(['a 1'], ({ head, known }) => {
      head!.mac.fill(0xee)
      known.get('a 1')!.digest!.fill(0xee)
      return null
    })
    sameContents(await readContents(store, ['a 1']), before)
    assert.equal(batch.entries.length, 300)
  })

  define('keeps the tiles of 65,536 entries and more, also when they are purged', async ({ open }) => {
    const store = await open()
    const leaves = await growLarge(store)
    const size = leaves.length
    await hasTiles(store, leaves)
    await store.purge(65_536)
    await hasTiles(store, leaves)
    assert.equal((await collect(store.entries(0, size))).length, size - 65_536)
    await assertNextBatch(store)
  })
}

/** Appends 66,100 entries in steps, and gives their leaf hashes. */
async function growLarge(store: LogStore): Promise<Uint8Array[]> {
  const leaves: Uint8Array[] = []
  let position: Position | null = null
  for (let start = 0; start < 66_100; start += 10_000) {
    const specs = numbered('a', Math.min(10_000, 66_100 - start), { start })
    const built: { batch: Batch; position: Position } = buildBatch(position, specs)
    await store.append([], () => built.batch)
    leaves.push(...built.batch.leaves)
    position = built.position
  }
  return leaves
}

/** Fails unless tiles, tile roots and leaves are those of a tree of `leaves`, and enough for its proofs. */
async function hasTiles(store: LogStore, leaves: readonly Uint8Array[]): Promise<void> {
  const size = leaves.length
  const width = Math.floor(size / TILE_WIDTH)
  assert.ok(isEqual(concat(...(await store.leaves(0, size))), concat(...leaves)))
  assert.ok(isEqual(concat(...(await store.leaves(65_400, 65_600))), concat(...leaves.slice(65_400, 65_600))))
  for (let index = 0; index < width; index++) {
    const expected = concat(...leaves.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH))
    assert.ok(isEqual((await store.tile(0, index))!, expected), `tile ${index}`)
  }
  assert.equal(await store.tile(0, width), null)
  assert.ok(isEqual((await store.tile(1, 0))!, concat(...(await store.tileRoots(0, 0, 256)))))
  assert.equal(await store.tile(1, 1), null)
  assert.equal(await store.tile(2, 0), null)
  assert.equal((await store.tileRoots(0, 200, width)).length, width - 200)
  assert.deepEqual(await store.tileRoots(0, 7, 7), [])
  await rejects(store.tileRoots(0, 200, width + 1), RangeError)
  await rejects(store.tileRoots(1, 0, 2), RangeError)
  await rejects(store.tileRoots(2, 0, 1), RangeError)

  const root = new Frontier(size, (await store.head())!.frontier).root()
  for (const index of [0, 255, 256, 65_535, 65_536, size - 1]) {
    const proof = await proveInclusion(index, size, sourceNodeReader(store, size))
    checkInclusion({ leaf: leaves[index]!, index, size, root, proof })
  }
}

/** Fails unless the log goes on from its right edge. */
async function assertNextBatch(store: LogStore): Promise<void> {
  const before = (await store.head())!
  const position = (await positionAt(store, before))!
  const expected = buildBatch(position, numbered('next', 300)).batch
  await store.append([], () => expected)
  assert.equal((await store.head())?.checkpoint, expected.head.checkpoint)
  assert.equal((await collect(store.entries(before.size, before.size + 1000))).length, 300)
}
