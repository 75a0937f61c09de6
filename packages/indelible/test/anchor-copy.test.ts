/** Write-once copies: what is in them, and what becomes of stores that are not what they should be. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Anchor } from '../src/anchor/anchor.ts'
import { openAnchor, openAnchorVerifier } from '../src/anchor/kinds.ts'
import { generateSkey } from '../src/keys/signer.ts'
import { AnchorTestLog, receiptOf } from '../src/testing/index.ts'
import { parseEntryBundle } from '../src/tree/tile.ts'
import { Cleanup, use } from './anchor-kit.ts'
import { type FakeFaults, FakeS3 } from './s3-fake.ts'

const ORIGIN = 'copied.example/log'
const cleanup = new Cleanup()
afterEach(() => cleanup.run())

const signal = () => AbortSignal.timeout(20_000)
const config = (kind: string, options: Record<string, unknown>) => ({ name: 'c', kind, required: true, options })

async function s3(faults: FakeFaults = {}, options: Record<string, unknown> = {}) {
  const fake = await FakeS3.start(cleanup, faults)
  const where = use('.', ORIGIN, { env: fake.env })
  const open = (more = {}) => openAnchor(config('s3', { ...fake.options, ...options, ...more }), where)
  const verifier = () => openAnchorVerifier(config('s3', fake.options), where)
  return { fake, open, verifier }
}

async function folder(options: Record<string, unknown> = {}) {
  const path = cleanup.folder()
  const open = () => openAnchor(config('folder', { path, ...options }), use('/nowhere', ORIGIN))
  const verifier = () => openAnchorVerifier(config('folder', { path }), use('/nowhere', ORIGIN))
  return { path, open, verifier }
}

const filesOf = (path: string): Map<string, Buffer> =>
  new Map(
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file.slice(path.length + 1), readFileSync(file)]),
  )

async function copy(anchor: Anchor, log: AnchorTestLog, count: number) {
  const checkpoint = await log.grow(count)
  return receiptOf(anchor, checkpoint, await anchor.anchor(log.task(checkpoint)))
}

describe('a copy', () => {
  it('has the same objects in a folder and in S3, and says nothing of entries', async () => {
    const [one, other] = [await folder(), await s3()]
    const log = await AnchorTestLog.make(ORIGIN)
    for (const count of [299, 400]) {
      const checkpoint = await log.grow(count)
      for (const anchor of [await one.open(), await other.open()]) await anchor.anchor(log.task(checkpoint))
    }
    const files = filesOf(one.path)
    expect(files).toEqual(other.fake.files())
    expect([...files.keys()].sort()).toEqual([
      'checkpoint/0000000000000300',
      'checkpoint/0000000000000700',
      'tile/0/000',
      'tile/0/001',
      'tile/0/001.p/44',
      'tile/0/002.p/188',
      'tile/1/000.p/1',
      'tile/1/000.p/2',
    ])
  })

  it('has entries if it is told to, but those that were purged', async () => {
    const { path, open } = await folder({ entries: true })
    const log = await AnchorTestLog.make(ORIGIN)
    const checkpoint = await log.grow(599)
    await (await open()).anchor(log.task(checkpoint, null, { minIndex: 256 }))
    const bundles = [...filesOf(path)].filter(([name]) => name.startsWith('tile/entries/'))
    expect(bundles.map(([name]) => name).sort()).toEqual(['tile/entries/001', 'tile/entries/002.p/88'])
    for await (const [row] of log.store.entries(256, 257)) {
      expect(parseEntryBundle(bundles.find(([name]) => name.endsWith('001'))![1], 256)[0]).toEqual(row!.entry)
    }
  })

  it('is not begun with tiles or entries that do not lead to the root', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const checkpoint = await log.grow(599)
    const flipped = (bytes: Uint8Array) => bytes.with(40, bytes[40]! ^ 1)
    const tile = async (level: number, index: number) => {
      const bytes = await log.store.tile(level, index)
      return bytes && level === 0 && index === 1 ? flipped(bytes) : bytes
    }
    async function* entries(start: number, end: number) {
      for await (const rows of log.store.entries(start, end)) {
        yield rows.map((row) => (row.index === 580 ? { ...row, entry: flipped(row.entry) } : row))
      }
    }
    const leaves = async (start: number, end: number) => (await log.store.leaves(start, end)).map(flippedLast)
    const flippedLast = (hash: Uint8Array, i: number) => (i === 3 ? hash.with(0, hash[0]! ^ 1) : hash)
    const { store } = log
    const honest = {
      tile: store.tile.bind(store),
      tileRoots: store.tileRoots.bind(store),
      leaves: store.leaves.bind(store),
      entries: store.entries.bind(store),
    }
    for (const wrong of [{ tile }, { entries }, { leaves }]) {
      const { path, open } = await folder({ entries: true })
      const task = log.task(checkpoint, null, { tree: { ...honest, ...wrong } })
      await expect((await open()).anchor(task)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
      expect(existsSync(join(path, 'checkpoint'))).toBe(false)
    }
  })

  it('goes on where a first attempt was cut off', async () => {
    let left = 50
    const { fake, open } = await s3({ before: (method) => (method === 'PUT' && left-- <= 0 ? 403 : undefined) })
    const log = await AnchorTestLog.make(ORIGIN)
    const checkpoint = await log.grow(20_000)
    await expect((await open()).anchor(log.task(checkpoint))).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
    left = Number.POSITIVE_INFINITY
    fake.requests.length = 0
    await (await open()).anchor(log.task(checkpoint))
    const tiles = Math.floor(checkpoint.size / 256)
    expect([...fake.files().keys()].filter((name) => /^tile\/0\/[^.]*$/.test(name))).toHaveLength(tiles)
    expect(fake.requests.filter((request) => request.startsWith('PUT tile/0/')).length).toBeLessThan(tiles - 20)
  })

  it('that was deleted from, or moved away, is no longer written to', async () => {
    const { fake, open, verifier } = await s3()
    const log = await AnchorTestLog.make(ORIGIN)
    const first = await copy(await open(), log, 5)
    const receipt = await copy(await open(), log, 5)
    fake.objects.delete('checkpoint/0000000000000011')
    const refusal = { code: 'ERR_ANCHOR_REFUSED', message: expect.stringContaining('not write-once') }
    const next = log.task(await log.grow(1), receipt)
    await expect((await open()).anchor(next)).rejects.toMatchObject(refusal)
    // A verifier who has the log's receipts is told as well; of older ones that are over their time he is not.
    await expect((await verifier()).check(receipt, [])).rejects.toMatchObject(refusal)
    expect(await (await verifier()).check(first, [])).toMatchObject({ counts: true })
    expect(await (await verifier()).ask!(ORIGIN)).toHaveLength(1)
  })

  it('shows every history that somebody put there', async () => {
    const { fake, open, verifier } = await s3()
    const skey = generateSkey(ORIGIN, 'default')
    const [log, other] = [await AnchorTestLog.make(ORIGIN, skey), await AnchorTestLog.make(ORIGIN, skey)]
    await copy(await open(), log, 5)
    const forged = await other.grow(20)
    fake.put('checkpoint/0000000000000021', forged.note)
    fake.put('checkpoint/0000000000000030', 'garbage')
    const notes = (await (await verifier()).ask!(ORIGIN)).map(({ note }) => note)
    expect(notes).toEqual([(await log.checkpoint()).note, forged.note])
    const task = log.task(await log.grow(50))
    await expect((await open()).anchor(task)).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
  })
})

describe('a folder', () => {
  it('holds files that nobody writes to by mistake', async () => {
    const { path, open } = await folder()
    await copy(await open(), await AnchorTestLog.make(ORIGIN), 5)
    for (const name of filesOf(path).keys()) expect(statSync(join(path, name)).mode & 0o222).toBe(0)
  })

  it('is completed where a crash left the beginning of a file', async () => {
    const { path, open, verifier } = await folder()
    const log = await AnchorTestLog.make(ORIGIN)
    await copy(await open(), log, 300)
    const before = filesOf(path)
    for (const length of [0, 1, 40]) {
      for (const [name, { length: whole }] of before) {
        chmodSync(join(path, name), 0o644)
        truncateSync(join(path, name), Math.min(length, whole - 1))
      }
      expect(await (await verifier()).ask!(ORIGIN)).toEqual([])
      await (await open()).anchor(log.task(await log.checkpoint()))
      expect(filesOf(path)).toEqual(before)
    }
    // The log may have grown before the next turn.
    truncateSync(join(path, 'checkpoint/0000000000000301'), 30)
    await copy(await open(), log, 5)
    expect(await (await verifier()).ask!(ORIGIN)).toMatchObject([{ note: (await log.checkpoint()).note }])
  })

  it('that holds other bytes is refused, and keeps them', async () => {
    const { path, open } = await folder()
    const log = await AnchorTestLog.make(ORIGIN)
    mkdirSync(join(path, 'tile/0'), { recursive: true })
    writeFileSync(join(path, 'tile/0/000'), 'other')
    await expect(copy(await open(), log, 300)).rejects.toMatchObject({ code: 'ERR_ANCHOR_REFUSED' })
    expect(readFileSync(join(path, 'tile/0/000'), 'utf8')).toBe('other')
  })

  it('must be there, must be one, and must not be in the home', async () => {
    const { path, open } = await folder()
    rmSync(path, { recursive: true })
    const log = await AnchorTestLog.make(ORIGIN)
    await expect(copy(await open(), log, 1)).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    writeFileSync(path, '')
    await expect(copy(await open(), log, 1)).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    for (const inside of ['copy', '.', '/home/log/x/../copy']) {
      const opened = openAnchor(config('folder', { path: inside }), use('/home/log', ORIGIN))
      await expect(opened).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    }
  })
})

describe('an S3 server that', () => {
  const lock = { lock: 'compliance', retain: '1d' }
  it.for<[string, FakeFaults, Record<string, unknown>, string]>([
    ['overwrites in spite of If-None-Match', { ignoresCondition: true }, {}, 'in spite of If-None-Match'],
    ['forgets locks', { versioned: true, forgetsLock: true }, lock, 'forgets the compliance lock'],
    ['keeps no versions', {}, lock, 'keeps no versions'],
    ['lets locked objects be deleted', { versioned: true, breaksLock: 'delete' }, lock, 'delete a locked object'],
    ['lets locks be shortened', { versioned: true, breaksLock: 'shorten' }, lock, 'shorten a lock'],
    ['knows no lock', { versioned: true, before: () => 501 }, lock, '501'],
  ])('%s is refused with the reason', async ([, faults, options, message], { expect }) => {
    const { open } = await s3(faults, options)
    const failure = await (await open()).probe!(signal()).catch((error: unknown) => error)
    const code = message === '501' ? 'ERR_ANCHOR_FAILED' : 'ERR_ANCHOR_REFUSED'
    expect(failure).toMatchObject({ code, message: expect.stringContaining(message) })
  })

  it('keeps its promises is not', async () => {
    await (await (await s3()).open()).probe!(signal())
    await (await (await s3({ versioned: true }, lock)).open()).probe!(signal())
    const twice = await s3({ versioned: true }, lock)
    for (let i = 0; i < 2; i++) await (await twice.open()).probe!(signal())
    expect(twice.fake.objects.get('probe')).toHaveLength(1)
  })

  it.for([500, 503, 409, 0])('stores a write and answers %i has stored it once', async (status) => {
    let tells = 3
    const { fake, open } = await s3({
      versioned: true,
      after: (method) => (method === 'PUT' && tells-- > 0 ? status : undefined),
    })
    await copy(await open(), await AnchorTestLog.make(ORIGIN), 700)
    expect(fake.files().size).toBe(5)
    for (const versions of fake.objects.values()) expect(versions).toHaveLength(1)
  })

  it('is overloaded for a while is asked again, and left after that', async () => {
    let busy = 2
    const before = (method: string) => (method === 'PUT' && busy-- > 0 ? 503 : undefined)
    await copy(await (await s3({ before })).open(), await AnchorTestLog.make(ORIGIN), 2)
    const down = await s3({ before: (method) => (method === 'PUT' ? 503 : undefined) })
    const log = await AnchorTestLog.make(ORIGIN)
    await expect(copy(await down.open(), log, 2)).rejects.toMatchObject({ code: 'ERR_ANCHOR_FAILED' })
    expect(down.fake.requests.filter((one) => one.startsWith('PUT')).length).toBeLessThan(10)
  })

  it('has the object already is content if the bytes are the same, and refused if not', async () => {
    const log = await AnchorTestLog.make(ORIGIN)
    const checkpoint = await log.grow(299)
    const full = await s3()
    await (await full.open()).anchor(log.task(checkpoint))
    const same = await s3()
    for (const [key, body] of full.fake.files()) if (key.startsWith('tile/')) same.fake.put(key, body)
    await (await same.open()).anchor(log.task(checkpoint))
    const other = await s3()
    other.fake.put('tile/0/001.p/44', 'other')
    await expect((await other.open()).anchor(log.task(checkpoint))).rejects.toMatchObject({
      code: 'ERR_ANCHOR_REFUSED',
      message: expect.stringContaining('tile/0/001.p/44'),
    })
  })

  it('gets another history between our look and our write shows a split view, with both notes', async () => {
    const skey = generateSkey(ORIGIN, 'default')
    const [log, other] = [await AnchorTestLog.make(ORIGIN, skey), await AnchorTestLog.make(ORIGIN, skey)]
    const [ours, theirs] = [await log.grow(5), await other.grow(5)]
    const { fake, open } = await s3({
      before: (method, key) => {
        if (method === 'PUT' && key.startsWith('checkpoint/') && !fake.objects.has(key)) fake.put(key, theirs.note)
        return undefined
      },
    })
    await expect((await open()).anchor(log.task(ours))).rejects.toMatchObject({
      code: 'ERR_SPLIT_VIEW',
      evidence: { older: theirs.note, newer: ours.note },
    })
  })

  it.for<[string, FakeFaults, string]>([
    ['lists garbage', { listing: '<html>' }, 'ERR_ANCHOR_FAILED'],
    ['lists half of it', { listing: '<ListVersionsResult><Version>' }, 'ERR_ANCHOR_FAILED'],
    ['lists without an end', { listing: '<ListVersionsResult></ListVersionsResult>' }, 'ERR_ANCHOR_FAILED'],
    ['is in another region', { before: () => 301 }, 'ERR_ANCHOR_REFUSED'],
    ['sends us elsewhere', { before: () => 307 }, 'ERR_ANCHOR_REFUSED'],
    ['does not allow it', { before: () => 403 }, 'ERR_ANCHOR_REFUSED'],
    ['breaks down', { before: () => 500 }, 'ERR_ANCHOR_FAILED'],
    ['hangs up', { after: () => 0 }, 'ERR_ANCHOR_FAILED'],
  ])('%s', async ([, faults, code]) => {
    const { open, verifier } = await s3(faults)
    await expect(copy(await open(), await AnchorTestLog.make(ORIGIN), 2)).rejects.toMatchObject({ code })
    await expect((await verifier()).ask!(ORIGIN)).rejects.toMatchObject({ code })
  })

  it('still holds what somebody tried to delete: the log is warned, the verifier told', async () => {
    const { fake, open, verifier } = await s3({ versioned: true }, lock)
    const log = await AnchorTestLog.make(ORIGIN)
    const receipt = await copy(await open(), log, 5)
    const url = `${fake.url}/bucket/checkpoint/0000000000000006`
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(204)
    const again = await (await open()).anchor(log.task(await log.grow(2), receipt))
    expect(again.warnings!.join()).toContain('tried to delete')
    const vouchers = await (await verifier()).ask!(ORIGIN)
    expect(vouchers.map(({ by }) => by.join().includes('tried to delete'))).toEqual([true, false])
  })
})

describe('options', () => {
  const place = { endpoint: 'http://s3.example', bucket: 'bucket' }
  it.for<[string, string, Record<string, unknown>]>([
    ['no path', 'folder', {}],
    ['no endpoint', 's3', { bucket: 'bucket' }],
    ['no bucket', 's3', { endpoint: 'http://s3.example' }],
    ['a bucket that is a path', 's3', { ...place, bucket: 'a/b' }],
    ['a prefix without its slash', 's3', { ...place, prefix: 'logs' }],
    ['a lock without a time', 's3', { ...place, lock: 'compliance' }],
    ['a time without a lock', 's3', { ...place, retain: '1d' }],
    ['an unknown lock', 's3', { ...place, lock: 'always', retain: '1d' }],
    ['a key in the configuration', 's3', { ...place, secret_key: 'x' }],
    ['a variable that is none', 's3', { ...place, secret_key_env: 'a b' }],
  ])('%s', async ([, kind, options]) => {
    const opened = openAnchor(config(kind, options), use('/home/log', ORIGIN))
    await expect(opened).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })
})
