import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { checkErasures } from '../src/cli/doctor-erasures.ts'
import { openLog } from '../src/log/home.ts'
import type { Log } from '../src/log/log.ts'
import { verifyHome } from '../src/log/verify-home.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { openQuery } from '../src/query/home-query.ts'
import { newId } from '../src/record/id.ts'
import { checkProof } from '../src/verify/check-proof.ts'
import { configure, homeWithPersons, isHeld, secret, visit } from './erase-kit.ts'
import type { TestHome } from './faults-kit.ts'

const why = { reason: 'gdpr-17', by: 'dpo' } as const

async function withVisits(made: TestHome, names: readonly string[]): Promise<Log> {
  const log = await openLog({ home: made.home })
  for (const name of names) await log.recordMany(visit(name))
  return log
}

const verdict = async ({ home, pins }: TestHome) => {
  const { verdict, findings } = await verifyHome({ home, pins })
  return [verdict, ...findings.map(({ code }) => code)]
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const value of values) all.push(value)
  return all
}

describe('an erasure', () => {
  it('takes everything of one person from every file, and nothing of another', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    await (await openQuery({ home: made.home })).close()
    expect(await collect(log.subjectEntries('ann'))).toEqual([3, 4])
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(true)

    const receipt = await log.erase({ subject: 'ann', ...why })
    expect(receipt).toMatchObject({
      state: 'done',
      entries: 2,
      parts: 2,
      erased: [
        [3, 'input'],
        [4, 'output'],
      ],
      waiting: [],
    })
    const [pending, done] = await Promise.all(receipt.recorded.map((index) => log.read(index)))
    expect(pending!.record).toMatchObject({
      type: 'audit.erased',
      audit: {
        erasure: receipt.erasure,
        state: 'pending',
        scope: 'subject',
        reason: 'gdpr-17',
        by: 'dpo',
        counts: { entries: 2, parts: 2 },
        parts: [
          [3, 'input'],
          [4, 'output'],
        ],
      },
    })
    expect(done!.record.audit).toEqual({
      erasure: receipt.erasure,
      state: 'done',
      counts: { entries: 2, parts: 2 },
    })
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(false)
    expect(isHeld(made.home, secret('bob', 'card'))).toBe(true)
    expect(await collect(log.subjectEntries('ann'))).toEqual([])
    expect(await collect(log.subjectEntries('bob'))).toEqual([7, 8])
    expect(readdirSync(join(made.home, 'erasures'))).toEqual([])
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })

  it('takes what was said in the same runs as well, if asked to', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    const receipt = await log.erase({ subject: 'ann', wholeRuns: true, ...why })
    expect(receipt.erased.map(([index]) => index)).toEqual([2, 3, 4])
    await log.close()
    for (const what of ['seat', 'card']) {
      expect(isHeld(made.home, secret('ann', what))).toBe(false)
      expect(isHeld(made.home, secret('bob', what))).toBe(true)
    }
  })

  it('leaves the full-text index without the words, and able to find the rest', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    const found = async (text: string) => {
      await using query = await openQuery({ home: made.home })
      return (await query.page({ text })).hits.map(({ index }) => index)
    }
    await using open = await openQuery({ home: made.home })
    expect(await found(secret('ann', 'card'))).toEqual([4])
    expect(isHeld(made.home, secret('ann', 'card').toLowerCase())).toBe(true)
    await log.erase({ subject: 'ann', wholeRuns: true, ...why })
    expect(isHeld(made.home, secret('ann', 'card').toLowerCase())).toBe(false)
    // One that was open all along, and knew the terms of before.
    await open.update()
    expect((await open.page({ text: secret('bob', 'card') })).hits.map(({ index }) => index)).toEqual([8])
    expect((await open.page({ tool: 'get_user' })).hits.map(({ index }) => index)).toEqual([8, 7, 4, 3])
    expect(await found(secret('ann', 'card'))).toEqual([])
    expect(await found(secret('bob', 'card'))).toEqual([8])
    await log.close()
  })

  it('of one part of one entry leaves the others', async () => {
    const made = await homeWithPersons()
    const log = await openLog({ home: made.home })
    const { index } = await log.record({
      ...visit('ann')[2]!,
      parts: { input: { value: 'a' }, output: { value: 'b' } },
    })
    expect(await log.erase({ index, part: 'output', ...why })).toMatchObject({ erased: [[index, 'output']] })
    expect([...(await log.read(index)).disclosures.keys()]).toEqual(['input'])
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })

  it('of a run takes the parts of its entries', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    expect((await log.erase({ run: 'run-bob', ...why })).erased.map(([index]) => index)).toEqual([6, 7, 8])
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })

  it('leaves proofs valid that were made before', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    const { entry, proof } = await log.prove(4)
    await log.erase({ subject: 'ann', ...why })
    await log.close()
    const checked = checkProof(proof, entry, { origin: made.origin, keys: [parseVkey(made.vkey)] })
    expect(checked).toMatchObject({ index: 4, record: { type: 'tool.end' } })
  })

  it('can be of more parts than one entry has room to list', async () => {
    const made = await homeWithPersons()
    const log = await openLog({ home: made.home })
    const events = Array.from({ length: 5000 }, () => ({
      type: 'x.step',
      actor: { type: 'agent', id: 'a' } as const,
      subjects: ['ann'],
      parts: { input: { value: 1 }, 'a.rather.long.name.of.a.part': { value: 2 } },
    }))
    await log.recordMany(events)
    const receipt = await log.erase({ subject: 'ann', ...why })
    expect(receipt).toMatchObject({ state: 'done', entries: 5000, parts: 10_000 })
    expect(receipt.recorded.length).toBeGreaterThan(4)
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })
})

describe('an erasure in a home of another kind', () => {
  it.each([
    ['whose entries are in files', {}, { store: 'file:log' }],
    ['whose payloads are encrypted', { encrypt: true }, {}],
    ['whose payloads are in encrypted files', { encrypt: true }, { store: 'file:log' }],
    ['that keeps persons under pseudonyms', { encrypt: true, pseudonyms: ['actor', 'on_behalf_of', 'session'] }, {}],
  ])('%s takes everything, and verifies', async (_, privacy, options) => {
    const made = await homeWithPersons(privacy, options)
    const log = await withVisits(made, ['ann', 'bob'])
    await (await openQuery({ home: made.home })).close()
    const receipt = await log.erase({ subject: 'ann', wholeRuns: true, ...why })
    expect(receipt).toMatchObject({ state: 'done', waiting: [], entries: 3 })
    for (const what of ['card', 'seat']) {
      expect(isHeld(made.home, secret('ann', what))).toBe(false)
      expect(isHeld(made.home, secret('ann', what).toLowerCase())).toBe(false)
    }
    expect((await log.read(7)).disclosures.size + (await log.read(8)).disclosures.size).toBe(2)
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })
})

describe('an erasure that has to wait', () => {
  it('is pending while a reader holds an older state, and done when it is asked for again', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    const reader = new DatabaseSync(join(made.home, 'log.db'), { readOnly: true })
    reader.exec('BEGIN; SELECT count(*) FROM payloads')
    reader.prepare('SELECT count(*) FROM payloads').get()
    const receipt = await log.erase({ subject: 'ann', ...why })
    expect(receipt).toMatchObject({ state: 'pending', waiting: [expect.stringContaining('WAL')] })
    expect((await log.read(4)).disclosures.size).toBe(0)
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(true)
    expect(await log.resumeErasures()).toMatchObject([{ erasure: receipt.erasure, state: 'pending' }])
    expect(checkErasures(made.home, Date.now())).toMatchObject([{ check: 'erasures', state: 'warning' }])
    reader.close()
    expect(await log.resumeErasures()).toMatchObject([
      { erasure: receipt.erasure, state: 'done', entries: 2, parts: 2, erased: receipt.erased },
    ])
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(false)
    expect(await log.resumeErasures()).toEqual([])
    expect(checkErasures(made.home, Date.now())).toEqual([])
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })

  it('is pending while events of before wait in the spool, not for those of after', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    const spool = join(made.home, 'spool')
    mkdirSync(spool, { recursive: true })
    const segment = (ms: number) => join(spool, `${newId(ms)}.owner.spool`)
    const before = segment(Date.now() - 1000)
    writeFileSync(before, '')
    writeFileSync(segment(Date.now() + 60_000), '')
    const receipt = await log.erase({ subject: 'ann', ...why })
    expect(receipt).toMatchObject({
      state: 'pending',
      waiting: ['spool: 1 segments wait to be replayed, or are damaged'],
    })
    rmSync(before)
    expect(await log.resumeErasures()).toMatchObject([{ state: 'done', waiting: [] }])
    await log.close()
  })

  it('goes on by itself when the log is opened next', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    const reader = new DatabaseSync(join(made.home, 'log.db'), { readOnly: true })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM payloads').get()
    expect((await log.erase({ subject: 'ann', ...why })).state).toBe('pending')
    reader.close()
    await log.close()
    expect(readdirSync(join(made.home, 'erasures'))).toHaveLength(1)
    await (await openLog({ home: made.home })).close()
    expect(readdirSync(join(made.home, 'erasures'))).toEqual([])
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(false)
    expect(await verdict(made)).toEqual(['verified'])
  })
})

describe('an erasure is refused', () => {
  it('of somebody unknown, and of what is gone, without an entry', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    const size = async () => (await log.checkpoint())!.split('\n')[1]
    await log.erase({ subject: 'ann', ...why })
    const before = await size()
    for (const what of [{ subject: 'ann' }, { subject: 'nobody' }, { index: 4 }, { run: 'no-run' }, { index: 5 }]) {
      await expect(log.erase({ ...what, ...why })).rejects.toMatchObject({ code: 'ERR_NOTHING_TO_ERASE' })
    }
    await expect(log.erase({ index: 4000, ...why })).rejects.toMatchObject({ code: 'ERR_ENTRY_NOT_FOUND' })
    expect(await size()).toBe(before)
    await log.close()
  })

  it.each([
    ['nothing', { ...why }],
    ['two things', { subject: 'ann', index: 3, ...why }],
    ['a free-text reason', { subject: 'ann', reason: 'Ann asked for it', by: 'dpo' }],
    ['nobody who asks', { subject: 'ann', reason: 'gdpr-17', by: '' }],
    ['whole runs of an entry', { index: 3, wholeRuns: true, ...why }],
  ])('that names %s', async (_, request) => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    await expect(log.erase(request)).rejects.toMatchObject({ code: 'ERR_ERASURE_INVALID' })
    expect((await log.read(4)).disclosures.size).toBe(1)
    await log.close()
  })

  it('without the approvals that the configuration asks for', async () => {
    const made = await homeWithPersons({ erasure: { approvers: 1 } })
    const log = await withVisits(made, ['ann'])
    for (const approvedBy of [[], ['dpo'], ['dpo', 'head']]) {
      const refused = log.erase({ subject: 'ann', ...why, approvedBy })
      await expect(refused).rejects.toMatchObject({ code: 'ERR_ERASURE_UNAPPROVED' })
    }
    const { recorded } = await log.erase({ subject: 'ann', ...why, approvedBy: ['head'] })
    expect((await log.read(recorded[0]!)).record.audit).toMatchObject({ by: 'dpo', approved_by: ['head'] })
    await log.close()
  })

  it('by a guard, before anything is written or deleted', async () => {
    const made = await homeWithPersons()
    await (await withVisits(made, ['ann'])).close()
    const asked: unknown[] = []
    const guard = (targets: unknown) => {
      asked.push(targets)
      throw new Error('held')
    }
    const log = await openLog({ home: made.home, erasureGuards: [guard] })
    await expect(log.erase({ subject: 'ann', ...why })).rejects.toThrow('held')
    expect(asked).toMatchObject([
      [
        { index: 3, parts: ['input'] },
        { index: 4, parts: ['output'] },
      ],
    ])
    expect((await log.read(4)).disclosures.size).toBe(1)
    expect(existsSync(join(made.home, 'erasures'))).toBe(false)
    await log.close()
  })
})

describe('two erasures at once', () => {
  it('in one process both end well', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann', 'bob'])
    const receipts = await Promise.all([
      log.erase({ subject: 'ann', ...why }),
      log.erase({ subject: 'bob', ...why }),
      log.erase({ subject: 'ann', ...why }).catch((error: { code: string }) => error.code),
    ])
    expect(receipts).toMatchObject([{ state: 'done' }, { state: 'done' }, 'ERR_NOTHING_TO_ERASE'])
    await log.close()
    expect(await verdict(made)).toEqual(['verified'])
  })

  it('of the same person through two handles both end well', async () => {
    const made = await homeWithPersons()
    const log = await withVisits(made, ['ann'])
    const other = await openLog({ home: made.home })
    const outcomes = await Promise.allSettled([
      log.erase({ subject: 'ann', ...why }),
      other.erase({ subject: 'ann', ...why }),
    ])
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'ERR_NOTHING_TO_ERASE' })
    }
    await other.resumeErasures()
    await log.resumeErasures()
    await Promise.all([log.close(), other.close()])
    expect(isHeld(made.home, secret('ann', 'card'))).toBe(false)
    expect(readdirSync(join(made.home, 'erasures'))).toEqual([])
    expect(await verdict(made)).toEqual(['verified'])
  })
})

describe('persons', () => {
  it('are found before the policy withholds the value, and their ids are in no file', async () => {
    const made = await homeWithPersons({ mode: 'fingerprint' })
    const log = await withVisits(made, ['annabella'])
    expect(await collect(log.subjectEntries('annabella'))).toEqual([3, 4])
    await log.close()
    expect(isHeld(join(made.home, 'keys'), 'annabella')).toBe(false)
    const db = new DatabaseSync(join(made.home, 'log.db'))
    expect(db.prepare('SELECT count(*) AS n, max(length(subject)) AS length FROM subjects').get()).toEqual({
      n: 2,
      length: 16,
    })
    db.close()
  })

  it('are found in texts that are JSON, under any tool, and in lists', async () => {
    const made = await homeWithPersons({ subjects: { '*.customers.*.id': 'c:', 'find.user': '' } })
    const log = await openLog({ home: made.home })
    const event = (name: string, value: unknown) =>
      ({ type: 'tool.start', actor: { type: 'agent', id: 'a' }, tool: { name }, parts: { input: { value } } }) as const
    await log.record(event('other', { customers: [{ id: 1 }, { id: 'x' }] }))
    await log.record(event('find', JSON.stringify({ user: 'ann', customers: { a: { id: 'x' } } })))
    await log.record({ ...event('find', { user: 'ann' }), subjects: ['ann', 'ann', 'eve'] })
    const hostile = {
      get user(): string {
        throw new Error('no')
      },
    }
    await log.record(event('find', hostile))
    const entries = async (id: string) => collect(log.subjectEntries(id))
    expect([await entries('c:1'), await entries('c:x'), await entries('ann'), await entries('eve')]).toEqual([
      [2],
      [2, 3],
      [3, 4],
      [4],
    ])
    await log.close()
  })

  it('are mapped by a path that has a tool and a member', async () => {
    const made = await homeWithPersons()
    configure(made.home, { subjects: { user_id: '' } })
    await expect(openLog({ home: made.home })).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })
})
