/** One measurement of capture, in a process of its own. Prints JSON. */
import { hash } from 'node:crypto'
import { registerHooks } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { percentile, seconds } from './lib.mjs'

const [, , what, home, count = '0'] = process.argv

/** About 1 KB as handed in. */
const event = (i) => ({
  type: 'tool.end',
  actor: { type: 'agent', id: 'agent-1', version: '1.4.2', on_behalf_of: 'customer-7' },
  outcome: 'success',
  session: 'session-12',
  run: { id: 'run-1' },
  call: `call-${i}`,
  tool: { name: 'get_user_details' },
  duration_ms: 12.5,
  parts: { output: { value: { text: 'x'.repeat(700), items: [1, 2, 3], n: i } } },
})

const turn = () => new Promise((resolve) => setImmediate(resolve))
const measures = { latency, packages, fill, replay, runs, direct }
console.log(JSON.stringify(await measures[what]()))

/** An agent that records 20 events in a turn of the event loop, and waits for none. */
async function latency() {
  const { openLog } = await import('indelible')
  const log = await openLog({ home })
  const run = log.run({ agent: 'agent-1' })
  const ways = {
    // What this machine takes for the least that one could do: text and a hash.
    limit: (i) => void hash('sha256', JSON.stringify(event(i))),
    log: (i) => void log.record(event(i)),
    recorder: (i) => void log.recorder.record(event(i)),
    run: (i) => void run.toolEnd({ call: `c${i}`, name: 't', output: event(i).parts.output.value }),
  }
  const result = {}
  for (const [name, record] of Object.entries(ways)) {
    const times = []
    for (let i = 0; i < 30_000; i++) {
      const start = performance.now()
      record(i)
      // The first events meet code that is not compiled yet.
      if (i >= 10_000) times.push((performance.now() - start) * 1000)
      if (i % 20 === 19) await turn()
    }
    await log.flush()
    result[name] = { p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
  }
  await log.close()
  return result
}

/** Which packages an import loads. */
async function packages() {
  const loaded = new Set()
  registerHooks({
    load(url, context, next) {
      const match = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)
      if (match) loaded.add(match[1])
      return next(url, context)
    },
  })
  await import(home)
  return { loaded: [...loaded] }
}

/** Spools events of a log that takes nothing. */
async function fill() {
  const { openLog } = await import('indelible')
  const log = await openLog({ home })
  const real = log.append
  log.append = () => Promise.reject(Object.assign(new Error('down'), { code: 'EIO' }))
  for (let i = 0; i < Number(count); i++) {
    void log.recorder.record(event(i))
    if (i % 1000 === 999) await turn()
  }
  await log.recorder.flush()
  const { spoolBytes, dropped } = log.recorder.state
  await log.recorder.close()
  log.append = real
  await log.close()
  return { spoolBytes, dropped }
}

/** Opens the home, and waits until its spool is empty. */
async function replay() {
  const { openLog } = await import('indelible')
  const log = await openLog({ home })
  const elapsed = await seconds(() => log.recorder.flush(600_000))
  const { spoolBytes } = log.recorder.state
  await log.close()
  return { rate: Number(count) / elapsed, spoolBytes }
}

/** The same events without a spool: the limit of the replay. */
async function direct() {
  const { openLog } = await import('indelible')
  const log = await openLog({ home })
  const elapsed = await seconds(async () => {
    for (let i = 0; i < Number(count); i += 1000) {
      await log.recordMany(Array.from({ length: 1000 }, (_, j) => event(i + j)))
    }
  })
  await log.close()
  return { rate: Number(count) / elapsed }
}

/** Many runs at once, twice: what the second leaves behind, the first did not. */
async function runs() {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const { openLog } = await import('indelible')
  const log = await openLog({ home })
  const heap = async () => {
    await log.flush()
    await turn()
    gc()
    gc()
    return process.memoryUsage().heapUsed / 1024 / 1024
  }
  const together = (n) =>
    Promise.all(
      Array.from({ length: n }, (_, i) =>
        log.run({ agent: 'a', session: `s${i}` }, async (run) => {
          await turn()
          await run.tool('t', { i }, () => turn())
        }),
      ),
    )
  await together(Number(count))
  const before = await heap()
  const elapsed = await seconds(() => together(Number(count)))
  const after = await heap()
  await log.close()
  return { before, after, grown: after - before, rate: Number(count) / elapsed }
}
