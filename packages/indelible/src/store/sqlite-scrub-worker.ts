/** Cleans a database, in a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads'
import { Cleaner } from './sqlite-cleaner.ts'
import { connect } from './sqlite-schema.ts'
import type { CleaningStart } from './sqlite-scrub.ts'

const { path, fd, timeoutMs, wanted } = workerData as CleaningStart
const db = connect(path, {})
try {
  // Nobody waits for what is done here, and the WAL is synced before it goes into the database.
  db.exec('PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 0')
  if (fd === null || !new Cleaner(db, path, fd, timeoutMs, wanted).clean()) {
    db.exec(`PRAGMA busy_timeout = ${timeoutMs}`)
    const { made } = db.prepare('SELECT made FROM deletions').get()!
    // From then on, pages can be given back in steps.
    db.exec('PRAGMA auto_vacuum = INCREMENTAL; VACUUM')
    db.prepare('UPDATE deletions SET scrubbed = ?').run(made!)
  }
  parentPort!.postMessage({ done: true })
} catch (error) {
  const { errcode } = error as { errcode?: unknown }
  if (typeof errcode !== 'number') throw error
  parentPort!.postMessage({ errcode })
} finally {
  db.close()
}
