import { describe, expect, it } from 'vitest'
import { parseMode } from './modes.ts'
import { findRuleFaults, type ModeRules, type PrivacyRule, RuleSet } from './rules.ts'

const rules: ModeRules = {
  mode: 'fingerprint',
  parts: { reason: 'none' },
  rules: [
    { tenant: 'clinic-*', mode: 'none' },
    { type: 'tool.*', tool: 'get_*_status', part: 'output', mode: 'full' },
    { tool: '*', part: 'input', mode: 'keys' },
    { type: 'llm.request', mode: 'preview' },
  ],
}

describe('rules', () => {
  const set = new RuleSet(rules)
  it.each([
    [{ type: 'tool.end', tool: { name: 'get_order_status' } }, 'output', 'full', 'privacy.rules[1]'],
    [{ type: 'tool.end', tool: { name: 'get_status' } }, 'output', 'fingerprint', 'privacy.mode'],
    [
      { type: 'tool.end', tool: { name: 'get_order_status' }, tenant: 'clinic-7' },
      'output',
      'none',
      'privacy.rules[0]',
    ],
    [{ type: 'tool.start', tool: { name: 'pay' } }, 'input', 'keys', 'privacy.rules[2]'],
    [{ type: 'run.start' }, 'input', 'fingerprint', 'privacy.mode'],
    [{ type: 'llm.request' }, 'reason', 'preview', 'privacy.rules[3]'],
    [{ type: 'run.end' }, 'reason', 'none', 'privacy.parts.reason'],
    [{ type: 'run.end' }, 'reason.moved2', 'none', 'privacy.parts.reason'],
    [{ type: 'run.end' }, 'constructor', 'fingerprint', 'privacy.mode'],
  ] as const)('decide by the first that matches: %j %s', (subject, part, mode, by) => {
    expect(set.decide(subject, part)).toEqual({ mode, by })
    expect(set.mode(subject, part)).toBe(mode)
  })

  it('that are sound have no fault', () => {
    expect(findRuleFaults(rules)).toBe(null)
    expect(
      findRuleFaults({
        mode: 'none',
        rules: [
          { type: 'x.*', mode: 'full' },
          { type: 'x*', mode: 'keys' },
        ],
      }),
    ).toBe(null)
  })

  const fault = (list: PrivacyRule[], parts = {}) => findRuleFaults({ mode: 'none', rules: list, parts })
  it.each([
    [
      'contradict',
      [
        { tool: 'a', mode: 'full' },
        { tool: 'a', mode: 'none' },
      ],
      'rules.1',
      /contradicts rules\.0/,
    ],
    [
      'are behind a wider one',
      [
        { tool: 'a*', mode: 'full' },
        { tool: 'ab*', part: 'x', mode: 'none' },
      ],
      'rules.1',
      /never reached/,
    ],
    ['are behind one for everything', [{ mode: 'full' }, { tool: 'ab*', mode: 'none' }], 'rules.1', /never reached/],
    [
      'are behind any type',
      [
        { type: '*', mode: 'full' },
        { tool: 'ab*', mode: 'none' },
      ],
      'rules.1',
      /never reached/,
    ],
    [
      'are repeated',
      [
        { tool: 'a', mode: 'full' },
        { tool: 'a', mode: 'full' },
      ],
      'rules.1',
      /never reached/,
    ],
    ['name a type that is none', [{ type: 'tool.strat', mode: 'full' }], 'rules.0.type', /no event type/],
    ['name the log its own types', [{ type: 'audit.*', mode: 'full' }], 'rules.0.type', /no event type/],
    ['name a part that is none', [{ part: 'Out', mode: 'full' }], 'rules.0.part', /no part/],
  ] as const)('that %s are refused', (_, list, path, message) => {
    const found = fault(list as unknown as PrivacyRule[])
    expect(found?.path.join('.')).toBe(path)
    expect(found?.message).toMatch(message)
  })

  it('leave no part of its own unreachable', () => {
    expect(fault([{ part: 'in*', mode: 'full' }], { input: 'none' })?.path).toEqual(['parts', 'input'])
    expect(fault([{ part: 'in*', tool: 'x', mode: 'full' }], { input: 'none' })).toBe(null)
  })
})

describe('names of modes', () => {
  it('are ours, or those of other systems for the nearest one', () => {
    const names = [
      'NONE',
      'HASHED',
      'KEYS_ONLY',
      'FULL',
      'payload',
      'fingerprint',
      'preview',
      'keys',
      'some',
      '__proto__',
    ]
    expect(names.map(parseMode)).toEqual([
      'none',
      'fingerprint',
      'keys',
      'full',
      'full',
      'fingerprint',
      'preview',
      'keys',
      null,
      null,
    ])
  })
})
