/** Every byte of a small log, and any one value of a large one: whoever changes it is noticed. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../src/bytes.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import { Frontier } from '../src/tree/frontier.ts'
import type { Pin, TrustPolicy } from '../src/verify/evidence.ts'
import type { Report } from '../src/verify/report.ts'
import { verifyLog } from '../src/verify/verify-log.ts'
import { QuickLog, ShownLog } from './attack-evidence.ts'
import { cleanUp, makeSpecimen, type Specimen } from './attack-kit.ts'
import { verifyBoth } from './verify-both.ts'

afterAll(cleanUp)

const part = (value: unknown) => ({ parts: { output: { value }, input: { value } } })

describe('a small log', () => {
  let shown: ShownLog
  let policy: TrustPolicy
  let quick: QuickLog
  beforeAll(async () => {
    quick = await QuickLog.create()
    await quick.record(1, part('small'))
    quick.advance(70)
    await quick.record(1, { tool: { name: 'a tool' } })
    await quick.log.rotateKey()
    quick.advance(2)
    await quick.record(1)
    shown = await ShownLog.of(quick.store)
    policy = { ...quick.policy, macKey: quick.macKey, pin: pinAt(shown, 3) }
    expect((await verifyLog(shown, policy)).findings).toEqual([])
  })

  const isCaught = async () => {
    const report = await verifyBoth(shown, policy).catch((error: unknown) => error)
    expect(report).toMatchObject({ verdict: 'failed' })
    return report as Report
  }

  /** Every byte, with a bit that keeps most letters letters. */
  const eachFlip = async (bytes: Uint8Array, index: number | null, code: string | null) => {
    for (let at = 0; at < bytes.length; at++) {
      bytes[at]! ^= 1
      const { findings } = await isCaught()
      if (index !== null) expect(findings[0]).toMatchObject({ index })
      if (code !== null) expect(findings[0]).toMatchObject({ code })
      bytes[at]! ^= 1
    }
  }

  it('notices a flip of every byte of entries, leaf hashes and macs, and names the entry', async () => {
    for (const row of shown.rows) {
      await eachFlip(row.entry, row.index, null)
      await eachFlip(row.mac, row.index, 'mac_mismatch')
      await eachFlip(row.leaf, row.index, 'leaf_altered')
    }
  })

  it('notices a flip of every byte of the head', async () => {
    const head = shown.shownHead!
    await eachFlip(head.mac, null, 'mac_head_mismatch')
    for (const hash of head.frontier) await eachFlip(hash, null, 'frontier_altered')
    for (const epoch of [0, 2, -1, 2 ** 52, Number.NaN]) {
      shown.shownHead = { ...head, epoch }
      await isCaught()
    }
    for (const size of [1, head.size - 1, head.size + 1, 2 ** 53, -1, 0.5, Number.NaN]) {
      shown.shownHead = { ...head, size }
      await isCaught()
    }
    for (const minIndex of [1, 256, Number.NaN, Number.MAX_SAFE_INTEGER]) {
      shown.shownHead = { ...head, minIndex }
      await isCaught()
    }
    shown.shownHead = head
  })

  it('notices a flip of every byte of the checkpoint, the published ones and the disclosures', async () => {
    const eachText = async (texts: () => string[], set: (at: number, text: string) => void) => {
      for (const [i, text] of texts().entries()) {
        for (let at = 0; at < text.length; at++) {
          set(i, `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`)
          await isCaught()
        }
        set(i, text)
      }
    }
    const head = shown.shownHead!
    await eachText(
      () => [head.checkpoint],
      (_, checkpoint) => {
        shown.shownHead = { ...head, checkpoint }
      },
    )
    await eachText(
      () => shown.published.slice(0, 2).map(({ note }) => note),
      (at, note) => {
        shown.published[at]!.note = note
      },
    )
    await eachText(
      () => shown.parts.slice(0, 2).map(({ disclosure }) => disclosure),
      (at, disclosure) => {
        shown.parts[at]!.disclosure = disclosure
      },
    )
  })

  it('notices another number beside every row', async () => {
    for (const row of shown.rows) {
      const { epoch, index } = row
      for (const other of [epoch + 1, epoch - 1, -1, 2 ** 53, Number.NaN]) {
        row.epoch = other
        const { findings } = await isCaught()
        expect(findings[0]).toMatchObject({ code: 'epoch_mismatch', index })
      }
      row.epoch = epoch
      for (const other of [index + 1, -1, 1000, 0.5, Number.NaN]) {
        row.index = other
        await isCaught()
      }
      row.index = index
    }
    for (const one of shown.published) {
      const { size } = one
      for (const other of [size + 1, 1000]) {
        one.size = other
        await isCaught()
      }
      one.size = size
    }
    expect((await verifyLog(shown, policy)).verdict).toBe('verified')
  })
})

function pinAt(shown: ShownLog, size: number): Pin {
  const frontier = Frontier.empty()
  for (const { leaf } of shown.rows.slice(0, size)) frontier.append(leaf)
  return { size, root: frontier.root() }
}

describe('a large log', () => {
  let log: Specimen
  let shown: ShownLog
  beforeAll(async () => {
    log = await makeSpecimen({ perEpoch: 90, epochs: 4, rotateAt: [2] })
    const store = openSqliteStore(`${log.home}/log.db`, { readOnly: true })
    shown = await ShownLog.of(store)
    await store.close()
  })

  /** One value, and how to change it. Each is something else afterwards. */
  const mutation = () => {
    const nat = (length: () => number) => fc.nat(1_000_000).map((n) => n % length())
    const bit = fc.tuple(fc.nat(1_000_000), fc.integer({ min: 0, max: 7 }))
    const flip = (bytes: Uint8Array, [at, of]: [number, number]) => {
      bytes[at % bytes.length]! ^= 1 << of
    }
    const flipText = (text: string, [at, of]: [number, number]) => {
      const bytes = utf8(text)
      // Text columns hold text: a byte that is none is another text too.
      bytes[at % bytes.length]! ^= 1 << of
      try {
        return fromUtf8(bytes)
      } catch {
        return `${text.slice(0, at % text.length)}\ufffd${text.slice((at % text.length) + 1)}`
      }
    }
    type Change = (shown: ShownLog) => void
    const bytesOf = fc
      .tuple(
        nat(() => shown.rows.length),
        fc.constantFrom('entry' as const, 'leaf' as const, 'mac' as const),
        bit,
      )
      .map(
        ([i, column, at]): Change =>
          (shown) =>
            flip(shown.rows[i]![column], at),
      )
    const tile = fc
      .tuple(
        nat(() => shown.tiles.length),
        fc.constantFrom('root' as const, 'hashes' as const),
        bit,
      )
      .map(
        ([i, column, at]): Change =>
          (shown) =>
            flip(shown.tiles[i]![column], at),
      )
    const disclosure = fc
      .tuple(
        nat(() => shown.parts.length),
        bit,
      )
      .map(
        ([i, at]): Change =>
          (shown) => {
            shown.parts[i]!.disclosure = flipText(shown.parts[i]!.disclosure, at)
          },
      )
    const published = fc
      .tuple(
        nat(() => shown.published.length),
        bit,
      )
      .map(
        ([i, at]): Change =>
          (shown) => {
            // Beside the new key's signature, that of the old one may as well be anybody's.
            const single = shown.published.filter(({ note }) => note.split('\u2014 ').length === 2)
            const one = single[i % single.length]!
            one.note = flipText(one.note, at)
          },
      )
    const checkpoint = bit.map(
      (at): Change =>
        (shown) => {
          shown.shownHead!.checkpoint = flipText(shown.shownHead!.checkpoint, at)
        },
    )
    const observed = bit.map(
      (at): Change =>
        (shown) => {
          shown.shownHead!.observed = flipText(shown.shownHead!.observed, at)
        },
    )
    const headMac = bit.map(
      (at): Change =>
        (shown) =>
          flip(shown.shownHead!.mac, at),
    )
    const frontier = bit.map(
      (at): Change =>
        (shown) => {
          const { frontier } = shown.shownHead!
          flip(frontier[at[0] % frontier.length]!, at)
        },
    )
    const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(Number.NaN, -1, 0.5, 2 ** 60))
    const other = (before: number, after: number) => (Object.is(before, after) ? before + 1 : after)
    const headNumber = fc
      .tuple(fc.constantFrom('size' as const, 'epoch' as const, 'minIndex' as const), number)
      // A min_index from 0 down says nothing.
      .map(
        ([member, n]): Change =>
          (shown) => {
            const head = shown.shownHead!
            head[member] = member === 'minIndex' && n <= 0 ? 1 : other(head[member], n)
          },
      )
    const rowNumber = fc
      .tuple(
        nat(() => shown.rows.length),
        fc.constantFrom('index' as const, 'epoch' as const),
        number,
      )
      .map(
        ([i, member, n]): Change =>
          (shown) => {
            shown.rows[i]![member] = other(shown.rows[i]![member], n)
          },
      )
    const partPlace = fc
      .tuple(
        nat(() => shown.parts.length),
        fc.oneof(number, fc.string()),
      )
      .map(
        ([i, to]): Change =>
          (shown) => {
            const part = shown.parts[i]!
            if (typeof to === 'number') part.index = other(part.index, to)
            else part.name = to === part.name ? 'another' : to
          },
      )
    const remove = fc
      .tuple(
        fc.constantFrom('rows' as const, 'parts' as const, 'tiles' as const),
        nat(() => 1_000_000),
      )
      .map(
        ([table, n]): Change =>
          (shown) => {
            shown[table].splice(n % shown[table].length, 1)
          },
      )
    return fc.oneof(
      ...[bytesOf, tile, disclosure, published, checkpoint, observed, headMac, frontier],
      ...[headNumber, rowNumber, partPlace, remove],
    )
  }

  it('is never verified with any one value changed', async () => {
    const { firstKey, pin, macKey, origin } = log
    const policy = { origin, keys: [firstKey], pin, macKey }
    expect((await verifyLog(shown, policy)).findings).toEqual([])
    await fc.assert(
      fc.asyncProperty(mutation(), async (change) => {
        const altered = shown.clone()
        change(altered)
        expect(await verifyBoth(altered, policy)).toMatchObject({ verdict: 'failed' })
      }),
      { numRuns: 120 },
    )
  })
})
