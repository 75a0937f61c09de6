/** Bundles that a later key signed, for an auditor who has the first one. */
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../src/bytes.ts'
import { generateSkey, signerFromSkey } from '../src/keys/signer.ts'
import { formatVkey, parseVkey, signNote } from '../src/note/signed-note.ts'
import { parseEntry } from '../src/record/entry.ts'
import { canonicalize, parseJson } from '../src/record/jcs.ts'
import { checkBundle } from '../src/verify/check-bundle.ts'
import { formatRotation } from '../src/verify/key-history.ts'
import { bundleOf, codes, logOf, ORIGIN, reseal, runEvents, textOf, unpack } from './export-kit.ts'

const FILE = 'rotations.jsonl'

const made = await logOf(runEvents('r1'))
const oldSigner = made.keys.signer
const oldest = parseVkey(formatVkey(oldSigner.key))
await made.log.rotateKey()
await made.log.recordMany(runEvents('r2'))
const middle = parseVkey(formatVkey(made.keys.signer.key))
await made.log.rotateKey()
await made.log.recordMany(runEvents('r3'))
const newest = parseVkey(formatVkey(made.keys.signer.key))
const policy = { origin: ORIGIN, keys: [oldest] }
const bundle = await bundleOf(made.source({ run: 'r3' }))

const altered = (edit: (lines: string[]) => string[], of = bundle) => {
  const files = unpack(of)
  const lines = edit(textOf(files, FILE).trimEnd().split('\n'))
  return reseal(files.set(FILE, utf8(lines.map((line) => `${line}\n`).join(''))))
}
const edited = (line: string, change: object) => JSON.stringify({ ...JSON.parse(line), ...change })

describe('a bundle of a log whose key was rotated', () => {
  it('verifies under its first key, and under each later one', async () => {
    for (const keys of [[oldest], [middle], [newest], [oldest, newest]]) {
      const report = await checkBundle(bundle, { origin: ORIGIN, keys })
      expect(report).toMatchObject({ verdict: 'verified', findings: [], key: formatVkey(newest) })
      const isFollowed = !keys.includes(newest)
      expect(report.established[0]).toContain(isFollowed ? 'successor' : 'a key of the policy')
      expect(report.not_checked.some((what) => what.includes('stolen'))).toBe(isFollowed)
    }
    const packed = await bundleOf(made.source({ packed: true }))
    expect(await codes(packed, policy)).toEqual([])
  })

  it('has no such file where there was no rotation', async () => {
    const plain = await logOf(runEvents('r1'))
    expect(unpack(await bundleOf(plain.source())).has(FILE)).toBe(false)
  })

  it('does not verify under its first key when a rotation is left out', async () => {
    const files = unpack(bundle)
    files.delete(FILE)
    expect(await codes(reseal(files), policy)).toEqual(['checkpoint_unverified'])
    expect(
      await codes(
        altered(([, second]) => [second!]),
        policy,
      ),
    ).toContain('checkpoint_unverified')
    expect(
      await codes(
        altered(([first]) => [first!]),
        policy,
      ),
    ).toContain('checkpoint_unverified')
  })

  it('is not believed with a rotation that is no entry of its log, moved, repeated, out of order or garbage', async () => {
    const [first, second] = textOf(unpack(bundle), FILE).trimEnd().split('\n') as [string, string]
    const proof = (JSON.parse(first) as { proof: string[] }).proof
    const attempts: [string, string[]][] = [
      ['another place', [edited(first, { index: JSON.parse(first).index + 1 }), second]],
      ['another proof', [edited(first, { proof: proof.toReversed() }), second]],
      ['no proof', [edited(first, { proof: [] }), second]],
      ['a proof that is no hashes', [edited(first, { proof: [1] }), second]],
      ['out of order', [second, first]],
      ['twice', [first, first, second]],
      ['another entry', [edited(first, { entry: '{}' }), second]],
      ['garbage', [first, second, '{']],
      ['a number for an entry', [first, edited(second, { entry: 7 })]],
    ]
    for (const [what, lines] of attempts) {
      const report = await checkBundle(
        altered(() => lines),
        policy,
      )
      expect([what, report.verdict]).toEqual([what, 'failed'])
      expect([what, report.findings.map(({ code }) => code)]).toEqual([
        what,
        expect.arrayContaining(['rotation_invalid']),
      ])
    }
  })

  it('of a forger who names his own key as successor is not believed', async () => {
    const mallory = signerFromSkey(generateSkey(ORIGIN, 'default'))
    const [line] = textOf(unpack(bundle), FILE).split('\n') as [string]
    const entry = parseJson(JSON.parse(line).entry) as { audit: { statement: string } }
    const text = formatRotation(ORIGIN, oldest, mallory.key)
    // He has no signature of the old key: he leaves it out, signs twice, or takes that of the true rotation.
    const own = await signNote(text, [mallory])
    const genuine = entry.audit.statement.split('\n\n')[1]!.split('\n')
    const stolen = `${own}${genuine[0]}\n`
    const other = await logOf(runEvents('r1'))
    const foreign = unpack(await bundleOf(other.source({ run: 'r1' })))
    for (const statement of [own, stolen]) {
      const forged = canonicalize({ ...entry, audit: { ...entry.audit, statement } })
      const files = new Map(foreign).set(FILE, utf8(`${edited(line, { entry: forged })}\n`))
      const found = await codes(reseal(files), policy)
      expect(found).toContain('rotation_invalid')
      expect(found).toContain('checkpoint_unverified')
    }
  })

  it('cannot be signed by the first key for a size at which it counts no more', async () => {
    const files = unpack(bundle)
    const [text] = textOf(files, 'checkpoint').split('\n\n') as [string]
    const resigned = reseal(files.set('checkpoint', utf8(await signNote(`${text}\n`, [oldSigner]))))
    expect(await codes(resigned, policy)).toContain('checkpoint_unverified')
  })
})

describe('a rotation in a bundle', () => {
  it('is the entry that the log has', async () => {
    const lines = textOf(unpack(bundle), FILE).trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    for (const line of lines) {
      const { index, entry } = JSON.parse(line) as { index: number; entry: string }
      expect(parseEntry(utf8(entry)).type).toBe('audit.key.rotated')
      for await (const [row] of made.store.entries(index, index + 1)) expect(fromUtf8(row!.entry)).toBe(entry)
    }
  })
})
