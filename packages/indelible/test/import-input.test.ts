import { openSync, writeFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { IndelibleError } from '../src/errors.ts'
import { formatId } from '../src/record/id.ts'
import { fileOf, ImportLog, imported } from './import-kit.ts'

const from = { from: 'chat' } as const
const event = { type: 'tool.end', actor: { type: 'agent', id: 'a' }, parts: { output: { value: 'SECRET-7' } } }
const user = { role: 'user', content: 'SECRET-7' }
const lines = (count: number) => Array.from({ length: count }, (_, i) => ({ role: 'user', content: `message ${i}` }))

async function refusal(work: Promise<unknown>): Promise<IndelibleError> {
  const error = await work.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(IndelibleError)
  return error as IndelibleError
}

describe('a malformed file', () => {
  const bad: [why: string, content: string | Uint8Array, format?: string][] = [
    ['is empty', ''],
    ['has nothing but blank lines', '\n \r\n\n'],
    ['is an empty list', '[]'],
    ['is no JSON', 'SECRET-7 {'],
    ['is cut off', JSON.stringify([user, user]).slice(0, -3)],
    ['has a line cut off', `${JSON.stringify(user)}\n{"role":"user","content":"SECRET-7`],
    ['has a line of no record', `${JSON.stringify(user)}\n"SECRET-7"`],
    ['has a key twice', `{"role":"user","content":"a","content":"SECRET-7"}`],
    ['has a key twice deep inside', `[{"role":"user","content":[{"a":{"SECRET-7":1,"SECRET-7":1}}]}]`],
    ['has a message without a role', JSON.stringify([user, { SECRET: 7 }])],
    ['is UTF-16', Buffer.from(`\ufeff${JSON.stringify(user)}`, 'utf16le')],
    ['is UTF-16 without a mark', Buffer.from(JSON.stringify(user), 'utf16le')],
    ['is UTF-32', Buffer.from([0, 0, 0xfe, 0xff, 0, 0, 0, 0x5b])],
    ['is no UTF-8', Buffer.concat([Buffer.from('{"role":"user","content":"'), Buffer.of(0xff), Buffer.from('"}')])],
    ['is a zip archive', Buffer.from('504b030414000000', 'hex')],
    ['is gzip twice', gzipSync(gzipSync(JSON.stringify(user)))],
    ['is gzip, cut off', gzipSync(JSON.stringify(lines(1000))).subarray(0, -20)],
    ['is gzip, damaged', Buffer.concat([Buffer.of(0x1f, 0x8b), Buffer.from('SECRET-7')])],
    ['has an event without an actor', '{"type":"tool.end"}', 'events'],
    ['has an event of the log’s own', JSON.stringify({ ...event, type: 'audit.opened' }), 'events'],
    [
      'has an event too large',
      JSON.stringify({ ...event, parts: Object.fromEntries(lines(65).map((_, i) => [`p${i}`, { value: 1 }])) }),
      'events',
    ],
    ['has a disclosure', JSON.stringify({ ...event, parts: { output: { disclosure: '[]', mode: 'full' } } }), 'events'],
    ['has no time', '{"event":"run_start","run_id":"r"}', 'selectools'],
    ['has a time of another form', '{"event":"run_start","ts":"SECRET-7"}', 'selectools'],
    ['has no type', '{"uuid":"u"}', 'claude-code'],
  ]
  it.each(bad)(
    'that %s is refused by name, quoting nothing, and nothing is appended',
    async (_, content, format = 'chat') => {
      const log = await ImportLog.open()
      const path = fileOf(content)
      const error = await refusal(log.import(path, { from: format }))
      expect(error.code).toBe('ERR_IMPORT_INVALID')
      expect(error.message).toContain(path)
      expect(`${error.message} ${error.cause ?? ''}`).not.toContain('SECRET')
      expect(await log.size()).toBe(1)
    },
  )

  it('is refused naming the line', async () => {
    const log = await ImportLog.open()
    const good = Array(2500).fill(event)
    const { message } = await refusal(log.import(fileOf([...good, '', '{"type":1}', ...good]), { from: 'events' }))
    expect(message).toMatch(/, line 2502: type/)
    expect(await log.size()).toBe(1)
  })

  it('is told from one that is missing, a folder, or of an unknown format', async () => {
    const log = await ImportLog.open()
    const path = fileOf([user])
    await expect(log.import(`${path}-none`, from)).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(log.import(dirname(path), from)).rejects.toMatchObject({ code: 'ERR_IMPORT_INVALID' })
    for (const name of ['chats', '__proto__', 'constructor', '']) {
      await expect(log.import(path, { from: name })).rejects.toMatchObject({ code: 'ERR_IMPORT_FORMAT' })
    }
  })

  it('may have its bad lines left out: the rest is appended, and the gap recorded once', async () => {
    const log = await ImportLog.open()
    const path = fileOf([user, '{', '[1', user, '"text"', Buffer.from('{').toString(), user])
    const options = { ...from, skipBad: true }
    expect(await log.import(path, options)).toMatchObject({ skipped: 4, events: 5, appended: 5 })
    const gaps = (await log.found()).filter(({ type }) => type === 'audit.gap')
    expect(gaps).toHaveLength(1)
    expect(gaps[0]!.audit).toMatchObject({
      cause: 'import',
      format: 'chat',
      skipped: 4,
      lines: [
        [2, 3],
        [5, 6],
      ],
    })
    expect(await log.import(path, options)).toMatchObject({ appended: 0, duplicates: 5 })
    expect(await log.size()).toBe(7)
  })

  it('of one document has the places in it named that were left out', async () => {
    const log = await ImportLog.open()
    const odd = { role: 'assistant', tool_calls: [{ id: 'c', function: { name: 'f' } }] }
    for (const space of [0, 1]) {
      const summary = await log.import(fileOf(JSON.stringify([user, 5, odd], null, space)), { ...from, skipBad: true })
      expect(summary).toMatchObject({ skipped: 1, events: 5, appended: 5 })
    }
    const gaps = (await log.found()).filter(({ type }) => type === 'audit.gap')
    expect(gaps.map(({ audit }) => [audit!.lines, audit!.pointers])).toEqual([
      [[[1, 1]], [[1, '/1']]],
      [[], [['/1']]],
    ])
  })

  it('with no good line is refused even so', async () => {
    const log = await ImportLog.open()
    const error = await refusal(log.import(fileOf(['SECRET-7', '{}']), { ...from, skipBad: true }))
    expect(error.code).toBe('ERR_IMPORT_INVALID')
    expect(await log.size()).toBe(1)
  })
})

describe('a huge input', () => {
  it('has lines of bounded length, found without being held', async () => {
    const log = await ImportLog.open()
    const long = { role: 'user', content: 'x'.repeat(9000) }
    const path = fileOf([user, long, user])
    const limits = { line: 8000, document: 8000 }
    const { message } = await refusal(log.import(path, { ...from, limits }))
    expect(message).toContain('line 2: longer than 8000 bytes')
    expect(await log.import(path, { ...from, limits, skipBad: true })).toMatchObject({ skipped: 1, events: 4 })
  })

  it('of one line of 300 MB takes little memory to refuse', async () => {
    const path = fileOf('')
    const file = openSync(path, 'w')
    const block = Buffer.alloc(1024 * 1024, 'x')
    for (let i = 0; i < 300; i++) writeSync(file, block)
    const log = await ImportLog.open()
    let peak = 0
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers)), 5)
    const before = process.memoryUsage().arrayBuffers
    const error = await refusal(log.import(path, { from: 'events' }))
    clearInterval(watch)
    expect(error.message).toContain('line 1: longer than 67108864 bytes')
    expect(peak - before).toBeLessThan(200 * 1024 * 1024)
    writeFileSync(path, '')
  })

  it('that is one document too long is told to be JSON Lines', async () => {
    const log = await ImportLog.open()
    const path = fileOf(JSON.stringify(lines(100), null, 2))
    expect((await refusal(log.import(path, { ...from, limits: { document: 1000 } }))).message).toContain(
      'use JSON Lines',
    )
  })

  it('that gzip makes look small is stopped', async () => {
    const log = await ImportLog.open()
    const path = fileOf(gzipSync(Buffer.alloc(3_000_000, '\n')))
    expect((await refusal(log.import(path, { ...from, limits: { unpacked: 1_000_000 } }))).message).toContain(
      'unpacks to more',
    )
  })

  it('nested deeply is recorded as far as a part goes', async () => {
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const { summary } = await imported(fileOf(`{"role":"user","content":${deep}}`), from)
    expect(summary).toMatchObject({ events: 3, skipped: 0 })
  })
})

describe('events of our own', () => {
  it('are recorded as they are, with what they claim as attributes', async () => {
    const id = formatId(5, new Uint8Array(10))
    const own = {
      ...event,
      id,
      assurance: 'enforced',
      time: '2026-01-02T03:04:05Z',
      source: { adapter: 'otel', sdk: 's/1' },
    }
    const log = await ImportLog.open()
    // The log may have the very event already, with more assurance than a file can give.
    const { assurance: _, ...live } = own
    await log.log.record(live as never)
    await log.import(fileOf([own, { ...own, attributes: { source_line: 99, k: 1 } }]), { from: 'events' })
    const [, first, second] = await log.found()
    expect(first).toMatchObject({
      assurance: 'imported',
      time: '2026-01-02T03:04:05.000Z',
      values: { output: 'SECRET-7' },
    })
    expect(first!.source).toEqual({ adapter: 'import:events', sdk: 's/1' })
    expect(first!.attributes).toMatchObject({ source_id: id, source_assurance: 'enforced', source_adapter: 'otel' })
    expect(first!.attributes).not.toHaveProperty('time_source')
    expect(first!.id).not.toBe(id)
    expect(second!.attributes).toMatchObject({ source_line: 2, source_line_given: 99, k: 1 })
  })
})
