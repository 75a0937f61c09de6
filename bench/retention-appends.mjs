/** Appends with 50 callers to the log at `home` until its input ends. Prints JSON: rate, and how long callers waited, ms. */
import { openLog } from 'indelible'
import { percentile, sampleEvent, seconds } from './lib.mjs'

const [, , home] = process.argv
const log = await openLog({ home })
let isOver = false
let count = 0
const waits = []
process.stdin.resume().once('end', () => {
  isOver = true
})
async function caller() {
  while (!isOver) {
    const start = performance.now()
    await log.record(sampleEvent(count++))
    waits.push(performance.now() - start)
  }
}
console.log('ready')
const elapsed = await seconds(() => Promise.all(Array.from({ length: 50 }, caller)))
await log.close()
const longest = waits.reduce((most, wait) => Math.max(most, wait), 0)
console.log(
  JSON.stringify({ rate: count / elapsed, p50: percentile(waits, 0.5), p99: percentile(waits, 0.99), longest }),
)
