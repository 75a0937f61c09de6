/**
 * More single events a second than a server takes, over bare sockets, each with an id of ours. Remembers every acknowledgement.
 * Arguments as JSON; writes acknowledgements to `file`, 24 bytes each (index as a double, id), and prints one line of JSON.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { percentile, sampleEvent } from './lib.mjs'

const { port, key, seconds, connections, rate, file } = JSON.parse(process.argv[2])
const head = `POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nindelible-tenant: default\r\ncontent-type: application/json\r\ncontent-length: `

/** UUIDv7 with a counter, so that no two are alike: 48 bits of time, then 74 of which the last 32 count. */
let count = 0
function id() {
  const time = Date.now().toString(16).padStart(12, '0')
  const n = (count++).toString(16).padStart(8, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${process.pid.toString(16).padStart(4, '0').slice(-4)}${n}`
}

const acknowledged = openSync(file, 'w')
const row = Buffer.alloc(24)
function keep(index, sent) {
  row.writeDoubleLE(index, 0)
  row.write(sent.replaceAll('-', ''), 8, 'hex')
  writeSync(acknowledged, row)
}

const statuses = {}
const latencies = []
let unannounced = 0
let missed = 0
const idle = []
let until = 0

/** One connection; `onOpen` is told when it is there. Resolves when it is over. */
function client(onOpen) {
  return new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay(true)
    let text = ''
    let rest = -1
    let sent = ''
    let sentAt = 0
    let isWaiting = false
    const send = () => {
      sent = id()
      const body = JSON.stringify({ id: sent, ...sampleEvent(count) })
      sentAt = performance.now()
      isWaiting = true
      socket.write(`${head}${Buffer.byteLength(body)}\r\n\r\n${body}`)
    }
    const end = () => socket.end()
    socket.on('connect', () => {
      idle.push({ send, end })
      onOpen()
    })
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (rest < 0) {
        const at = text.indexOf('\r\n\r\n')
        if (at < 0) return
        rest = at + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      }
      if (text.length < rest) return
      const status = text.slice(9, 12)
      statuses[status] = (statuses[status] ?? 0) + 1
      if (status === '201') {
        latencies.push(performance.now() - sentAt)
        keep(Number(/"index":(\d+)/.exec(text)[1]), sent)
      } else if ((status === '503' || status === '429') && !/\r\nretry-after: /i.test(text)) unannounced++
      text = ''
      rest = -1
      isWaiting = false
      if (performance.now() >= until) end()
      else idle.push({ send, end })
    })
    socket.on('error', fail)
    socket.on('close', () => (isWaiting ? fail(new Error('cut off while waiting for an answer')) : done()))
  })
}

// Not all at once: what waits to be accepted by the kernel beyond its queue is repeated after seconds, and that is no answer of the server.
const clients = []
while (clients.length < connections) {
  const opened = Array.from({ length: 50 }, () => new Promise((done) => clients.push(client(done))))
  await Promise.all(opened)
}
const begun = performance.now()
until = begun + seconds * 1000
let due = 0
const timer = setInterval(() => {
  const now = performance.now()
  if (now >= until) {
    clearInterval(timer)
    for (const { end } of idle.splice(0)) end()
    return
  }
  // What could not be sent because nobody was free is not sent later: that would be another rate.
  const next = Math.floor(((now - begun) / 1000) * rate)
  for (; due < next; due++) {
    const one = idle.pop()
    if (one) one.send()
    else missed++
  }
}, 2)
await Promise.all(clients)
closeSync(acknowledged)
const offered = due - missed
console.log(
  JSON.stringify({
    offered: offered / seconds,
    accepted: latencies.length / seconds,
    statuses,
    unannounced,
    missed,
    p50_ms: percentile(latencies, 0.5),
    p99_ms: percentile(latencies, 0.99),
  }),
)
