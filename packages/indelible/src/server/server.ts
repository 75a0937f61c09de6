/** A running server: state, logs, what watches over them, and what listens. */
import { existsSync, readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isAbsolute, join, resolve } from 'node:path'
import { type ServerType, serve } from '@hono/node-server'
import { loadConfig } from '../config/config.ts'
import type { ServerConfig } from '../config/server-section.ts'
import { isIndelibleError } from '../errors.ts'
import { createLog } from '../log/home.ts'
import { createApp } from './app.ts'
import { KeyAndTokenAuth } from './auth.ts'
import { createMetrics } from './metrics.ts'
import type { Logger, Service } from './service.ts'
import { ServerState } from './state.ts'
import { Tenants } from './tenants.ts'

/** Tenant that a server has from the start. */
export const DEFAULT_TENANT = 'default'

export interface StartOptions {
  readonly home: string
  readonly host?: string
  readonly port?: number
  readonly logger: Logger
  /** Told once, at the first start: the bootstrap key, and the verification keys of logs that are made. */
  readonly onSecret: (what: 'api_key' | 'mac_key', secret: string, of: string) => void
  readonly clock?: () => number
}

export interface RunningServer {
  /** Where it listens, such as `http://127.0.0.1:8787`. */
  readonly url: string
  readonly service: Service
  /** Takes no more requests, answers those that are under way, writes what waits, and closes the logs. */
  stop(): Promise<void>
}

/** How often failed sign-ins are stated, ms. */
const SIGN_IN_WINDOW_MS = 60_000

/** @throws IndelibleError `ERR_CONFIG_INVALID` for a certificate that is not there, and what opening logs throws */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const home = resolve(options.home)
  const { clock = Date.now, logger, onSecret } = options
  const isNew = !existsSync(join(home, 'config.json'))
  if (isNew) {
    const { macVerificationKey, origin } = await createLog({ home })
    onSecret('mac_key', macVerificationKey, origin)
  }
  const config = loadConfig(home).server
  const state = new ServerState(home, clock)
  const tenants = new Tenants(home, state, {
    maxOpen: config.max_open_logs,
    store: config.store,
    onCreated: (_, made) => onSecret('mac_key', made.macVerificationKey, made.origin),
  })
  let draining = false
  const metrics = createMetrics({ openLogs: () => tenants.open })
  const stopping: (() => Promise<void> | void)[] = []
  const onStop = (work: () => Promise<void> | void) => void stopping.push(work)
  const service: Service = { home, config, state, tenants, metrics, logger, clock, isDraining: () => draining, onStop }
  await tenants.create(DEFAULT_TENANT)
  if (state.keys(null).length === 0) {
    const { key } = state.createKey({ role: 'operator', tenant: null, label: 'bootstrap', disclose: true })
    onSecret('api_key', key, 'operator')
  }
  let failures = 0
  const watch = setInterval(() => {
    const count = failures
    failures = 0
    if (count > 0) void stateFailures(tenants, count, logger)
  }, SIGN_IN_WINDOW_MS)
  watch.unref()
  const app = createApp({
    service,
    auth: new KeyAndTokenAuth(state, config.oidc),
    onSignInFailure: () => {
      failures++
      metrics.count('sign_in_failures', {})
    },
    probe: async () => void (await tenants.use(DEFAULT_TENANT, ({ log }) => log.store.head())),
  })
  const { server, url } = await listen(app.fetch, home, config, options)
  return {
    url,
    service,
    async stop() {
      draining = true
      clearInterval(watch)
      // Streams have no end of their own, and a server with one open would never close.
      await Promise.allSettled(stopping.map(async (work) => work()))
      const closed = new Promise<void>((done) => server.close(() => done()))
      if ('closeIdleConnections' in server) server.closeIdleConnections()
      await Promise.race([closed, new Promise((done) => setTimeout(done, 10_000).unref())])
      if ('closeAllConnections' in server) server.closeAllConnections()
      if (failures > 0) await stateFailures(tenants, failures, logger)
      await tenants.close()
      state.close()
    },
  }
}

async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  home: string,
  config: ServerConfig,
  { host = config.host, port = config.port }: Pick<StartOptions, 'host' | 'port'>,
): Promise<{ server: ServerType; url: string }> {
  const { tls_cert: cert, tls_key: key } = config
  const file = (path: string) => readFileSync(isAbsolute(path) ? path : join(home, path))
  const tls =
    cert === undefined || key === undefined
      ? {}
      : { createServer: createTlsServer, serverOptions: { cert: file(cert), key: file(key) } }
  return new Promise((done, fail) => {
    const server = serve(
      { fetch, hostname: host, port, ...tls } as Parameters<typeof serve>[0],
      (address: AddressInfo) => {
        const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
        done({ server, url: `${cert === undefined ? 'http' : 'https'}://${name}:${address.port}` })
      },
    )
    server.on('error', fail)
  })
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
