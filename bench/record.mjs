/** Records `total` events with `callers` concurrent callers into the log at `home`. Prints JSON. */
import { openLog } from 'indelible'
import { peakMb, sampleEvent, seconds } from './lib.mjs'

const [, , home, total, callers, first = '0', index = 'off'] = process.argv
const log = await openLog({ home, index: index === 'index' })
let next = Number(first)
const end = next + Number(total)
// One at a time is measured as it is after a minute, not while the code is still being compiled.
if (callers === '1') for (let i = 0; i < 2000; i++) await log.record(sampleEvent(next + i))
async function caller() {
  while (next < end) {
    await log.record(sampleEvent(next++))
  }
}
const before = process.cpuUsage()
const elapsed = await seconds(() => Promise.all(Array.from({ length: Number(callers) }, caller)))
const cpu = process.cpuUsage(before)
await log.close()
console.log(
  JSON.stringify({
    rate: Number(total) / elapsed,
    elapsed,
    cpu_us: (cpu.user + cpu.system) / Number(total),
    peak_mb: peakMb(),
  }),
)
