/** PgBouncer in front of a test server, in transaction mode. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, serverUser } from './server.ts'

/** Where Debian and others put it. */
export const pgbouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find((path) => existsSync(path))

export class Pooler {
  readonly url: string
  readonly #folder: string
  readonly #process: ChildProcess

  private constructor(url: string, folder: string, process_: ChildProcess) {
    this.url = url
    this.#folder = folder
    this.#process = process_
  }

  /** @param target URL of a database, whose user needs no password there */
  static async start(target: string, { poolSize = 3 }: { readonly poolSize?: number } = {}): Promise<Pooler> {
    const { hostname, port, username, pathname } = new URL(target)
    const database = pathname.slice(1)
    const folder = mkdtempSync(join(tmpdir(), 'indelible-pgb-'))
    const here = await freePort()
    const config = join(folder, 'pgbouncer.ini')
    const users = join(folder, 'users.txt')
    writeFileSync(users, `"${username}" ""\n`)
    const settings = [
      '[databases]',
      `${database} = host=${hostname} port=${port || 5432} dbname=${database} user=${username}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${here}`,
      'auth_type = any',
      `auth_file = ${users}`,
      'pool_mode = transaction',
      `default_pool_size = ${poolSize}`,
      'unix_socket_dir =',
    ]
    writeFileSync(config, `${settings.join('\n')}\n`)
    const user = serverUser()
    if (user) for (const path of [folder, config, users]) chownSync(path, user.uid, user.gid)
    const child = spawn(pgbouncer!, [config], { ...user, stdio: 'ignore', detached: true })
    const pooler = new Pooler(`postgres://${username}@127.0.0.1:${here}/${database}`, folder, child)
    const { default: pg } = await import('pg')
    for (let attempt = 0; attempt < 100; attempt++) {
      const client = new pg.Client(pooler.url)
      client.on('error', () => {})
      try {
        await client.connect()
        await client.query('SELECT 1')
        await client.end()
        return pooler
      } catch {
        await client.end().catch(() => {})
        await sleep(50)
      }
    }
    await pooler.stop()
    throw new Error('pgbouncer does not answer')
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit')
      this.#process.kill('SIGTERM')
      await ended
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
