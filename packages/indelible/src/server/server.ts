/** A running server: state, logs, what watches over them, and what listens. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfig } from '../config/config.ts'
import type { ServerConfig } from '../config/server-section.ts'
import { isIndelibleError } from '../errors.ts'
import { withFileLock } from '../keys/files.ts'
import { createLog } from '../log/home.ts'
import { Alerts } from './alerts.ts'
import { createApp } from './app.ts'
import { KeyAndTokenAuth } from './auth.ts'
import { directEvents } from './direct.ts'
import { Directory } from './directory.ts'
import { Gate } from './gate.ts'
import { Ingest } from './ingest.ts'
import { listen, readTls } from './listen.ts'
import { createMetrics } from './metrics.ts'
import { LocalRegistry, SharedRegistry } from './registry.ts'
import { secureHeaderLines } from './secure-headers.ts'
import type { Logger, Service } from './service.ts'
import { ServerState } from './state.ts'
import { Tenants } from './tenants.ts'
import { Watch } from './watch.ts'

/** Tenant that a server has from the start. */
export const DEFAULT_TENANT = 'default'

export interface StartOptions {
  readonly home: string
  readonly host?: string
  readonly port?: number
  /** PEM files, instead of the configuration's. */
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly logger: Logger
  /** Told once, at the first start: the bootstrap key, and the verification keys of logs that are made. */
  readonly onSecret: (what: 'api_key' | 'mac_key', secret: string, of: string) => void
  readonly clock?: () => number
  /** When the server verifies its logs after its start, ms. */
  readonly verifyDelayMs?: number
}

export interface RunningServer {
  /** Where it listens, such as `http://127.0.0.1:8787`. */
  readonly url: string
  readonly service: Service
  /**
   * Reads the configuration again: limits, schedules, the webhook and the certificate count at once, the rest from the next start.
   * @throws IndelibleError `ERR_CONFIG_INVALID`; what was in force stays
   */
  reload(): void
  /** Takes no more requests, answers those that are under way, writes what waits, and closes the logs. */
  stop(): Promise<void>
}

/** How often failed sign-ins are stated, ms. */
const SIGN_IN_WINDOW_MS = 60_000

/** How long a start waits for another replica's. Making logs in a database takes its time. */
const STARTING = { timeoutMs: 60_000 }

/** How long the store may take until the server says that it is not ready, ms. */
const PROBE_MS = 2000

/** @throws IndelibleError `ERR_CONFIG_INVALID` for a certificate that is not there, and what opening logs throws */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const home = resolve(options.home)
  const { clock = Date.now, logger, onSecret } = options
  if (!existsSync(join(home, 'config.json'))) await makeHome(home, onSecret)
  const { tlsCert: tls_cert, tlsKey: tls_key } = options
  const flags = { ...(tls_cert !== undefined && { tls_cert }), ...(tls_key !== undefined && { tls_key }) }
  const read = () => ({ ...loadConfig(home).server, ...flags })
  let config = read()
  const tls = readTls(home, config)
  // Of several replicas that start at once, one makes what is missing.
  const starting = join(home, 'keys', 'server-start.lock')
  const state = await withFileLock(starting, () => new ServerState(home, clock), STARTING)
  const registry =
    config.state === undefined ? new LocalRegistry(state) : await SharedRegistry.open(config.state, state, logger)
  const tenants = new Tenants(home, state, registry, {
    maxOpen: config.max_open_logs,
    store: config.store,
    onCreated: (_, made) => onSecret('mac_key', made.macVerificationKey, made.origin),
  })
  let draining = false
  const metrics = createMetrics({ openLogs: () => tenants.open })
  const stopping: (() => Promise<void> | void)[] = []
  const onStop = (work: () => Promise<void> | void) => void stopping.push(work)
  await withFileLock(
    starting,
    async () => {
      await tenants.create(DEFAULT_TENANT)
      if (state.keys(null).length > 0) return
      const { key } = await registry.createKey({ role: 'operator', tenant: null, label: 'bootstrap', disclose: true })
      onSecret('api_key', key, 'operator')
    },
    STARTING,
  )
  const directory = await Directory.open(home, state)
  const base = {
    home,
    state,
    registry,
    tenants,
    metrics,
    logger,
    clock,
    directory,
    isDraining: () => draining,
    onStop,
    get config() {
      return config
    },
  }
  const alerts = new Alerts(base)
  const ingest = new Ingest(base)
  const service: Service = Object.defineProperty({ ...base, alerts, ingest }, 'config', { get: () => config })
  const watcher = new Watch(service, alerts, directory)
  watcher.schedule()
  let failures = 0
  const watch = setInterval(() => {
    const count = failures
    failures = 0
    if (count > 0) void stateFailures(tenants, count, logger)
  }, SIGN_IN_WINDOW_MS)
  watch.unref()
  const gate = new Gate({
    auth: new KeyAndTokenAuth(state, registry, config.oidc),
    rateLimit: config.rate_limit,
    onSignInFailure: () => {
      failures++
      metrics.count('sign_in_failures', {})
    },
  })
  const probe = () => inTime(tenants.use(DEFAULT_TENANT, ({ log }) => log.store.head()))
  const { fetch } = createApp({ service, gate, probe })
  const direct = directEvents({ service, gate, headerLines: await secureHeaderLines() })
  const { url, close, setTls } = await listen({ fetch, direct }, config, tls, options).catch(async (error: unknown) => {
    await directory.close()
    throw error
  })
  let stopped: Promise<void> | null = null
  const stop = async () => {
    draining = true
    // What balances the load needs time to see that this one is not ready any more.
    if (config.drain_seconds > 0) await sleep(config.drain_seconds * 1000)
    await watcher.stop()
    clearInterval(watch)
    // Streams have no end of their own, and a server with one open would never close.
    await Promise.allSettled(stopping.map(async (work) => work()))
    await close()
    if (failures > 0) await stateFailures(tenants, failures, logger)
    await tenants.close()
    // The last word: where each log stood when the server was stopped.
    await watcher.lastWord()
    await directory.close()
    await alerts.settled()
    await registry.close()
    state.close()
  }
  await watcher.start(options.verifyDelayMs === undefined ? {} : { verifyDelayMs: options.verifyDelayMs })
  return {
    url,
    service,
    reload() {
      const before = config
      const next = read()
      const nextTls = readTls(home, next)
      config = next
      try {
        watcher.schedule()
      } catch (error) {
        config = before
        throw error
      }
      if (nextTls) setTls(nextTls)
      const later = changedKeys(before, next).filter((key) => NOT_RELOADED.has(key))
      logger.info({ needs_restart: later }, 'configuration read again')
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

async function makeHome(home: string, onSecret: StartOptions['onSecret']): Promise<void> {
  try {
    await createLog({ home, show: (made) => onSecret('mac_key', made.macVerificationKey, made.origin) })
  } catch (error) {
    // Another replica was faster.
    if (!isIndelibleError(error, 'ERR_HOME_EXISTS') || !existsSync(join(home, 'config.json'))) throw error
  }
}

/** @throws Error if `work` takes too long: a store that is away is waited for, a question whether it is there is not */
async function inTime(work: Promise<unknown>): Promise<void> {
  const late = new AbortController()
  try {
    const tooLate = sleep(PROBE_MS, null, { signal: late.signal }).then(() => {
      throw new Error('the store takes too long')
    })
    tooLate.catch(() => {})
    await Promise.race([work, tooLate])
  } finally {
    late.abort()
  }
}

/** Keys that count from the start of the process on. */
const NOT_RELOADED = new Set([
  'host',
  'port',
  'store',
  'state',
  'cors',
  'rate_limit',
  'max_open_logs',
  'oidc',
  'header_timeout_seconds',
  'request_timeout_seconds',
])

function changedKeys(before: ServerConfig, after: ServerConfig): string[] {
  const text = (config: ServerConfig, key: string) => JSON.stringify(config[key as keyof ServerConfig])
  return Object.keys({ ...before, ...after }).filter((key) => text(before, key) !== text(after, key))
}

/** One entry for all of a minute: whoever tries keys must not be able to fill the log. */
async function stateFailures(tenants: Tenants, count: number, logger: Logger): Promise<void> {
  logger.warn({ count }, 'sign-ins failed')
  try {
    await tenants.use(DEFAULT_TENANT, ({ log }) =>
      log.recordAudit('audit.read', { surface: 'server', what: 'sign_in', outcome: 'denied', count }),
    )
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    logger.error({ error: error.code }, 'failed sign-ins could not be recorded')
  }
}
