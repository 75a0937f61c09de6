/** A real S3 server for tests: Ceph's radosgw on loopback, with one monitor and one storage daemon that keeps all in memory. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './postgres/server.ts'

/** Debian: `apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common`. */
const TOOLS = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'monmaptool', 'ceph-authtool', 'radosgw-admin']

/** Why there can be no server here; `null` if there can. */
export function whyNoRgw(): string | null {
  const missing = TOOLS.filter((tool) => !['/usr/bin', '/usr/sbin', '/bin'].some((bin) => existsSync(join(bin, tool))))
  if (missing.length > 0) return `Ceph's S3 server is not installed: no ${missing.join(', ')}`
  return process.getuid?.() === 0 ? null : 'Ceph wants to be started by root'
}

export class TestRgw {
  readonly folder: string
  readonly endpoint: string
  readonly env = { AWS_ACCESS_KEY_ID: 'testkey', AWS_SECRET_ACCESS_KEY: 'testsecret' }
  readonly #port: number
  readonly #children: ChildProcess[] = []

  private constructor(port: number) {
    this.folder = mkdtempSync(join(tmpdir(), 'indelible-rgw-'))
    this.#port = port
    this.endpoint = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<TestRgw> {
    const server = new TestRgw(await freePort())
    // A test run that is ended must not leave daemons behind.
    process.once('exit', () => server.#kill())
    try {
      await server.#start(await freePort())
      return server
    } catch (error) {
      const log = join(server.folder, 'log')
      await server.stop()
      throw new Error(`no S3 server: ${(error as Error).message} (${log})`, { cause: error })
    }
  }

  async #start(monitorPort: number): Promise<void> {
    const id = randomUUID()
    const at = (name: string) => join(this.folder, name)
    for (const name of ['mon/a', 'osd/0', 'run', 'log']) mkdirSync(at(name), { recursive: true })
    writeFileSync(at('ceph.conf'), configOf(this.folder, id, monitorPort, this.#port))
    const keyring = (...args: string[]) => this.#run('ceph-authtool', 'keyring', '--gen-key', ...args)
    keyring('--create-keyring', '-n', 'mon.', '--cap', 'mon', 'allow *')
    keyring('-n', 'client.admin', '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *')
    this.#run('monmaptool', '--create', '--fsid', id, '--addv', 'a', `[v1:127.0.0.1:${monitorPort}]`, 'monmap')
    const conf = ['-c', at('ceph.conf')]
    this.#run('ceph-mon', ...conf, '--mkfs', '-i', 'a', '--monmap', 'monmap', '--keyring', 'keyring')
    this.#daemon('ceph-mon', ...conf, '-i', 'a', '-f')
    const osd = randomUUID()
    this.#run('ceph', ...conf, '--connect-timeout', '20', 'osd', 'new', osd, '0')
    writeFileSync(at('osd/0/fsid'), `${osd}\n`)
    this.#run('ceph-osd', ...conf, '-i', '0', '--mkfs', '--osd-uuid', osd)
    await this.#storage('ceph-osd', ...conf, '-i', '0', '-f')
    this.#run('ceph', ...conf, 'osd', 'crush', 'add', 'osd.0', '1.0', 'host=one', 'root=default')
    this.#daemon('radosgw', ...conf, '-n', 'client.rgw', '--no-mon-config', '-f')
    await this.#answers()
    const user = ['--uid=test', '--display-name=test', '--access-key=testkey', '--secret-key=testsecret']
    this.#run('radosgw-admin', ...conf, 'user', 'create', ...user)
  }

  /** It asks the monitor before it knows whose it is, now and then, and ends. */
  async #storage(tool: string, ...args: string[]): Promise<void> {
    for (let attempt = 0; attempt < 20; attempt++) {
      const child = spawn(tool, args, { cwd: this.folder, stdio: 'ignore' })
      if (await Promise.race([new Promise((done) => child.once('exit', () => done(false))), sleep(700, true)])) {
        this.#children.push(child)
        return
      }
    }
    throw new Error(`${tool} does not stay`)
  }

  async #answers(): Promise<void> {
    for (let attempt = 0; attempt < 300; attempt++) {
      const ended = this.#children.find(({ exitCode }) => exitCode !== null)
      if (ended) throw new Error(`${ended.spawnfile} ended with ${ended.exitCode}`)
      const isThere = await fetch(this.endpoint).then(
        async (response) => {
          await response.arrayBuffer()
          return true
        },
        () => false,
      )
      if (isThere) return
      await sleep(100)
    }
    throw new Error('radosgw does not answer')
  }

  #run(tool: string, ...args: string[]): void {
    execFileSync(tool, args, { cwd: this.folder, stdio: 'pipe', timeout: 60_000 })
  }

  #daemon(tool: string, ...args: string[]): void {
    this.#children.push(spawn(tool, args, { cwd: this.folder, stdio: 'ignore' }))
  }

  #kill(): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL')
  }

  /** All of it is in memory: nothing has to be ended in good order. */
  async stop(): Promise<void> {
    const ended = this.#children.map(
      (child) =>
        child.exitCode !== null || child.signalCode !== null || new Promise((done) => child.once('exit', done)),
    )
    this.#kill()
    await Promise.all(ended)
    if (!process.env.KEEP_RGW) rmSync(this.folder, { recursive: true, force: true })
  }

  log(): string {
    return readFileSync(join(this.folder, 'log/ceph-client.rgw.log'), 'utf8')
  }
}

const configOf = (dir: string, id: string, monitorPort: number, port: number) => `[global]
fsid = ${id}
mon host = [v1:127.0.0.1:${monitorPort}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
run dir = ${dir}/run
admin socket = ${dir}/run/$cluster-$name.asok
log file = ${dir}/log/$cluster-$name.log
mon cluster log file = ${dir}/log/cluster.log
pid file = ${dir}/run/$name.pid
keyring = ${dir}/keyring
[mon]
mon data = ${dir}/mon/$id
mon initial members = a
[osd]
osd data = ${dir}/osd/$id
osd objectstore = memstore
memstore device bytes = 536870912
osd max object name len = 256
osd heartbeat grace = 60
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:${port}
rgw dns name = 127.0.0.1
rgw enable usage log = false
rgw gc obj min wait = 300
rgw thread pool size = 32
`
