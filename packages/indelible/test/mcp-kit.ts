/** A client's end of `runMcpProxy`, with the server of mcp-server.mjs at the other and a log in memory. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { type McpProxy, type McpProxyOptions, runMcpProxy } from '../src/capture/mcp-proxy.ts'
import { newId } from '../src/record/id.ts'
import { TestStage } from '../src/testing/adapter-stage.ts'

export const SERVER = fileURLToPath(new URL('mcp-server.mjs', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'indelible-mcp-seen-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

export interface Line {
  readonly id?: unknown
  readonly method?: string
  readonly result?: { readonly content?: readonly { readonly text: string }[] }
  readonly error?: { readonly code: number; readonly data?: { readonly code: string } }
}

export class ProxyClient {
  readonly stage: TestStage
  readonly proxy: McpProxy
  readonly input = new PassThrough()
  readonly output = new PassThrough()
  readonly #seen: string
  #text = ''
  #notify = () => {}

  static async start(options: Partial<McpProxyOptions> = {}): Promise<ProxyClient> {
    return new ProxyClient(await TestStage.open(options.onFailure ?? 'continue'), options)
  }

  private constructor(stage: TestStage, options: Partial<McpProxyOptions>) {
    this.stage = stage
    this.#seen = join(folder, newId(Date.now()))
    this.proxy = runMcpProxy({
      recorder: stage.recorder,
      command: process.execPath,
      args: [SERVER],
      env: { ...process.env, SEEN: this.#seen },
      input: this.input,
      output: this.output,
      ...options,
    })
    this.output.on('data', (chunk: Buffer) => {
      this.#text += chunk
      this.#notify()
    })
  }

  /** Bytes as they are. */
  write(text: string): void {
    this.input.write(text)
  }

  send(...messages: readonly object[]): void {
    for (const message of messages) this.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }

  call(id: unknown, name: unknown, args: object = {}): void {
    this.send(request(id, name, args))
  }

  /** All that came, once `count` lines have. */
  async lines(count: number): Promise<string[]> {
    while (this.#text.split('\n').length <= count) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve
      })
    }
    return this.#text.split('\n').slice(0, -1)
  }

  async answers(count: number): Promise<Line[]> {
    return (await this.lines(count)).filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  }

  get text(): string {
    return this.#text
  }

  /** What reached the server. */
  get seen(): string[] {
    return readFileSync(this.#seen, 'utf8').split('\n').slice(0, -1)
  }

  /** The client goes; then the entries: type, tool, outcome. */
  async end() {
    this.input.end()
    const end = await this.proxy.ended
    const all = await this.stage.records()
    await this.stage.close()
    const lines = all.map(({ record: { type, tool, outcome } }) =>
      [type, tool?.name, outcome].filter(Boolean).join(' '),
    )
    return { end, lines, all, records: all.map(({ record }) => record) }
  }
}

export function request(id: unknown, name: unknown, args: object = {}) {
  return { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } }
}
