/** `GET /v1/stream` with a thousand listeners: whether all hear everything, how soon, and what they cost. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { start } from './server-kit.mjs'

/** Events a second, and for how long: each is sent once for each listener. */
const RATE = 20
const SECONDS = 10

export async function streamRows(rows, home, listeners) {
  const server = await start('serve', home)
  const auditor = await server.keyFor('auditor')
  const before = await server.rssMb()
  const options = { port: server.port, key: server.key, auditor, listeners, rate: RATE, seconds: SECONDS }
  const script = fileURLToPath(new URL('server-listeners.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('listeners ended early')
    return JSON.parse(value)
  }
  await next()
  const listening = await server.rssMb()
  child.stdin.write('go\n')
  const { events, missed, p50_ms, p95_ms, p99_ms } = await next()
  const after = await server.rssMb()
  const many = listeners.toLocaleString('en')
  const what = `${many} listeners, ${events} events at ${RATE}/s`
  rows.push({ what: `${what}: listeners who missed one`, found: missed, unit: '', target: '0' })
  rows.push({ what: '  from sending the event to hearing it, p50', found: p50_ms, unit: 'ms' })
  rows.push({ what: '  p95', found: p95_ms, unit: 'ms' })
  rows.push({ what: '  p99', found: p99_ms, unit: 'ms' })
  rows.push({ what: '  memory, all listening', found: listening, unit: 'MB', limit: before })
  rows.push({ what: '  memory, after', found: after, unit: 'MB', limit: before, target: 'bounded' })
  await server.stop()
  if (missed > 0) throw new Error(`${missed} listeners missed an event`)
}
