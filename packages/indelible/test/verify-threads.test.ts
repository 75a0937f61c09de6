/** A log large enough that threads look at its entries ahead of the verifier. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config/config.ts'
import { createLog, openLog, verifyHome } from '../src/index.ts'
import { VerifyThreads } from '../src/log/verify-threads.ts'
import { openStoreAt } from '../src/store/stores.ts'

const ENTRIES = 20_500
const root = mkdtempSync(join(tmpdir(), 'indelible-threads-'))

describe.each(['sqlite:log.db', 'file:log'])('a large log in %s', (url) => {
  const home = join(root, url.replace(':', '-'))

  beforeAll(async () => {
    await createLog({ home, pins: null, store: url })
    const log = await openLog({ home, index: false })
    for (let at = 0; at < ENTRIES; at += 500) {
      await log.recordMany(
        Array.from({ length: 500 }, (_, i) => ({
          type: 'tool.end',
          actor: { type: 'agent', id: 'a' },
          parts: { output: { value: { n: at + i } } },
        })),
      )
    }
    await log.close()
  })

  it('has its windows settled by the threads, but for what is not ordinary', async () => {
    const config = loadConfig(home)
    const store = await openStoreAt(url, { home, origin: config.log.origin, readOnly: true })
    const threads = (await VerifyThreads.start(home, config, store))!
    const [first, later] = await Promise.all([threads.check(0, 1024), threads.check(5000, 5100)])
    expect(first!.settled.indexOf(0)).toBe(0)
    expect(first!.settled.reduce((sum, one) => sum + one, 0)).toBe(1023)
    expect([...later!.settled]).toEqual(Array(100).fill(1))
    await threads.close()
    expect(await threads.check(0, 10)).toBeNull()
    await store.close()
  })

  it('is verified, from both ends of any range', async () => {
    expect(await verifyHome({ home, pins: null })).toMatchObject({ verdict: 'verified', findings: [] })
    const part = await verifyHome({ home, pins: null, from: 300, to: ENTRIES - 300 })
    expect(part).toMatchObject({ verdict: 'verified', findings: [] })
  })
})

describe('a large log that was tampered with', () => {
  it.each([
    [
      "UPDATE entries SET entry = CAST(replace(entry, 'tool.end', 'tool.ens') AS BLOB) WHERE idx = 12345",
      'entry_altered',
    ],
    ['DELETE FROM payloads WHERE idx = 12345', 'disclosure_missing'],
    ['UPDATE ids SET idx = 12344 WHERE idx = 12345', 'id_altered'],
    ['DELETE FROM entries WHERE idx = 12345', 'entry_missing'],
  ])('shows it: %s', async (sql, code) => {
    const home = join(root, 'sqlite-log.db')
    const db = new DatabaseSync(join(home, 'log.db'))
    const triggers = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all()
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
    const kept = ['entries', 'payloads', 'ids'].map(
      (table) => [table, db.prepare(`SELECT * FROM ${table} WHERE idx = 12345`).get()!] as const,
    )
    db.exec(sql)
    const { verdict, findings } = await verifyHome({ home, pins: null })
    expect({ verdict, codes: findings.map((finding) => finding.code) }).toMatchObject({
      verdict: 'failed',
      codes: expect.arrayContaining([code]),
    })
    expect(findings.find((finding) => finding.code === code)).toMatchObject({ index: 12345 })
    for (const [table, row] of kept) {
      const names = Object.keys(row)
      db.prepare(`REPLACE INTO ${table} (${names}) VALUES (${names.map(() => '?')})`).run(...Object.values(row))
    }
    db.close()
  })
})

afterAll(() => rmSync(root, { recursive: true, force: true }))
