/** A recognizer of the deployment's own: late, wrong or hanging, it costs the text of a part and never the event. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import { createLog, openLog } from '../src/log/home.ts'
import type { Log } from '../src/log/log.ts'
import type { Recognizer } from '../src/privacy/redactor.ts'
import { openQuery } from '../src/query/home-query.ts'
import { parseDisclosure } from '../src/record/disclosure.ts'

async function opened(
  recognizer: Recognizer,
  config: Record<string, string> = {},
): Promise<{ home: string; log: Log }> {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-recognizer-'))
  const home = join(folder, 'home')
  for (const [key, value] of Object.entries({ MODE: 'full', ...config })) vi.stubEnv(`INDELIBLE_PRIVACY__${key}`, value)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  await createLog({ home, pins: null })
  return { home, log: await openLog({ home, recognizer }) }
}

const event = (value: string) => ({
  type: 'tool.end',
  actor: { type: 'agent' as const, id: 'bot' },
  parts: { output: { value } },
})

const names: Recognizer = async (texts) => {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return texts.map((text) => {
    const start = text.indexOf('Zacharias')
    return start === -1 ? [] : [{ kind: 'PERSON', start, end: start + 9 }]
  })
}

const outputOf = async (log: Log, index: number) => parseDisclosure((await log.read(index)).disclosures.get('output')!)

it('finds what no pattern does, and the event waits for it', async () => {
  const { log } = await opened(names)
  const { index } = await log.record(event('ask Zacharias'))
  expect(await outputOf(log, index)).toMatchObject({ value: 'ask [PERSON]', meta: { redacted: { PERSON: 1 } } })
  await log.close()
})

it('holds up nobody else', async () => {
  let answer = () => {}
  const { log } = await opened((texts) => {
    if (!texts.some((text) => text.includes('slow'))) return texts.map(() => [])
    return new Promise((resolve) => {
      answer = () => resolve(texts.map(() => []))
    })
  })
  const slow = log.record(event('slow one'))
  const places = [await log.record(event('a b')), await log.record(event('b c'))]
  answer()
  const last = await slow
  expect([...places, last].map(({ index }) => index)).toEqual([
    places[0]!.index,
    places[0]!.index + 1,
    places[0]!.index + 2,
  ])
  // What the recognizer still has is not lost by closing.
  const closing = log.record(event('slow two'))
  setTimeout(() => answer(), 20)
  await log.close()
  await expect(closing).resolves.toMatchObject({ index: last.index + 1 })
})

it.each([
  [
    'throws',
    () => {
      throw new Error('Zacharias')
    },
  ],
  ['rejects', () => Promise.reject(new Error('Zacharias'))],
  ['hangs', () => new Promise<never>(() => {})],
  ['answers nonsense', () => [[{ kind: 'PERSON', start: 5, end: 900 }]]],
] as [string, Recognizer][])('that %s keeps the event, and the part is withheld and counted', async (_, recognizer) => {
  const { home, log } = await opened(recognizer, { RECOGNIZER_TIMEOUT_MS: '30' })
  const { index } = await log.record({ ...event('ask Zacharias'), id: '01890000-0000-7000-8000-000000000001' })
  expect((await log.read(index)).record.parts).toMatchObject({ output: { mode: 'none' } })
  expect(await outputOf(log, index)).toMatchObject({ value: null, meta: { withheld: 'redactor_failed' } })
  expect(log.withheldParts).toBe(1)
  // The same event again is not a conflict: what is withheld says nothing of it.
  const again = await log.record({ ...event('ask Zacharias'), id: '01890000-0000-7000-8000-000000000001' })
  expect(again).toMatchObject({ index, duplicate: true, uncompared: true })
  await log.close()
  const query = await openQuery({ home })
  const found: unknown[] = []
  for await (const { record } of query.all({ type: 'audit.recovered' })) found.push(record.audit)
  await query.close()
  expect(found).toContainEqual({ kind: 'redactor_failed', parts: 1 })
})

it('holds up appending of what a recorder hands over, and no text is written elsewhere before', async () => {
  const { log } = await opened(names)
  const draft = log.draft(event('ask Zacharias'))
  expect(JSON.stringify(draft.toEvent())).not.toContain('Zacharias')
  const [receipt] = await log.append([draft])
  expect(await outputOf(log, receipt!.index)).toMatchObject({ value: 'ask [PERSON]' })
  expect(draft.toEvent().id).toBe(receipt!.id)
  const ack = await log.recorder.record(event('and Zacharias'))
  expect(ack).toMatchObject({ state: 'recorded' })
  expect(await outputOf(log, receipt!.index + 1)).toMatchObject({ value: 'and [PERSON]' })
  await log.close()
})
