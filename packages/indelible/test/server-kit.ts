/** A server in a folder of its own, on a free port of this machine. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { DEFAULT_TENANT, startServer } from '../src/server/server.ts'
import type { NewKey } from '../src/server/state.ts'

export interface Asked {
  readonly key?: string
  readonly tenant?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | object
}

/** @param options.prepare is given the home before the server starts; with `configure` it is there */
export async function server(options: { readonly configure?: object; readonly prepare?: (home: string) => void } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'indelible-server-'))
  // The verifier's memory of whoever runs the tests stays out of it.
  const before = process.env.XDG_CONFIG_HOME
  process.env.XDG_CONFIG_HOME = join(folder, 'config')
  const home = join(folder, 'home')
  if (options.configure) {
    const { createLog } = await import('../src/index.ts')
    const { readFileSync, writeFileSync } = await import('node:fs')
    await createLog({ home })
    const path = join(home, 'config.json')
    const config = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...config, ...options.configure }))
  }
  options.prepare?.(home)
  const lines: Record<string, unknown>[] = []
  const log = (facts: object, message: string) => void lines.push({ ...facts, message })
  let operator = ''
  const running = await startServer({
    home,
    port: 0,
    logger: { info: log, warn: log, error: log },
    onSecret: (kind, secret) => {
      if (kind === 'api_key') operator = secret
    },
  })
  let isStopped = false
  const stop = async () => {
    if (!isStopped) await running.stop()
    isStopped = true
  }
  onTestFinished(async () => {
    await stop()
    if (before === undefined) delete process.env.XDG_CONFIG_HOME
    else process.env.XDG_CONFIG_HOME = before
    rmSync(folder, { recursive: true, force: true })
  })
  const ask = (path: string, { key = operator, tenant, method, headers = {}, body }: Asked = {}) => {
    const isObject = typeof body === 'object' && !(body instanceof Uint8Array)
    return fetch(`${running.url}${path}`, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(key !== '' && { authorization: `Bearer ${key}` }),
        ...((tenant !== undefined || key === operator) && { 'indelible-tenant': tenant ?? DEFAULT_TENANT }),
        ...(isObject && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: isObject ? JSON.stringify(body) : (body as Uint8Array<ArrayBuffer>) }),
    })
  }
  return {
    ...running,
    home,
    lines,
    operator,
    ask,
    stop,
    /** Text of a new key. */
    key: (key: Omit<NewKey, 'label'>) => running.service.state.createKey({ label: 'test', ...key }).key,
    async json(path: string, asked?: Asked) {
      const response = await ask(path, asked)
      return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
    },
  }
}

export const toolEnd = (more: object = {}) => ({
  type: 'tool.end',
  actor: { type: 'agent', id: 'bot' },
  outcome: 'success',
  tool: { name: 'refund' },
  ...more,
})
