/** Runs the built command line as a process, in a folder of its own and with a verifier's memory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'vitest'

export const BIN = fileURLToPath(new URL('../../bin/indelible.js', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string | Uint8Array
}

/** A temporary folder to work in, removed when the test is over. */
export class Sandbox {
  readonly folder = mkdtempSync(join(tmpdir(), 'indelible-cli-'))
  readonly work = this.path('project')
  readonly home = this.path('project/.indelible')

  /** @param onTestFinished of the test's own context: tests run at the same time */
  constructor({ onTestFinished }: Pick<TestContext, 'onTestFinished'>) {
    mkdirSync(this.work)
    mkdirSync(this.path('bin'))
    const shim = this.path('bin/indelible')
    writeFileSync(shim, `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`)
    chmodSync(shim, 0o755)
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Nothing of the one who runs the tests: no log of theirs, no colours. */
  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const path = `${this.path('bin')}${delimiter}${process.env.PATH}`
    return { PATH: path, HOME: this.folder, XDG_CONFIG_HOME: this.path('config'), TZ: 'UTC', ...more }
  }

  /** Starts `indelible` without waiting for it. */
  start(args: readonly string[], { cwd = this.work, env }: RunOptions = {}): ChildProcess {
    return spawn(process.execPath, [BIN, ...args], { cwd, env: this.env(env) })
  }

  indelible(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = this.start(args, options)
    child.stdin!.on('error', () => {}) // it may end without reading all
    child.stdin!.end(options.input)
    return outcome(child)
  }

  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = spawn(command, args, { cwd: options.cwd ?? this.work, env: this.env(options.env) })
    child.stdin.on('error', () => {})
    child.stdin.end(options.input)
    return outcome(child)
  }

  /** A log with `events` made-up entries after its first one. Returns what `init --json` said. */
  async makeLog(events = 0, init: readonly string[] = []): Promise<Record<string, string>> {
    const made = await this.indelible(['init', '--json', ...init])
    if (made.code !== 0) throw new Error(`init: ${made.stderr}`)
    if (events > 0) {
      const recorded = await this.indelible(['record'], { input: someEvents(events) })
      if (recorded.code !== 0) throw new Error(`record: ${recorded.stderr}`)
    }
    return JSON.parse(made.stdout)
  }

  /** Changes the database as somebody would who has the file: triggers dropped, nothing asked. */
  tamper(sql: string): void {
    const db = new DatabaseSync(join(this.home, 'log.db'))
    const triggers = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
    db.exec(sql)
    db.close()
  }
}

export function outcome(child: ChildProcess): Promise<Outcome> {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  child.stdout?.on('data', (chunk) => chunks.stdout.push(chunk))
  child.stderr?.on('data', (chunk) => chunks.stderr.push(chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const [stdout, stderr] = [chunks.stdout, chunks.stderr].map((list) => Buffer.concat(list).toString())
      resolve({ code, signal, stdout: stdout!, stderr: stderr! })
    })
  })
}

export function someEvents(count: number): string {
  return Array.from({ length: count }, (_, i) => `${JSON.stringify(someEvent(i))}\n`).join('')
}

export function someEvent(n: number): Record<string, unknown> {
  return {
    type: 'tool.end',
    actor: { type: 'agent', id: 'refund-agent', on_behalf_of: 'customer-7' },
    outcome: 'success',
    tool: { name: 'read_file' },
    call: `call-${n}`,
    parts: { output: { value: `result ${n}` } },
  }
}

/** The values of JSON lines. */
export function jsonLines<T = Record<string, unknown>>(text: string): T[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

/** First of the programs that this machine has. */
export function findProgram(...paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path))
}
