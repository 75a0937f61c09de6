import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../src/bytes.ts'
import { disarm, formatRow } from '../src/export/csv.ts'
import { EXPORTERS } from '../src/export/formats.ts'
import { commitTo } from '../src/record/disclosure.ts'
import { canonicalize } from '../src/record/jcs.ts'
import { parseEntryLine } from '../src/verify/bundle-format.ts'
import { agent, logOf, runEvents, write } from './export-kit.ts'

const { jsonl, csv } = EXPORTERS

/** RFC 4180, as a spreadsheet reads it. */
function parseCsv(text: string, separator = ','): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  for (let at = 0; at < text.length; ) {
    let cell = ''
    if (text[at] === '"') {
      for (at++; text[at] !== '"' || text[at + 1] === '"'; at++) {
        if (at >= text.length) throw new Error('unclosed quote')
        cell += text[at]
        if (text[at] === '"') at++
      }
      at++
    }
    while (at < text.length && text[at] !== separator && text[at] !== '\r' && text[at] !== '\n') cell += text[at++]
    row.push(cell)
    if (text[at] === separator && ++at < text.length) continue
    if (text[at] === '\r') at++
    if (text[at] === '\n') at++
    rows.push(row)
    row = []
  }
  return rows
}

const tableOf = (text: string) => {
  const [header, ...rows] = parseCsv(text)
  return rows.map((row) => Object.fromEntries(header!.map((name, i) => [name, row[i]])))
}

describe('export --format jsonl', () => {
  it('keeps every entry byte for byte, one a line', async () => {
    const { source, log } = await logOf(runEvents('r1'))
    const { text, summary } = await write(jsonl, source({ disclose: ['input'] }))
    const lines = text.split('\n')
    expect(lines.pop()).toBe('')
    expect(lines.length).toBe(6)
    for (const [index, line] of lines.entries()) {
      const { entry } = await log.read(index)
      const parsed = JSON.parse(line) as { index: number; entry: unknown; disclosures: Record<string, string> }
      expect(parsed.index).toBe(index)
      expect(utf8(canonicalize(parsed.entry))).toEqual(utf8(fromUtf8(entry)))
      expect(parseEntryLine(line)?.entry).toBe(fromUtf8(entry))
    }
    const { entry, disclosures } = JSON.parse(lines[2]!)
    expect(commitTo(disclosures.input)).toBe(entry.parts.input.commit)
    expect(summary).toEqual({ entries: 6, disclosed: 1, gone: 0, size: null })
  })

  it('marks a part that is gone, and says nothing of one not asked for', async () => {
    const { source, store, log } = await logOf(runEvents('r1'))
    await store.erase([{ index: 2, id: (await log.read(2)).record.id, name: 'input' }])
    const { text, summary } = await write(jsonl, source({ run: 'r1', disclose: ['input'] }))
    const found = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).disclosures)
    expect(found).toEqual([{}, { input: null }, {}, {}, {}])
    expect(summary.gone).toBe(1)
  })

  it('carries any part value, whatever is in it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.anything({ withBigInt: true, withMap: true }),
        fc.string({ unit: 'binary' }),
        async (value, text) => {
          const { source } = await logOf([
            { type: 'tool.end', actor: agent, parts: { output: { value: [value, text] } } },
          ])
          const written = await write(jsonl, source({ filter: { type: 'tool.end' }, disclose: ['output'] }))
          const line = written.text.slice(0, -1)
          expect(line).not.toContain('\n')
          const parsed = JSON.parse(line)
          expect(parseEntryLine(line)!.disclosures.get('output')).toBe(parsed.disclosures.output)
          expect(commitTo(parsed.disclosures.output)).toBe(parsed.entry.parts.output.commit)
        },
      ),
      { numRuns: 30 },
    )
  })

  it('reports progress', async () => {
    const { source } = await logOf(runEvents('r1'))
    const seen: number[] = []
    await write(jsonl, source({ onProgress: (entries) => seen.push(entries) }))
    expect(seen).toEqual([6])
  })
})

describe('export --format csv', () => {
  it('has a column for what is asked most, and for each part asked for', async () => {
    const { source } = await logOf([
      {
        type: 'llm.response',
        actor: { ...agent, on_behalf_of: 'kim' },
        run: { id: 'r1' },
        session: 's',
        tenant: 't',
        call: 'c',
        model: { name: 'm1' },
        outcome: 'failure',
        usage: { input_tokens: 12, output_tokens: 3, cost_usd: 0.0004 },
        duration_ms: 5.5,
        error: { type: 'Timeout', code: '504' },
        parts: { output: { value: { a: [1, 'x,"y"'] } } },
      },
    ])
    const { text, summary } = await write(csv, source({ run: 'r1', disclose: ['output', 'input'] }))
    expect(text.split('\r\n')[0]).toBe(
      'index,time,observed,type,actor_type,actor_id,on_behalf_of,tenant,session,run,call,tool,model,outcome,decision,assurance,' +
        'duration_ms,input_tokens,output_tokens,cost_usd,error_type,error_code,id,part.output,part.input',
    )
    expect(tableOf(text)).toMatchObject([
      {
        index: '1',
        type: 'llm.response',
        actor_type: 'agent',
        actor_id: 'triage',
        on_behalf_of: 'kim',
        tenant: 't',
        session: 's',
        run: 'r1',
        call: 'c',
        tool: '',
        model: 'm1',
        outcome: 'failure',
        assurance: 'observed',
        duration_ms: '5.5',
        input_tokens: '12',
        cost_usd: '0.0004',
        error_code: '504',
        'part.output': '{"a":[1,"x,\\"y\\""]}',
        'part.input': '',
      },
    ])
    expect(summary.entries).toBe(1)
  })

  it('marks parts that were erased or never kept', async () => {
    const kept = await logOf(runEvents('r1'))
    await kept.store.erase([{ index: 2, id: (await kept.log.read(2)).record.id, name: 'input' }])
    const erased = await write(csv, kept.source({ filter: { type: 'tool.start' }, disclose: ['input'] }))
    expect(tableOf(erased.text)).toMatchObject([{ 'part.input': '[erased]' }])
    const fingerprinted = await logOf(runEvents('r1'), { privacy: { mode: 'fingerprint' } })
    const { text } = await write(csv, fingerprinted.source({ filter: { type: 'tool.start' }, disclose: ['input'] }))
    expect(tableOf(text)).toMatchObject([{ 'part.input': '[not kept]' }])
  })

  it('gives numbers as numbers, negative ones too', () => {
    expect(formatRow([-1, 0.5, 1e21, undefined, null])).toBe('-1,0.5,1e+21,,\r\n')
    expect(formatRow(['-1'])).toBe("'-1\r\n")
  })

  it('disarms what a spreadsheet would run, and nothing else', () => {
    const formulas = [
      '=1+1',
      '+1',
      '-1',
      '@SUM(A1)',
      '\t=1',
      '\r=1',
      '\n',
      '\tx',
      '  =1',
      '\u00a0=1',
      '\ufeff=1',
      '＝1',
      '＋1',
      '－1',
      '＠x',
      '\u200b=1',
    ]
    for (const text of formulas) expect(disarm(text)[0], JSON.stringify(text)).toBe("'")
    for (const text of ['', 'a=1', 'plain', '1-2', 'a\nb', "it's", '"quoted"', 'x; y']) expect(disarm(text)).toBe(text)
    expect(disarm('x;=cmd')).toBe("x;'=cmd")
    expect(disarm('x; "=cmd')).toBe('x; "\'=cmd')
    expect(disarm('a\n-b')).toBe("a\n'-b")
  })

  it('has no cell that begins a formula, however the spreadsheet parts cells', () => {
    const hostile = fc.string({
      unit: fc.constantFrom(...'=+-@＝＋－＠"\',;\t\r\n a1|\u00a0\u200b\ufeff'.split('')),
      maxLength: 12,
    })
    const begins = /^[\s\p{Z}\p{C}]*[=+\-@＝＋－＠]/u
    fc.assert(
      fc.property(fc.array(fc.oneof(hostile, fc.string()), { minLength: 1, maxLength: 5 }), (cells) => {
        const row = formatRow(cells)
        const [parsed, ...more] = parseCsv(row)
        expect(more).toEqual([])
        expect(parsed!.length).toBe(cells.length)
        for (const [i, cell] of parsed!.entries()) {
          expect(cell).toBe(disarm(cells[i]!))
          expect(cell).not.toMatch(begins)
          expect(cell).not.toMatch(/^[\t\r\n]/)
        }
        // Read in a country that parts cells at semicolons, or line by line: what follows a separator is no formula either.
        const apart = /^[\s\p{Z}\p{C}"]*[=+\-@＝＋－＠]/u
        for (const piece of row.split(/[;\t\r\n]/).slice(1)) expect(piece).not.toMatch(apart)
      }),
      { numRuns: 3000 },
    )
  })
})
