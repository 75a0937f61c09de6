/** What a running server does by itself: verification at its start and by schedule, retention, commitments of the directory. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Cron } from 'croner'
import { loadConfig } from '../config/config.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Alerts } from './alerts.ts'
import { type Directory, originOf } from './directory.ts'
import type { Service } from './service.ts'
import type { VerifyNews } from './verify-worker.ts'

/** Longest that starting and stopping wait for the directory, ms. */
const PATIENCE_MS = 5000

export interface WatchOptions {
  /** After the start, ms: requests come first. */
  readonly verifyDelayMs?: number
}

export class Watch {
  readonly #service: Service
  readonly #alerts: Alerts
  readonly #directory: Directory
  readonly #stop = new AbortController()
  #crons: Cron[] = []
  readonly #timers: NodeJS.Timeout[] = []
  readonly #working = new Set<Promise<void>>()

  constructor(service: Service, alerts: Alerts, directory: Directory) {
    this.#service = service
    this.#alerts = alerts
    this.#directory = directory
  }

  /** Begins, after {@link schedule}. */
  async start({ verifyDelayMs = 2000 }: WatchOptions = {}): Promise<void> {
    // What is gone or was rolled back while the server was away must be known before the directory says anything new.
    const known = this.#run('directory', async () => {
      await this.checkDirectory()
      await this.commit()
    })
    // A store that is away is waited for elsewhere: requests are answered meanwhile.
    await Promise.race([known, sleep(PATIENCE_MS, undefined, { ref: false })])
    const every = setInterval(() => this.#run('directory', () => this.commit()), await this.#directory.everyMs())
    const first = setTimeout(() => this.#run('verify', () => this.verifyAll()), verifyDelayMs)
    this.#timers.push(every, first)
    for (const timer of this.#timers) timer.unref()
  }

  /**
   * By the configuration as it is now.
   * @throws IndelibleError `ERR_CONFIG_INVALID` for a schedule that is none; what was scheduled stays
   */
  schedule(): void {
    const { verify_schedule: verify } = this.#service.config
    const { schedule: retention } = loadConfig(this.#service.home).retention
    const made: Cron[] = []
    made.push(this.#cron('server.verify_schedule', verify, 'verify', () => this.verifyAll()))
    if (retention !== undefined) {
      made.push(this.#cron('retention.schedule', retention, 'retention', () => this.retainAll()))
    }
    for (const cron of this.#crons) cron.stop()
    this.#crons = made
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    for (const cron of this.#crons) cron.stop()
    for (const timer of this.#timers) clearTimeout(timer)
    await Promise.race([Promise.allSettled(this.#working), sleep(PATIENCE_MS, undefined, { ref: false })])
  }

  /** {@link commit}, once nothing is written any more, unless stores take too long. */
  async lastWord(): Promise<void> {
    await Promise.race([this.commit(), sleep(PATIENCE_MS, undefined, { ref: false })])
  }

  async commit(): Promise<void> {
    try {
      await this.#directory.commit()
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      this.#alerts.raise('write_failed', { origin: this.#directory.origin, code: error.code })
    }
  }

  async checkDirectory(): Promise<void> {
    const { logs, findings } = await this.#directory.check()
    for (const finding of findings) {
      this.#service.metrics.count('verify_failures', {})
      this.#alerts.raise('verify_failed', { ...finding })
    }
    this.#service.logger.info({ logs, findings: findings.length }, 'directory checked')
  }

  /** One log after the other: verification is work, and nobody waits for it. */
  async verifyAll(): Promise<void> {
    const { state, home, metrics, logger } = this.#service
    await this.checkDirectory()
    const tenants = state.tenants().map((row) => ({ origin: originOf(row), home: join(home, 'tenants', row.folder) }))
    for (const one of [{ origin: this.#directory.origin, home }, ...tenants]) {
      if (this.#stop.signal.aborted) return
      const news = await verifyInThread(one.home, this.#stop.signal)
      if (!news) return
      const { verdict, size, codes } = news
      logger.info({ origin: one.origin, verdict, size }, 'verified by itself')
      if (verdict === 'verified') continue
      metrics.count('verify_failures', {})
      this.#alerts.raise('verify_failed', { origin: one.origin, code: codes[0] ?? verdict, verdict, codes })
    }
  }

  async retainAll(): Promise<void> {
    const { tenants, logger } = this.#service
    for (const tenant of tenants.names()) {
      if (this.#stop.signal.aborted) return
      try {
        const run = await tenants.use(tenant, async (log) => (await log.retention()).run({ by: 'schedule' }))
        const { purged = [], parts_erased: parts = 0 } = run ?? {}
        if (purged.length > 0 || parts > 0) logger.info({ purges: purged.length, parts }, 'retention ran')
      } catch (error) {
        // Another replica is at it.
        if (isIndelibleError(error, 'ERR_STORE_BUSY')) continue
        this.#alerts.raise('schedule_failed', { what: 'retention', tenant, code: codeOf(error) })
      }
    }
  }

  #cron(key: string, schedule: string, what: string, work: () => Promise<void>): Cron {
    try {
      const options = { timezone: 'UTC', protect: true, unref: true }
      return new Cron(schedule, options, () => this.#run(what, work))
    } catch (cause) {
      throw new IndelibleError('ERR_CONFIG_INVALID', `${key}: expected a cron expression such as "0 3 * * *"`, {
        cause,
      })
    }
  }

  /** Nobody waits for it, so nobody else would hear of its failure. */
  async #run(what: string, work: () => Promise<void>): Promise<void> {
    const running = work().catch((error: unknown) => {
      if (this.#stop.signal.aborted) return
      this.#alerts.raise('schedule_failed', { what, code: codeOf(error) })
    })
    this.#working.add(running)
    await running
    this.#working.delete(running)
  }
}

function codeOf(error: unknown): string {
  return isIndelibleError(error) ? error.code : (error as Error).name
}

/** `null` if it was told to stop first. */
function verifyInThread(home: string, signal: AbortSignal): Promise<VerifyNews | null> {
  // From the sources, Node runs the sources.
  const file = import.meta.url.endsWith('.ts') ? './verify-worker.ts' : './verify-worker.js'
  const worker = new Worker(new URL(file, import.meta.url), { workerData: { home }, execArgv: [] })
  worker.unref()
  return new Promise((resolve) => {
    const stop = () => void worker.terminate().then(() => resolve(null))
    signal.addEventListener('abort', stop, { once: true })
    const end = (news: VerifyNews) => {
      signal.removeEventListener('abort', stop)
      resolve(news)
    }
    worker.once('message', end)
    worker.once('error', (error) => end({ verdict: 'error', size: 0, codes: [error.name] }))
  })
}
