/**
 * Load on a server from a process of its own, over bare sockets: what the generator costs must not be taken for what the server
 * costs. Arguments as JSON; prints one line of JSON.
 *
 * `connections` requests at a time for `seconds`, each sent when the one before was answered.
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
  warmup = 1,
} = JSON.parse(process.argv[2])
const headers = `host: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\ncontent-type: application/json\r\n`

function post(i) {
  const events = Array.from({ length: batch }, (_, k) => sampleEvent(i * batch + k))
  const body = JSON.stringify(batch === 1 ? events[0] : events)
  return `POST ${path} HTTP/1.1\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

// Made before the clock runs: what a client does for its own sake is no part of what the server takes.
const requests = Array.from({ length: Math.ceil(10_000 / batch) }, (_, i) => post(i))
let next = 0

const from = performance.now() + warmup * 1000
const until = from + seconds * 1000
const latencies = []
const statuses = {}
let all = 0

function client() {
  return new Promise((done, fail) => {
    let sentAt = 0
    let rest = 0
    let head = ''
    // One buffer a connection, and no stream of chunks: nothing of a body is looked at.
    const onread = {
      buffer: Buffer.allocUnsafe(65_536),
      callback(length, buffer) {
        if (rest === 0) {
          head += buffer.latin1Slice(0, length)
          const end = head.indexOf('\r\n\r\n')
          if (end < 0) return true
          rest = end + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(head)[1]) - head.length
        } else rest -= length
        if (rest === 0) answered()
        return true
      },
    }
    const socket = connect({ port, host, onread, noDelay: true })
    const send = () => {
      sentAt = performance.now()
      if (sentAt >= until) return socket.end()
      socket.write(requests[next++ % requests.length], 'latin1')
    }
    const answered = () => {
      const now = performance.now()
      all++
      if (sentAt >= from) {
        const status = head.slice(9, 12)
        statuses[status] = (statuses[status] ?? 0) + 1
        latencies.push(now - sentAt)
      }
      head = ''
      send()
    }
    socket.on('connect', send)
    socket.on('error', fail)
    socket.on('close', done)
  })
}

const before = process.cpuUsage()
await Promise.all(Array.from({ length: connections }, client))
const { user, system } = process.cpuUsage(before)
const ok = (statuses[200] ?? 0) + (statuses[201] ?? 0)
console.log(
  JSON.stringify({
    rate: (ok * batch) / seconds,
    ok,
    statuses,
    // With those of the warm-up, as what the server used in the meantime.
    events: all * batch,
    cpu_us: user + system,
    p50_ms: percentile(latencies, 0.5),
    p95_ms: percentile(latencies, 0.95),
    p99_ms: percentile(latencies, 0.99),
  }),
)
