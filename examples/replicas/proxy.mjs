/**
 * A proxy in front of the replicas. It asks each for `/readyz` and passes requests on, in turn, to those that are ready. A request goes
 * to another replica only if the first could not be connected to: once a byte was sent, only the client can say whether it may be
 * repeated, and he can if his events have ids. nginx or HAProxy do the same with `proxy_next_upstream error` and `option redispatch`.
 */
import { Agent, createServer, request } from 'node:http'

const CHECK_EVERY_MS = 250

/** @param replicas a function that gives `[{host, port}]` of now */
export function startProxy(replicas, { host, port }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const ready = new Set()
  const name = (replica) => `${replica.host}:${replica.port}`
  const check = () => {
    for (const replica of replicas()) {
      const asked = request({ ...replica, path: '/readyz', timeout: 3000 }, (answer) => {
        answer.resume()
        if (answer.statusCode === 200) ready.add(name(replica))
        else ready.delete(name(replica))
      })
      asked.on('timeout', () => asked.destroy())
      asked.on('error', () => ready.delete(name(replica)))
      asked.end()
    }
  }
  const timer = setInterval(check, CHECK_EVERY_MS)
  check()

  let turn = 0
  const server = createServer((from, to) => {
    const candidates = replicas().filter((replica) => ready.has(name(replica)))
    turn++
    const order = candidates.map((_, i) => candidates[(turn + i) % candidates.length])
    const pass = () => {
      const replica = order.shift()
      if (!replica) return refuse(to, 503, 'no replica is ready')
      let isSent = false
      const upstream = request({ ...replica, agent, method: from.method, path: from.url, headers: from.headers })
      const send = () => {
        isSent = true
        from.pipe(upstream)
      }
      upstream.on('socket', (socket) => (socket.connecting ? socket.once('connect', send) : send()))
      upstream.on('response', (answer) => {
        to.writeHead(answer.statusCode, answer.headers)
        answer.pipe(to)
        answer.on('error', () => to.destroy())
      })
      upstream.on('error', () => {
        if (!isSent) {
          ready.delete(name(replica))
          return pass()
        }
        from.unpipe(upstream)
        if (to.headersSent) to.destroy()
        else refuse(to, 502, 'the replica went away')
      })
      to.on('close', () => upstream.destroy())
    }
    pass()
  })
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen(port, host, () => {
      const close = () => {
        clearInterval(timer)
        agent.destroy()
        server.closeAllConnections()
        return new Promise((closed) => server.close(closed))
      }
      done({ url: `http://${host}:${server.address().port}`, ready, close })
    })
  })
}

function refuse(to, status, detail) {
  const body = { type: 'about:blank', status, code: 'ERR_STORE_BUSY', detail, request_id: '' }
  to.writeHead(status, { 'content-type': 'application/problem+json', 'retry-after': '1', connection: 'close' })
  to.end(JSON.stringify(body))
}
