/** Cases of the store suite: what must be forgotten is, and nothing else. */
import assert from 'node:assert/strict'
import { randomBytes } from '#crypto'
import { toHex } from '../bytes.ts'
import type { LogStore } from '../store/store.ts'
import { BatchWriter, numbered } from './batches.ts'
import { collect, type DefineCase, readContents, type StoreHarness, sameContents } from './store-kit.ts'

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

  define('knows which entries concern a person, and forgets it', async ({ open }) => {
    const store = await open()
    const [ann, bob, eve] = [1, 2, 3].map((byte) => new Uint8Array(16).fill(byte)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    const writer = new BatchWriter(store)
    const specs = (label: string) =>
      numbered(label, 1300).map((spec, i) => ({ ...spec, concerns: i % 2 ? [ann] : i === 700 ? [ann, bob] : [] }))
    await writer.append(specs('a'))
    await writer.append(specs('b'))
    const anns = Array.from({ length: 2600 }, (_, i) => i).filter((i) => i % 2 || i % 1300 === 700)
    for (const reader of [store, await open()]) {
      assert.deepEqual(await collect(reader.subjectEntries(ann)), anns)
      assert.deepEqual(await collect(reader.subjectEntries(bob)), [700, 2000])
      assert.deepEqual(await collect(reader.subjectEntries(eve)), [])
    }
    const listed = await collect(store.concerns(699, 702))
    assert.deepEqual(listed.map(({ index, subject }) => [index, subject[0]]).sort(), [
      [699, 1],
      [700, 1],
      [700, 2],
      [701, 1],
    ])
    assert.equal((await collect(store.concerns(0, 5000))).length, anns.length + 2)
    await store.forgetSubject(ann, 2001)
    await store.forgetSubject(ann, 2001)
    await store.forgetSubject(eve, 2600)
    const left = anns.filter((i) => i >= 2001)
    for (const reader of [store, await open()]) {
      assert.deepEqual(await collect(reader.subjectEntries(ann)), left)
      assert.deepEqual(await collect(reader.subjectEntries(bob)), [700, 2000])
    }
    await store.purge(768)
    assert.deepEqual(await collect(store.subjectEntries(bob)), [2000])
  })

  define('keeps nothing of a batch that was refused, persons included', async ({ open }) => {
    const store = await open()
    const ann = new Uint8Array(16).fill(7)
    await new BatchWriter(store).append(numbered('a', 3))
    const again = numbered('a', 1).map((spec) => ({ ...spec, concerns: [ann] }))
    await assert.rejects(new BatchWriter(store).append(again), { code: 'ERR_STORE_CONFLICT' })
    assert.deepEqual(await collect(store.subjectEntries(ann)), [])
  })

  define('scrubs without touching what is left, and says that nothing remains', async ({ open }) => {
    const store = await filled(open)
    await store.erase([{ index: 7, id: 'a 7', name: 'output' }])
    const before = await readContents(store, IDS)
    assert.deepEqual(await store.scrub(), [])
    assert.deepEqual(await store.scrub(), [])
    for (const reader of [store, await open()]) sameContents(await readContents(reader, IDS), before)
    await new BatchWriter(store).append(numbered('b', 3, { payload: true }))
    assert.equal(await store.payload(21, 'input'), 'input b 1')
  })

  const holdsNothing = async ({ open, files }: StoreHarness) => {
    assert.ok(files, 'a harness shows its files, or says that the store lacks them')
    const store = await open()
    const writer = new BatchWriter(store)
    const values = new Map<string, string>()
    const gone: string[] = []
    // Lengths and an order that make a store move what it keeps: a copy must not stay where it was moved from.
    for (let round = 0; round < 12; round++) {
      const size = (await store.head())?.size ?? 0
      const specs = numbered(`r${round}`, 40).map((spec, i) => {
        const payloads: Record<string, string> = {}
        for (const name of ['input', 'output', 'reason']) {
          payloads[name] = toHex(randomBytes(16 + ((round * 131 + i * 67 + name.length * 29) % 900)))
          values.set(`${size + i}/${spec.id}/${name}`, payloads[name])
        }
        return { ...spec, payloads, digest: randomBytes(36) }
      })
      await writer.append(specs)
      const chosen = [...values].filter((_, i) => i % 7 === round % 7)
      await store.erase(
        chosen.map(([key]) => {
          const [index, id, name] = key.split('/') as [string, string, string]
          return { index: Number(index), id, name }
        }),
      )
      for (const [key, value] of chosen) {
        values.delete(key)
        gone.push(value)
      }
    }
    assert.deepEqual(await store.scrub(), [])
    const contents = (await files()).map((bytes) => new TextDecoder('latin1').decode(bytes))
    const isHeld = (piece: string) => contents.some((content) => content.includes(piece))
    const left = gone.filter((value) => isHeld(value.slice(0, 24)) || isHeld(value.slice(-24)))
    assert.equal(left.length, 0, `${left.length} of ${gone.length} erased values are still there`)
    for (const value of values.values()) assert.ok(isHeld(value.slice(0, 24)), 'what was not erased is there')
  }
  define('holds no byte of what was erased in any file once it is scrubbed', holdsNothing, 'files')
}

async function filled(open: () => Promise<LogStore>): Promise<LogStore> {
  const store = await open()
  await new BatchWriter(store).append(SPECS, { publish: true })
  return store
}
