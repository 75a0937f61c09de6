import { describe, expect, it } from 'vitest'
import { utf8 } from '../src/bytes.ts'
import { checkBundle } from '../src/verify/check-bundle.ts'
import { bundleOf, codes, codesOf, logOf, ORIGIN, reseal, runEvents, textOf, unpack } from './export-kit.ts'

const honest = await logOf([...runEvents('r1'), ...runEvents('r2')])
const { policy } = honest
const bundle = await bundleOf(honest.source({ run: 'r1', disclose: ['input', 'output'] }))
const packed = await bundleOf(
  honest.source({ filter: { type: ['tool.*', 'run.end'] }, disclose: ['input', 'output'], packed: true }),
)

/** The bundle with files altered, and a manifest that fits. */
function altered(edit: (files: Map<string, Uint8Array>) => void, of = bundle): Uint8Array {
  const files = unpack(of)
  edit(files)
  return reseal(files)
}

const edited = (name: string, edit: (text: string) => string, of = bundle) =>
  altered((files) => files.set(name, utf8(edit(textOf(files, name)))), of)

const entry = (index: number) => `entries/${String(index).padStart(12, '0')}.json`
const proof = (index: number) => `proofs/${String(index).padStart(12, '0')}.tlog-proof`

function swap(files: Map<string, Uint8Array>, a: string, b: string): void {
  const [first, second] = [files.get(a)!, files.get(b)!]
  files.set(a, second).set(b, first)
}

describe('the files of a bundle', () => {
  it('fit the honest bundle, also when the manifest is made anew', async () => {
    expect(await codes(reseal(unpack(bundle)), policy)).toEqual([])
    expect(await codes(reseal(unpack(packed)), policy)).toEqual([])
  })

  it('are told from others: an altered entry', async () => {
    const report = await checkBundle(
      edited(entry(3), (text) => text.replace('success', 'failure')),
      policy,
    )
    expect(report.findings).toMatchObject([{ code: 'proof_invalid', index: 3 }])
  })

  it('are told from others: two entries changed over, with and without their proofs', async () => {
    const entries = altered((files) => swap(files, entry(2), entry(3)))
    expect(await codes(entries, policy)).toEqual(['proof_invalid', 'disclosure_unexpected', 'manifest_mismatch'])
    const both = altered((files) => {
      swap(files, entry(2), entry(3))
      swap(files, proof(2), proof(3))
    })
    expect(await codes(both, policy)).toContain('index_mismatch')
  })

  it('are told from others: an entry under another index', async () => {
    const moved = altered((files) => {
      files.set(entry(7), files.get(entry(3))!).set(proof(7), files.get(proof(3))!)
    })
    expect(await codes(moved, policy)).toEqual(['index_mismatch', 'id_repeated', 'manifest_mismatch'])
    const lied = altered((files) => {
      const text = textOf(files, proof(3)).replace('index 3', 'index 7')
      files.set(entry(7), files.get(entry(3))!).set(proof(7), utf8(text))
    })
    expect(await codes(lied, policy)).toContain('proof_invalid')
  })

  it('are told from others: an entry of another log', async () => {
    const other = await logOf(runEvents('r1'))
    const foreign = unpack(await bundleOf(other.source({ run: 'r1' })))
    const mixed = altered((files) => files.set(entry(3), foreign.get(entry(3))!).set(proof(3), foreign.get(proof(3))!))
    expect(await codes(mixed, policy)).toEqual([
      'checkpoint_mismatch',
      'proof_invalid',
      'disclosure_altered',
      'manifest_mismatch',
    ])
  })

  it('are told from others: an entry that is not canonical, though it says the same', async () => {
    expect(
      await codes(
        edited(entry(3), (text) => ` ${text}`),
        policy,
      ),
    ).toContain('entry_unreadable')
  })

  it('need a proof for each entry, and an entry for each proof and disclosure', async () => {
    expect(
      await codes(
        altered((files) => files.delete(proof(3))),
        policy,
      ),
    ).toEqual(['file_missing'])
    const orphans = await codes(
      altered((files) => files.delete(entry(2))),
      policy,
    )
    expect(orphans).toEqual(['file_unexpected', 'manifest_mismatch'])
  })

  it('are those of the layout that the manifest names', async () => {
    const other = (of: Uint8Array, layout: 'files' | 'packs') =>
      codes(
        reseal(unpack(of), (manifest) => {
          manifest.layout = layout
        }),
        policy,
      )
    expect(await other(bundle, 'packs')).toContain('file_unexpected')
    expect(await other(packed, 'files')).toContain('file_unexpected')
  })
})

describe('a disclosure', () => {
  const input = 'disclosures/000000000002/input.json'
  const output = 'disclosures/000000000003/output.json'

  it('that was altered is found', async () => {
    expect(
      await codes(
        edited(input, (text) => text.replace('"id":7', '"id":8')),
        policy,
      ),
    ).toEqual(['disclosure_altered', 'manifest_mismatch'])
  })

  it('of another part or entry is found', async () => {
    expect(
      await codes(
        altered((files) => swap(files, input, output)),
        policy,
      ),
    ).toContain('disclosure_altered')
    const added = altered((files) => files.set('disclosures/000000000005/input.json', files.get(input)!))
    expect(await codes(added, policy)).toEqual(['disclosure_unexpected'])
  })

  it('altered in a pack is found', async () => {
    const lie = (text: string) => text.replace('\\"id\\":7', '\\"id\\":8')
    expect(await codes(edited('packs/000000.jsonl', lie, packed), policy)).toContain('disclosure_altered')
  })
})

describe('a checkpoint', () => {
  it('of another log of the same name is not accepted, whatever key the bundle proposes', async () => {
    const forger = await logOf(runEvents('r1'))
    const forged = await bundleOf(forger.source({ run: 'r1' }))
    expect(await codes(forged, forger.policy)).toEqual([])
    const report = await checkBundle(forged, policy)
    expect(codesOf(report)).toEqual(['checkpoint_unverified'])
    expect(report).toMatchObject({ key: '', size: 0, entries: 0, established: [] })
  })

  it('of a log of another name is not accepted, though a key of the policy signed it', async () => {
    const report = await checkBundle(bundle, { ...policy, origin: 'example.com/other' })
    expect(codesOf(report)).toEqual(['checkpoint_invalid'])
  })

  it('that is exchanged for another of the same log is found', async () => {
    const log = await logOf(runEvents('r1'))
    const before = unpack(await bundleOf(log.source({ run: 'r1' })))
    await log.log.record(runEvents('r2')[0]!)
    const after = unpack(await bundleOf(log.source({ run: 'r1' })))
    const mixed = new Map(after).set('checkpoint', before.get('checkpoint')!)
    expect(await codes(reseal(mixed), log.policy)).toEqual(['checkpoint_mismatch', 'proof_invalid'])
    const inPacks = unpack(await bundleOf(log.source({ packed: true }))).set('checkpoint', before.get('checkpoint')!)
    expect(await codes(reseal(inPacks), log.policy)).toContain('root_mismatch')
  })

  it('that is missing, unsigned or no note at all is found', async () => {
    expect(
      await codes(
        altered((files) => files.delete('checkpoint')),
        policy,
      ),
    ).toEqual(['file_missing'])
    const unsigned = edited('checkpoint', (text) => text.slice(0, text.indexOf('\n\n') + 2))
    expect(await codes(unsigned, policy)).toEqual(['checkpoint_invalid'])
    expect(
      await codes(
        edited('checkpoint', () => 'hello'),
        policy,
      ),
    ).toEqual(['checkpoint_invalid'])
  })

  it('is held against the pin, where it can be', async () => {
    const root = new Uint8Array(32)
    expect(await codes(bundle, { ...policy, pin: { size: 11, root } })).toEqual(['split_view'])
    const whole = await bundleOf(honest.source({ packed: true }))
    expect(await codes(whole, { ...policy, pin: { size: 5, root } })).toEqual(['split_view'])
    const unknown = await checkBundle(bundle, { ...policy, pin: { size: 5, root } })
    expect(unknown.verdict).toBe('verified')
    expect(unknown.not_checked.join('\n')).toMatch(/grown out of the pinned one/)
  })

  it('needs a policy with a key', async () => {
    await expect(checkBundle(bundle, { origin: ORIGIN, keys: [] })).rejects.toThrow(TypeError)
  })
})

describe('packs', () => {
  const lines = 'packs/000000.jsonl'
  const hashes = 'packs/000000.hashes'
  const inLines = (edit: (lines: string[]) => string[]) =>
    edited(lines, (text) => `${edit(text.trimEnd().split('\n')).join('\n')}\n`, packed)

  it('do not verify with a line altered, moved, repeated, renumbered, added or left out', async () => {
    const attacks: [string, (lines: string[]) => string[]][] = [
      ['altered', ([first, ...rest]) => [first!.replace('pending', 'success'), ...rest]],
      ['moved', ([first, second, ...rest]) => [second!, first!, ...rest]],
      ['repeated', ([first, ...rest]) => [first!, first!, ...rest]],
      ['renumbered', ([first, ...rest]) => [first!.replace('"index":2', '"index":1'), ...rest]],
      ['left out', ([, ...rest]) => rest],
      ['cut off', (all) => all.slice(0, -1)],
      ['beyond', (all) => [...all, all.at(-1)!.replace('"index":10', '"index":11')]],
      ['beyond what counts', (all) => [...all, all.at(-1)!.replace('"index":10', '"index":9999999999999999')]],
    ]
    for (const [name, attack] of attacks) {
      expect(await codes(inLines(attack), policy), name).toContain('root_mismatch')
    }
  })

  it('have one spelling for a line', async () => {
    const spellings: ((line: string) => string)[] = [
      (line) => line.replace('{"index":2,', '{"index": 2,'),
      (line) => line.replace('{"index":2,', '{"index":02,'),
      (line) => line.replace('"disclosures":{', '"disclosures":{ '),
      (line) => line.replace('"disclosures":{', '"disclosures":{"input":null,'),
      (line) => line.replace(/,"disclosures":.*$/, '}'),
      (line) => `${line} `,
      () => '',
    ]
    for (const respell of spellings) {
      const found = await codes(
        inLines(([first, ...rest]) => [respell(first!), ...rest]),
        policy,
      )
      expect(found).toContain('entry_unreadable')
    }
  })

  it('do not verify with a hash altered, missing or left over', async () => {
    const attacks: ((bytes: Uint8Array) => Uint8Array)[] = [
      (bytes) => bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
      (bytes) => bytes.slice(32),
      (bytes) => bytes.slice(0, -1),
      (bytes) => new Uint8Array([...bytes, ...bytes.slice(0, 32)]),
    ]
    for (const attack of attacks) {
      const bundle = altered((files) => files.set(hashes, attack(files.get(hashes)!)), packed)
      expect(await codes(bundle, policy)).toEqual(['root_mismatch'])
    }
  })

  it('come in pairs, and all of them', async () => {
    expect(
      await codes(
        altered((files) => files.delete(hashes), packed),
        policy,
      ),
    ).toContain('file_missing')
    expect(
      await codes(
        altered((files) => files.delete(lines), packed),
        policy,
      ),
    ).toContain('file_unexpected')
    const more = altered(
      (files) => files.set('packs/000001.jsonl', files.get(lines)!).set('packs/000001.hashes', files.get(hashes)!),
      packed,
    )
    expect(await codes(more, policy)).toContain('entry_order')
  })
})
