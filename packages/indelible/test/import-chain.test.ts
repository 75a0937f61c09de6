import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { parseForeign } from '../src/import/json.ts'
import { PythonNumber, parsePython, plainOf, stablePythonJson } from '../src/import/python-json.ts'
import { Malformed } from '../src/import/values.ts'
import { fileOf, fixture, ImportLog, imported } from './import-kit.ts'

// Written by the real packages, see fixtures/import/generate.py.
const KEY = 'an invented key'
const LEDGERS = ['llm-audit-trail-1.jsonl', 'llm-audit-trail-2.jsonl', 'llm-audit-trail-hmac.jsonl'] as const
const from = { from: 'llm-audit-trail', key: '' } as const
const linesOf = (name: string) => readFileSync(fixture(name), 'utf8').trimEnd().split('\n')
const keyOf = (name: string) => ({ ...from, key: name.includes('hmac') ? KEY : '' })

async function chainOf(path: string, key = '') {
  const { summary, found } = await imported(path, { ...from, key, acceptBroken: true })
  expect(found[0]!.attributes).toMatchObject({ chain_verified: summary.chain!.verified })
  return summary.chain!
}

describe('the chain of llm-audit-trail', () => {
  it.each(LEDGERS)('holds in %s as it was written', async (name) => {
    const { summary, found } = await imported(fixture(name), keyOf(name))
    const last = JSON.parse(linesOf(name).at(-1)!)
    expect(summary).toMatchObject({ events: 15, runs: 1 })
    const generation = name.includes('-1') ? 1 : 2
    const algorithm = name.includes('hmac') ? 'hmac-sha256' : 'sha256'
    const chain = { verified: true, records: 13, reformatted: 0, generation, algorithm, head: last.curr_hash }
    expect(summary.chain).toEqual(chain)
    expect(found[0]).toMatchObject({ type: 'run.start', outcome: 'success' })
    expect(found[0]!.attributes).toMatchObject({ chain_verified: true, chain_head: last.curr_hash, chain_records: 13 })
    expect(found.at(-1)).toMatchObject({ type: 'run.end', attributes: { records: 13 } })
    expect(found.at(-2)!.attributes).toMatchObject({ source_hash: last.curr_hash, source_id: last.event_id })
  })

  it('holds where the second generation goes on with a ledger of the first', async () => {
    expect(await chainOf(fixture('llm-audit-trail-mixed.jsonl'))).toMatchObject({
      verified: true,
      generation: 3,
      records: 3,
    })
  })

  it('holds for what the package wrote and cannot verify itself', async () => {
    expect(await chainOf(fixture('llm-audit-trail-int-keys.jsonl'))).toMatchObject({ verified: true, reformatted: 0 })
  })

  it('holds for records whose bytes were spelled anew, which is said', async () => {
    for (const name of LEDGERS) {
      const anew = linesOf(name).map((line) => respell(line))
      expect(await chainOf(fileOf(anew), keyOf(name).key)).toMatchObject({
        verified: true,
        records: 13,
        reformatted: 13,
      })
    }
  })

  it.each(LEDGERS)('does not hold in %s once anything in it is altered', async (name) => {
    const lines = linesOf(name)
    const parsed = lines.map((line) => JSON.parse(line) as { event_id: string })
    for (const [i, line] of lines.entries()) {
      const altered = lines.with(i, line.replace(parsed[i]!.event_id, `0${parsed[i]!.event_id.slice(1)}`))
      if (altered[i] === line) continue
      expect(await chainOf(fileOf(altered), keyOf(name).key)).toMatchObject({
        verified: false,
        error: 'hash_mismatch',
        line: i + 1,
      })
    }
    const cases: [error: string, line: number, lines: string[]][] = [
      ['broken_link', 4, lines.toSpliced(3, 1)],
      ['broken_link', 1, lines.slice(1)],
      ['broken_link', 3, [...lines.slice(0, 2), lines[3]!, lines[2]!, ...lines.slice(4)]],
      ['broken_link', 5, lines.toSpliced(4, 0, lines[3]!)],
      ['missing_curr_hash', 2, lines.with(1, lines[1]!.replace('"curr_hash"', '"other_hash"'))],
      ['hash_mismatch', 2, lines.with(1, lines[1]!.replace('"details":{', '"details":{"a":1,'))],
      ['hash_mismatch', 2, lines.with(1, lines[1]!.replace('1e-05', '2e-05'))],
    ]
    for (const [error, line, content] of cases) {
      expect(await chainOf(fileOf(content), keyOf(name).key)).toMatchObject({
        verified: false,
        error,
        line,
        records: line - 1,
      })
    }
  })

  it('with a key takes no record that says it needs none', async () => {
    const keyed = linesOf('llm-audit-trail-hmac.jsonl')
    const unkeyed = linesOf('llm-audit-trail-2.jsonl')
    expect(await chainOf(fileOf(unkeyed), KEY)).toMatchObject({ error: 'unkeyed_record', line: 1 })
    const { createHash } = await import('node:crypto')
    const forged = JSON.parse(keyed.at(-1)!)
    const { curr_hash: head, ...body } = { ...forged, prev_hash: forged.curr_hash, hash_alg: 'sha256', seq: 13 }
    const text = stablePythonJson(parsePython(JSON.stringify(body)))
    const hash = createHash('sha256')
      .update(head + text)
      .digest('hex')
    const appended = [...keyed, JSON.stringify({ ...body, curr_hash: hash })]
    expect(await chainOf(fileOf(appended), KEY)).toMatchObject({ error: 'unkeyed_record', line: 14, records: 13 })
    expect(await chainOf(fileOf(keyed))).toMatchObject({ error: 'key_required', line: 1 })
    expect(await chainOf(fileOf(keyed), 'another')).toMatchObject({ error: 'hash_mismatch', line: 1 })
  })

  it('that is broken stops the import, unless it is accepted, and then the finding is recorded', async () => {
    const log = await ImportLog.open()
    const path = fileOf(linesOf('llm-audit-trail-2.jsonl').toSpliced(5, 1))
    await expect(log.import(path, from)).rejects.toMatchObject({ code: 'ERR_IMPORT_BROKEN' })
    expect(await log.size()).toBe(1)
    expect(await log.import(path, { ...from, acceptBroken: true })).toMatchObject({ appended: 14 })
    const [start] = await log.found()
    expect(start).toMatchObject({ type: 'run.start', outcome: 'failure' })
    expect(start!.attributes).toMatchObject({
      chain_verified: false,
      chain_error: 'broken_link',
      chain_line: 6,
      chain_records: 5,
    })
    expect(await log.import(path, { ...from, acceptBroken: true })).toMatchObject({ appended: 0, duplicates: 14 })
  })

  it('that could be verified only later leaves both findings', async () => {
    const log = await ImportLog.open()
    const path = fixture('llm-audit-trail-hmac.jsonl')
    await log.import(path, { ...from, acceptBroken: true })
    expect(await log.import(path, { ...from, key: KEY })).toMatchObject({ appended: 1, duplicates: 14 })
    const starts = (await log.found()).filter(({ type }) => type === 'run.start')
    expect(starts.map(({ attributes }) => attributes!.chain_verified)).toEqual([false, true])
  })

  it('takes its key from the environment', async () => {
    process.env.AUDIT_HMAC_KEY = KEY
    const { summary } = await imported(fixture('llm-audit-trail-hmac.jsonl'), { from: 'llm-audit-trail' })
    expect(summary.chain).toMatchObject({ verified: true })
  })
  afterEach(() => {
    delete process.env.AUDIT_HMAC_KEY
  })

  it('is broken by a last line that is no text', async () => {
    const text = readFileSync(fixture('llm-audit-trail-2.jsonl'))
    const path = fileOf(text.with(-9, 0xff))
    const { summary } = await imported(path, { ...from, skipBad: true, acceptBroken: true })
    expect(summary).toMatchObject({
      skipped: 1,
      chain: { verified: false, error: 'malformed_json', line: 13, records: 12 },
    })
  })

  it('with a malformed line is both malformed and broken', async () => {
    const log = await ImportLog.open()
    const path = fileOf(linesOf('llm-audit-trail-2.jsonl').with(4, '{"details":{"a":1,"a":2}}'))
    await expect(log.import(path, { ...from, acceptBroken: true })).rejects.toMatchObject({
      code: 'ERR_IMPORT_INVALID',
    })
    await expect(log.import(path, { ...from, skipBad: true })).rejects.toMatchObject({ code: 'ERR_IMPORT_BROKEN' })
    const summary = await log.import(path, { ...from, skipBad: true, acceptBroken: true })
    expect(summary).toMatchObject({
      skipped: 1,
      events: 14,
      chain: { verified: false, error: 'malformed_json', line: 5 },
    })
  })
})

/** The same value, its members in another order and with spaces. */
function respell(line: string): string {
  const members = [...(parsePython(line) as ReadonlyMap<string, never>)].reverse()
  return `{ ${members.map(([key, value]) => `${JSON.stringify(key)} : ${stablePythonJson(value)}`).join(' , ')} }`
}

describe('Python’s JSON', () => {
  const refused = [
    '',
    '{',
    '[1,]',
    '{"a":1,}',
    '{"a" 1}',
    '01',
    '1.',
    '.5',
    '+1',
    'nan',
    "'a'",
    '"\t"',
    '"\\x"',
    '1 2',
    '{"a":1,"a":1}',
    '[,1]',
    '"a',
  ]
  it.each(refused)('refuses %j', (text) => {
    expect(() => parsePython(text)).toThrow(Malformed)
  })

  it('gives up on nesting before the stack does', () => {
    expect(() => parsePython('['.repeat(100_000))).toThrow(Malformed)
    expect(parsePython(`${'['.repeat(900)}${']'.repeat(900)}`)).toHaveLength(1)
  })

  it('is read as JSON is, and written as the same value', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        const value = parsePython(text)
        expect(plainOf(value)).toEqual(parseForeign(text))
        expect(JSON.parse(stablePythonJson(value))).toEqual(JSON.parse(text))
      }),
    )
  })

  it('spells numbers as repr does', () => {
    const spelled: [literal: string, spelled: string][] = [
      ['1e16', '1e+16'],
      ['1E15', '1000000000000000.0'],
      ['123456789012345678', '123456789012345678'],
      ['-0', '0'],
      ['-0.0', '-0.0'],
      ['0.0001', '0.0001'],
      ['0.00001', '1e-05'],
      ['1.5e-7', '1.5e-07'],
      ['1e400', 'Infinity'],
      ['NaN', 'NaN'],
      ['-1e-400', '-0.0'],
      ['1.0', '1.0'],
      ['12.50', '12.5'],
      ['9007199254740993.0', '9007199254740992.0'],
      ['1.7976931348623157e308', '1.7976931348623157e+308'],
    ]
    for (const [literal, text] of spelled) expect(stablePythonJson(new PythonNumber(literal))).toBe(text)
  })

  it('is what Python itself writes', ({ skip }) => {
    const texts = [
      ...fc.sample(fc.json({ maxDepth: 3, stringUnit: 'binary' }), 300),
      ...fc
        .sample(fc.double({ noNaN: true, noDefaultInfinity: true }), 300)
        .map((value) => `[${value}, ${value.toExponential()}]`),
      '{"\\ud83d\\ude00":1,"\\uffee":2,"\\u007f\\u2028":"\\u00e9\\/\\b"}',
    ]
    const script = `import json,sys
for line in sys.stdin.buffer.read().decode("utf-8","surrogatepass").split("\\x00"):
    print(json.dumps(json.loads(line), sort_keys=True, separators=(",",":")))`
    let out = ''
    try {
      out = execFileSync('python3', ['-c', script], { input: texts.join('\0'), encoding: 'utf8' })
    } catch {
      skip('python3 is not here')
    }
    expect(out.trimEnd().split('\n')).toEqual(texts.map((text) => stablePythonJson(parsePython(text))))
  })
})
