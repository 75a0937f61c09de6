import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hmacSha256, macKey, sha256 } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import { checkDisclosure, commitTo, disclose } from '../record/disclosure.ts'
import type { Mode, PartInput } from '../record/event.ts'
import { canonicalize, type Json } from '../record/jcs.ts'
import { MODES } from '../record/schema.ts'
import { type KeptPart, type PartRedactor, PrivacyPolicy } from './policy.ts'

const ORIGIN = 'example.com/log'
const ID = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
const KEY = macKey(new Uint8Array(32).fill(3))
/** Without a redactor, or with one that answers at once, the policy does too. */
class Policy extends PrivacyPolicy {
  now(id: string, name: string, part: PartInput): KeptPart {
    const kept = this.keep(id, name, part)
    if ('then' in kept) throw new Error('a promise')
    return kept
  }
}
const policy = (mode: Mode, parts: Record<string, Mode> = {}) => new Policy({ mode, parts }, ORIGIN, KEY)
const shown = (kept: { disclosure: string; commit: string; name: string }) =>
  checkDisclosure(kept.disclosure, { commit: kept.commit, origin: ORIGIN, id: ID, name: kept.name })
const refused = expect.objectContaining({ code: 'ERR_DISCLOSURE_INVALID' })

describe('a raw part', () => {
  const value = { name: 'Zacharias', n: [1, 2] }
  const fingerprint = `hmac-sha256:${toBase64Url(hmacSha256(KEY, '{"n":[1,2],"name":"Zacharias"}'))}`

  it('is kept whole in mode full', () => {
    const kept = policy('full').now(ID, 'output', { value })
    expect(kept).toMatchObject({ name: 'output', mode: 'full', commit: commitTo(kept.disclosure) })
    expect(shown(kept)).toMatchObject({ value, meta: { bytes: 30, fingerprint } })
  })

  it('leaves a fingerprint and a length in mode fingerprint', () => {
    const kept = policy('fingerprint').now(ID, 'output', { value })
    expect(shown(kept)).toMatchObject({ value: null, meta: { bytes: 30, fingerprint } })
    expect(JSON.stringify(kept)).not.toContain('Zacharias')
  })

  it('leaves nothing in mode none, not even whether two were alike', () => {
    const kept = policy('none').now(ID, 'output', { value })
    expect(shown(kept)).toMatchObject({ value: null, meta: {} })
    const other = policy('none').now(ID, 'output', { value: 'something else' })
    expect(other.stable).toBe(kept.stable)
    expect(other.disclosure).toHaveLength(kept.disclosure.length)
  })

  it('is judged by its name first', () => {
    const rules = policy('fingerprint', { output: 'full', input: 'none' })
    const modes = ['output', 'input', 'reason', 'constructor', 'toString'].map(
      (name) => rules.now(ID, name, { value }).mode,
    )
    expect(modes).toEqual(['full', 'none', 'fingerprint', 'fingerprint', 'fingerprint'])
  })

  it('has a commitment that says nothing, and differs each time', () => {
    const commits = Array.from({ length: 20 }, () => policy('full').now(ID, 'output', { value: 'yes' }).commit)
    expect(new Set(commits).size).toBe(20)
    const stables = Array.from({ length: 3 }, () => policy('fingerprint').now(ID, 'output', { value: 'yes' }).stable)
    expect(new Set(stables).size).toBe(1)
    expect(policy('fingerprint').now(ID, 'output', { value: 'no' }).stable).not.toBe(stables[0])
  })

  it('is correlated under one key only', () => {
    const other = new Policy({ mode: 'fingerprint' }, ORIGIN, macKey(new Uint8Array(32).fill(4)))
    const metas = [policy('fingerprint'), other].map(
      (rules) => shown(rules.now(ID, 'output', { value })).meta.fingerprint,
    )
    expect(metas[0]).not.toBe(metas[1])
  })

  it('leaves its shape in mode keys: nested keys, and no value', () => {
    const deep = { to: 'Ann', rows: [{ name: 'Bo' }, { name: 'Cy', age: 7 }, 3], at: new Date(0), 'bo@x.example': 1 }
    const kept = policy('keys').now(ID, 'output', { value: deep })
    expect(shown(kept).value).toEqual({
      '<key>': '<redacted>',
      at: { $type: 'date', value: '<redacted>' },
      rows: [{ name: '<redacted>' }, { age: '<redacted>', name: '<redacted>' }, '<redacted>'],
      to: '<redacted>',
    })
    expect(shown(kept).meta.fingerprint).toMatch(/^hmac-sha256:/)
  })

  it('shows keys of maps as such, and none that looks like data', () => {
    const value = new Map<unknown, unknown>([
      ['status', 1],
      ['Cust 4411-22', { email: 'x' }],
      [5, 2],
    ])
    expect(shown(policy('keys').now(ID, 'output', { value })).value).toEqual({
      $type: 'map',
      entries: { '<key>': { email: '<redacted>' }, '<key> 2': '<redacted>', status: '<redacted>' },
    })
  })

  it('leaves a beginning in mode preview, of text or of JSON', () => {
    const of = (value: unknown) => shown(policy('preview').now(ID, 'output', { value })).value
    expect(of('x'.repeat(119))).toBe('x'.repeat(119))
    expect(of(`${'x'.repeat(119)}😀y`)).toBe(`${'x'.repeat(119)}…`)
    expect(of({ a: [1, 'b'] })).toBe('{"a":[1,"b"]}')
  })

  it('has no length where none is wanted, and a plain hash where one is', () => {
    const rules = new Policy({ mode: 'full', lengths: false, fingerprint: 'sha256' }, ORIGIN, KEY)
    const digest = toBase64Url(sha256('{"n":[1,2],"name":"Zacharias"}'))
    expect(shown(rules.now(ID, 'output', { value })).meta).toEqual({ fingerprint: `sha256:${digest}` })
  })

  it('may be anything at all', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withNullPrototype: true,
          withSparseArray: true,
        }),
        fc.constantFrom(...MODES),
        (value, mode) => {
          const kept = policy(mode).now(ID, 'output', { value })
          expect(shown(kept).name).toBe('output')
        },
      ),
    )
  })
})

describe('a part that a client has judged', () => {
  const made = (value: unknown, meta: object = {}, name = 'output') =>
    disclose({ origin: ORIGIN, id: ID, name, value: canonicalize(value), meta: canonicalize(meta) }).disclosure
  const fingerprint = `hmac-sha256:${'A'.repeat(43)}`
  const keep = (ours: Mode, mode: Mode, value: unknown, meta?: object) =>
    policy(ours).now(ID, 'output', { disclosure: made(value, meta), mode })

  it('is kept as it is where we would keep as much', () => {
    for (const [mode, value, meta] of [
      ['full', 'x', { note: 'kept' }],
      ['preview', 'x…', {}],
      ['keys', { a: null }, {}],
      ['fingerprint', null, { bytes: 5, fingerprint }],
      ['none', null, {}],
    ] as const) {
      const disclosure = made(value, meta)
      expect(policy('full').now(ID, 'output', { disclosure, mode })).toMatchObject({ mode, disclosure })
    }
  })

  it('loses what we would not keep, and never gets more', () => {
    for (const ours of MODES) {
      for (const mode of MODES) {
        const isWithheld = mode === 'none' || mode === 'fingerprint'
        const kept = keep(
          ours,
          mode,
          isWithheld ? null : 'Zacharias',
          mode === 'none' ? {} : { bytes: 11, fingerprint },
        )
        expect(MODES.indexOf(kept.mode)).toBe(Math.min(MODES.indexOf(mode), MODES.indexOf(ours)))
        expect(shown(kept).name).toBe('output')
        if (MODES.indexOf(kept.mode) < MODES.indexOf('preview') && ours !== 'full')
          expect(JSON.stringify(kept)).not.toContain('Zacharias')
        if (kept.mode === 'none') expect(shown(kept).meta).toEqual({})
        if (kept.mode === 'fingerprint') expect(shown(kept).meta).toEqual({ bytes: 11, fingerprint })
      }
    }
  })

  it('cannot smuggle a value past us in what it says about the value', () => {
    const metas = [
      { note: 'Zacharias' },
      { bytes: 'Zacharias' },
      { fingerprint: 'Zacharias' },
      { fingerprint: `hmac-sha256:Zacharias${'A'.repeat(34)}x` },
      { clipped: 'Zacharias' },
      { bytes: 5, Zacharias: 1 },
    ]
    for (const meta of metas) {
      for (const ours of ['none', 'fingerprint'] as const) {
        for (const mode of ['none', 'fingerprint', 'full'] as const) {
          const kept = keep(ours, mode, mode === 'full' ? 'Zacharias' : null, meta)
          expect(JSON.stringify(kept)).not.toContain('Zacharias')
        }
      }
      expect(JSON.stringify(keep('full', 'fingerprint', null, meta))).not.toContain('Zacharias')
    }
  })

  it('is refused if it says that it withholds and does not', () => {
    for (const ours of MODES) {
      for (const mode of ['none', 'fingerprint'] as const) expect(() => keep(ours, mode, 'Zacharias')).toThrow(refused)
    }
  })

  it('is refused if it is of another log, entry or part, or no disclosure', () => {
    const rules = policy('full')
    for (const disclosure of [
      disclose({ origin: 'other.example/log', id: ID, name: 'output', value: '1', meta: '{}' }).disclosure,
      disclose({ origin: ORIGIN, id: ID.replace('8f', '90'), name: 'output', value: '1', meta: '{}' }).disclosure,
      made(1, {}, 'input'),
      '',
      '[]',
      made(1).replace('[', '[ '),
      made(1).replace(/"[A-Za-z0-9_-]{43}"/, '"x"'),
    ]) {
      expect(() => rules.now(ID, 'output', { disclosure, mode: 'full' })).toThrow(refused)
    }
  })
})

describe('the redactor', () => {
  const hide = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll('Zacharias', '[NAME]').replaceAll('secret', '[SECRET]'))
  const count = (value: unknown) => JSON.stringify(value).split('Zacharias').length - 1
  const redactor: PartRedactor = {
    version: 'test@1',
    redact: (value) => ({ value: hide(value) as Json, counts: count(value) > 0 ? { NAME: count(value) } : {} }),
  }
  const rules = (mode: Mode, by = redactor) => new Policy({ mode }, ORIGIN, KEY, by)
  const value = { name: 'Zacharias', of: ['Zacharias', 1], Zacharias: 2 }

  it('sees all text that is kept, and what it found is counted in meta', () => {
    const full = shown(rules('full').now(ID, 'output', { value }))
    expect(full.value).toEqual({ name: '[NAME]', of: ['[NAME]', 1], '[NAME]': 2 })
    expect(full.meta).toMatchObject({ redacted: { NAME: 3 } })
    const keys = shown(rules('keys').now(ID, 'output', { value }))
    expect(keys.value).toEqual({ name: '<redacted>', of: ['<redacted>'], '[NAME]': '<redacted>' })
    expect(keys.meta.redacted).toEqual({ NAME: 1 })
    const preview = shown(rules('preview').now(ID, 'output', { value: `${'x'.repeat(116)}Zacharias` }))
    expect(preview.value).toBe(`${'x'.repeat(116)}[NAM…`)
  })

  it('leaves the fingerprint that of the value as it was', () => {
    const [a, b] = [rules('full'), policy('fingerprint')].map((one) => shown(one.now(ID, 'output', { value })).meta)
    expect(a!.fingerprint).toBe(b!.fingerprint)
  })

  it('is not asked where no text is kept', () => {
    const never: PartRedactor = { version: 'x', redact: () => expect.fail('asked') }
    for (const mode of ['none', 'fingerprint'] as const) {
      expect(rules(mode, never).now(ID, 'output', { value }).withheld).toBe(false)
    }
  })

  it('that fails keeps the part from being kept, however it fails', async () => {
    const answers: PartRedactor['redact'][] = [
      () => {
        throw new Error('Zacharias')
      },
      () => ({ value: 'Zacharias', counts: {}, failed: 'recognizer' }),
      () => Promise.reject(new Error('Zacharias')),
      async () => ({ value: 'Zacharias', counts: {}, failed: true }),
      () => ({ value: undefined as unknown as Json, counts: {} }),
    ]
    for (const redact of answers) {
      for (const mode of ['full', 'preview', 'keys'] as const) {
        const by = rules(mode, { version: 'x', redact })
        const kept = await by.keep(ID, 'output', { value })
        expect(kept).toMatchObject({ mode: 'none', withheld: true })
        expect(shown(kept)).toMatchObject({ value: null, meta: { withheld: 'redactor_failed' } })
        const theirs = disclose({ origin: ORIGIN, id: ID, name: 'output', value: '"Zacharias"', meta: '{}' })
        const judged = await by.keep(ID, 'output', { disclosure: theirs.disclosure, mode: 'full' })
        expect(judged).toMatchObject({ mode: 'none', withheld: true })
        expect(JSON.stringify([kept, judged])).not.toContain('Zacharias')
      }
    }
  })

  it('may answer later', async () => {
    const by = rules('full', { version: 'x', redact: async (one) => redactor.redact(one) })
    const kept = by.keep(ID, 'output', { value })
    expect(kept).toBeInstanceOf(Promise)
    expect(shown(await kept).value).toEqual({ name: '[NAME]', of: ['[NAME]', 1], '[NAME]': 2 })
  })

  it('is applied to what a client has let through, its meta included', () => {
    const made = (value: unknown, meta: object = {}) =>
      disclose({ origin: ORIGIN, id: ID, name: 'output', value: canonicalize(value), meta: canonicalize(meta) })
        .disclosure
    const part = (disclosure: string) => rules('full').now(ID, 'output', { disclosure, mode: 'full' })
    const clean = made({ name: 'x' }, { bytes: 12 })
    expect(part(clean).disclosure).toBe(clean)
    const dirty = shown(part(made({ name: 'Zacharias' }, { note: 'secret', redacted: { EMAIL: 1, NAME: 1 } })))
    expect(dirty).toMatchObject({
      value: { name: '[NAME]' },
      meta: { note: '[SECRET]', redacted: { EMAIL: 1, NAME: 2 } },
    })
  })

  it('is part of the policy: another one may leave something else', () => {
    expect(rules('full').version).not.toBe(rules('full', { ...redactor, version: 'test@2' }).version)
  })
})

describe('the name of a policy', () => {
  it('is that of its rules, in whatever order', () => {
    const version = (rules: PrivacyPolicy) => rules.version
    expect(version(policy('none', { a: 'full', b: 'none' }))).toBe(version(policy('none', { b: 'none', a: 'full' })))
    expect(version(new PrivacyPolicy({ mode: 'none' }, ORIGIN, KEY))).toBe(version(policy('none')))
    expect(version(policy('none'))).not.toBe(version(policy('full')))
    expect(version(policy('none', { a: 'full' }))).not.toBe(version(policy('none')))
  })
})

describe('what a policy has left', () => {
  it('is left by the same policy as it is: a spool hands it in again', () => {
    const redactor: PartRedactor = {
      version: 'x',
      redact: (value) => ({ value: JSON.parse(JSON.stringify(value).replaceAll('Z', '[X]')) as Json, counts: {} }),
    }
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.anything({ withMap: true, withDate: true }), fc.string({ minLength: 100 })),
        fc.constantFrom(...MODES),
        (value, mode) => {
          const rules = new Policy({ mode, previewChars: 20 }, ORIGIN, KEY, redactor)
          const kept = rules.now(ID, 'output', { value })
          const again = rules.now(ID, 'output', { disclosure: kept.disclosure, mode: kept.mode })
          expect(again).toEqual(kept)
        },
      ),
      { numRuns: 500 },
    )
  })
})
