/** Each anchor alone, against an attacker who has the log, its home and its signing key. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { fromBase64 } from '../src/bytes.ts'
import { Ratchet } from '../src/chain/chain.ts'
import { createLog, openLog, Pins, verifyHome } from '../src/index.ts'
import { signerFromSkey } from '../src/keys/signer.ts'
import { parseVkey } from '../src/note/signed-note.ts'
import { DEFENCES } from './anchor-defences.ts'
import { Cleanup } from './anchor-kit.ts'
import { ANCHOR_ATTACKS, type AnchorAttack, formatAnchorTable, type Scene } from './anchor-table.ts'
import { Forger } from './attack-forger.ts'
import { codesOf, dropTriggers, openDatabase } from './attack-kit.ts'

const ORIGIN = 'anchored.example/log'
const cleanups: Cleanup[] = []
afterAll(async () => {
  for (const cleanup of cleanups) await cleanup.run()
})

async function begin(): Promise<Scene> {
  const cleanup = new Cleanup()
  cleanups.push(cleanup)
  const home = join(cleanup.folder(), 'home')
  const { vkey } = await createLog({ home, origin: ORIGIN, pins: new Pins(join(cleanup.folder(), 'pins')) })
  return { cleanup, home, origin: ORIGIN, vkey }
}

async function record(home: string, count: number): Promise<void> {
  const log = await openLog({ home })
  const actor = { type: 'agent', id: 'a' } as const
  await log.recordMany(Array.from({ length: count }, () => ({ type: 'tool.end', actor })))
  await log.close()
}

/** What the attacker does. `early` is a copy of the home from before the last forty entries. */
const DEEDS: Record<AnchorAttack, (home: string, early: string) => void> = {
  truncate(home, early) {
    const db = openDatabase(join(home, 'log.db'))
    dropTriggers(db)
    db.exec(`ATTACH '${join(early, 'log.db')}' AS early`)
    for (const table of ['entries', 'payloads', 'ids']) {
      db.exec(`DELETE FROM main.${table} WHERE idx >= (SELECT size FROM early.head)`)
    }
    db.exec(`DELETE FROM main.checkpoints WHERE size > (SELECT size FROM early.head); DELETE FROM main.tiles;
      DELETE FROM main.head; INSERT INTO main.head SELECT * FROM early.head; DETACH early`)
    db.close()
    // And what anchors gave since then.
    rmSync(join(home, 'anchors'), { recursive: true, force: true })
    if (existsSync(join(early, 'anchors'))) cpSync(join(early, 'anchors'), join(home, 'anchors'), { recursive: true })
  },
  rollBack(home, early) {
    rmSync(home, { recursive: true })
    cpSync(early, home, { recursive: true })
  },
  delete(home) {
    rmSync(home, { recursive: true })
  },
  rewrite(home) {
    const db = openDatabase(join(home, 'log.db'))
    dropTriggers(db)
    const signer = signerFromSkey(readFileSync(join(home, 'keys', 'log.skey'), 'utf8'))
    const state = JSON.parse(readFileSync(join(home, 'keys', 'state.json'), 'utf8'))
    new Forger(db, ORIGIN)
      .edit(20, (entry) => ({ ...entry, outcome: 'denied' }))
      .retree()
      .remac(new Ratchet(state.epoch, fromBase64(state.key)), 20)
      .sign(signer)
    db.close()
  },
}

for (const defence of DEFENCES) {
  describe(`who holds ${defence.title}`, () => {
    for (const [attack, { title }] of Object.entries(ANCHOR_ATTACKS) as [AnchorAttack, { title: string }][]) {
      const cell = defence.cells[attack]
      const outcome = 'finding' in cell ? cell.finding : `not caught, because ${cell.not}`
      it(`when somebody ${title}: ${outcome}`, async () => {
        const scene = await begin()
        const held = await defence.begin(scene)
        await record(scene.home, 60)
        await held.keep()
        const early = `${scene.home}-early`
        cpSync(scene.home, early, { recursive: true })
        await record(scene.home, 40)
        await held.keep()
        expect(await held.verify(scene.home)).toMatchObject({ verdict: 'verified' })

        DEEDS[attack](scene.home, early)
        if (attack !== 'delete') await held.attack?.(scene.home)
        const report = await held.verify(scene.home)
        if ('finding' in cell) {
          expect(report.verdict).toBe('failed')
          expect(codesOf(report)).toContain(cell.finding)
        } else {
          expect(report).toMatchObject({ verdict: 'verified', findings: [] })
        }
      })
    }
  })
}

it('the vkey alone catches none of the four, where the home is still there', async () => {
  for (const attack of ['truncate', 'rollBack', 'rewrite'] as const) {
    const { home, origin, vkey } = await begin()
    await record(home, 60)
    cpSync(home, `${home}-early`, { recursive: true })
    await record(home, 40)
    DEEDS[attack](home, `${home}-early`)
    const report = await verifyHome({ home, pins: null, trust: { origin, keys: [parseVkey(vkey)] } })
    expect(report).toMatchObject({ verdict: 'verified', findings: [] })
    expect(report.not_checked.join('\n')).toContain('truncation and roll-back')
  }
})

const root = fileURLToPath(new URL('../../..', import.meta.url))

it('docs/anchors.md has the table', () => {
  const [START, END] = ['<!-- anchors:start -->', '<!-- anchors:end -->']
  const path = join(root, 'docs/anchors.md')
  const text = readFileSync(path, 'utf8')
  const [start, end] = [text.indexOf(START) + START.length, text.indexOf(END)]
  const wanted = `\n\n${formatAnchorTable(DEFENCES)}\n`
  expect(end).toBeGreaterThanOrEqual(start)
  if (process.env.UPDATE_DOCS) writeFileSync(path, text.slice(0, start) + wanted + text.slice(end))
  else expect(text.slice(start, end), 'run again with UPDATE_DOCS=1').toBe(wanted)
})

it('agrees with the matrix of attacks and anchors that the design was made from', ({ skip }) => {
  const path = [join(root, '../shared')].map((folder) => join(folder, 'research/formats.md')).find(existsSync)
  skip(path === undefined, 'the matrix is not on this machine')
  const rows = readFileSync(path!, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()))
  const head = rows.find((cells) => cells[1] === 'attack' && cells.includes('+ witness quorum'))!
  const wrong = DEFENCES.flatMap(({ title, column, cells }) =>
    (Object.entries(ANCHOR_ATTACKS) as [AnchorAttack, { row: string }][]).flatMap(([attack, { row }]) => {
      if (column === null) return []
      const said = rows.find((one) => one[1] === row)![head.indexOf(column)]!
      const isCaught = /^(D|d\d)/.test(said)
      return isCaught === 'finding' in cells[attack] ? [] : [`${title}, ${row}: the matrix says ${said}`]
    }),
  )
  expect(wrong).toEqual([])
})
