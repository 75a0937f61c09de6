import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../bytes.ts'
import { processToken } from '../keys/process.ts'
import { BatchWriter, buildBatch, type EntrySpec, numbered, positionAt } from '../testing/batches.ts'
import { assertHolds, collect } from '../testing/store-kit.ts'
import { type FileStore, type FileStoreOptions, openFileStore } from './file.ts'
import type { Batch, LogStore } from './store.ts'

let folder = ''
let path = ''
const opened: LogStore[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'indelible-store-'))
  path = join(folder, 'log')
})

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  await rm(folder, { recursive: true })
})

async function open(options?: FileStoreOptions): Promise<FileStore> {
  const store = await openFileStore(path, options)
  opened.push(store)
  return store
}

const day = (n: number) => `2026-02-${String(n).padStart(2, '0')}`

/** Appends a batch that was accepted on a day of February 2026. */
async function onDay(store: LogStore, n: number, specs: readonly EntrySpec[]): Promise<Batch> {
  const { batch } = buildBatch(await positionAt(store, await store.head()), specs)
  const observed = `${day(n)}T12:00:00.000Z`
  const dated = { ...batch, head: { ...batch.head, observed, checkpoint: `${batch.head.checkpoint}${observed}` } }
  await store.append([], () => dated)
  return dated
}

/** Entries as a log has them: canonical JSON. */
const events = (label: string, count: number) =>
  numbered(label, count, { payload: true }).map((spec) => ({ ...spec, entry: `{"id":"${spec.id}","type":"tool.end"}` }))

/** Three days with 300 entries each, closed. */
async function threeDays(): Promise<Batch[]> {
  const store = await open()
  const batches: Batch[] = []
  for (const n of [1, 2, 3]) batches.push(await onDay(store, n, events(`day ${n}`, 300)))
  await store.close()
  return batches
}

const files = () =>
  readdirSync(path)
    .filter((name) => name.startsWith('audit'))
    .sort()

const refused = (code: string) => expect.objectContaining({ code })

describe('the folder of a file store', () => {
  it('is for its owner alone', async () => {
    await onDay(await open(), 1, events('a', 1))
    for (const file of readdirSync(path, { recursive: true, withFileTypes: true })) {
      const mode = statSync(join(file.parentPath, file.name)).mode & 0o777
      expect([file.name, mode]).toEqual([file.name, file.isDirectory() ? 0o700 : 0o600])
    }
  })

  it('has a file a day, that people can grep', async () => {
    const batches = await threeDays()
    expect(files()).toEqual([1, 2, 3].map((n) => `audit-${day(n)}.jsonl`))
    const lines = readFileSync(join(path, `audit-${day(2)}.jsonl`), 'utf8')
      .trim()
      .split('\n')
    expect(lines.length).toBe(300)
    expect(JSON.parse(lines[7]!)).toMatchObject({ index: 307, entry: { id: 'day 2 7', type: 'tool.end' } })
    await assertHolds(await open(), batches)
  })

  it('has one file if it is asked not to rotate, and goes over from one to the other', async () => {
    const store = await open({ rotation: 'none' })
    const batches = [await onDay(store, 1, events('a', 3)), await onDay(store, 2, events('b', 3))]
    expect(files()).toEqual(['audit.jsonl'])
    batches.push(await onDay(await open(), 3, events('c', 3)))
    batches.push(await onDay(await open({ rotation: 'none' }), 3, events('d', 3)))
    expect(files()).toEqual([`audit-${day(3)}.jsonl`, 'audit-part2.jsonl', 'audit.jsonl'])
    await assertHolds(await open(), batches)
  })

  it.each<[string, () => void, string]>([
    ['of somebody else', () => writeFileSync(join(path, 'notes.txt'), 'mine'), 'ERR_STORE_VERSION'],
    ['of a newer version', () => layout('indelible/file-store@2'), 'ERR_STORE_VERSION'],
    ['of another format', () => layout('somebody/else@1'), 'ERR_STORE_VERSION'],
    ['whose layout is damaged', () => writeFileSync(join(path, 'layout.json'), '{'), 'ERR_STORE_VERSION'],
  ])('is refused if it is one %s', async (_, make, code) => {
    mkdirSync(path)
    make()
    const before = readdirSync(path)
    await expect(open()).rejects.toEqual(refused(code))
    await expect(open({ readOnly: true })).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_STORE_/) })
    expect(readdirSync(path)).toEqual(before)
  })

  const layout = (format: string) => writeFileSync(join(path, 'layout.json'), JSON.stringify({ format }))

  it('is refused if it is a file, and made where a killed process had begun to', async () => {
    writeFileSync(path, '')
    await expect(open()).rejects.toEqual(refused('ERR_STORE_VERSION'))
    rmSync(path)
    mkdirSync(join(path, 'tree'), { recursive: true })
    writeFileSync(join(path, 'head'), 'half')
    const batch = await onDay(await open(), 1, events('a', 3))
    await assertHolds(await open(), [batch])
  })

  it('is not made for a reader', async () => {
    await expect(open({ readOnly: true })).rejects.toEqual(refused('ERR_STORE_FAILED'))
    expect(existsSync(path)).toBe(false)
  })

  it('ignores what others put into it', async () => {
    const batches = await threeDays()
    writeFileSync(join(path, 'README'), 'mine')
    writeFileSync(join(path, 'audit-2020-01-01.jsonl'), 'not of the log\n')
    await assertHolds(await open(), batches)
    await (await open()).purge(512)
    expect(existsSync(join(path, 'audit-2020-01-01.jsonl'))).toBe(true)
  })

  it('refuses writes through a handle for reading', async () => {
    const [batch] = await threeDays()
    const store = await open({ readOnly: true })
    const calls = [
      store.append([], () => batch!),
      store.publish({ size: 1, note: 'note' }),
      store.purge(256),
      store.erase([{ index: 1, id: 'day 1 1', name: 'input' }]),
      store.scrub(),
    ]
    for (const call of calls) await expect(call).rejects.toEqual(refused('ERR_STORE_READONLY'))
  })

  it.skipIf(process.getuid?.() === 0)('is read where nothing can be written, and refuses to be', async () => {
    const batches = await threeDays()
    chmodSync(path, 0o500)
    try {
      await assertHolds(await open({ readOnly: true }), batches)
      await expect(open()).rejects.toEqual(refused('ERR_STORE_READONLY'))
    } finally {
      chmodSync(path, 0o700)
    }
  })
})

describe('after a crash, a file store', () => {
  const tails = [`audit-${day(3)}.jsonl`, `payloads/audit-${day(3)}.jsonl`, 'ids.jsonl', 'tree/0', 'index/offsets']

  it('cuts off what stands behind the end, keeps entries aside, and tells of it once', async () => {
    const batches = await threeDays()
    for (const name of tails) writeFileSync(join(path, name), `{"index":900,"torn`, { flag: 'a' })
    // A reader sees nothing of it.
    await assertHolds(await open({ readOnly: true }), batches)
    const store = await open()
    const told: unknown[] = []
    const tell = async (repairs: readonly unknown[]) => told.push(...repairs)
    await store.repaired(tell)
    await store.repaired(tell)
    expect(told).toEqual([{ name: expect.stringContaining(`audit-${day(3)}.jsonl`), bytes: 18 }])
    const [kept] = readdirSync(join(path, 'recovered'))
    expect(readFileSync(join(path, 'recovered', kept!), 'utf8')).toBe('{"index":900,"torn')
    batches.push(await onDay(store, 3, events('next', 5)))
    await assertHolds(await open(), batches)
    expect(readFileSync(join(path, `audit-${day(3)}.jsonl`), 'utf8')).not.toContain('torn')
  })

  it('tells of a repair again if nobody could be told', async () => {
    await threeDays()
    writeFileSync(join(path, tails[0]!), 'torn', { flag: 'a' })
    const store = await open()
    await expect(store.repaired(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    const told: unknown[] = []
    await (await open()).repaired(async (repairs) => told.push(...repairs))
    expect(told.length).toBe(1)
  })

  it('goes on from the head before, where the last one was torn', async () => {
    const batches = await threeDays()
    const head = readFileSync(join(path, 'head'))
    const slots = [head.subarray(0, 32_768), head.subarray(32_768)]
    const commits = slots.map((slot) => Number(/"commit":(\d+)/.exec(slot.toString())?.[1]))
    const latest = commits[0]! > commits[1]! ? 0 : 1
    slots[latest]!.fill(0x20, 100, 200)
    writeFileSync(join(path, 'head'), head)
    await assertHolds(await open({ readOnly: true }), batches.slice(0, 2))
    const store = await open()
    const next = await onDay(store, 3, events('again', 10))
    await assertHolds(await open(), [...batches.slice(0, 2), next])
  })

  it('makes a lost or stale index anew', async () => {
    const batches = await threeDays()
    cpSync(join(path, 'index'), join(folder, 'old'), { recursive: true })
    for (const damage of [
      () => rmSync(join(path, 'index'), { recursive: true }),
      () => rmSync(join(path, 'index/ids')),
      () => truncateSync(join(path, 'index/offsets'), 100),
      () => writeFileSync(join(path, 'index/ids'), 'no table'),
      () => cpSync(join(folder, 'old'), join(path, 'index'), { recursive: true }),
    ]) {
      damage()
      await assertHolds(await open({ readOnly: true }), batches)
      const store = await open()
      batches.push(await onDay(store, 4, events(`more ${batches.length}`, 5)))
      await assertHolds(store, batches)
      await expect(onDay(store, 4, events('day 1', 1))).rejects.toEqual(refused('ERR_STORE_CONFLICT'))
    }
  })

  it('refuses to go on over entries that are gone', async () => {
    await threeDays()
    truncateSync(join(path, `audit-${day(3)}.jsonl`), 1000)
    const store = await open()
    await expect(onDay(store, 3, events('next', 1))).rejects.toEqual(refused('ERR_STORE_CORRUPT'))
    rmSync(join(path, `audit-${day(3)}.jsonl`))
    await expect(onDay(await open(), 3, events('next', 1))).rejects.toEqual(refused('ERR_STORE_CORRUPT'))
    expect(files()).toEqual([`audit-${day(1)}.jsonl`, `audit-${day(2)}.jsonl`])
  })

  it('shows a missing day as missing entries, and those of the other days', async () => {
    const batches = await threeDays()
    rmSync(join(path, `audit-${day(2)}.jsonl`))
    const store = await open()
    const rows = await collect(store.entries(0, 900))
    expect(rows.map(({ index }) => index)).toEqual([
      ...Array.from({ length: 300 }, (_, i) => i),
      ...Array.from({ length: 300 }, (_, i) => 600 + i),
    ])
    // The log goes on: what is missing is for verify to say.
    batches.push(await onDay(store, 3, events('next', 1)))
    expect((await store.head())?.size).toBe(901)
  })

  it('takes over the lock of a process that is gone', async () => {
    await threeDays()
    const dead = spawn(process.execPath, ['-e', ''])
    await once(dead, 'close')
    const token = processToken().replace(/^\d+/, String(dead.pid))
    writeFileSync(join(path, 'lock'), token)
    const batch = await onDay(await open(), 3, events('next', 1))
    expect(batch.from).toBe(900)
  })

  it('says that it is busy while somebody holds the lock', async () => {
    await threeDays()
    writeFileSync(join(path, 'lock'), processToken())
    const store = await open({ lockTimeoutMs: 50 })
    await expect(onDay(store, 3, events('next', 1))).rejects.toEqual(refused('ERR_STORE_BUSY'))
    rmSync(join(path, 'lock'))
    await onDay(store, 3, events('next', 1))
  })
})

describe('on a full disk, a file store', () => {
  // As root as well: /dev/full has no room for anybody.
  it.skipIf(!existsSync('/dev/full')).each(['payloads/audit-2026-02-04.jsonl', 'audit-2026-02-04.jsonl'])(
    'says so, keeps nothing by halves, and goes on once there is room: %s',
    async (name) => {
      const batches = await threeDays()
      symlinkSync('/dev/full', join(path, name))
      const store = await open()
      await expect(onDay(store, 4, events('full', 3))).rejects.toEqual(refused('ERR_STORE_FULL'))
      await assertHolds(await open({ readOnly: true }), batches)
      await store.close()
      rmSync(join(path, name))
      const again = await open()
      batches.push(await onDay(again, 4, events('full', 3)))
      await assertHolds(again, batches)
      expect(existsSync(join(path, 'recovered'))).toBe(false)
    },
  )
})

describe('compressed days', () => {
  it('read as before, by us and by any gzip program', async () => {
    const batches = await threeDays()
    const plain = readFileSync(join(path, `audit-${day(1)}.jsonl`))
    const store = await open()
    const other = await open({ readOnly: true })
    await assertHolds(other, batches)
    expect(await store.archive(day(3))).toEqual([`audit-${day(1)}.jsonl`, `audit-${day(2)}.jsonl`])
    expect(await store.archive('2027-01-01')).toEqual([])
    expect(files()).toEqual([`audit-${day(1)}.jsonl.gz`, `audit-${day(2)}.jsonl.gz`, `audit-${day(3)}.jsonl`])
    expect(gunzipSync(readFileSync(join(path, `audit-${day(1)}.jsonl.gz`)))).toEqual(plain)
    for (const reader of [store, other, await open()]) await assertHolds(reader, batches)
    expect((await collect(store.entries(255, 258))).map(({ index }) => index)).toEqual([255, 256, 257])
    batches.push(await onDay(store, 3, events('next', 1)))
    rmSync(join(path, 'index'), { recursive: true })
    await assertHolds(await open({ readOnly: true }), batches)
    expect(await store.erase([{ index: 3, id: 'day 1 3', name: 'input' }])).toBe(1)
    expect(await other.payload(3, 'input')).toBe(null)
  })

  it('are purged', async () => {
    const [, second, third] = await threeDays()
    const store = await open()
    await store.archive(day(3))
    await store.purge(512)
    expect(files()).toEqual([`audit-${day(2)}-part2.jsonl`, `audit-${day(3)}.jsonl`])
    const rows = await collect(store.entries(0, 900))
    expect(rows.map(({ index }) => index)).toEqual(Array.from({ length: 900 - 512 }, (_, i) => 512 + i))
    const kept = [...second!.entries.slice(212), ...third!.entries]
    expect(rows.map(({ entry }) => Buffer.from(entry).toString())).toEqual(
      kept.map((entry) => Buffer.from(entry).toString()),
    )
    expect(await store.payload(512, 'input')).toBe('input day 2 212')
    expect((await store.leaves(0, 900)).length).toBe(900)
  })

  it('are not made of a file that somebody has edited', async () => {
    await threeDays()
    const file = join(path, `audit-${day(1)}.jsonl`)
    const lines = readFileSync(file, 'utf8').split('\n')
    writeFileSync(file, lines.toSpliced(7, 1).join('\n'))
    await expect((await open()).archive(day(3))).rejects.toEqual(refused('ERR_STORE_CORRUPT'))
    expect(files()).toContain(`audit-${day(1)}.jsonl`)
  })

  it('show which entries are gone where they are damaged', async () => {
    await threeDays()
    const store = await open()
    await store.archive(day(2))
    const file = join(path, `audit-${day(1)}.jsonl.gz`)
    const bytes = readFileSync(file)
    bytes[60]! ^= 1
    writeFileSync(file, bytes)
    const rows = await collect((await open()).entries(0, 900))
    expect(rows[0]?.index).toBe(256)
    expect(rows.length).toBe(900 - 256)
    writeFileSync(file, Buffer.concat([bytes, utf8('more')]))
    expect((await collect((await open()).entries(0, 300))).length).toBe(0)
  })
})

describe('ids in a file store', () => {
  it('are found in the table, behind it, and after it has grown', async () => {
    const store = await open()
    const writer = new BatchWriter(store)
    for (let n = 0; n < 50; n++) await writer.append(numbered(`batch ${n}`, 1000))
    const asked = [0, 7, 16, 17, 49].map((n) => `batch ${n} 999`)
    for (const reader of [store, await open(), await open({ readOnly: true })]) {
      const found = await reader.findIds([...asked, 'batch 50 0'])
      expect([...found.values()].map(({ index }) => index).sort((a, b) => a - b)).toEqual([
        999, 7999, 16_999, 17_999, 49_999,
      ])
    }
    await expect(writer.append(numbered('batch 3', 1))).rejects.toEqual(refused('ERR_STORE_CONFLICT'))
  })
})
