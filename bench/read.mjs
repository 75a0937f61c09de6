/** Reads the log at `home` in one way, in a process of its own. Prints JSON. */
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { openLog, openQuery, verifyHome } from 'indelible'
import { parseMacVerificationKey } from 'indelible/verify'
import { peakMb, percentile, seconds } from './lib.mjs'

const [, , what, home, argument] = process.argv

/** Processor time of this process so far, all threads, µs. */
const cpuUs = () => process.cpuUsage().user + process.cpuUsage().system

const ways = {
  async open() {
    let log
    const ms =
      1000 *
      (await seconds(async () => {
        log = await openLog({ home })
      }))
    await log.close()
    return { ms }
  },
  async verify() {
    let report
    const elapsed = await seconds(async () => {
      report = await verifyHome({ home, pins: null, macKey: parseMacVerificationKey(argument) })
    })
    if (report.verdict !== 'verified') throw new Error(JSON.stringify(report.findings[0]))
    return { rate: report.size / elapsed, cpu_us: cpuUs() / report.size }
  },
  async index() {
    let indexed
    const elapsed = await seconds(async () => {
      const query = await openQuery({ home, update: false })
      await query.rebuild()
      indexed = (await query.page({}, { limit: 1 })).size
      await query.close()
    })
    return { rate: indexed / elapsed }
  },
  async export() {
    const query = await openQuery({ home })
    const out = createWriteStream(join(home, '..', 'export.jsonl'))
    let count = 0
    const elapsed = await seconds(async () => {
      for await (const { entry } of query.all({})) {
        count++
        if (!out.write(entry)) await new Promise((resolve) => out.once('drain', resolve))
      }
      await new Promise((resolve) => out.end(resolve))
    })
    await query.close()
    return { rate: count / elapsed }
  },
  async pages() {
    const query = await openQuery({ home })
    const { size } = await query.page({}, { limit: 1 })
    const middle = (await query.page({}, { limit: 1, cursor: undefined })).hits[0].record.time
    const times = []
    for (let i = 0; i < 200; i++) {
      const filters = [
        { type: 'tool.end', tool: 'send_refund', outcome: 'failure' },
        { on_behalf_of: `customer-${i}`, outcome: 'success' },
        { actor: `agent-${i % 20}`, tool: 'book_seat' },
        { session: `session-${i}` },
        { run: `run-${Math.floor((size / 60 / 200) * i)}` },
        { type: 'tool.*', until: middle, outcome: 'failure' },
      ]
      const filter = filters[i % filters.length]
      const start = performance.now()
      const page = await query.page(filter)
      times.push(performance.now() - start)
      if (page.hits.length === 0) throw new Error(`nothing found for ${JSON.stringify(filter)}`)
    }
    const run = await seconds(() =>
      query.page({ run: `run-${Math.floor(size / 120)}` }, { limit: 1000, order: 'ascending' }),
    )
    await query.close()
    return { p50_ms: percentile(times, 0.5), p95_ms: percentile(times, 0.95), run_ms: run * 1000 }
  },
  async proofs() {
    const log = await openLog({ home })
    const size = Number(argument)
    const times = []
    for (let i = 0; i < 200; i++) {
      const start = performance.now()
      await log.prove(Math.floor((size / 200) * i))
      times.push(performance.now() - start)
    }
    await log.close()
    return { p50_ms: percentile(times, 0.5), p95_ms: percentile(times, 0.95) }
  },
}

const result = await ways[what]()
console.log(JSON.stringify({ ...result, peak_mb: peakMb() }))
