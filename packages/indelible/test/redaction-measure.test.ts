/** How well redaction does: on labelled texts of others, on made-up secrets and telephone numbers, on what only looks alike. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type LabelledText, measure } from '../src/privacy/redaction/measure.ts'
import { PACK_NAMES } from '../src/privacy/redaction/rule.ts'
import { createRedactor, type Finding } from '../src/privacy/redactor.ts'
import { assignedText, Draw, HARMLESS, type Labelled, phoneText, secretText } from './redaction-kit.ts'

const redactor = createRedactor({ packs: PACK_NAMES })
const replaced = (text: string): Finding[] => redactor.explain(text).filter(({ outcome }) => outcome === 'replaced')
const labelled = fileURLToPath(new URL('../../../../shared/data/pii-labelled.json', import.meta.url))
const N = 10_000

/** Share of the values that are gone, and of the hits that are one of the kinds on a value. */
function score(make: (draw: Draw) => Labelled, seed: number) {
  const draw = new Draw(seed)
  let [recalled, found, right] = [0, 0, 0]
  const wrong: string[] = []
  for (let i = 0; i < N; i++) {
    const { text, value, kinds } = make(draw)
    const { value: left } = redactor.redact(text) as { value: string }
    const found_ = replaced(text)
    found += found_.length
    const good = found_.filter(({ kind, path }) => kinds.includes(kind) || path.length > 0).length
    right += good
    if (!left.includes(value) && good > 0) recalled++
    if ((left.includes(value) || good < found_.length) && wrong.length < 5) {
      wrong.push(`${text} → ${left} (${found_.map(({ rule }) => rule)})`)
    }
  }
  return { recall: recalled / N, precision: right / found, wrong }
}

describe('redaction', () => {
  it('finds every number of a fixed form in texts that others have labelled', ({ skip }) => {
    skip(!existsSync(labelled), 'no ../shared/data/pii-labelled.json here')
    const texts = JSON.parse(readFileSync(labelled, 'utf8')) as LabelledText[]
    const { kinds } = measure(texts, replaced, new Set(['CREDIT_CARD', 'IBAN', 'SSN', 'EMAIL', 'IP_ADDRESS']))
    expect(Object.keys(kinds)).toEqual(['CREDIT_CARD', 'EMAIL', 'IBAN', 'IP_ADDRESS', 'SSN'])
    for (const [kind, { precision, recall }] of Object.entries(kinds)) {
      expect(precision, kind).toBeGreaterThanOrEqual(0.99)
      expect(recall, kind).toBeGreaterThanOrEqual(0.99)
    }
  })

  it.each([
    ['tokens of providers', secretText, 1],
    ['secrets that are called so', assignedText, 2],
    ['telephone numbers of the United States', phoneText, 3],
  ] as const)('finds %s', (_, make, seed) => {
    const { precision, recall, wrong } = score(make, seed)
    expect(precision, wrong.join('\n')).toBeGreaterThanOrEqual(0.99)
    expect(recall, wrong.join('\n')).toBeGreaterThanOrEqual(0.99)
  })

  it.each(Object.keys(HARMLESS))('finds nothing in 10,000 times a %s', (name) => {
    const draw = new Draw(4)
    const hits: string[] = []
    for (let i = 0; i < N; i++) {
      const text = HARMLESS[name]!(draw)
      hits.push(...replaced(text).map(({ rule }) => `${rule}: ${text}`))
    }
    expect(hits).toEqual([])
  })
})
