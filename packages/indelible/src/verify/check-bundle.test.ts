import { describe, expect, it } from 'vitest'
import { bundleOf, codes, logOf, reseal, runEvents, unpack } from '../../test/export-kit.ts'
import { utf8 } from '../bytes.ts'
import { checkBundle } from './check-bundle.ts'

// Once on Node's cryptography and once on a browser's; what an attacker may try is in test/export-hostile.test.ts.
describe('checkBundle, with nothing but the pure half', () => {
  for (const packed of [false, true]) {
    it(`verifies a bundle in ${packed ? 'packs' : 'files'}, and finds what was altered`, async () => {
      const { source, policy } = await logOf(runEvents('r1'))
      const bundle = await bundleOf(source({ disclose: ['input'], packed }))
      expect(await checkBundle(bundle, policy)).toMatchObject({ verdict: 'verified', entries: 6, disclosed: 1 })
      const files = unpack(bundle)
      const [name, bytes] = [...files].find(([name]) => /^(entries|packs)\/.*json/.test(name))!
      const text = Buffer.from(bytes).toString('utf8').replace('example.com', 'example.org')
      const found = await codes(reseal(files.set(name, utf8(text))), policy)
      expect(found).toContain(packed ? 'root_mismatch' : 'proof_invalid')
    })
  }
})
