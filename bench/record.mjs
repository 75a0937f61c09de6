/**
 * Records `total` events with `callers` concurrent callers into the log at `home`. Prints JSON.
 *
 * The rate is that of a process which has run for a while: the first events, while the code is still being compiled, count
 * for the log and not for the rate.
 */
import { openLog } from 'indelible'
import { peakMb, sampleEvent, seconds } from './lib.mjs'

const [, , home, total, callers, first = '0', index = 'off'] = process.argv
const log = await openLog({ home, index: index === 'index' })
const start = Number(first)
const warmUp = Math.min(30_000, Math.floor(Number(total) * 0.4))
let next = start
async function recordUntil(end) {
  const caller = async () => {
    while (next < end) await log.record(sampleEvent(next++))
  }
  await Promise.all(Array.from({ length: Number(callers) }, caller))
}
await recordUntil(start + warmUp)
const before = process.cpuUsage()
const elapsed = await seconds(() => recordUntil(start + Number(total)))
const cpu = process.cpuUsage(before)
await log.close()
const measured = Number(total) - warmUp
console.log(
  JSON.stringify({
    rate: measured / elapsed,
    measured,
    elapsed,
    cpu_us: (cpu.user + cpu.system) / measured,
    peak_mb: peakMb(),
  }),
)
