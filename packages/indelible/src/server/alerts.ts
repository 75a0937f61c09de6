/** Telling people that something is wrong: in the server's own log, as a metric, and to a webhook. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from './service.ts'

/** What there is to be told. */
export type AlertKind =
  /** A log does not verify, or is not what the directory knows. */
  | 'verify_failed'
  /** A log takes no entries. */
  | 'write_failed'
  /** Scheduled work did not come to its end. */
  | 'schedule_failed'

/** The same kind about the same thing is not told again for so long, ms. */
const QUIET_MS = 5 * 60_000
const TRIES = 3
const TIMEOUT_MS = 10_000

export class Alerts {
  readonly #service: Pick<Service, 'config' | 'metrics' | 'logger' | 'clock'>
  readonly #told = new Map<string, number>()
  readonly #sending = new Set<Promise<void>>()

  constructor(service: Pick<Service, 'config' | 'metrics' | 'logger' | 'clock'>) {
    this.#service = service
  }

  /** @param facts codes, counts and origins; never contents */
  raise(kind: AlertKind, facts: Readonly<Record<string, unknown>>): void {
    const { metrics, logger, clock, config } = this.#service
    metrics.count('alerts', { kind })
    const about = `${kind} ${String(facts.origin ?? facts.tenant ?? '')} ${String(facts.code ?? '')}`
    const nowMs = clock()
    if (nowMs - (this.#told.get(about) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return
    if (this.#told.size > 10_000) this.#told.clear()
    this.#told.set(about, nowMs)
    logger.error({ alert: kind, ...facts }, 'alert')
    if (config.alert_webhook === undefined) return
    const body = JSON.stringify({ alert: kind, time: new Date(nowMs).toISOString(), ...facts })
    const sent = this.#send(config.alert_webhook, body).finally(() => this.#sending.delete(sent))
    this.#sending.add(sent)
  }

  /** Resolves once what was raised has been sent, or given up. */
  async settled(): Promise<void> {
    await Promise.all(this.#sending)
  }

  async #send(url: string, body: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS)
        const headers = { 'content-type': 'application/json' }
        const { ok, status } = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' })
        if (ok) return
        throw new Error(`webhook answers ${status}`)
      } catch (error) {
        if (attempt === TRIES) {
          // No message: it names the webhook, whose address may be a secret.
          this.#service.logger.error({ error: (error as Error).name }, 'alert could not be sent')
          return
        }
        await sleep(500 * attempt, undefined, { ref: false })
      }
    }
  }
}
