/** A home with a vault: what stands where, and what can be read with it, without it and after somebody was forgotten. */
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished, vi } from 'vitest'
import { Vault } from '../src/keys/vault.ts'
import { createLog, openLog } from '../src/log/home.ts'
import type { Log } from '../src/log/log.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { openQuery } from '../src/query/home-query.ts'
import { parseDisclosure } from '../src/record/disclosure.ts'
import { isSealed } from '../src/record/sealed.ts'

async function home(config: Record<string, unknown>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-vault-home-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'home')
  for (const [key, value] of Object.entries(config)) {
    vi.stubEnv(`INDELIBLE_PRIVACY__${key.toUpperCase()}`, typeof value === 'string' ? value : JSON.stringify(value))
  }
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  await createLog({ home: path, pins: null })
  return path
}

async function using<T>(path: string, work: (log: Log) => Promise<T>): Promise<T> {
  const log = await openLog({ home: path })
  try {
    return await work(log)
  } finally {
    await log.close()
  }
}

const event = (subjects: readonly string[], value: string) => ({
  type: 'tool.end',
  actor: { type: 'agent' as const, id: 'bot' },
  subjects: [...subjects],
  parts: { output: { value } },
})

const SECRET = 'Zacharias took the early flight'

/** Every file below a folder as one text. */
function grep(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
  return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1')).join('\n')
}

const valueAt = async (log: Log, index: number) => {
  const text = (await log.read(index)).disclosures.get('output')!
  return isSealed(text) ? 'sealed' : parseDisclosure(text).value
}

it('keeps payloads encrypted, and nobody but the log sees a difference', async () => {
  const path = await home({ mode: 'full', encrypt: true })
  const index = await using(path, async (log) => {
    const receipt = await log.record(event(['ann'], SECRET))
    expect(await valueAt(log, receipt.index)).toBe(SECRET)
    return receipt.index
  })
  expect(grep(path)).not.toContain('Zacharias')
  expect(await using(path, (log) => valueAt(log, index))).toBe(SECRET)
  const report = await verifyHome({ home: path, pins: null })
  expect(report).toMatchObject({ verdict: 'verified', findings: [] })
  expect(report.not_checked.join()).not.toContain('encrypted')
})

it('is unreadable without its vault, and verifies', async () => {
  const path = await home({ mode: 'full', encrypt: true })
  await using(path, (log) => log.recordMany([event(['ann'], SECRET), event([], SECRET)]))
  renameSync(join(path, 'vault'), join(path, '..', 'elsewhere'))
  const report = await verifyHome({ home: path, pins: null })
  expect(report).toMatchObject({ verdict: 'verified', findings: [] })
  expect(report.not_checked).toContainEqual(expect.stringContaining('the values of 2 parts that are encrypted'))
  // Nothing is recorded under keys that nobody can find again.
  await expect(openLog({ home: path })).rejects.toMatchObject({ code: 'ERR_VAULT_MISSING' })
  renameSync(join(path, '..', 'elsewhere'), join(path, 'vault'))
  expect((await verifyHome({ home: path, pins: null })).not_checked.join()).not.toContain('encrypted')
})

it('does not take another vault for its own', async () => {
  const path = await home({ mode: 'full', encrypt: true })
  const other = await home({ mode: 'full', encrypt: true })
  for (const one of [path, other]) await using(one, (log) => log.record(event([], SECRET)))
  rmSync(join(path, 'vault'), { recursive: true })
  renameSync(join(other, 'vault'), join(path, 'vault'))
  await expect(openLog({ home: path })).rejects.toMatchObject({ code: 'ERR_KEY_MISMATCH' })
  expect(await verifyHome({ home: path, pins: null })).toMatchObject({ verdict: 'verified', findings: [] })
})

it('cannot be read any more once one of the persons concerned was forgotten', async () => {
  const path = await home({ mode: 'full', encrypt: true })
  const of = await using(path, async (log) => {
    const places = await log.recordMany([event(['ann'], 'a'), event(['ann', 'bob'], 'ab'), event(['bob'], 'b')])
    const vault = new Vault(join(path, 'vault'))
    vault.forget('ann')
    vault.close()
    const read = () => Promise.all(places.map(({ index }) => valueAt(log, index)))
    expect(await read()).toEqual(['sealed', 'sealed', 'b'])
    // Whoever comes back is somebody new.
    const { index } = await log.record(event(['ann'], 'again'))
    expect(await valueAt(log, index)).toBe('again')
    return places
  })
  expect(of).toHaveLength(3)
  const report = await verifyHome({ home: path, pins: null })
  expect(report).toMatchObject({ verdict: 'verified', findings: [] })
})

it('notices a payload that was altered or moved, though it is encrypted', async () => {
  const path = await home({ mode: 'full', encrypt: true })
  await using(path, (log) => log.recordMany([event([], 'one'), event([], 'two'), event([], 'three')]))
  const db = new DatabaseSync(join(path, 'log.db'))
  const rows = db.prepare('SELECT idx, disclosure FROM payloads ORDER BY idx').all()
  const put = db.prepare('UPDATE payloads SET disclosure = ? WHERE idx = ?')
  put.run(rows[0]!.disclosure!, rows[1]!.idx!)
  put.run(
    String(rows[2]!.disclosure).replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A')),
    rows[2]!.idx!,
  )
  db.close()
  const { verdict, findings } = await verifyHome({ home: path, pins: null })
  expect(verdict).toBe('failed')
  expect(findings.map(({ code, index }) => [code, index])).toEqual([
    ['disclosure_altered', rows[1]!.idx],
    ['disclosure_altered', rows[2]!.idx],
  ])
})

it('reads what was recorded before encryption, and after it was switched off', async () => {
  const path = await home({ mode: 'full', encrypt: false })
  const plain = await using(path, (log) => log.record(event([], 'plain')))
  vi.stubEnv('INDELIBLE_PRIVACY__ENCRYPT', 'true')
  const sealed = await using(path, (log) => log.record(event([], 'hidden')))
  vi.stubEnv('INDELIBLE_PRIVACY__ENCRYPT', 'auto')
  await using(path, async (log) => {
    expect(await valueAt(log, plain.index)).toBe('plain')
    expect(await valueAt(log, sealed.index)).toBe('hidden')
  })
})

it('records persons under pseudonyms, and finds them by their names', async () => {
  const path = await home({ pseudonyms: ['actor', 'on_behalf_of', 'session'] })
  const user = { type: 'user' as const, id: 'alice@x.example', name: 'Alice Example' }
  const agent = { type: 'agent' as const, id: 'bot', on_behalf_of: 'alice@x.example' }
  const tokens = await using(path, async (log) => {
    const [a, b] = await log.recordMany([
      { type: 'run.start', actor: user, session: 'alice-1' },
      { type: 'run.end', actor: agent, session: 'alice-1' },
    ])
    const [one, two] = [(await log.read(a!.index)).record, (await log.read(b!.index)).record]
    expect(one.actor).toEqual({ type: 'user', id: expect.stringMatching(/^p_/) })
    // One person, one token.
    expect(two.actor).toEqual({ type: 'agent', id: 'bot', on_behalf_of: one.actor.id })
    expect(two.session).toBe(one.session)
    expect(Object.keys(one.parts!)).toEqual(['actor.name'])
    return [one.actor.id, one.session]
  })
  expect(tokens[0]).not.toBe(tokens[1])
  const ask = async (filter: object) => {
    await using(path, async () => {})
    const query = await openQuery({ home: path })
    try {
      return (await query.page(filter)).hits.length
    } finally {
      await query.close()
    }
  }
  expect(await ask({ actor: 'alice@x.example' })).toBe(1)
  expect(await ask({ on_behalf_of: ['nobody', 'alice@x.example'] })).toBe(1)
  expect(await ask({ session: 'alice-1' })).toBe(2)
  expect(await ask({ actor: tokens[0] })).toBe(1)
  expect(grep(path)).not.toContain('alice')
  const vault = new Vault(join(path, 'vault'))
  vault.forget('alice@x.example')
  vault.close()
  expect(await ask({ actor: 'alice@x.example' })).toBe(0)
  expect(await verifyHome({ home: path, pins: null })).toMatchObject({ verdict: 'verified' })
})

it('gives the same receipt for a retry under a pseudonym', async () => {
  const path = await home({ pseudonyms: ['actor'], mode: 'full', encrypt: true })
  const given = {
    id: '01890000-0000-7000-8000-000000000001',
    type: 'run.start' as const,
    actor: { type: 'user' as const, id: 'alice@x.example' },
    parts: { prompt: { value: 'hello' } },
  }
  const first = await using(path, (log) => log.record(given))
  const again = await using(path, (log) => log.record(given))
  expect(again).toMatchObject({ index: first.index, duplicate: true })
})
