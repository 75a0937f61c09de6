/** Attacks on the rows of a database by somebody without any key. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Ratchet } from '../src/chain/chain.ts'
import { leafHash } from '../src/tree/hash.ts'
import { tileRoot } from '../src/tree/tile.ts'
import { Forger } from './attack-forger.ts'
import {
  attack,
  cleanUp,
  makeSpecimen,
  ORIGIN,
  openDatabase,
  type Specimen,
  type Victim,
  verify,
} from './attack-kit.ts'

let log: Specimen
let other: Specimen
beforeAll(async () => {
  log = await makeSpecimen()
  other = await makeSpecimen({ origin: 'other.example/log', perEpoch: 40, epochs: 2 })
})
afterAll(cleanUp)

const specimen = () => log
const forger = ({ db }: Victim) => new Forger(db, ORIGIN)
/** In the first tile, at its ends, and in none. */
const PLACES = [0, 255, 300, 530]

it('verifies what nobody attacked, for every verifier', async () => {
  expect(log.size).toBeGreaterThan(2 * 256 + 50)
  const { home, earlyPin, pin, macKey } = log
  for (const verifier of [{}, { pin }, { pin: earlyPin }, { macKey }, { pin: earlyPin, macKey }]) {
    const report = await verify(`${home}/log.db`, log, verifier)
    expect(report).toMatchObject({ verdict: 'verified', findings: [], size: log.size })
  }
})

/** Flips a bit of byte `at` of a column. */
function flip(victim: Victim, column: string, where: string, at = 0): void {
  const table = where.split(' ')[0]!
  const bytes = victim.one<Uint8Array>(`SELECT ${column} FROM ${where}`)
  const flipped = bytes.with(at, bytes[at]! ^ 1)
  victim.sql(`UPDATE ${table} SET ${column} = ? ${where.slice(table.length)}`, flipped)
}

describe('one byte', () => {
  for (const index of PLACES) {
    const row = `entries WHERE idx = ${index}`
    attack('flip-entry', specimen, (victim) => flip(victim, 'entry', row, 100), { index })
    attack('flip-leaf', specimen, (victim) => flip(victim, 'leaf', row, 31), { index, only: [] })
    attack('flip-mac', specimen, (victim) => flip(victim, 'mac', row), { index, only: [] })
    for (const change of ['epoch + 1', 'epoch + 100000000', '-1', '9007199254740991']) {
      const only = change === 'epoch + 1' ? { only: [] } : {}
      const alter = (victim: Victim) => victim.sql(`UPDATE entries SET epoch = ${change} WHERE idx = ${index}`)
      attack('flip-epoch', specimen, alter, { index, ...only })
    }
  }
  for (const at of [0, 31, 4000, 8191]) {
    attack('flip-tile', specimen, (victim) => flip(victim, 'hashes', 'tiles WHERE tile = 1', at), {
      index: 256,
      only: [],
    })
    const both = (victim: Victim) => {
      flip(victim, 'hashes', 'tiles WHERE tile = 1', at)
      const hashes = victim.one<Uint8Array>('SELECT hashes FROM tiles WHERE tile = 1')
      victim.sql('UPDATE tiles SET root = ? WHERE tile = 1', tileRoot(hashes))
    }
    attack('flip-tile-both', specimen, both, { index: 256 + Math.floor(at / 32), only: [] })
  }
  attack('flip-tile-root', specimen, (victim) => flip(victim, 'root', 'tiles WHERE tile = 0', 9), {
    index: 0,
    only: [],
  })
  for (const at of [0, 40]) {
    attack('flip-frontier', specimen, (victim) => flip(victim, 'frontier', 'head', at), { only: [] })
  }
  attack('flip-head-mac', specimen, (victim) => flip(victim, 'mac', 'head'), { only: [] })
  attack('flip-head-epoch', specimen, (victim) => victim.sql('UPDATE head SET epoch = epoch - 1'), { only: [] })
  const hour = "UPDATE head SET observed = replace(observed, 'T09', 'T08')"
  attack('flip-head-observed', specimen, (victim) => victim.sql(hour), { only: [] })
  for (const change of ['size + 1', 'size - 1', 'size + 1000', '1']) {
    attack('flip-head-size', specimen, (victim) => victim.sql(`UPDATE head SET size = ${change}`))
  }
  attack('flip-id', specimen, (victim) => victim.sql('UPDATE ids SET idx = 7 WHERE idx = 20'), { index: 20, only: [] })
})

describe('rows', () => {
  attack('delete-middle', specimen, (victim) => victim.sql('DELETE FROM entries WHERE idx = 301'), {
    index: 301,
    only: [],
  })
  attack('delete-unsealed', specimen, (victim) => victim.sql('DELETE FROM entries WHERE idx = 540'), {
    index: 540,
    only: [],
  })
  const move = (victim: Victim, by: number, from: number) => {
    for (const table of ['entries', 'payloads', 'ids']) {
      victim.sql(`UPDATE ${table} SET idx = -idx WHERE idx >= ?`, from)
      victim.sql(`UPDATE ${table} SET idx = ${by} - idx WHERE idx < 0`)
    }
  }
  const deleteAndMove = (victim: Victim) => {
    for (const table of ['entries', 'payloads', 'ids']) victim.sql(`DELETE FROM ${table} WHERE idx = 301`)
    move(victim, -1, 302)
  }
  attack('delete-shift', specimen, deleteAndMove, { index: 301 })
  const swap = (victim: Victim, a: number, b: number) => {
    for (const [from, to] of [
      [a, -1],
      [b, a],
      [-1, b],
    ]) {
      for (const table of ['entries', 'payloads', 'ids']) {
        victim.sql(`UPDATE ${table} SET idx = ? WHERE idx = ?`, to!, from!)
      }
    }
  }
  attack('swap-rows', specimen, (victim) => swap(victim, 300, 302), { index: 300 })
  attack('swap-rows-tail', specimen, (victim) => swap(victim, 540, 542), { index: 512 })
  const swapContents = (victim: Victim) => {
    const [a, b] = [300, 302].map((idx) => victim.one<Uint8Array>('SELECT entry FROM entries WHERE idx = ?', idx))
    forger(victim).write(300, b!).write(302, a!)
  }
  attack('swap-contents', specimen, swapContents, { index: 302 })
  const insert = (victim: Victim) => {
    move(victim, 1, 300)
    victim.sql('INSERT INTO entries SELECT 300, entry, leaf, mac, epoch FROM entries WHERE idx = 299')
  }
  attack('insert', specimen, insert, { index: 300 })

  const rename = (victim: Victim, index: number) =>
    forger(victim).edit(index, (record) => ({ ...record, actor: { type: 'user', id: 'somebody-else' } }))
  const withLeaf = (victim: Victim) => {
    rename(victim, 300)
    const entry = victim.one<Uint8Array>('SELECT entry FROM entries WHERE idx = 300')
    victim.sql('UPDATE entries SET leaf = ? WHERE idx = 300', leafHash(entry))
  }
  attack('rewrite-leaf', specimen, withLeaf, { index: 300 })
  for (const index of PLACES.slice(1)) {
    attack('rewrite-tree', specimen, (victim) => {
      rename(victim, index).retree()
    })
    attack('rewrite-chain', specimen, (victim) => {
      rename(victim, index)
        .retree()
        .remac(new Ratchet(0, new Uint8Array(32).fill(7)), 0)
    })
  }
  attack('append-unsigned', specimen, (victim) => {
    forger(victim).append({ id: '01890000-0000-7000-8000-000000000001' })
    forger(victim).retree()
  })
  for (const far of [0, 1, 5000]) {
    const append = `INSERT INTO entries SELECT ${far} + (SELECT size FROM head), entry, leaf, mac, epoch FROM entries LIMIT 1`
    attack('append-row', specimen, (victim) => victim.sql(append), { only: [] })
  }
  attack(
    'transplant-entry',
    specimen,
    (victim) => {
      victim.db.exec(`ATTACH '${other.home}/log.db' AS theirs`)
      victim.sql('DELETE FROM entries WHERE idx = 30')
      victim.sql('INSERT INTO entries SELECT * FROM theirs.entries WHERE idx = 30')
    },
    { index: 30 },
  )
  attack('delete-rows', specimen, (victim) => {
    for (const table of ['entries', 'payloads', 'ids', 'tiles', 'head', 'checkpoints'])
      victim.sql(`DELETE FROM ${table}`)
  })
  attack('delete-tile', specimen, (victim) => victim.sql('DELETE FROM tiles WHERE tile = 1'), { index: 256, only: [] })
  attack(
    'add-tile',
    specimen,
    (victim) => {
      const hashes = new Uint8Array(8192).fill(1)
      victim.sql('INSERT INTO tiles VALUES (0, 2, ?, ?)', tileRoot(hashes), hashes)
    },
    { only: [] },
  )
  attack('delete-id', specimen, (victim) => victim.sql('DELETE FROM ids WHERE idx = 20'), { index: 20, only: [] })
  const purge = (victim: Victim) => {
    victim.sql('DELETE FROM entries WHERE idx < 256')
    victim.sql('DELETE FROM payloads WHERE idx < 256')
    victim.sql('UPDATE head SET min_index = 256')
  }
  attack('raise-min-index', specimen, purge, { index: 0, only: [] })
  attack('forge-purge-intent', specimen, (victim) => {
    const id = '01890000-0000-7000-8000-000000000002'
    forger(victim).append({ id, type: 'audit.purge.intent', audit: { below: 256 } })
    forger(victim).retree()
    purge(victim)
  })
})

describe('parts', () => {
  /** An entry with the parts input and output. */
  const part = ({ home }: Specimen, nth = 0) => {
    const db = openDatabase(`${home}/log.db`)
    const query = "SELECT idx FROM payloads WHERE name = 'output' AND idx > 300 ORDER BY idx LIMIT 1 OFFSET ?"
    const { idx } = db.prepare(query).get(nth) as { idx: number }
    db.close()
    return idx
  }
  const disclosure = (victim: Victim, name = 'output', nth = 0) =>
    victim.one<string>('SELECT disclosure FROM payloads WHERE idx = ? AND name = ?', part(log, nth), name)
  const show = (victim: Victim, text: string) =>
    victim.sql("UPDATE payloads SET disclosure = ? WHERE idx = ? AND name = 'output'", text, part(log))
  const remove = (victim: Victim) => victim.sql("DELETE FROM payloads WHERE idx = ? AND name = 'output'", part(log))
  const here = { index: part, only: [] }

  for (const at of [0, 30, 60, 110, -2]) {
    const alter = (victim: Victim) => {
      const text = disclosure(victim)
      const place = (at + text.length) % text.length
      show(victim, `${text.slice(0, place)}${text[place] === 'x' ? 'y' : 'x'}${text.slice(place + 1)}`)
    }
    attack('flip-disclosure', specimen, alter, here)
  }
  const forge = (victim: Victim) => show(victim, disclosure(victim).replace(/"answer \d+"/, '"another answer"'))
  attack('disclosure-forged', specimen, forge, here)
  attack('disclosure-part', specimen, (victim) => show(victim, disclosure(victim, 'input')), here)
  attack('disclosure-entry', specimen, (victim) => show(victim, disclosure(victim, 'output', 1)), here)
  attack('disclosure-deleted', specimen, remove, here)
  for (const name of ['secret', '__proto__', 'constructor', 'toString', '']) {
    const add = (victim: Victim) =>
      victim.sql('INSERT INTO payloads VALUES (?, ?, ?)', part(log), name, disclosure(victim))
    attack('disclosure-extra', specimen, add, here)
  }
  const behind = (victim: Victim) => victim.sql("INSERT INTO payloads SELECT size, 'output', 'x' FROM head")
  attack('disclosure-behind', specimen, behind, { only: [] })
  const forgeErased = (victim: Victim) => {
    remove(victim)
    const erased = { type: 'audit.erased', audit: { parts: [[part(log), 'output']] } }
    forger(victim).edit(part(log) + 1, (record) => ({ ...record, ...erased }))
  }
  attack('erased-forged', specimen, forgeErased, { index: (log) => part(log) + 1 })
})
