/** What the policy withholds is nowhere: not in entries, meta, indexes, errors, spools or exports, whatever shape it came in. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, it, onTestFinished, vi } from 'vitest'
import { csv } from '../src/export/csv.ts'
import { jsonl } from '../src/export/jsonl.ts'
import { createLog, openLog } from '../src/log/home.ts'
import type { Log } from '../src/log/log.ts'
import { openQuery } from '../src/query/home-query.ts'
import type { AgentEvent } from '../src/record/schema.ts'

/** Texts that nothing else contains. Each is one word, so that an index would have it as such. */
class Markers {
  readonly made: string[] = []

  next(): string {
    const marker = `zq${this.made.length.toString(36)}x${Math.random().toString(36).slice(2, 12)}qz`
    this.made.push(marker)
    return marker
  }
}

/** Values of every shape with a marker in each text of theirs. */
const shapes: fc.Arbitrary<(mark: () => string) => unknown> = fc.letrec<{ value: (mark: () => string) => unknown }>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constant((mark: () => string) => mark()),
      fc.constant((mark: () => string) => `a sentence, ${mark()} in its middle, and ${mark()}@x.example`),
      fc.constant((mark: () => string) => JSON.stringify({ inner: mark() })),
      fc.constant((mark: () => string) => new TypeError(mark(), { cause: mark() })),
      fc.constant((mark: () => string) => new Map([['name', mark()]])),
      fc.constant((mark: () => string) => new URL(`https://x.example/${mark()}`)),
      fc.constant((mark: () => string) => Symbol(mark())),
      fc.constant((mark: () => string) => ({ [`${mark()}@x.example`]: 1 })),
      fc.constant((mark: () => string) => Buffer.from(mark())),
      fc.array(tie('value'), { maxLength: 3 }).map((inner) => (mark: () => string) => inner.map((one) => one(mark))),
      fc
        .dictionary(fc.constantFrom('name', 'note', 'items', '$type'), tie('value'), { maxKeys: 3 })
        .map((inner) => (mark: () => string) => ({ ...mapValues(inner, (one) => one(mark)) })),
    ),
  }),
).value

function mapValues<T, U>(object: Record<string, T>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}

const LONG = 'x'.repeat(300)

/** An event in which every place that can hold free text does. */
function eventOf(shape: (mark: () => string) => unknown, mark: () => string): AgentEvent {
  return {
    type: 'tool.error',
    actor: { type: 'agent', id: 'bot' },
    call: { odd: mark() },
    tool: { name: `${LONG}${mark()}` },
    error: { type: `${LONG}${mark()}`, code: { odd: mark() }, message: mark(), stack: `at ${mark()}` },
    policy: { id: 'p', decision: 'denied', reason: shape(mark) },
    guardrail: { name: 'g', action: 'blocked', detail: shape(mark) },
    attributes: { text: `${LONG}${mark()}`, odd: { inner: mark() }, [`a key that tells of ${mark()}`]: 1 },
    parts: { input: { value: shape(mark) }, output: { value: shape(mark) }, prompt: { value: shape(mark) } },
  } as unknown as AgentEvent
}

/** Events that are refused, with a text in them that the refusal must not repeat. */
const REFUSED: readonly ((mark: () => string) => unknown)[] = [
  (mark) => ({ type: mark(), actor: { type: 'agent', id: 'b' } }),
  (mark) => ({ type: 'run.end', actor: { type: 'agent', id: 'b' }, [mark()]: 1 }),
  (mark) => ({ type: 'run.end', actor: { type: 'agent', id: 'b' }, outcome: mark() }),
  (mark) => ({
    type: 'run.end',
    actor: { type: 'agent', id: 'b' },
    parts: { [mark().toUpperCase()]: { value: mark() } },
  }),
  (mark) => ({
    type: 'run.end',
    actor: { type: 'agent', id: 'b' },
    parts: { a: { disclosure: mark(), mode: 'full' } },
  }),
  (mark) => ({ type: 'run.end', actor: { type: 'agent', id: 'b' }, id: mark() }),
]

async function errorsOf(log: Log, mark: () => string): Promise<string> {
  const said: string[] = []
  for (const make of REFUSED) {
    const error = await log.record(make(mark) as AgentEvent).then(
      () => expect.fail('recorded'),
      (thrown: unknown) => thrown,
    )
    said.push(inspect(error, { depth: 6 }))
  }
  return said.join('\n')
}

function everyFile(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1')).join('\n')
}

async function exportsOf(home: string): Promise<string> {
  const query = await openQuery({ home })
  const written: string[] = []
  const names = new Set<string>()
  for await (const { record } of query.all({})) for (const name of Object.keys(record.parts ?? {})) names.add(name)
  for (const format of [jsonl, csv]) {
    await format.write(
      { store: query.store, engine: query, origin: query.origin, vkey: '', filter: {}, disclose: [...names] },
      async (chunk) => void written.push(String(chunk)),
    )
  }
  await query.close()
  return written.join('\n')
}

it.each(['none', 'fingerprint', 'keys'] as const)('in mode %s', { timeout: 60_000 }, async (mode) => {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-absence-'))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  const home = join(folder, 'home')
  vi.stubEnv('INDELIBLE_PRIVACY__MODE', mode)
  await createLog({ home, pins: null })
  const log = await openLog({ home })
  const markers = new Markers()
  const mark = () => markers.next()
  const spooled: string[] = []
  await fc.assert(
    fc.asyncProperty(shapes, async (shape) => {
      await log.record(eventOf(shape, mark))
      spooled.push(JSON.stringify(log.draft(eventOf(shape, mark)).toEvent()))
    }),
    { numRuns: 60 },
  )
  const errors = await errorsOf(log, mark)
  await log.close()
  const texts = { exports: await exportsOf(home), files: everyFile(home), spooled: spooled.join('\n'), errors }
  expect(markers.made.length).toBeGreaterThan(1000)
  for (const [where, text] of Object.entries(texts)) {
    expect(text.length, where).toBeGreaterThan(100)
    expect(
      markers.made.filter((marker) => text.toLowerCase().includes(marker)),
      where,
    ).toEqual([])
  }
})

it('is not so of what is kept: the search would find it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-absence-'))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  const home = join(folder, 'home')
  vi.stubEnv('INDELIBLE_PRIVACY__MODE', 'full')
  await createLog({ home, pins: null })
  const log = await openLog({ home })
  const markers = new Markers()
  await log.record(
    eventOf(
      (mark) => ({ name: mark(), note: `${mark()}@x.example` }),
      () => markers.next(),
    ),
  )
  await log.close()
  const [exported, files] = [await exportsOf(home), everyFile(home)]
  const kept = markers.made.filter((marker) => files.includes(marker))
  expect(kept.length).toBeGreaterThan(markers.made.length / 2)
  for (const marker of kept) expect(exported).toContain(marker)
  // Behind an @ it was an address.
  expect(files).not.toMatch(/zq[a-z0-9]+qz@x\.example/)
})
