/** The runner: schedule, retries, what it refuses to have vouched for, and that nobody waits for it. */
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { AnchorReceipts } from '../src/anchor/receipts.ts'
import { AnchorRunner } from '../src/anchor/runner.ts'
import { anchorStatus, behindOf } from '../src/anchor/state.ts'
import { loadConfig } from '../src/config/config.ts'
import { createLog, openLog, Pins } from '../src/index.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { Cleanup, setConfig, startServer, startWitness, type TestWitness } from './anchor-kit.ts'
import { dropTriggers, openDatabase } from './attack-kit.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())
const actor = { type: 'agent', id: 'a' } as const

interface Made {
  readonly home: string
  readonly vkey: string
  readonly witness: TestWitness
  grow(count: number): Promise<void>
  /** A runner whose clock is at `nowMs`. */
  run(nowMs?: number, force?: boolean): ReturnType<AnchorRunner['run']>
}

async function make(more: Record<string, unknown> = {}): Promise<Made> {
  const home = join(cleanup.folder(), 'home')
  const pins = new Pins(join(cleanup.folder(), 'pins'))
  const { vkey } = await createLog({ home, origin: 'run.example/log', pins })
  const witness = await startWitness(cleanup, [vkey])
  const options = { url: witness.url, vkey: witness.vkey }
  setConfig(home, { every: '1h', timeout: '2s', list: [{ name: 'w', kind: 'witness', options, ...more }] })
  return {
    home,
    vkey,
    witness,
    async grow(count) {
      const log = await openLog({ home })
      await log.recordMany(Array.from({ length: count }, () => ({ type: 'tool.end', actor })))
      await log.close()
    },
    async run(nowMs = Date.now(), force = false) {
      await using runner = await AnchorRunner.open(home, { clock: () => nowMs })
      return await runner.run({ force })
    },
  }
}

const HOUR = 3_600_000

it('anchors on schedule, and after so many entries', async () => {
  const { home, grow, run } = await make({ every_entries: 10 })
  const now = Date.now()
  expect(await run(now)).toMatchObject([{ result: 'anchored', size: 1 }])
  await grow(5)
  expect(await run(now + 60_000)).toMatchObject([{ result: 'waiting' }])
  await grow(5)
  expect(await run(now + 120_000)).toMatchObject([{ result: 'anchored' }])
  expect(await run(now + 180_000)).toMatchObject([{ result: 'waiting' }])
  // An idle log too: whoever asks for fresh cosignatures must not take it for an old one.
  expect(await run(now + 120_000 + HOUR)).toMatchObject([{ result: 'anchored' }])
  expect([...new AnchorReceipts(join(home, 'anchors')).read('w')]).toHaveLength(3)
})

it('tries again later and later while an anchor is down, and says so in the status', async () => {
  const { home, run, witness } = await make()
  await witness.stop()
  const now = Date.now()
  expect(await run(now)).toMatchObject([{ result: 'failed', error: { code: 'ERR_ANCHOR_FAILED' }, isNews: true }])
  expect(await run(now + 1000)).toMatchObject([{ result: 'waiting' }])
  expect(await run(now + 6000)).toMatchObject([{ result: 'failed', isNews: false }])
  expect(await run(now + 6000 + 6000)).toMatchObject([{ result: 'waiting' }])
  expect(await run(now + 6000 + 11_000)).toMatchObject([{ result: 'failed' }])
  const status = behindOf(anchorStatus(join(home, 'anchors'), loadConfig(home).anchors), 7)
  expect(status).toMatchObject([{ name: 'w', size: null, behind: 7, late: true, failures: 3 }])
})

it('does not have a bit that flipped on disk vouched for', async () => {
  for (const [what, sql] of [
    [
      'an entry',
      "UPDATE entries SET entry = CAST(replace(CAST(entry AS TEXT), 'tool.end', 'tool.enD') AS BLOB) WHERE idx = 7",
    ],
    ['a leaf hash', 'UPDATE entries SET leaf = zeroblob(32) WHERE idx = 7'],
    ['a row', 'DELETE FROM entries WHERE idx = 7'],
  ] as const) {
    const { home, grow, run, witness } = await make()
    await run()
    await grow(10)
    const db = openDatabase(join(home, 'log.db'))
    dropTriggers(db)
    db.exec(sql)
    db.close()
    expect(await run(Date.now() + 2 * HOUR), what).toMatchObject([
      { result: 'failed', error: { code: 'ERR_STORE_CORRUPT' }, isNews: true },
    ])
    expect(witness.state.logs()[0]!.size).toBe(1)
    expect(behindOf(anchorStatus(join(home, 'anchors'), loadConfig(home).anchors), 11)).toMatchObject([{ late: true }])
  }
})

it('refuses a log that has gone back behind its own receipts', async () => {
  const { home, grow, run } = await make()
  const early = readFileSync(join(home, 'log.db'))
  await grow(10)
  expect(await run()).toMatchObject([{ result: 'anchored' }])
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(home, `log.db${suffix}`), { force: true })
  writeFileSync(join(home, 'log.db'), early)
  expect(await run(Date.now(), true)).toMatchObject([{ result: 'failed', error: { code: 'ERR_ROLLED_BACK' } }])
  rmSync(join(home, 'anchors'), { recursive: true })
  // Whoever removes what we remember still has the witness against him.
  expect(await run(Date.now(), true)).toMatchObject([{ result: 'failed', error: { code: 'ERR_ROLLED_BACK' } }])
})

it('follows a rotation of the signing key', async () => {
  const { home, run, witness, vkey } = await make()
  await run()
  const log = await openLog({ home })
  const next = await log.rotateKey()
  await log.record({ type: 'tool.end', actor })
  // The home still hands out the old key, and the witness knows no other.
  expect(readFileSync(join(home, 'log.vkey'), 'utf8').trim()).toBe(vkey)
  expect(await run(Date.now(), true)).toMatchObject([{ result: 'failed', error: { code: 'ERR_ANCHOR_REFUSED' } }])
  witness.state.addLog(parseVkey(next))
  expect(await run(Date.now(), true)).toMatchObject([{ result: 'anchored' }])
  await log.close()
  expect(await run(Date.now(), true)).toMatchObject([{ result: 'anchored' }])
})

it('is one at a time: whoever comes second leaves it to the first', async () => {
  const { home, witness } = await make()
  const answers = Promise.withResolvers<void>()
  const url = await startServer(cleanup, async (_, answer) => {
    await answers.promise
    answer.writeHead(500).end()
  })
  setConfig(home, { list: [{ name: 'w', kind: 'witness', options: { url, vkey: witness.vkey } }] })
  await using one = await AnchorRunner.open(home)
  await using two = await AnchorRunner.open(home)
  const first = one.run()
  await sleep(50)
  expect(await two.run()).toBe(null)
  answers.resolve()
  expect(await first).toMatchObject([{ result: 'failed' }])
})

it('delays no receipt of the log, however slow an anchor is', async () => {
  const { home, witness } = await make()
  let asked = 0
  const url = await startServer(cleanup, () => {
    asked++ // and never answers
  })
  setConfig(home, { timeout: '20s', list: [{ name: 'w', kind: 'witness', options: { url, vkey: witness.vkey } }] })
  const log = await openLog({ home })
  const runner = await AnchorRunner.open(home)
  const run = runner.run()
  while (asked === 0) await sleep(5)
  const receipts = await Promise.all(Array.from({ length: 50 }, () => log.record({ type: 'tool.end', actor })))
  expect(receipts).toHaveLength(50)
  expect(await Promise.race([run, Promise.resolve('still waiting')])).toBe('still waiting')
  await log.close()
  await cleanup.run()
  await run.catch(() => {})
  await runner.close().catch(() => {})
})

it('gives proofs that lead to a cosigned checkpoint, where there is one', async () => {
  const { home, grow, run, witness } = await make()
  await grow(4)
  await run()
  await grow(3)
  const log = await openLog({ home })
  expect((await log.prove(2)).proof).toContain(`\u2014 ${parseVkey(witness.vkey).name} `)
  const size = Number((await log.checkpoint())!.split('\n')[1])
  expect((await log.prove(size - 1)).proof).not.toContain(parseVkey(witness.vkey).name)
  await log.close()
})

it('reads receipts to the end, whatever a crash left there', () => {
  const receipts = new AnchorReceipts(cleanup.folder())
  expect([receipts.last('a'), receipts.names()]).toEqual([null, []])
  const receipt = (size: number) => ({
    anchor: 'a',
    kind: 'k',
    origin: 'o',
    size,
    root: '',
    checkpoint: 'x'.repeat(size === 2 ? 200_000 : 3),
    received: '',
    proof: {},
  })
  receipts.add(receipt(1))
  receipts.add(receipt(2))
  appendFileSync(join(receipts.directory, 'a.jsonl'), '{"anchor":"a","size":3')
  expect(receipts.last('a')).toEqual(receipt(2))
  expect([...receipts.read('a')].map(({ size }) => size)).toEqual([1, 2])
  receipts.add(receipt(4))
  expect([...receipts.read('a')].map(({ size }) => size)).toEqual([1, 2, 4])
  appendFileSync(join(receipts.directory, 'a.jsonl'), 'nonsense\n')
  expect(() => receipts.last('a')).toThrow(expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }))
})
