/** What the party under examination may try with the manifest and the archive around the evidence. */
import { deflateSync, zipSync } from 'fflate'
import { describe, expect, it } from 'vitest'
import { toBase64, utf8 } from '../src/bytes.ts'
import { MAX_FILE_BYTES } from '../src/verify/bundle-format.ts'
import { checkBundle } from '../src/verify/check-bundle.ts'
import { bundleOf, codes, logOf, pack, reseal, runEvents, unpack } from './export-kit.ts'

const { source, policy } = await logOf([...runEvents('r1'), ...runEvents('r2')])
const bundle = await bundleOf(source({ run: 'r1', disclose: ['input', 'output'] }))

/** The bundle with files altered, and a manifest that fits. */
function altered(edit: (files: Map<string, Uint8Array>) => void): Uint8Array {
  const files = unpack(bundle)
  edit(files)
  return reseal(files)
}

describe('a manifest', () => {
  const lying = (edit: Parameters<typeof reseal>[1], of = bundle) => codes(reseal(unpack(of), edit), policy)

  it('that counts or names otherwise than the entries do is found', async () => {
    const lies: Parameters<typeof reseal>[1][] = [
      (manifest) => {
        manifest.entries.count = 6
      },
      (manifest) => {
        manifest.entries.last = 9
      },
      (manifest) => {
        manifest.parts.disclosed = 3
      },
      (manifest) => {
        manifest.parts.withheld = 0
      },
      (manifest) => {
        manifest.origin = 'example.com/other'
      },
    ]
    for (const lie of lies) expect(await lying(lie)).toEqual(['manifest_mismatch'])
  })

  it('that says another run is found', async () => {
    const lie: Parameters<typeof reseal>[1] = (manifest) => {
      manifest.scope.run = 'r2'
    }
    expect(await lying(lie)).toEqual(['scope_mismatch'])
  })

  it('lists every file once, as it is, and no other', async () => {
    expect(await lying((manifest) => manifest.files.pop())).toEqual(['file_unexpected'])
    expect(await lying((manifest) => manifest.files.push(manifest.files[0]!))).toEqual(['file_repeated'])
    const absent = { path: 'entries/000000000099.json', bytes: 1, sha256: '0'.repeat(64) }
    expect(await lying((manifest) => manifest.files.push(absent))).toEqual(['file_missing'])
    const other = { path: 'README.txt', bytes: 1, sha256: '0'.repeat(64) }
    const altering: Parameters<typeof reseal>[1] = (manifest) => {
      manifest.files = manifest.files.map((file) => (file.path === 'README.txt' ? other : file))
    }
    expect(await lying(altering)).toEqual(['file_altered'])
    expect(await lying((manifest) => manifest.files.push({ ...other, path: 'manifest.json' }))).toEqual([
      'manifest_invalid',
    ])
  })

  it('that cannot be read, or is of another format, is found', async () => {
    expect(await codes(pack(unpack(bundle).set('manifest.json', utf8('{}'))), policy)).toEqual(['manifest_invalid'])
    expect(await codes(pack(unpack(bundle).set('manifest.json', utf8('{"a":1,"a":2}'))), policy)).toEqual([
      'manifest_invalid',
    ])
    const files = unpack(bundle)
    files.delete('manifest.json')
    expect(await codes(pack(files), policy)).toEqual(['file_missing'])
  })

  it('cannot have files elsewhere, or of names that no bundle has', async () => {
    const names = [
      '../evil',
      '/etc/passwd',
      'entries/../../x',
      'a\\b',
      'C:x',
      'entries/1.json',
      'notes.txt',
      'Manifest.json',
      `entries/${'9'.repeat(16)}.json`,
    ]
    for (const name of names) {
      const found = await codes(
        altered((files) => files.set(name, utf8('x'))),
        policy,
      )
      expect(found, name).toContain('file_unexpected')
      expect(found, name).not.toContain('bundle_malformed')
    }
  })
})

describe('an archive', () => {
  it('has nothing before, behind or between its files', async () => {
    for (const bad of [
      Buffer.concat([bundle, Buffer.from('x')]),
      Buffer.concat([Buffer.from('x'), bundle]),
      Buffer.concat([bundle, bundle]),
      bundle.subarray(0, -1),
      bundle.subarray(1),
      bundle.subarray(0, bundle.length / 2),
      new Uint8Array(0),
      utf8('PK\u0003\u0004'),
    ]) {
      expect(await codes(bad, policy)).toEqual(['bundle_malformed'])
    }
  })

  it('has no two files of one name', async () => {
    const files = unpack(bundle).set('entries/000000000004.jsoX', utf8('{"another":"story"}'))
    const twins = Buffer.from(pack(files))
    for (let at = twins.indexOf('jsoX'); at !== -1; at = twins.indexOf('jsoX', at)) twins.write('json', at)
    expect(await codes(new Uint8Array(twins), policy)).toEqual(['file_repeated'])
  })

  it('has no comments, extra fields, links, encryption or names beyond ASCII', async () => {
    const plain = Object.fromEntries(unpack(bundle))
    const mtime = new Date(2026, 0, 1)
    const readme = plain['README.txt']!
    for (const options of [{ comment: 'x' }, { extra: { 1: utf8('x') } }, { os: 3, attrs: 0o120777 << 16 }]) {
      expect(await codes(zipSync({ ...plain, 'README.txt': [readme, options] }, { mtime }), policy)).toEqual([
        'bundle_malformed',
      ])
    }
    expect(await codes(zipSync({ ...plain, é: readme }, { mtime }), policy)).toEqual(['bundle_malformed'])
  })

  it('does not inflate beyond what it says, nor beyond what is bearable', async () => {
    const bomb = new Uint8Array(MAX_FILE_BYTES + 1)
    const big = zipSync({ 'README.txt': bomb }, { mtime: new Date(2026, 0, 1) })
    expect(await codes(big, policy)).toEqual(['file_too_large'])
    for (const length of [100_000, 32 * 1024 * 1024]) {
      // A member that says it has as many bytes as its compressed form and inflates to a thousand times that.
      const deflated = deflateSync(new Uint8Array(length))
      const stored = Buffer.from(
        zipSync({ 'manifest.json': [deflated, { level: 0 }] }, { mtime: new Date(2026, 0, 1) }),
      )
      stored.writeUInt16LE(8, 8)
      stored.writeUInt16LE(8, stored.lastIndexOf('PK\u0001\u0002') + 10)
      expect(await codes(new Uint8Array(stored), policy)).toEqual(['file_too_large'])
    }
  })

  it('that does not inflate, or not to its CRC-32, is found', async () => {
    const files = pack(unpack(bundle))
    const broken = Buffer.from(files)
    const at = broken.indexOf('README.txt') + 'README.txt'.length
    broken.fill(0xff, at, at + 20)
    expect(await codes(new Uint8Array(broken), policy)).toEqual(['bundle_malformed'])
  })

  it('with any one byte flipped is found, or holds the same files', async () => {
    const log = await logOf([{ type: 'tool.end', actor: { type: 'agent', id: 'a' }, parts: { output: { value: 1 } } }])
    const small = await bundleOf(log.source({ disclose: ['output'] }))
    // README and index.html are covered like any file: leave them out for speed.
    const files = unpack(small)
    files.set('README.txt', utf8('r')).set('index.html', utf8('i'))
    for (const name of ['schemas/entry.schema.json', 'schemas/manifest.schema.json']) files.set(name, utf8('{}'))
    const bytes = reseal(files)
    expect(await codes(bytes, log.policy)).toEqual([])
    const contents = (zip: Uint8Array) => [...unpack(zip)].map(([name, file]) => `${name} ${toBase64(file)}`).join('\n')
    const same = contents(bytes)
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice()
      flipped[at]! ^= 1 << (at % 8)
      const { verdict } = await checkBundle(flipped, log.policy)
      if (verdict !== 'failed') expect(contents(flipped), `byte ${at}`).toBe(same)
    }
  }, 30_000)
})
