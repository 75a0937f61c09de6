/**
 * Many who listen to `GET /v1/stream`, and one who records, in one process: times of both are by one clock. Arguments as JSON; prints
 * a line of JSON when all listen, and one in the end.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { percentile, sampleEvent } from './lib.mjs'

const { port, key, auditor, listeners, rate, seconds } = JSON.parse(process.argv[2])
const mark = '"sent_us":'
const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

/** One listener: each index follows the one before, or it throws. */
class Listener {
  next = null
  heard = 0
  #text = ''
  #isHead = true

  async open(from) {
    this.next = from
    const socket = connect(port, '127.0.0.1')
    socket.setEncoding('latin1')
    socket.write(
      `GET /v1/stream?from=${from} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${auditor}\r\nindelible-tenant: default\r\n\r\n`,
    )
    socket.on('data', (data) => this.#take(data))
    socket.on('error', fail)
    this.socket = socket
    await once(socket, 'data')
  }

  #take(data) {
    this.#text += data
    if (this.#isHead) {
      const end = this.#text.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!this.#text.startsWith('HTTP/1.1 200')) fail(new Error(this.#text.slice(0, 300)))
      this.#text = this.#text.slice(end + 4)
      this.#isHead = false
    }
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      this.#frame(this.#text.slice(0, end))
      this.#text = this.#text.slice(end + 2)
    }
  }

  #frame(text) {
    const at = text.indexOf('id: ')
    if (at < 0) {
      if (text.includes('event: end')) fail(new Error(`a stream ended: ${text}`))
      return
    }
    const index = Number.parseInt(text.slice(at + 4, at + 24), 10)
    if (index !== this.next) fail(new Error(`index ${index} after ${this.next - 1}`))
    this.next = index + 1
    const sent = text.indexOf(mark)
    if (sent < 0) return
    this.heard++
    latencies.push((nowUs() - Number.parseInt(text.slice(sent + mark.length, sent + mark.length + 20), 10)) / 1000)
  }
}

const latencies = []
function fail(error) {
  console.error(error)
  process.exit(1)
}
async function post(body) {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'indelible-tenant': 'default', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
  return (await answer.json()).index
}

const first = await post(sampleEvent(0))
const all = Array.from({ length: listeners }, () => new Listener())
// Not all in one moment: a thousand sign-ins at once are another question.
for (let i = 0; i < all.length; i += 50) await Promise.all(all.slice(i, i + 50).map((one) => one.open(first + 1)))
console.log(JSON.stringify({ listening: all.length }))
await once(process.stdin, 'data')

const begun = performance.now()
const total = Math.round(rate * seconds)
let last = first
const posts = []
for (let i = 0; i < total; i++) {
  const wait = begun + (i / rate) * 1000 - performance.now()
  if (wait > 0) await new Promise((done) => setTimeout(done, wait))
  const event = sampleEvent(i)
  posts.push(post({ ...event, attributes: { ...event.attributes, sent_us: nowUs() } }))
}
last = Math.max(...(await Promise.all(posts)))
const until = performance.now() + 30_000
while (all.some(({ next }) => next <= last) && performance.now() < until)
  await new Promise((done) => setTimeout(done, 20))
const missed = all.filter(({ heard }) => heard !== total).length
console.log(
  JSON.stringify({
    events: total,
    missed,
    heard: latencies.length,
    p50_ms: percentile(latencies, 0.5),
    p95_ms: percentile(latencies, 0.95),
    p99_ms: percentile(latencies, 0.99),
  }),
)
for (const { socket } of all) socket.destroy()
process.exit(0)
