/** Deleting what a `sqlite:` store has below an index, in steps of milliseconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pace } from './pace.ts'
import type { Connection } from './sqlite-rows.ts'
import * as sources from './sqlite-sources.ts'

/** Runs `work` in a write transaction; it commits if that returns true. */
type Exclusively = (work: (connection: Connection) => boolean) => Promise<void>

const FIRST_ROWS = 500
const MOST_ROWS = 5000

/** Deletes entries, payloads and subjects below `below`, and counts that as a deletion. */
export async function deleteBelow(below: number, exclusively: Exclusively): Promise<void> {
  for (const table of [sources.ENTRIES, sources.PAYLOADS]) {
    const sql = `DELETE FROM ${table} WHERE idx < min(?, (SELECT min(idx) FROM ${table}) + ?)`
    await inSteps(exclusively, ({ statement }, rows) => statement(sql).run(below, rows).changes === 0)
  }
  // Subjects are in another order: looked through once, from where the last step ended.
  let [subject, index]: [Uint8Array, number] = [new Uint8Array(0), -1]
  await inSteps(exclusively, ({ statement }, rows) => {
    const step = statement(
      `SELECT subject, idx FROM ${sources.SUBJECTS} WHERE (subject, idx) > (?, ?) ORDER BY subject, idx LIMIT ?`,
    ).all(subject, index, rows)
    const remove = statement(`DELETE FROM ${sources.SUBJECTS} WHERE subject = ? AND idx = ?`)
    for (const row of step) {
      ;[subject, index] = [row.subject as Uint8Array, row.idx as number]
      if (index < below) remove.run(subject, index)
    }
    return step.length < rows
  })
  await exclusively(({ statement }) => {
    statement('UPDATE deletions SET made = made + 1').run()
    return true
  })
}

/** @param step deletes about so many rows, and says whether that was all */
async function inSteps(exclusively: Exclusively, step: (connection: Connection, rows: number) => boolean) {
  const pace = new Pace(FIRST_ROWS, MOST_ROWS)
  let version: unknown
  for (let isAll = false; !isAll; ) {
    let start = 0
    let isWanted = false
    await exclusively((connection) => {
      start = performance.now()
      const { data_version } = connection.statement('PRAGMA data_version').get()!
      isWanted = data_version !== version
      version = data_version
      isAll = step(connection, pace.size)
      return true
    })
    await sleep(pace.next(performance.now() - start, isWanted))
  }
}
