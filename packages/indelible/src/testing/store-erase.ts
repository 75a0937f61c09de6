/** Cases of the store suite: what must be forgotten is, and nothing else. */
import assert from 'node:assert/strict'
import type { LogStore } from '../store/store.ts'
import { BatchWriter, numbered } from './batches.ts'
import { collect, type DefineCase, readContents, sameContents } from './store-kit.ts'

const SPECS = numbered('a', 20).map((spec) => ({
  ...spec,
  payloads: { input: `input of ${spec.id}`, output: `output of ${spec.id}`, reason: `reason of ${spec.id}` },
}))
const IDS = SPECS.map(({ id }) => id)

export function eraseCases(define: DefineCase): void {
  define('erases a part, and the digest that was made with it', async ({ open }) => {
    const store = await filled(open)
    const before = await readContents(store, IDS)
    assert.equal(await store.erase([{ index: 7, id: 'a 7', name: 'output' }]), 1)
    for (const reader of [store, await open()]) {
      assert.equal(await reader.payload(7, 'output'), null)
      assert.equal(await reader.payload(7, 'input'), 'input of a 7')
      const after = await readContents(reader, IDS)
      sameContents(after, {
        ...before,
        payloads: before.payloads.filter((row) => row.index !== 7 || row.name !== 'output'),
        ids: new Map(before.ids).set('a 7', { id: 'a 7', index: 7, digest: null }),
      })
      await reader.append(['a 7', 'a 8'], ({ known }) => {
        assert.equal(known.get('a 7')?.digest, null)
        assert.notEqual(known.get('a 8')?.digest, null)
        return null
      })
    }
  })

  define('erases many parts at once, and says how many were there', async ({ open }) => {
    const store = await filled(open)
    const parts = IDS.slice(0, 10).flatMap((id, index) =>
      ['input', 'reason', 'prompt'].map((name) => ({ index, id, name })),
    )
    assert.equal(await store.erase([...parts, ...parts]), 20)
    assert.equal((await collect(store.payloads(0, 20))).length, 40)
    const digests = [...(await store.findIds(IDS)).values()].filter(({ digest }) => digest === null)
    assert.equal(digests.length, 10)
  })

  define('takes the erasure of what is gone, or was never there, for no error', async ({ open }) => {
    const store = await filled(open)
    assert.equal(await store.erase([]), 0)
    assert.equal(await store.erase([{ index: 3, id: 'a 3', name: 'input' }]), 1)
    const once = await readContents(store, IDS)
    assert.equal(await store.erase([{ index: 3, id: 'a 3', name: 'input' }]), 0)
    assert.equal(await store.erase([{ index: 900, id: 'nobody', name: 'input' }]), 0)
    sameContents(await readContents(store, [...IDS, 'nobody']), once)
  })

  define('never lets an erasure change which entry an id names', async ({ open }) => {
    const store = await filled(open)
    await store.erase([{ index: 5, id: 'a 3', name: 'input' }])
    assert.equal((await store.findIds(['a 3'])).get('a 3')?.index, 3)
  })

  define(
    'has erased for good once it said so',
    async ({ open }) => {
      const store = await filled(open)
      await store.erase([{ index: 7, id: 'a 7', name: 'output' }])
      const after = await readContents(store, IDS)
      await store.close()
      sameContents(await readContents(await open(), IDS), after)
    },
    'reopen',
  )
}

async function filled(open: () => Promise<LogStore>): Promise<LogStore> {
  const store = await open()
  await new BatchWriter(store).append(SPECS, { publish: true })
  return store
}
