/**
 * Load on a server from a process of its own, over bare sockets: what the generator costs must not be taken for what the server
 * costs. Arguments as JSON; prints one line of JSON.
 *
 * `connections` requests at a time for `seconds`, each sent when the one before was answered; with `rate`, that many a second whether
 * answered or not, as far as the connections go.
 */
import { connect } from 'node:net'
import { percentile, sampleEvent } from './lib.mjs'

const {
  host = '127.0.0.1',
  port,
  key,
  path,
  batch = 1,
  seconds,
  connections = 64,
  rate = 0,
  warmup = 1,
  queries,
} = JSON.parse(process.argv[2])
let next = 0
const method = queries ? 'GET' : 'POST'
const headers = `host: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\n`

function request() {
  const i = next++
  if (queries) return `GET ${queries[i % queries.length]} HTTP/1.1\r\n${headers}\r\n`
  const body =
    batch === 1
      ? JSON.stringify(sampleEvent(i))
      : JSON.stringify(Array.from({ length: batch }, (_, k) => sampleEvent(i * batch + k)))
  return `${method} ${path} HTTP/1.1\r\n${headers}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

const begun = performance.now()
const from = begun + warmup * 1000
const until = from + seconds * 1000
const latencies = []
const statuses = {}
let retryAfter = 0
const idle = []

function client() {
  return new Promise((done, fail) => {
    const socket = connect(port, host)
    socket.setNoDelay(true)
    let sentAt = 0
    let text = ''
    let rest = -1
    const send = () => {
      sentAt = performance.now()
      if (sentAt >= until) return socket.end()
      socket.write(request())
    }
    // One that is connected when all is over would wait for ever.
    socket.on('connect', () => (rate === 0 || performance.now() >= until ? send() : idle.push(send)))
    socket.on('data', (data) => {
      // Latin-1: lengths are in bytes, and no byte of a body is looked at.
      text += data.toString('latin1')
      if (rest < 0) {
        const end = text.indexOf('\r\n\r\n')
        if (end < 0) return
        const head = text.slice(0, end).toLowerCase()
        rest = end + 4 + Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
      }
      if (text.length < rest) return
      const now = performance.now()
      const status = text.slice(9, 12)
      if (now >= from && sentAt >= from) {
        statuses[status] = (statuses[status] ?? 0) + 1
        if (status === '503' || status === '429') retryAfter += /retry-after/i.test(text.slice(0, rest)) ? 1 : 0
        else latencies.push(now - sentAt)
      }
      text = ''
      rest = -1
      if (rate === 0) send()
      else if (now >= until) socket.end()
      else idle.push(send)
    })
    socket.on('error', fail)
    socket.on('close', done)
  })
}

let missed = 0
if (rate > 0) {
  let sent = 0
  const timer = setInterval(() => {
    const now = performance.now()
    if (now >= until) {
      clearInterval(timer)
      for (const send of idle.splice(0)) send()
      return
    }
    const due = Math.floor(((now - begun) / 1000) * rate)
    for (; sent < due; sent++) {
      const send = idle.pop()
      if (send) send()
      else missed++
    }
  }, 2)
}
await Promise.all(Array.from({ length: connections }, client))
const answered = Object.values(statuses).reduce((sum, n) => sum + n, 0)
const ok = (statuses[200] ?? 0) + (statuses[201] ?? 0)
console.log(
  JSON.stringify({
    rate: (ok * batch) / seconds,
    answered,
    ok,
    statuses,
    retry_after: retryAfter,
    missed,
    ...(latencies.length > 0 && {
      p50_ms: percentile(latencies, 0.5),
      p95_ms: percentile(latencies, 0.95),
      p99_ms: percentile(latencies, 0.99),
    }),
  }),
)
