import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hmacSha256, macKey } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import { checkDisclosure, commitTo, disclose } from '../record/disclosure.ts'
import type { Mode } from '../record/event.ts'
import { canonicalize } from '../record/jcs.ts'
import { MODES } from '../record/schema.ts'
import { PrivacyPolicy, SUPPORTED_MODES, type SupportedMode } from './policy.ts'

const ORIGIN = 'example.com/log'
const ID = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
const KEY = macKey(new Uint8Array(32).fill(3))
const policy = (mode: SupportedMode, parts: Record<string, SupportedMode> = {}) =>
  new PrivacyPolicy({ mode, parts }, ORIGIN, KEY)
const shown = (kept: { disclosure: string; commit: string; name: string }) =>
  checkDisclosure(kept.disclosure, { commit: kept.commit, origin: ORIGIN, id: ID, name: kept.name })
const refused = expect.objectContaining({ code: 'ERR_DISCLOSURE_INVALID' })

describe('a raw part', () => {
  const value = { name: 'Zacharias', n: [1, 2] }
  const fingerprint = `hmac-sha256:${toBase64Url(hmacSha256(KEY, '{"n":[1,2],"name":"Zacharias"}'))}`

  it('is kept whole in mode full', () => {
    const kept = policy('full').keep(ID, 'output', { value })
    expect(kept).toMatchObject({ name: 'output', mode: 'full', commit: commitTo(kept.disclosure) })
    expect(shown(kept)).toMatchObject({ value, meta: { bytes: 30, fingerprint } })
  })

  it('leaves a fingerprint and a length in mode fingerprint', () => {
    const kept = policy('fingerprint').keep(ID, 'output', { value })
    expect(shown(kept)).toMatchObject({ value: null, meta: { bytes: 30, fingerprint } })
    expect(JSON.stringify(kept)).not.toContain('Zacharias')
  })

  it('leaves nothing in mode none, not even whether two were alike', () => {
    const kept = policy('none').keep(ID, 'output', { value })
    expect(shown(kept)).toMatchObject({ value: null, meta: {} })
    const other = policy('none').keep(ID, 'output', { value: 'something else' })
    expect(other.stable).toBe(kept.stable)
    expect(other.disclosure).toHaveLength(kept.disclosure.length)
  })

  it('is judged by its name first', () => {
    const rules = policy('fingerprint', { output: 'full', input: 'none' })
    const modes = ['output', 'input', 'reason', 'constructor', 'toString'].map(
      (name) => rules.keep(ID, name, { value }).mode,
    )
    expect(modes).toEqual(['full', 'none', 'fingerprint', 'fingerprint', 'fingerprint'])
  })

  it('has a commitment that says nothing, and differs each time', () => {
    const commits = Array.from({ length: 20 }, () => policy('full').keep(ID, 'output', { value: 'yes' }).commit)
    expect(new Set(commits).size).toBe(20)
    const stables = Array.from({ length: 3 }, () => policy('fingerprint').keep(ID, 'output', { value: 'yes' }).stable)
    expect(new Set(stables).size).toBe(1)
    expect(policy('fingerprint').keep(ID, 'output', { value: 'no' }).stable).not.toBe(stables[0])
  })

  it('is correlated under one key only', () => {
    const other = new PrivacyPolicy({ mode: 'fingerprint' }, ORIGIN, macKey(new Uint8Array(32).fill(4)))
    const metas = [policy('fingerprint'), other].map(
      (rules) => shown(rules.keep(ID, 'output', { value })).meta.fingerprint,
    )
    expect(metas[0]).not.toBe(metas[1])
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
        fc.constantFrom(...SUPPORTED_MODES),
        (value, mode) => {
          const kept = policy(mode).keep(ID, 'output', { value })
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
  const keep = (ours: SupportedMode, mode: Mode, value: unknown, meta?: object) =>
    policy(ours).keep(ID, 'output', { disclosure: made(value, meta), mode })

  it('is kept as it is where we would keep as much', () => {
    for (const [mode, value, meta] of [
      ['full', 'x', { note: 'kept' }],
      ['preview', 'x…', {}],
      ['keys', { a: null }, {}],
      ['fingerprint', null, { bytes: 5, fingerprint }],
      ['none', null, {}],
    ] as const) {
      const disclosure = made(value, meta)
      expect(policy('full').keep(ID, 'output', { disclosure, mode })).toMatchObject({ mode, disclosure })
    }
  })

  it('loses what we would not keep, and never gets more', () => {
    for (const ours of SUPPORTED_MODES) {
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
        if (ours !== 'full' || isWithheld) expect(JSON.stringify(kept)).not.toContain('Zacharias')
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
    for (const ours of SUPPORTED_MODES) {
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
      expect(() => rules.keep(ID, 'output', { disclosure, mode: 'full' })).toThrow(refused)
    }
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
