import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../src/bytes.ts'
import { EXPORTERS } from '../src/export/formats.ts'
import { ZipWriter } from '../src/export/zip-writer.ts'
import { commitTo } from '../src/record/disclosure.ts'
import type { AgentEvent } from '../src/record/schema.ts'
import { MAX_FILE_BYTES, MAX_FILES } from '../src/verify/bundle-format.ts'
import { checkBundle } from '../src/verify/check-bundle.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { agent, bundleOf, codesOf, logOf, pack, runEvents, textOf, unpack, write } from './export-kit.ts'

const two = () => logOf([...runEvents('r1'), ...runEvents('r2')])

describe('an evidence bundle', () => {
  it('of one run verifies with the key alone', async () => {
    const { source, policy } = await two()
    const { bytes, summary } = await write(EXPORTERS.evidence, source({ run: 'r2', disclose: ['input', 'output'] }))
    const report = await checkBundle(bytes, policy)
    expect(codesOf(report)).toEqual([])
    expect(report).toMatchObject({
      verdict: 'verified',
      size: 11,
      entries: 5,
      first: 6,
      last: 10,
      disclosed: 2,
      withheld: 2,
      claimed: { scope: { filter: { run: 'r2' }, run: 'r2' } },
    })
    expect(report.not_checked.join('\n')).toMatch(/further entries of the run/)
    expect(summary).toEqual({ entries: 5, disclosed: 2, gone: 0, size: 11 })
  })

  it('of a whole log leaves nothing out, and says so', async () => {
    const { source, policy } = await two()
    for (const packed of [false, true]) {
      const report = await checkBundle(await bundleOf(source({ packed })), policy)
      expect(report).toMatchObject({ verdict: 'verified', entries: 11, size: 11 })
      expect(report.established.join('\n')).toMatch(/no entry of that log was left out/)
      expect(report.not_checked.join('\n')).not.toMatch(/completeness/)
    }
  })

  it('verifies after it was unpacked', async () => {
    const { source, policy } = await two()
    const report = await checkBundle(unpack(await bundleOf(source({ run: 'r1' }))), policy)
    expect(report).toMatchObject({ verdict: 'verified', entries: 5 })
  })

  it('can be read in pieces', async () => {
    const { source, policy } = await two()
    const bundle = await bundleOf(source({ run: 'r1' }))
    const read = async (start: number, end: number) => bundle.slice(start, end)
    expect(await checkBundle({ size: bundle.length, read }, policy)).toMatchObject({ verdict: 'verified', entries: 5 })
  })

  it('holds entries, proofs and disclosures that stand by themselves', async () => {
    const { source, policy, log } = await two()
    const files = unpack(await bundleOf(source({ run: 'r1', disclose: ['input'] })))
    const entry = files.get('entries/000000000002.json')!
    expect(entry).toEqual((await log.read(2)).entry)
    const { index, record } = checkProof(textOf(files, 'proofs/000000000002.tlog-proof'), entry, policy)
    expect(index).toBe(2)
    expect(commitTo(textOf(files, 'disclosures/000000000002/input.json'))).toBe(record.parts!.input!.commit)
  })

  it('discloses only what was asked for', async () => {
    const { source } = await logOf([
      { type: 'tool.end', actor: agent, parts: { input: { value: 'SECRET-IN' }, output: { value: 'shown' } } },
    ])
    for (const packed of [false, true]) {
      const files = unpack(await bundleOf(source({ disclose: ['output'], packed })))
      const all = [...files.values()].map((bytes) => Buffer.from(bytes).toString('latin1')).join('')
      expect(all).toContain('shown')
      expect(all).not.toContain('SECRET-IN')
    }
  })

  it('marks a part that was erased, and verifies', async () => {
    const { source, policy, store, log } = await two()
    const { record } = await log.read(2)
    await store.erase([{ index: 2, id: record.id, name: 'input' }])
    for (const packed of [false, true]) {
      const { bytes, summary } = await write(EXPORTERS.evidence, source({ disclose: ['input'], packed }))
      expect(summary).toMatchObject({ disclosed: 1, gone: 1 })
      expect(await checkBundle(bytes, policy)).toMatchObject({ verdict: 'verified', disclosed: 1, withheld: 7 })
      expect(textOf(unpack(bytes), 'index.html')).toContain('input: gone from the log')
    }
  })

  it('tells parts that were erased from those that were left out, where the log says so', async () => {
    const { source, policy, log } = await two()
    const kept = await log.read(2)
    const { recorded } = await log.erase({ index: 2, part: 'input', reason: 'gdpr-17', by: 'dpo' })
    expect(recorded).toHaveLength(2)
    for (const packed of [false, true]) {
      const { bytes } = await write(EXPORTERS.evidence, source({ disclose: ['input'], packed }))
      const report = await checkBundle(bytes, policy)
      expect(report).toMatchObject({ verdict: 'verified', disclosed: 1, withheld: 7, erased: 1 })
      expect(report.established.join()).toContain('1 withheld parts were erased')
      // Somebody kept a copy of what was erased, and exports it with the rest.
      const store = new Proxy(source({}).store, {
        get: (inner, name) => {
          if (name !== 'payload') return Reflect.get(inner, name).bind(inner)
          return (at: number, part: string) =>
            at === 2 && part === 'input' ? Promise.resolve(kept.disclosures.get(part)) : inner.payload(at, part)
        },
      })
      const again = await write(EXPORTERS.evidence, { ...source({ disclose: ['input'], packed }), store })
      expect(await checkBundle(again.bytes, policy)).toMatchObject({
        verdict: 'failed',
        findings: [{ code: 'disclosure_returned', index: 2 }],
      })
    }
  })

  it('of nothing is incomplete, not verified', async () => {
    const { source, policy } = await two()
    for (const packed of [false, true]) {
      const report = await checkBundle(await bundleOf(source({ run: 'r9', packed })), policy)
      expect(report).toMatchObject({ verdict: 'incomplete', findings: [], entries: 0 })
    }
  })

  it('in packs verifies for every choice of entries, in any size of log', async () => {
    const arbitraryLog = fc.array(fc.boolean(), { minLength: 1, maxLength: 70 })
    await fc.assert(
      fc.asyncProperty(arbitraryLog, async (chosen) => {
        const events: AgentEvent[] = chosen.map((is) => ({
          type: 'tool.end',
          actor: agent,
          session: is ? 'yes' : 'no',
        }))
        const { source, policy } = await logOf(events)
        const report = await checkBundle(await bundleOf(source({ filter: { session: 'yes' }, packed: true })), policy)
        expect(codesOf(report)).toEqual([])
        expect(report.entries).toBe(chosen.filter(Boolean).length)
      }),
      { numRuns: 60 },
    )
  })

  it('of more entries than files are made for is packed', async () => {
    const events: AgentEvent[] = Array.from({ length: 10_001 }, () => ({
      type: 'inference',
      actor: agent,
      session: 's',
    }))
    const { source, policy } = await logOf(events)
    const bundle = await bundleOf(source({ filter: { session: 's' } }))
    const files = unpack(bundle)
    expect([...files.keys()].filter((name) => /entries|proofs/.test(name))).toEqual([])
    expect([...files.keys()].filter((name) => name.startsWith('packs/')).length).toBe(20)
    expect(textOf(files, 'index.html')).toContain('The first 1000 of 10001 entries')
    expect(await checkBundle(bundle, policy)).toMatchObject({ verdict: 'verified', entries: 10_001, first: 1 })
  }, 20_000)

  it('says on its pages whose word it is, and how to check it', async () => {
    const { source } = await two()
    const files = unpack(await bundleOf(source()))
    for (const page of ['README.txt', 'index.html']) {
      expect(textOf(files, page)).toMatch(/supplied by the\s+party under\s+examination/)
      expect(textOf(files, page)).toContain('indelible check BUNDLE --vkey FILE')
    }
    expect(textOf(files, 'README.txt')).toMatch(/no page in here that verifies in a browser/)
  })

  it('shows hostile texts as texts', async () => {
    const evil = "</td><script>alert(1)</script>\" onload='x' &amp; \u202egnp.exe"
    const events: AgentEvent[] = [
      {
        type: 'tool.end',
        actor: { type: 'agent', id: evil },
        tool: { name: evil },
        parts: { output: { value: [evil] } },
      },
    ]
    const { source } = await logOf(events)
    const page = textOf(unpack(await bundleOf(source({ disclose: ['output'], filter: { actor: evil } }))), 'index.html')
    expect(page).not.toMatch(/<script|\u202e/)
    const tags = page.match(/<[a-z/!][^>]*>/g)!
    expect(tags.filter((tag) => /onload|alert/.test(tag))).toEqual([])
    expect(page).toContain('&lt;script&gt;')
    expect(page).toContain('\\u{202e}gnp.exe')
  })

  it('is read by any unzip, and its schemas are JSON', async () => {
    const { source } = await two()
    const files = unpack(await bundleOf(source()))
    for (const name of ['schemas/entry.schema.json', 'schemas/manifest.schema.json', 'manifest.json']) {
      expect(JSON.parse(textOf(files, name))).toBeTypeOf('object')
    }
  })
})

describe('an export of evidence', () => {
  it('fails if the store shows another entry than was signed', async () => {
    const { source } = await two()
    for (const packed of [false, true]) {
      const { engine } = source({ packed })
      const all = engine.all.bind(engine)
      engine.all = async function* (filter) {
        for await (const hit of all(filter)) {
          yield { ...hit, entry: utf8(fromUtf8(hit.entry).replace('"success"', '"failure"')) }
        }
      }
      await expect(bundleOf(source({ engine }))).rejects.toMatchObject({ code: 'ERR_PROOF_INVALID' })
    }
  })

  it('fails if the store shows another disclosure than was committed to', async () => {
    const { source, store } = await two()
    store.payload = async () => '["indelible/part@1"]'
    for (const exporter of Object.values(EXPORTERS)) {
      const asked = source({ run: 'r1', disclose: ['input'] })
      await expect(write(exporter, asked)).rejects.toMatchObject({ code: 'ERR_DISCLOSURE_INVALID' })
    }
  })

  it('fails with another key than signs the log', async () => {
    const { source } = await two()
    const other = (await two()).source().vkey
    await expect(bundleOf(source({ vkey: other }))).rejects.toMatchObject({ code: 'ERR_NOTE_UNVERIFIED' })
  })

  it('refuses a part name that no part has, and two runs at once', async () => {
    const { source } = await two()
    await expect(bundleOf(source({ disclose: ['../x'] }))).rejects.toMatchObject({ code: 'ERR_EXPORT_INVALID' })
    const both = source({ run: 'r1', filter: { run: 'r2' } })
    await expect(bundleOf(both)).rejects.toMatchObject({ code: 'ERR_EXPORT_INVALID' })
  })

  it('refuses more than a reader accepts: longer files, and more of them', async () => {
    const zip = new ZipWriter(() => {}, Date.now())
    await expect(zip.add('long', new Uint8Array(MAX_FILE_BYTES + 1))).rejects.toMatchObject({
      code: 'ERR_EXPORT_TOO_LARGE',
    })
    const content = new Uint8Array(0)
    for (let i = 1; i < MAX_FILES; i++) await zip.add(String(i), content, { deflate: false })
    await expect(zip.add('one more', content)).rejects.toMatchObject({ code: 'ERR_EXPORT_TOO_LARGE' })
  })

  it('stops when it is told to', async () => {
    const { source } = await two()
    await expect(bundleOf(source({ signal: AbortSignal.abort() }))).rejects.toMatchObject({ name: 'AbortError' })
  })
})

it('a bundle repacked by another writer of plain archives verifies', async () => {
  const { source, policy } = await two()
  const bundle = pack(unpack(await bundleOf(source())))
  expect(await checkBundle(bundle, policy)).toMatchObject({ verdict: 'verified' })
})
