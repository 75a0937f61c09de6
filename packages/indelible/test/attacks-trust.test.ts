/** What a trust policy with anchors catches, and what a verifier gets to convince others. */
import { chmodSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { quorumVerifier } from '../src/anchor/witness.ts'
import { fromBase64, toBase64Url } from '../src/bytes.ts'
import { Ratchet } from '../src/chain/chain.ts'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { signerFromSkey } from '../src/keys/signer.ts'
import { parseWitnessPolicy } from '../src/note/policy.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { leafHash } from '../src/tree/hash.ts'
import { parseKeptReceipts } from '../src/verify/receipts-check.ts'
import { checkSplitView, formatSplitView, parseSplitView } from '../src/verify/split-view.ts'
import { anchorNow } from './anchor-defences.ts'
import { Cleanup, setConfig, startWitness } from './anchor-kit.ts'
import { Forger } from './attack-forger.ts'
import { codesOf, dropTriggers, openDatabase, rowOf } from './attack-kit.ts'

const ORIGIN = 'trusted.example/log'
const DAY = 86_400
const cleanup = new Cleanup()
let home: string
let vkey: string
let policy: string
const actor = { type: 'agent', id: 'a' } as const

beforeAll(async () => {
  home = join(cleanup.folder(), 'home')
  ;({ vkey } = await createLog({ home, origin: ORIGIN, pins: new Pins(join(cleanup.folder(), 'pins')) }))
  const witness = await startWitness(cleanup, [vkey], { clock: () => Date.now() - 2 * DAY * 1000 })
  policy = `log ${vkey}\nwitness w1 ${witness.vkey}\nquorum w1\n`
  setConfig(home, { list: [{ name: 'w1', kind: 'witness', options: { url: witness.url, vkey: witness.vkey } }] })
  const log = await openLog({ home })
  for (let i = 0; i < 20; i++) await log.record({ type: 'tool.end', actor })
  await log.close()
  await anchorNow(home)
})
afterAll(() => cleanup.run())

/** A copy of the home to do harm to. */
function copy(): string {
  const path = join(cleanup.folder(), 'home')
  cpSync(home, path, { recursive: true })
  chmodSync(join(path, 'keys'), 0o700)
  return path
}

function verify(at: string, options: { maxAgeSeconds?: number; receipts?: string } = {}) {
  const { maxAgeSeconds, receipts } = options
  const anchors = [quorumVerifier(parseWitnessPolicy(policy), { name: 'quorum', required: true, maxAgeSeconds }, null)]
  return verifyHome({
    home: at,
    pins: null,
    trust: { origin: ORIGIN, keys: [parseVkey(vkey)], ...(receipts === undefined && { anchors }) },
    ...(receipts !== undefined && { receipts: parseKeptReceipts(receipts, 'receipt') }),
  })
}

const titled = (id: Parameters<typeof rowOf>[0]) => `${rowOf(id).attack}: ${rowOf(id).finding} (${rowOf(id).needs})`

/** Rewrites entry 5 with the signing key and today's mac key. */
function rewrite(at: string): Forger {
  const db = openDatabase(join(at, 'log.db'))
  dropTriggers(db)
  const state = JSON.parse(readFileSync(join(at, 'keys', 'state.json'), 'utf8'))
  const forger = new Forger(db, ORIGIN)
    .edit(5, (entry) => ({ ...entry, outcome: 'denied' }))
    .retree()
    .remac(new Ratchet(state.epoch, fromBase64(state.key)), 5)
    .sign(signerFromSkey(readFileSync(join(at, 'keys', 'log.skey'), 'utf8')))
  db.close()
  return forger
}

describe('a trust policy with a required witness', () => {
  it('says who vouches for what, and since when', async () => {
    const report = await verify(home, { maxAgeSeconds: 3 * DAY })
    expect(report).toMatchObject({ verdict: 'verified', findings: [] })
    expect(report.ranges).toMatchObject([{ start: 0, end: report.size, state: 'anchored' }])
    const [by] = report.ranges[0]!.by!
    expect(by).toMatchObject({ anchor: 'quorum', kind: 'witness', by: ['w1'] })
    expect(Math.abs(Date.parse(by!.time!) - (Date.now() - 2 * DAY * 1000))).toBeLessThan(600_000)
  })

  it('tells what came since from what is anchored', async () => {
    const at = copy()
    const log = await openLog({ home: at, adopt: true })
    await log.record({ type: 'tool.end', actor })
    await log.close()
    const report = await verify(at)
    expect(report.verdict).toBe('verified')
    expect(report.ranges.map(({ state }) => state)).toEqual(['anchored', 'unanchored'])
    expect(report.not_checked.join('\n')).toContain('truncation and roll-back of entries from')
  })

  it(titled('anchor-removed'), async () => {
    const at = copy()
    rmSync(join(at, 'anchors'), { recursive: true })
    const report = await verify(at)
    expect(codesOf(report)).toEqual([rowOf('anchor-removed').finding])
    expect(report.verdict).toBe('failed')
  })

  it(titled('anchor-frozen'), async () => {
    const report = await verify(home, { maxAgeSeconds: DAY })
    expect(codesOf(report)).toEqual([rowOf('anchor-frozen').finding])
    // Whatever the log says of its own time.
    const at = copy()
    const file = join(at, 'anchors', 'w1.jsonl')
    const received = new Date().toISOString()
    writeFileSync(file, `${JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), received })}\n`)
    expect(codesOf(await verify(at, { maxAgeSeconds: DAY }))).toEqual(['anchor_stale'])
  })

  it(titled('anchor-altered'), async () => {
    const at = copy()
    const file = join(at, 'anchors', 'w1.jsonl')
    const receipt = JSON.parse(readFileSync(file, 'utf8')) as { checkpoint: string }
    const lines = receipt.checkpoint.trimEnd().split('\n')
    const [dash, name, base64] = lines.pop()!.split(' ')
    const signature = fromBase64(base64!)
    new DataView(signature.buffer).setBigUint64(4, BigInt(Math.floor(Date.now() / 1000)))
    lines.push([dash, name, Buffer.from(signature).toString('base64')].join(' '))
    writeFileSync(file, `${JSON.stringify({ ...receipt, checkpoint: `${lines.join('\n')}\n` })}\n`)
    expect(codesOf(await verify(at, { maxAgeSeconds: DAY }))).toContain(rowOf('anchor-altered').finding)
  })

  it(titled('anchor-rewritten'), async () => {
    const at = copy()
    rewrite(at)
    const report = await verify(at)
    expect(codesOf(report)).toContain(rowOf('anchor-rewritten').finding)
    // Whoever has the log's key is convinced by the file alone.
    const view = parseSplitView(JSON.stringify(report.split_view))
    const { older, newer, implied } = checkSplitView(view, { origin: ORIGIN, keys: [parseVkey(vkey)] })
    expect(older.size).toBe(newer.size)
    expect(implied).toEqual(newer.root)
    expect(implied).not.toEqual(older.root)
    expect(parseSplitView(formatSplitView(view))).toEqual(view)
    const same = { older: view.newer, newer: view.newer, proof: [] }
    expect(() => checkSplitView(same, { origin: ORIGIN, keys: [parseVkey(vkey)] })).toThrow(
      expect.objectContaining({ code: 'ERR_PROOF_INVALID' }),
    )
  })

  it('proves a split view against a log that has grown on, from any size', async () => {
    for (const count of [1, 7, 43]) {
      const at = copy()
      const forger = rewrite(at)
      const db = openDatabase(join(at, 'log.db'))
      const grown = new Forger(db, forger.origin)
      for (let i = 0; i < count; i++)
        grown.append({ id: `01a1fcf3-797e-7a51-bae8-${String(i).padStart(12, '0')}`, type: 'x.b' })
      grown.retree().sign(signerFromSkey(readFileSync(join(at, 'keys', 'log.skey'), 'utf8')))
      db.close()
      const report = await verify(at)
      expect(codesOf(report)).toContain('split_view')
      const view = parseSplitView(JSON.stringify(report.split_view))
      const { older, newer } = checkSplitView(view, { origin: ORIGIN, keys: [parseVkey(vkey)] })
      expect(newer.size - older.size).toBe(count)
      const flipped = { ...view, proof: view.proof.with(0, new Uint8Array(32)) }
      expect(() => checkSplitView(flipped, { origin: ORIGIN, keys: [parseVkey(vkey)] })).toThrow(
        expect.objectContaining({ code: 'ERR_PROOF_INVALID' }),
      )
    }
  })

  it('does not count a witness that the policy does not name', async () => {
    const stranger = await startWitness(cleanup, [vkey], { name: 'stranger.example' })
    const at = copy()
    rmSync(join(at, 'anchors'), { recursive: true })
    setConfig(at, { list: [{ name: 's', kind: 'witness', options: { url: stranger.url, vkey: stranger.vkey } }] })
    await anchorNow(at)
    expect(codesOf(await verify(at))).toEqual(['anchor_missing'])
  })
})

describe('a receipt that a caller kept', () => {
  it(titled('receipt-broken'), async () => {
    const log = await openLog({ home })
    const receipt = await log.record({ type: 'tool.end', actor })
    await log.close()
    expect(await verify(home, { receipts: JSON.stringify(receipt) })).toMatchObject({ verdict: 'verified' })
    const other = toBase64Url(leafHash(new Uint8Array([1])))
    const report = await verify(home, { receipts: JSON.stringify({ ...receipt, leaf: other }) })
    expect(codesOf(report)).toEqual([rowOf('receipt-broken').finding])
    expect(report.findings[0]).toMatchObject({ index: receipt.index })
  })

  it('of another log is told from one of this log', async () => {
    const other = join(cleanup.folder(), 'other')
    await createLog({ home: other, origin: 'other.example/log', pins: null })
    const log = await openLog({ home: other })
    const { proof } = await log.prove(0)
    await log.close()
    expect(codesOf(await verify(home, { receipts: proof }))).toEqual(['receipt_mismatch'])
  })

  it('that somebody forged does not speak against the log', async () => {
    const forged = join(cleanup.folder(), 'forged')
    await createLog({ home: forged, origin: ORIGIN, pins: null })
    const log = await openLog({ home: forged })
    for (let i = 0; i < 40; i++) await log.record({ type: 'x.c', actor })
    const { proof } = await log.prove(0)
    await log.close()
    const report = await verify(home, { receipts: proof })
    expect(codesOf(report)).not.toContain('rolled_back')
    expect(codesOf(report)).not.toContain('split_view')
    expect(report.not_checked.join('\n')).toContain('no key that counts signed it')
  })
})
