/** A server process that is started again when it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../packages/indelible/bin/indelible.js', import.meta.url))

export class Replica {
  host = '127.0.0.1'
  port
  /** Told when it was started again. */
  onAgain = () => {}
  #env
  #child = null
  #isStopping = false

  constructor(port, env) {
    this.port = port
    this.#env = env
  }

  get pid() {
    return this.#child?.pid
  }

  /** Resolves with what it says when it listens: its address and, of the first, the keys that it made. */
  start() {
    const child = spawn(process.execPath, [bin, 'serve', '--port', String(this.port), '--json'], {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    return new Promise((done, fail) => {
      let said = ''
      child.stdout.on('data', (text) => {
        said += text
        try {
          done(JSON.parse(said))
        } catch {
          // More is to come.
        }
      })
      child.once('exit', (code) => {
        fail(new Error(`replica at ${this.port} ended with ${code}`))
        if (!this.#isStopping) setTimeout(() => this.#again(), 500)
      })
    })
  }

  /** Drains it, and waits until it is gone. */
  async stop() {
    this.#isStopping = true
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }

  async #again() {
    if (this.#isStopping) return
    try {
      await this.start()
      this.onAgain(this)
    } catch {
      // It has ended again, and will be started again.
    }
  }
}
