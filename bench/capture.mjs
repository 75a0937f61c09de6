/** What recording costs an agent, and how fast a spool empties. */
import { join } from 'node:path'
import { createLog } from 'indelible'
import { child, percentile, table, withFolder } from './lib.mjs'

export const describe = 'recording on the agent’s thread, import, spool, many runs'

export async function run({ entries = 200_000 }) {
  await withFolder(async (folder) => {
    const make = async (name) => {
      const home = join(folder, name)
      await createLog({ home, pins: null })
      return home
    }
    const measure = (what, ...args) => child('capture-child.mjs', what, ...args)
    const latency = await measure('latency', await make('latency'))
    // In turn, so that a machine that is slower for a while is so for all.
    const opened = await make('opened')
    const times = { zod: [], all: [], opening: [] }
    for (let i = 0; i < 9; i++) {
      times.zod.push((await child('import-child.mjs', 'zod')).ms)
      times.all.push((await child('import-child.mjs', 'indelible')).ms)
      times.opening.push((await child('import-child.mjs', 'indelible', opened)).ms)
    }
    const [zod, all, opening] = Object.values(times).map((list) => percentile(list, 0.5))
    const { loaded } = await measure('packages', 'indelible')

    const spooled = await make('spooled')
    const filled = await measure('fill', spooled, entries)
    const replayed = await measure('replay', spooled, entries)
    const direct = await measure('direct', await make('direct'), entries)
    const runs = await measure('runs', await make('runs'), 10_000)
    if (filled.dropped > 0) throw new Error(`${filled.dropped} events found no room in the spool`)
    if (replayed.spoolBytes > 0) throw new Error('the spool was not emptied')

    const { limit } = latency
    table([
      {
        what: 'log.record, p50',
        found: latency.log.p50,
        unit: 'µs',
        limit: limit.p50,
        ratio: latency.log.p50 / limit.p50,
        target: '≤ 20',
      },
      {
        what: 'log.record, p99',
        found: latency.log.p99,
        unit: 'µs',
        limit: limit.p99,
        ratio: latency.log.p99 / limit.p99,
        target: '≤ 100',
      },
      {
        what: 'recorder.record, p50',
        found: latency.recorder.p50,
        unit: 'µs',
        limit: limit.p50,
        ratio: latency.recorder.p50 / limit.p50,
        target: '≤ 20',
      },
      {
        what: 'recorder.record, p99',
        found: latency.recorder.p99,
        unit: 'µs',
        limit: limit.p99,
        ratio: latency.recorder.p99 / limit.p99,
        target: '≤ 100',
      },
      {
        what: 'run.toolEnd, p50',
        found: latency.run.p50,
        unit: 'µs',
        limit: limit.p50,
        ratio: latency.run.p50 / limit.p50,
      },
      {
        what: 'run.toolEnd, p99',
        found: latency.run.p99,
        unit: 'µs',
        limit: limit.p99,
        ratio: latency.run.p99 / limit.p99,
      },
      { what: 'import indelible, beyond zod, processor', found: all - zod, unit: 'ms', limit: zod, target: '≤ 50' },
      { what: 'the same and openLog, processor', found: opening - zod, unit: 'ms', limit: zod },
      { what: `packages loaded: ${loaded.join(', ')}`, found: loaded.length, unit: '' },
      {
        what: 'spool replay',
        found: replayed.rate,
        unit: 'events/s',
        limit: direct.rate,
        ratio: replayed.rate / direct.rate,
        target: '≥ 50,000',
      },
      { what: 'spool, bytes of an event', found: filled.spoolBytes / entries, unit: 'B' },
      { what: '10,000 runs at once', found: runs.rate, unit: 'runs/s' },
      { what: 'heap after 10,000 more runs', found: runs.grown, unit: 'MB', limit: runs.before, target: '< 2 more' },
    ])
  })
}
