/** Witnesses for tests: real ones over HTTP on loopback, and ones that misbehave. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AnchorUse } from '../src/anchor/anchor.ts'
import { createWitness, openWitness } from '../src/anchor/witness-home.ts'
import { type ListeningWitness, type ListenOptions, listenWitness } from '../src/anchor/witness-listen.ts'
import type { WitnessState } from '../src/anchor/witness-state.ts'
import { parseVkey } from '../src/note/signed-note.ts'

/** What a test started, to be undone when it is over. */
export class Cleanup {
  readonly #work: (() => unknown)[] = []

  add(work: () => unknown): void {
    this.#work.push(work)
  }

  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'indelible-anchor-'))
    this.add(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  async run(): Promise<void> {
    for (const work of this.#work.splice(0).reverse()) await work()
  }
}

export interface TestWitness {
  readonly folder: string
  readonly vkey: string
  readonly state: WitnessState
  readonly url: string
  stop(): Promise<void>
}

export interface TestWitnessOptions extends ListenOptions {
  readonly name?: string
  readonly clock?: () => number
}

/** A witness of its own folder that knows the logs of `vkeys`. */
export async function startWitness(
  cleanup: Cleanup,
  vkeys: readonly string[],
  { name = 'witness.example', clock, ...options }: TestWitnessOptions = {},
): Promise<TestWitness> {
  const folder = cleanup.folder()
  const vkey = createWitness(folder, name)
  const state = openWitness(folder, clock)
  for (const log of vkeys) state.addLog(parseVkey(log))
  const listening: ListeningWitness = await listenWitness(state, { perMinute: 100_000, ...options })
  let isStopped = false
  const stop = async () => {
    if (isStopped) return
    isStopped = true
    await listening.close()
    state[Symbol.dispose]()
  }
  cleanup.add(stop)
  return { folder, vkey, state, url: listening.url, stop }
}

/** An HTTP server that answers as it is told. */
export async function startServer(cleanup: Cleanup, listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup.add(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function use(directory: string, origin: string, more: Partial<AnchorUse> = {}): AnchorUse {
  return { directory, origin, env: {}, fetch, clock: Date.now, ...more }
}

/** Sets the section `anchors` of a home's configuration. */
export function setConfig(home: string, anchors: Record<string, unknown>): void {
  const path = join(home, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), anchors }))
}
