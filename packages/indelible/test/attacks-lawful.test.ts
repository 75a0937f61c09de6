/** What is lawful and must not look like an attack: growth, ranges, rotations, erasure, purge, sleep. */
import { afterAll, describe, expect, it } from 'vitest'
import { openLog, Pins, verifyHome } from '../src/index.ts'
import { auditEntry } from '../src/log/batch.ts'
import { Sequencer } from '../src/log/sequencer.ts'
import { purge, surveyPurge } from '../src/retention/purge.ts'
import type { TrustPolicy } from '../src/verify/evidence.ts'
import type { Report } from '../src/verify/report.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { QuickLog, ShownLog } from './attack-evidence.ts'
import { cleanUp, codesOf, makeSpecimen, temporary } from './attack-kit.ts'

afterAll(cleanUp)

/** The log's own statement, as later versions of this program will make it. */
async function state(quick: QuickLog, type: 'audit.erased', audit: Record<string, unknown>) {
  const sequencer = new Sequencer(quick.store, quick.keys, { clock: () => quick.nowMs })
  await sequencer.open()
  await sequencer.append([{ ...auditEntry(type, quick.nowMs, audit), idGiven: false }])
  await sequencer.close()
}

/** A purge as `retention run` does it. */
async function purgeBelow(quick: QuickLog, below: number) {
  const noHolds = { firstHeld: async () => null }
  const options = { basis: 'test', by: 'operator', vouched: { size: below, by: ['pin'] } }
  await purge(quick.log, await surveyPurge(quick.store, below), noHolds, (work) => work(), options)
}

const full = (quick: QuickLog): TrustPolicy => ({ ...quick.policy, macKey: quick.macKey })

describe('a log in use', () => {
  /** A log of which more is recorded at the n-th question that a verifier asks. */
  function growing(quick: QuickLog, at: string, grow: () => Promise<void>) {
    let done = false
    return new Proxy(quick.store, {
      get(store, name) {
        const member = Reflect.get(store, name) as unknown
        if (typeof member !== 'function') return member
        return (...parameters: unknown[]) => {
          const answer = () => Reflect.apply(member, store, parameters) as unknown
          if (done || name !== at) return answer()
          done = true
          if (name === 'entries' || name === 'payloads' || name === 'checkpoints') {
            return (async function* () {
              await grow()
              yield* answer() as AsyncIterable<unknown>
            })()
          }
          return grow().then(answer)
        }
      },
    })
  }

  it('is verified up to where it was, whatever is recorded meanwhile', async () => {
    for (const at of ['entries', 'payloads', 'checkpoints', 'tile', 'findIds']) {
      for (const count of [1, 300]) {
        const quick = await QuickLog.create()
        await quick.record(280, { parts: { output: { value: 'x' } } })
        const shown = growing(quick, at, async () => {
          quick.advance(70)
          await quick.record(count, { parts: { output: { value: 'x' } } })
          await quick.log.rotateKey()
          quick.advance(70)
          await quick.record(count)
        })
        const report = await verifyLog(shown, full(quick))
        expect(report).toMatchObject({ verdict: 'verified', size: 281, findings: [] })
      }
    }
  })

  it('is not believed to have grown by what was not signed', async () => {
    const quick = await QuickLog.create()
    await quick.record(10)
    const shown = await ShownLog.of(quick.store)
    const { rows, shownHead } = shown
    await quick.record(5)
    const grown = await ShownLog.of(quick.store)
    const after = (tamper: (log: ShownLog) => void) => {
      const log = grown.clone()
      tamper(log)
      let asked = 0
      return Object.assign(log, { head: async () => (asked++ === 0 ? shownHead : log.shownHead) })
    }
    expect(
      (
        await verifyLog(
          after(() => {}),
          full(quick),
        )
      ).verdict,
    ).toBe('verified')
    const tampered: ((log: ShownLog) => void)[] = [
      (log) => log.rows.splice(12, 1),
      (log) => {
        log.rows[12]!.entry = log.rows[13]!.entry
      },
      (log) => {
        log.shownHead!.checkpoint = shownHead!.checkpoint
      },
      (log) => {
        log.shownHead!.checkpoint = log.shownHead!.checkpoint.replace('\n16\n', '\n15\n')
      },
      (log) => {
        log.shownHead = null
      },
      (log) => log.rows.push({ ...rows[3]!, index: 16 }),
    ]
    for (const tamper of tampered) {
      const report = await verifyLog(after(tamper), full(quick))
      expect(report.verdict).toBe('failed')
      expect(codesOf(report)).toContain('entry_unexpected')
    }
  })
})

describe('a range', () => {
  it('of an untampered log is verified, with its ends anywhere', async () => {
    const log = await makeSpecimen({ perEpoch: 60, rotateAt: [2, 4] })
    const store = (await import('../src/store/sqlite.ts')).openSqliteStore(`${log.home}/log.db`, { readOnly: true })
    const { origin, macKey, earlyPin, pin, firstKey, lastKey } = log
    for (const [from, to] of [
      [0, 1],
      [1, 2],
      [0, 100],
      [61, 130],
      [100, 256],
      [255, 257],
      [256, 300],
      [300, log.size],
      [log.size - 1, log.size],
    ]) {
      for (const keys of [[firstKey], [lastKey], [firstKey, lastKey]]) {
        for (const pinned of [earlyPin, pin]) {
          const report = await verifyLog(store, { origin, keys, macKey, pin: pinned }, { from: from!, to: to! })
          expect(report).toMatchObject({ verdict: 'verified', findings: [] })
          expect(report.ranges.flatMap(({ start, end }) => [start, end])).toContain(from)
          if (from! > 0) expect(report.not_checked.join('\n')).toContain(`entries before ${from}: only their hashes`)
        }
      }
    }
    await store.close()
  })

  it('tells tampering inside from tampering outside', async () => {
    const quick = await QuickLog.create()
    for (let i = 0; i < 6; i++) {
      quick.advance(30)
      await quick.record(100, { parts: { output: { value: i } } })
    }
    const good = await ShownLog.of(quick.store)
    const check = (shown: ShownLog, from: number, to: number) => verifyLog(shown, full(quick), { from, to })
    for (const index of [40, 255, 300, 560]) {
      const shown = good.clone()
      shown.rows[index]!.entry[50]! ^= 1
      const inside = await check(shown, index, index + 1)
      expect(inside.verdict).toBe('failed')
      expect(new Set(inside.findings.map((finding) => finding.index))).toEqual(new Set([index]))
      expect((await check(shown, index - 20, index + 20)).verdict).toBe('failed')
      // Of an entry outside only the hash counts, and that was left as it was.
      const before = await check(shown, index - 20, index)
      expect(before.verdict).toBe('verified')
      expect(before.not_checked.join('\n')).toContain(`entries from ${index} on: only their hashes were used`)
      expect((await check(shown, index + 1, index + 20)).verdict).toBe('verified')
    }
    // A hash outside that was altered takes the root with it.
    for (const [index, from] of [
      [560, 0],
      [530, 540],
    ]) {
      const shown = good.clone()
      shown.rows[index!]!.leaf[0]! ^= 1
      expect(codesOf(await check(shown, from!, from! + 10))).toContain('root_mismatch')
    }
    for (const at of ['hashes', 'root'] as const) {
      const tile = good.clone()
      tile.tiles[at === 'hashes' ? 0 : 1]![at][4000 % tile.tiles[0]![at].length]! ^= 1
      expect((await check(tile, 10, 20)).verdict).toBe('failed')
    }
  })

  it('says what it cannot tell of erasure and purge, instead of an accusation', async () => {
    const quick = await QuickLog.create()
    await quick.record(600, { parts: { output: { value: 1 } } })
    const erased = { index: 300, id: (await quick.log.read(300)).record.id, name: 'output' }
    await quick.store.erase([erased])
    await state(quick, 'audit.erased', { parts: [[300, 'output']] })
    await purgeBelow(quick, 256)
    const open = async (from: number, to: number) => {
      const { verdict, findings, not_checked } = await verifyLog(quick.store, full(quick), { from, to })
      expect(findings).toEqual([])
      return `${verdict}: ${not_checked[0]}`
    }
    expect(await open(290, 310)).toBe(
      'incomplete: disclosures of 1 parts that are gone: entries after the range may say why',
    )
    expect(await open(200, 290)).toMatch(/^verified/)
    expect(await open(310, 400)).toMatch(/^verified/)
    expect(await open(200, 605)).toMatch(/^verified/)
  })
})

describe('a key rotation', () => {
  it('is followed by whoever has any one of the keys, also after several', async () => {
    const quick = await QuickLog.create()
    const keys = [quick.firstKey]
    for (let i = 0; i < 3; i++) {
      quick.advance(40)
      await quick.record(5)
      await quick.log.rotateKey()
      keys.push(quick.keys.signer.key)
      const shown = await ShownLog.of(quick.store)
      for (const key of keys) {
        const report = await verifyLog(shown, { ...full(quick), keys: [key] })
        expect(report.findings).toEqual([])
        expect(report.verdict).toBe('verified')
      }
      expect((await verifyLog(shown, { ...full(quick), keys })).verdict).toBe('verified')
      expect((await verifyLog(shown, { ...full(quick), keys: keys.toReversed() })).verdict).toBe('verified')
    }
  })

  it('moves the pin on to the new key, time after time', async () => {
    const { createLog } = await import('../src/index.ts')
    const directory = temporary()
    const home = `${directory}/home`
    const pins = new Pins(`${directory}/config/indelible/pins`)
    await createLog({ home, origin: 'rotated.example/log', pins })
    const log = await openLog({ home })
    const reports: Report[] = []
    for (let i = 0; i < 3; i++) {
      await log.record({ type: 'x.a', actor: { type: 'agent', id: 'a' } })
      const vkey = await log.rotateKey()
      for (let n = 0; n < 2; n++) reports.push(await verifyHome({ home, pins }))
      expect(pins.read('rotated.example/log')).toMatchObject({ key: vkey, size: 3 + 2 * i })
      expect(reports.at(-1)).toMatchObject({ verdict: 'verified', key: vkey })
    }
    await log.close()
  })
})

describe('a purge', () => {
  const purged = async (below: number, entries = 700) => {
    const quick = await QuickLog.create()
    for (let i = 0; i < 7; i++) {
      quick.advance(35)
      await quick.record(entries / 7, { parts: { output: { value: 1 } } })
    }
    await purgeBelow(quick, below)
    return quick
  }

  it('that the log states is lawful, for every verifier', async () => {
    for (const below of [256, 512]) {
      const quick = await purged(below)
      const pin = { size: 100, root: await rootAt(quick, 100) }
      for (const policy of [quick.policy, full(quick), { ...full(quick), pin }]) {
        const report = await verifyLog(quick.store, policy)
        expect(report).toMatchObject({ verdict: 'verified', findings: [] })
        expect(report.ranges[0]).toEqual({ start: 0, end: below, state: 'purged' })
      }
      quick.advance(35)
      await quick.record(10)
      expect((await verifyLog(quick.store, full(quick))).verdict).toBe('verified')
    }
  })

  it('that goes further than the log states is not', async () => {
    const quick = await purged(256)
    await quick.store.purge(512)
    const report = await verifyLog(quick.store, full(quick))
    expect(codesOf(report)).toEqual(['purge_uncertified'])
  })

  it('takes no entry whose leaf hash is in no tile', async () => {
    const quick = await QuickLog.create()
    await quick.record(400)
    const shown = await ShownLog.of(quick.store)
    shown.rows = shown.rows.filter(({ index }) => index >= 300)
    shown.shownHead!.minIndex = 300
    const { verdict, findings } = await verifyLog(shown, full(quick))
    expect(verdict).toBe('failed')
    expect(findings.map(({ code, index }) => `${code} ${index}`)).toContain('tile_missing 256')
  })

  it('lets nobody take more along: no tile, no entry after it, no entry before it put back', async () => {
    const quick = await purged(256)
    const good = await ShownLog.of(quick.store)
    expect((await verifyLog(good, full(quick))).verdict).toBe('verified')
    const tampered: [(log: ShownLog) => void, string][] = [
      [(log) => log.tiles.splice(0, 1), 'tile_missing'],
      [
        (log) => {
          log.tiles[0]!.hashes[5]! ^= 1
        },
        'tile_altered',
      ],
      [(log) => log.rows.splice(0, 1), 'entry_missing'],
      [(log) => log.rows.push({ ...log.rows[9]!, index: 20 }), 'tile_altered'],
    ]
    for (const [tamper, code] of tampered) {
      const log = good.clone()
      tamper(log)
      const report = await verifyLog(log, full(quick))
      expect(report.verdict).toBe('failed')
      expect(codesOf(report).join()).toMatch(new RegExp(`${code}|entry_altered`))
    }
  })

  async function rootAt(quick: QuickLog, size: number): Promise<Uint8Array> {
    const { Frontier } = await import('../src/tree/frontier.ts')
    const frontier = Frontier.empty()
    for (const leaf of await quick.store.leaves(0, size)) frontier.append(leaf)
    return frontier.root()
  }
})

describe('a sleep', () => {
  it('over thousands of epochs is sealed and verified, by ranges too', async () => {
    const quick = await QuickLog.create()
    await quick.record(3)
    quick.advance(60 * 1500)
    await quick.record(3)
    quick.advance(60 * 11_000)
    await quick.record(3)
    const { size } = (await quick.store.head())!
    expect(size).toBeGreaterThan(30)
    expect((await verifyLog(quick.store, full(quick))).verdict).toBe('verified')
    for (let from = 1; from < size; from += 13) {
      for (const range of [{ from }, { to: from }, { from, to: from + 1 }]) {
        expect((await verifyLog(quick.store, full(quick), range)).findings).toEqual([])
      }
    }
  })
})
