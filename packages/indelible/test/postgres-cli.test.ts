import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Sandbox } from './cli/kit.ts'
import { sql } from './postgres/server.ts'
import { noServer, sharedServer } from './postgres/shared.ts'

const event = (i: number) => ({
  type: i % 2 ? 'tool.end' : 'tool.start',
  actor: { type: 'agent', id: `agent-${i % 3}` },
  outcome: 'success',
  run: { id: 'r1' },
  parts: { output: { value: `result number${i}` } },
})

describe.skipIf(noServer)('the command line on a home whose log is in Postgres', () => {
  it('records, lists, shows, follows, verifies, exports and looks after it, and never shows the password', async (test) => {
    const box = new Sandbox(test)
    const server = new URL(await sharedServer())
    const role = `cli_${randomBytes(4).toString('hex')}`
    await sql(server.href, `CREATE ROLE ${role} LOGIN PASSWORD 'hunter2-s3cret'`)
    const set = await box.indelible(['store', 'setup', server.href, '--writer', role, '--json'])
    expect(set).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(set.stdout)).toMatchObject({ granted: [role] })
    server.username = role
    server.password = 'hunter2-s3cret'
    const seen: string[] = []
    const run = async (args: string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}) => {
      const result = await box.indelible(args, options)
      seen.push(result.stdout, result.stderr)
      return result
    }
    const json = async (...args: string[]) => JSON.parse((await run([...args, '--json'])).stdout)

    const origin = `example.com/${role}`
    const made = await json('init', '--store', server.href, '--origin', origin)
    expect((await run(['config', 'set', 'privacy.mode', 'full'])).code).toBe(0)
    const input = Array.from({ length: 30 }, (_, i) => JSON.stringify(event(i))).join('\n')
    expect(await run(['record'], { input })).toMatchObject({ code: 0 })
    expect(await json('list', '--actor', 'agent-1', '--count')).toMatchObject({ count: 10 })
    expect((await run(['list', '--type', 'tool.*', '--limit', '5'])).stdout.trim().split('\n').length).toBeGreaterThan(
      4,
    )
    expect((await run(['show', '8'])).stdout).toContain('agent-0')
    expect((await run(['show', 'r1'])).code).toBeLessThan(3)
    expect((await run(['tail', '-n', '3', '--json'])).stdout.trim().split('\n')).toHaveLength(3)
    expect((await run(['prove', '7'])).code).toBe(0)

    // Payloads are encrypted, as a server's WAL and backups keep what was deleted: they are found all the same, and nothing
    // of them is in the database.
    expect(await json('list', '--text', 'NUMBER7', '--count')).toMatchObject({ count: 1 })
    expect(await json('list', '--text', 'number', '--count')).toMatchObject({ count: 0 })
    const held = `SELECT count(*)::int AS n FROM indelible.payloads p JOIN indelible.logs l ON l.id = p.log WHERE origin = '${origin}'`
    expect(await sql(server.href, held)).toEqual([{ n: 30 }])
    expect(await sql(server.href, `${held} AND disclosure LIKE '%number%'`)).toEqual([{ n: 0 }])
    const words = `SELECT count(*)::int AS n FROM indelible.index_words WHERE array_to_string(words, ' ') LIKE '%number7%'`
    expect(await sql(server.href, words)).toEqual([{ n: 0 }])

    const status = await json('status')
    expect(status).toMatchObject({ origin, entries: 32, index: { size: 32, behind: 0 } })
    expect(status.store.file).toBe(`127.0.0.1:${server.port}${server.pathname}`)
    expect(status.store.bytes).toBeGreaterThan(10_000)
    expect((await run(['status'])).code).toBe(0)
    const doctor = await json('doctor')
    expect(doctor.checks.filter(({ state }: { state: string }) => state === 'failure')).toEqual([])
    expect((await run(['config'])).code).toBe(0)
    expect(await run(['index', 'rebuild'])).toMatchObject({ code: 0, stdout: 'indexed 32 entries\n' })

    writeFileSync(box.path('mac.key'), made.mac_key)
    const verified = await run(['verify', '--mac-key', box.path('mac.key')])
    expect(verified.code, verified.stdout + verified.stderr).toBe(0)
    const exported = await run(['export', '--format', 'evidence', '--out', box.path('all.evidence.zip')])
    expect(exported.code, exported.stderr).toBe(0)
    expect((await run(['check', box.path('all.evidence.zip'), '--vkey', made.vkey])).code).toBeLessThan(2)

    const wrong = new URL(server)
    wrong.port = '1'
    const env = { INDELIBLE_LOG__STORE: wrong.href }
    const shut = await run(['list'], { env })
    expect(shut).toMatchObject({ code: 3, stdout: '' })
    expect(shut.stderr).toContain('ERR_STORE_UNREACHABLE')
    for (const text of seen) expect(text).not.toMatch(/hunter/)
  })
})
