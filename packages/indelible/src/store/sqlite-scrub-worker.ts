/** Writes a database anew, in a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads'
import { connect } from './sqlite-schema.ts'

const { path, timeoutMs } = workerData as { path: string; timeoutMs: number }
const db = connect(path, {})
try {
  db.exec(`PRAGMA busy_timeout = ${timeoutMs}; VACUUM`)
  parentPort!.postMessage({ done: true })
} catch (error) {
  const { errcode } = error as { errcode?: unknown }
  if (typeof errcode !== 'number') throw error
  parentPort!.postMessage({ errcode })
} finally {
  db.close()
}
