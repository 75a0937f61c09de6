/** `indelible serve` as a process of its own: what can be killed, and whose memory is its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, vi } from 'vitest'

const bin = fileURLToPath(new URL('../bin/indelible.js', import.meta.url))

export interface Served {
  readonly child: ChildProcess
  readonly url: string
  /** The operator's key, at the first start of a home. */
  readonly key: string | undefined
}

/** @param env such as `INDELIBLE_SERVER__…` */
export async function serve(home: string, port = 0, env: Readonly<Record<string, string>> = {}): Promise<Served> {
  const child = spawn(process.execPath, [bin, '--json', '--home', home, 'serve', '--port', String(port)], {
    env: { ...process.env, XDG_CONFIG_HOME: `${home}-config`, LOG_LEVEL: 'silent', ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  await vi.waitFor(() => expect(text).toContain('\n'), { timeout: 15_000 })
  const { url, api_key: key } = JSON.parse(text) as { url: string; api_key?: string }
  return { child, url, key }
}

/** The memory of a server, MB, as it says itself. */
export async function memoryMb(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)![1]) / 2 ** 20
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  await new Promise((done) => probe.close(done))
  return port
}
