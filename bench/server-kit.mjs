/** What the parts of the server's bench share: a server in a process of its own, its memory over time, requests of a few. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Keys are shown once; of a home that is started again, the key of the first start counts. */
const keys = new Map()

/** Starts `serve` on a folder, or a bare handler. */
export async function start(what, folder = '', env = {}) {
  const script = fileURLToPath(new URL('server-child.mjs', import.meta.url))
  const process_ = spawn(process.execPath, [script, what, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  const kill = () => process_.kill('SIGKILL')
  process.on('exit', kill)
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value)
  const used = () => {
    process_.kill('SIGUSR2')
    return next()
  }
  const { port, key } = await next()
  if (key) keys.set(folder, key)
  const server = {
    port,
    key: keys.get(folder),
    async rssMb() {
      return (await used()).rss_mb
    },
    /** Processor time of all its threads so far, µs. */
    async cpuUs() {
      return (await used()).cpu_us
    },
    async stop() {
      const ended = once(process_, 'exit')
      process_.kill('SIGTERM')
      await ended
      process.off('exit', kill)
    },
    /** A key of another role, of the tenant that all of the bench is about. */
    async keyFor(role) {
      return (await askJson(server, '/v1/keys', { role, label: 'bench' })).key
    },
  }
  return server
}

/**
 * Looks at the server's memory each second while `work` goes on. MB: `before`, the `highest` of all, and that of the first half: what is
 * bounded does not grow from one half to the other.
 */
export async function memoryWhile(server, work) {
  const seen = [await server.rssMb()]
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      await sleep(1000, null, { signal: over.signal }).catch(() => {})
      seen.push(await server.rssMb())
    }
  })()
  try {
    const result = await work()
    over.abort()
    await watching
    const highest = Math.max(...seen)
    return { result, before: seen[0], firstHalf: Math.max(...seen.slice(0, Math.ceil(seen.length / 2))), highest }
  } finally {
    over.abort()
    await watching
  }
}

/** @throws Error for an answer that is none of success */
export async function askJson({ port, key }, path, body) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${key}`, 'indelible-tenant': 'default', 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}
