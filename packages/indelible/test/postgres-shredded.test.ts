/** Erasure on a server whose WAL goes to an archive that nobody can reach into. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLog, openLog } from '../src/log/home.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { configure, visit } from './erase-kit.ts'
import { TestServer } from './postgres/server.ts'
import { binaries, noServer } from './postgres/shared.ts'

const isElsewhere = process.env.INDELIBLE_TEST_POSTGRES !== undefined
let server: TestServer | undefined
let folder: string

describe.skipIf(noServer !== null || isElsewhere)('a server that archives its WAL', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'indelible-shredded-'))
    server = await TestServer.start(binaries('oldest'), {
      settings: ['archive_mode=on', 'archive_command=/bin/true', 'wal_recycle=off'],
    })
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(name: string, privacy: object) {
    const home = join(folder, name)
    await createLog({ home, origin: `example.com/${name}`, store: `${server!.url()}?schema=${name}`, pins: null })
    configure(home, { mode: 'full', subjects: { 'get_user.user_id': '' }, ...privacy })
    const log = await openLog({ home })
    await log.recordMany(visit('ann'))
    return { home, log }
  }

  it('lets an erasure be done: what the archive has is ciphertext whose key is gone', { timeout: 60_000 }, async () => {
    const { home, log } = await open('sealed', {})
    const receipt = await log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })
    expect(receipt).toMatchObject({ state: 'done', parts: 2, waiting: [] })
    expect(receipt.ciphertext.join()).toContain('archived WAL')
    await log.close()
    expect(await verifyHome({ home, pins: null })).toMatchObject({ verdict: 'verified', findings: [] })
  })

  it('keeps one pending of what was not encrypted', { timeout: 60_000 }, async () => {
    const { log } = await open('plain', { encrypt: false })
    const receipt = await log.erase({ subject: 'ann', reason: 'gdpr-17', by: 'dpo' })
    expect(receipt).toMatchObject({ state: 'pending', ciphertext: [] })
    expect(receipt.waiting.join()).toContain('archived WAL')
    await log.close()
  })
})
