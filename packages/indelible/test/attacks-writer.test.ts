/** Honest software must not sign over what somebody put into the store. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { afterAll, describe, expect, it } from 'vitest'
import { isIndelibleError } from '../src/errors.ts'
import { createLog, type Log, openLog, Pins } from '../src/index.ts'
import { signerFromSkey } from '../src/keys/signer.ts'
import type { SyncNoteSigner } from '../src/note/signed-note.ts'
import { Forger } from './attack-forger.ts'
import {
  cleanUp,
  dropTriggers,
  ORIGIN,
  openDatabase,
  rowOf,
  type Specimen,
  stolenKeys,
  temporary,
} from './attack-kit.ts'
import type { AttackId } from './attack-table.ts'

afterAll(cleanUp)

const event = { type: 'x.a', actor: { type: 'agent', id: 'a' } } as const

async function makeLog(entries = 5) {
  const directory = temporary()
  const home = join(directory, 'home')
  await createLog({ home, origin: ORIGIN, pins: new Pins(join(directory, 'pins')) })
  const firstSigner = signerFromSkey(readFileSync(join(home, 'keys', 'log.skey'), 'utf8'))
  const log = await openLog({ home })
  await log.recordMany(Array.from({ length: entries }, () => event))
  await log.close()
  return { home, path: join(home, 'log.db'), firstSigner }
}

interface Tampered {
  readonly db: DatabaseSync
  readonly forged: Forger
  readonly home: string
  readonly firstSigner: SyncNoteSigner
}

/** Tampers with the store of a closed log and of an open one; both writers refuse, and sign nothing. */
function launder(id: AttackId, tamper: (tampered: Tampered) => unknown, options: Options = {}): void {
  const { attack, finding } = rowOf(id)
  const { entries = 5, rotate = false, when = ['restart', 'running'] } = options
  for (const state of when) {
    it(`${attack}, ${state === 'restart' ? 'before a restart' : 'under a running writer'}: ${finding}`, async () => {
      const { home, path, firstSigner } = await makeLog(entries)
      let log: Log | null = state === 'running' || rotate ? await openLog({ home }) : null
      await log?.record(event)
      if (rotate) await log?.rotateKey()
      if (state === 'restart') {
        await log?.close()
        log = null
      }
      const db = openDatabase(path)
      dropTriggers(db)
      await tamper({ db, forged: new Forger(db, ORIGIN), home, firstSigner })
      const before = snapshot(db)
      const refused = log ? log.record(event) : openLog({ home }).then((opened) => opened.close())
      const error = await refused.then(
        () => null,
        (error: unknown) => error,
      )
      expect(isIndelibleError(error) && error.code).toBe(finding)
      await log?.close()
      expect(snapshot(db)).toEqual(before)
      db.close()
    })
  }
}

interface Options {
  readonly entries?: number
  readonly rotate?: boolean
  readonly when?: readonly ('restart' | 'running')[]
}

/** Everything that is signed or that says what is in the log. */
function snapshot(db: DatabaseSync): unknown {
  return [
    db.prepare('SELECT * FROM head').all(),
    db.prepare('SELECT count(*) FROM entries').all(),
    db.prepare('SELECT * FROM checkpoints').all(),
  ]
}

const edit = (db: DatabaseSync, text: string, ...values: (string | number | Uint8Array)[]) =>
  db.prepare(text).run(...values)
const rename = (forged: Forger, index: number) =>
  forged.edit(index, (record) => ({ ...record, actor: { type: 'user', id: 'x' } }))
const keysOf = (home: string) => stolenKeys({ home } as Specimen)
const flip = (db: DatabaseSync, column: string) => {
  const bytes = Object.values(db.prepare(`SELECT ${column} FROM head`).get()!)[0] as Uint8Array
  edit(db, `UPDATE head SET ${column} = ?`, bytes.with(0, bytes[0]! ^ 1))
}
const setLast = (forged: Forger, index: number, change: (observed: string) => string) => {
  forged.edit(index, (record) => ({ ...record, observed: change(String(record.observed)) }))
  edit(forged.db, 'UPDATE head SET observed = ?', String(forged.record(index).observed))
}
const last = (forged: Forger) => forged.rows().length - 1

describe('an honest writer refuses', () => {
  launder('launder-rewrite', ({ forged }) => rename(forged, 2).retree())
  launder('launder-rewrite', ({ forged }) => rename(forged, 300).retree(), { entries: 600 })
  launder('launder-rewrite-signed', ({ forged, home }) => {
    const { signer, ratchet } = keysOf(home)
    rename(forged, 2).retree().remac(ratchet, 0).sign(signer)
  })
  launder('launder-rewrite-signed', ({ forged, home }) => {
    // And made longer, so that it is not behind.
    const { signer, ratchet } = keysOf(home)
    rename(forged, 2).append({ id: '01890000-0000-7000-8000-000000000001' })
    forged.retree().remac(ratchet, 0).sign(signer)
  })
  launder('launder-mac', ({ db, forged }) => {
    flip(db, 'mac')
    edit(db, 'UPDATE entries SET mac = (SELECT mac FROM head) WHERE idx = ?', last(forged))
  })
  launder('launder-head-mac', ({ db }) => flip(db, 'mac'))
  launder('launder-head-epoch', ({ db, forged }) => {
    edit(db, 'UPDATE head SET epoch = 7')
    edit(db, 'UPDATE entries SET epoch = 7 WHERE idx = ?', last(forged))
  })
  launder('launder-frontier', ({ db }) => flip(db, 'frontier'))
  // The frontier of 6 entries folds to the same root as one of 5 with the same hashes would.
  launder('launder-frontier', ({ db }) => edit(db, 'UPDATE head SET size = 5'), { when: ['restart'] })
  const later = "UPDATE head SET observed = replace(observed, '20', '21')"
  launder('launder-time', ({ db }) => edit(db, later))
  // Entries in no tile, and the last one of a tile.
  for (const entries of [5, 255]) {
    const when = entries === 255 ? (['restart'] as const) : (['restart', 'running'] as const)
    launder(
      'launder-last',
      ({ forged, db }) => {
        // The running writer knows its own head: it notices once that is not what it left.
        rename(forged, last(forged)).retree()
        edit(db, 'UPDATE head SET mac = mac')
      },
      { entries, when },
    )
  }
  launder(
    'launder-time',
    ({ forged }) => {
      setLast(forged, last(forged), (observed) => observed.replace(/^20\d\d/, '2099'))
    },
    { entries: 255 },
  )
  launder('launder-time', ({ forged }) => setLast(forged, last(forged), (observed) => observed.replace('Z', '1Z')))
  launder('launder-published', ({ db }) => edit(db, "UPDATE head SET published = '9999-01-01T00:00:00.000Z'"), {
    when: ['restart'],
  })
  launder(
    'launder-predecessor',
    ({ db, forged }) => {
      edit(db, 'DELETE FROM entries WHERE idx = ?', last(forged) - 1)
      flip(db, 'mac')
      edit(db, 'UPDATE entries SET mac = (SELECT mac FROM head) WHERE idx = (SELECT max(idx) FROM entries)')
    },
    { entries: 256, when: ['restart'] },
  )
  launder('launder-edge', ({ db }) => edit(db, 'UPDATE entries SET leaf = zeroblob(32) WHERE idx = 2'), {
    when: ['restart'],
  })
  launder(
    'launder-old-key',
    ({ forged, home, firstSigner, db }) => {
      const { ratchet } = keysOf(home)
      const at = forged.append({ id: '01890000-0000-7000-8000-000000000001' })
      forged.retree().remac(ratchet, at)
      edit(db, 'UPDATE head SET checkpoint = ?', forged.note(at + 1, [firstSigner]))
    },
    { rotate: true },
  )
  launder(
    'empty-running',
    ({ db }) => {
      for (const table of ['entries', 'payloads', 'ids', 'tiles', 'head', 'checkpoints'])
        edit(db, `DELETE FROM ${table}`)
    },
    { when: ['running'] },
  )

  const rollBack = ({ db }: Tampered) => {
    const { note, size } = db.prepare('SELECT * FROM checkpoints ORDER BY size LIMIT 1').get() as {
      note: string
      size: number
    }
    for (const table of ['entries', 'payloads', 'ids']) edit(db, `DELETE FROM ${table} WHERE idx >= ?`, size)
    const forged = new Forger(db, ORIGIN).retree()
    const row = forged.rows().at(-1)!
    edit(db, 'DELETE FROM checkpoints WHERE size > ?', size)
    const observed = String(forged.record(row.idx).observed)
    edit(db, 'UPDATE head SET mac = ?, observed = ?, published = ?', row.mac, observed, observed)
    edit(db, 'UPDATE head SET checkpoint = ?', note)
  }
  launder('roll-back-running', rollBack, { when: ['running'] })
  launder('roll-back-restart', rollBack, { when: ['restart'] })

  it('goes on once the true database is back', async () => {
    const { home, path } = await makeLog()
    const log = await openLog({ home })
    await log.record(event)
    const db = openDatabase(path)
    dropTriggers(db)
    const { mac } = db.prepare('SELECT mac FROM head').get() as { mac: Uint8Array }
    flip(db, 'mac')
    await expect(log.record(event)).rejects.toMatchObject({ code: 'ERR_HEAD_FORGED' })
    edit(db, 'UPDATE head SET mac = ?', mac)
    db.close()
    expect(await log.record(event)).toMatchObject({ index: 7 })
    await log.close()
  })
})

describe('a producer', () => {
  const audits = ['audit.opened', 'audit.epoch.sealed', 'audit.key.rotated', 'audit.purge.intent', 'audit.erased']
  it(`${rowOf('claim-audit').attack}: ${rowOf('claim-audit').finding}`, async () => {
    const { home } = await makeLog()
    const log = await openLog({ home })
    for (const type of [...audits, 'audit.anything', 'audit.', 'audit']) {
      const claimed = log.record({ ...event, type })
      await expect(claimed).rejects.toMatchObject({ code: rowOf('claim-audit').finding })
      await expect(log.recordMany([event, { ...event, type }])).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
    }
    for (const member of ['audit', 'observed', 'schema']) {
      const claimed = log.record({ ...event, [member]: {} } as never)
      await expect(claimed).rejects.toMatchObject({ code: 'ERR_EVENT_INVALID' })
    }
    expect(await log.record(event)).toMatchObject({ index: 6 })
    await log.close()
  })

  it(`${rowOf('claim-enforced').attack}: ${rowOf('claim-enforced').finding}`, async () => {
    const { home } = await makeLog()
    const log = await openLog({ home })
    const record = (claimed: 'enforced' | 'observed' | 'reported' | 'imported', channel?: typeof claimed) =>
      log.record({ ...event, assurance: claimed }, channel && { assurance: channel })
    await expect(record('enforced')).rejects.toMatchObject({ code: rowOf('claim-enforced').finding })
    await expect(record('observed', 'imported')).rejects.toMatchObject({ code: rowOf('claim-enforced').finding })
    const lower = await record('reported')
    expect((await log.read(lower.index)).record.assurance).toBe('reported')
    expect((await log.read((await record('enforced', 'enforced')).index)).record.assurance).toBe('enforced')
    const own = await log.record(event, { assurance: 'imported' })
    expect((await log.read(own.index)).record.assurance).toBe('imported')
    expect(own.index).toBe(8)
    await log.close()
  })
})
