/** Attacks on the verifier itself: evidence that lies about its own shape, and what may never be reported as verified. */
import { describe, expect, it } from 'vitest'
import { IndelibleError } from '../src/errors.ts'
import { generateSkey, signerFromSkey } from '../src/keys/signer.ts'
import { signNoteSync } from '../src/note/signed-note.ts'
import { Frontier } from '../src/tree/frontier.ts'
import type { EvidenceHead } from '../src/verify/evidence.ts'
import { type VerifyLogOptions, verifyLog } from '../src/verify/verify-log.ts'
import { QuickLog, ShownLog } from './attack-evidence.ts'

async function small(entries = 6) {
  const quick = await QuickLog.create()
  await quick.record(entries, { parts: { output: { value: 1 } } })
  const shown = await ShownLog.of(quick.store)
  return { quick, shown, policy: quick.policy }
}

const codes = (report: { findings: readonly { code: string }[] }) => report.findings.map(({ code }) => code)

describe('the verifier', () => {
  it('verifies nothing without a key', async () => {
    const { shown, policy } = await small()
    for (const options of [{}, { from: 1 }, { to: 3 }]) {
      const report = await verifyLog(shown, { ...policy, keys: [] }, options)
      expect(report.verdict).toBe('failed')
      expect(codes(report)).toContain('checkpoint_unverified')
    }
    expect(await verifyLog(new ShownLog(), { ...policy, keys: [] })).toMatchObject({ verdict: 'failed' })
  })

  it('takes a key that is given twice for one', async () => {
    const { shown, policy } = await small()
    const report = await verifyLog(shown, { ...policy, keys: [...policy.keys, ...policy.keys] })
    expect(report.verdict).toBe('verified')
  })

  it('names the key that signed, not another that is trusted', async () => {
    const { quick, shown, policy } = await small()
    const other = signerFromSkey(generateSkey(quick.origin, 'default')).key
    const report = await verifyLog(shown, { ...policy, keys: [...policy.keys, other] })
    const alone = await verifyLog(shown, policy)
    expect(report).toMatchObject({ verdict: 'verified', key: alone.key })
  })

  it('passes on what its source throws, from wherever', async () => {
    const { shown, policy } = await small(600)
    const pin = { size: 3, root: new Uint8Array(32) }
    const methods = ['head', 'entries', 'payloads', 'checkpoints', 'tile', 'tileRoots', 'leaves', 'findIds'] as const
    for (const method of methods) {
      for (const error of [new IndelibleError('ERR_STORE_FAILED', 'disk'), new Error('disk')]) {
        const broken = Object.assign(shown.clone(), {
          [method]: () => {
            throw error
          },
        })
        for (const options of [{}, { from: 300, to: 310 }]) {
          const verified = verifyLog(broken, { ...policy, pin }, options)
          // Without tiles to skip, a whole log needs no leaf hashes; and tiles are not asked for where they are not needed.
          const report = await verified.catch((thrown: unknown) => thrown)
          if (report === error) continue
          expect(['leaves', 'tileRoots']).toContain(method)
          expect(report).toMatchObject({ verdict: 'failed' })
        }
      }
    }
  })

  it('is not kept busy by huge sizes', async () => {
    const { quick, shown, policy } = await small()
    const sizes = [Number.MAX_SAFE_INTEGER, 2 ** 52]
    const thief = signerFromSkey(generateSkey(quick.origin, 'default'))
    const resized = (note: string, size: number) => note.replace(/\n\d+\n/, `\n${size}\n`)
    for (const size of sizes) {
      const head = shown.shownHead!
      const note = resized(head.checkpoint, size)
      const text = note.slice(0, note.indexOf('\n\n') + 1)
      const heads: EvidenceHead[] = [
        { ...head, size },
        { ...head, checkpoint: note },
        { ...head, size, checkpoint: note },
        { ...head, size, checkpoint: signNoteSync(text, [thief]) },
        { ...head, size, checkpoint: signNoteSync(text, [thief]), minIndex: size },
        { ...head, size, checkpoint: '', minIndex: size },
        { ...head, minIndex: size },
        { ...head, epoch: size },
      ]
      for (const shownHead of heads) {
        const altered = Object.assign(shown.clone(), { shownHead })
        const options: VerifyLogOptions = size === 2 ** 52 ? { from: 2 } : {}
        const report = await verifyLog(altered, { ...policy, macKey: quick.macKey }, options)
        expect(report.verdict).toBe('failed')
      }
      for (const row of [0, 3]) {
        const altered = shown.clone()
        altered.rows[row]!.epoch = size
        expect((await verifyLog(altered, { ...policy, macKey: quick.macKey })).verdict).toBe('failed')
      }
    }
  }, 20_000)

  it('believes no source that answers with something else than was asked for', async () => {
    const { shown, policy } = await small(600)
    const lies: Partial<ShownLog>[] = [
      { head: async () => ({ ...shown.shownHead!, frontier: [] }) },
      { head: async () => ({ ...shown.shownHead!, frontier: [new Uint8Array(0)] }) },
      { head: async () => ({ ...shown.shownHead!, mac: new Uint8Array(0) }) },
      { async *entries() {} },
      // Always the same row, and all of them at once.
      {
        async *entries() {
          yield [shown.rows[7]!]
        },
      },
      {
        async *entries(start: number, end: number) {
          yield shown.rows
            .filter(({ index }) => index >= start && index < end)
            .map((row) => ({ ...row, index: row.index + 1 }))
        },
      },
      { tile: async () => new Uint8Array(0) },
      { tile: async () => shown.tiles[0]!.hashes },
      { tile: async () => new Uint8Array(8192) },
      { tileRoots: async () => [] },
      { tileRoots: async () => [new Uint8Array(31)] },
      { async *payloads() {} },
      {
        async *payloads() {
          yield [{ index: 3, name: '__proto__', disclosure: '' }]
        },
      },
      {
        async *checkpoints() {
          yield [{ size: 3, note: '' }]
        },
      },
      { findIds: async () => new Map() },
      { findIds: async (ids) => new Map(ids.map((id) => [id, { index: Number.NaN }])) },
    ]
    for (const lie of lies) {
      const report = await verifyLog(Object.assign(shown.clone(), lie), policy)
      expect(report.verdict).toBe('failed')
    }
    // In a range, hashes outside of it are taken from here too.
    for (const lie of [{ leaves: async () => [] }, { leaves: async () => [new Uint8Array(31)] }]) {
      const report = await verifyLog(Object.assign(shown.clone(), lie), policy, { from: 520, to: 530 })
      expect(report.verdict).toBe('failed')
    }
  })

  it('is not content with a range whose surroundings are gone', async () => {
    const { shown, policy } = await small(600)
    const gone = Object.assign(shown.clone(), {
      leaves: async () => {
        throw new RangeError('gone')
      },
    })
    for (const options of [{ to: 10 }, { from: 520, to: 530 }, { from: 598 }]) {
      const report = await verifyLog(gone, policy, options)
      expect(report.verdict).toBe('failed')
      expect(codes(report)).toContain('tile_missing')
    }
  })

  it('holds a pin outside of the range against the log as well', async () => {
    const { shown, policy } = await small(600)
    for (const size of [3, 300, 599]) {
      const options = { from: 400, to: 410 }
      const root = Frontier.empty()
      for (const { leaf } of shown.rows.slice(0, size)) root.append(leaf)
      const pinned = await verifyLog(shown, { ...policy, pin: { size, root: root.root() } }, options)
      expect(pinned).toMatchObject({ verdict: 'verified', findings: [] })
      const other = await verifyLog(shown, { ...policy, pin: { size, root: new Uint8Array(32) } }, options)
      expect(codes(other)).toEqual(['split_view'])
    }
  })

  it('holds a second look at published checkpoints against the first', async () => {
    const quick = await QuickLog.create()
    await quick.record(3)
    quick.advance(5)
    await quick.log.rotateKey()
    await quick.record(3)
    const shown = await ShownLog.of(quick.store)
    const keys = [quick.keys.signer.key]
    expect((await verifyLog(shown, { ...quick.policy, keys })).findings).toEqual([])
    // First a checkpoint of these entries that somebody else signed, then one that the log signed, of others.
    const thief = signerFromSkey(generateSkey(quick.origin, 'default'))
    const firstNote = shown.published[0]!.note
    const forged = signNoteSync(firstNote.slice(0, firstNote.indexOf('\n\n') + 1), [thief])
    let looks = 0
    const twoFaced = Object.assign(shown.clone(), {
      async *checkpoints(above: number, upTo: number) {
        looks++
        const all = shown.published.filter(({ size }) => size > above && size <= upTo)
        yield looks === 1 ? all.map((one, i) => (i === 0 ? { ...one, note: forged } : one)) : all
      },
    })
    const report = await verifyLog(twoFaced, { ...quick.policy, keys })
    expect(codes(report)).toEqual(['published_checkpoint_altered'])
  })

  it('lists at most a hundred findings of a code, and every code', async () => {
    const { shown, policy } = await small(600)
    for (const row of shown.rows) if (row.index > 0) row.entry = new Uint8Array([1])
    shown.shownHead!.mac = new Uint8Array(32)
    const report = await verifyLog(shown, { ...policy, pin: { size: 10_000, root: new Uint8Array(32) } })
    expect(codes(report).filter((code) => code === 'entry_altered')).toHaveLength(100)
    expect(codes(report)).toEqual(expect.arrayContaining(['rolled_back', 'mac_head_mismatch', 'entry_unreadable']))
    expect(report.more_findings).toBeGreaterThan(900)
  })

  it('sees a mac that is none, and a published checkpoint from nowhere, without any key', async () => {
    const { shown, policy } = await small()
    for (const length of [0, 31, 33]) {
      for (const row of [2, 6]) {
        const altered = shown.clone()
        altered.rows[row]!.mac = new Uint8Array(length)
        const { findings } = await verifyLog(altered, policy)
        expect(findings[0]).toMatchObject({ code: 'mac_mismatch', index: row })
      }
    }
    for (const note of ['', 'x', shown.published[0]!.note.replace('\n1\n', '\n9\n')]) {
      const altered = shown.clone()
      altered.published.push({ size: 9, note })
      expect(codes(await verifyLog(altered, policy))).toEqual(['checkpoint_unverified'])
    }
  })

  it('never repeats what an entry holds', async () => {
    const quick = await QuickLog.create()
    await quick.record(3, { parts: { output: { value: 'Zacharias' } }, actor: { type: 'user', id: 'Zacharias' } })
    const shown = await ShownLog.of(quick.store)
    for (const row of shown.rows) row.entry = Buffer.from(Buffer.from(row.entry).toString().replace('"id"', ' "id"'))
    for (const part of shown.parts) part.disclosure = part.disclosure.replace('[', '[[')
    const report = await verifyLog(shown, quick.policy)
    expect(report.verdict).toBe('failed')
    expect(JSON.stringify(report)).not.toContain('Zacharias')
  })

  it('refuses a range that is none', async () => {
    const { shown, policy } = await small()
    const ranges = [
      { from: -1 },
      { from: 3, to: 3 },
      { from: 4, to: 3 },
      { to: 8 },
      { from: 7 },
      { from: Number.NaN },
      { to: Number.NaN },
      { from: 0.5 },
      { to: 2.5 },
      { to: Number.POSITIVE_INFINITY },
    ]
    for (const options of ranges) await expect(verifyLog(shown, policy, options)).rejects.toThrow(RangeError)
  })
})
