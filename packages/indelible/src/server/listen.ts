/** What listens: a port, TLS or none, and how long a client may take. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isAbsolute, join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { getRequestListener } from '@hono/node-server'
import type { ServerConfig } from '../config/server-section.ts'
import { IndelibleError } from '../errors.ts'
import type { Direct } from './direct.ts'

export interface Tls {
  readonly cert: Buffer
  readonly key: Buffer
}

export interface Listening {
  readonly url: string
  /** Takes no more connections, and ends when those there are have been answered, or after ten seconds. */
  close(): Promise<void>
  /** Another certificate for connections from now on; without TLS nothing. */
  setTls(tls: Tls): void
}

/**
 * The certificate and its key; `null` if none is configured.
 * @throws IndelibleError `ERR_CONFIG_INVALID` if one is missing, is no PEM, or does not fit the other
 */
export function readTls(home: string, { tls_cert: cert, tls_key: key }: ServerConfig): Tls | null {
  if (cert === undefined && key === undefined) return null
  if (cert === undefined || key === undefined) {
    throw new IndelibleError('ERR_CONFIG_INVALID', 'server: tls_cert and tls_key go together')
  }
  const read = (name: string, path: string) => {
    try {
      return readFileSync(isAbsolute(path) ? path : join(home, path))
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new IndelibleError('ERR_CONFIG_INVALID', `server.${name}: cannot read ${path}: ${code}`, { cause })
    }
  }
  const tls = { cert: read('tls_cert', cert), key: read('tls_key', key) }
  try {
    new X509Certificate(tls.cert)
    createSecureContext(tls)
  } catch {
    // No cause: it may quote the key.
    throw new IndelibleError('ERR_CONFIG_INVALID', 'server.tls_cert, tls_key: not a certificate and its private key')
  }
  return tls
}

/** What answers: the app, and before it what some requests take a shorter way through. */
export interface Answering {
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly direct: Direct
}

/** @throws IndelibleError `ERR_CONFIG_INVALID` if the address cannot be had */
export function listen(
  { fetch, direct }: Answering,
  config: ServerConfig,
  tls: Tls | null,
  { host = config.host, port = config.port }: { readonly host?: string; readonly port?: number },
): Promise<Listening> {
  const headersTimeout = config.header_timeout_seconds * 1000
  const serverOptions = {
    ...tls,
    headersTimeout,
    requestTimeout: Math.max(headersTimeout, config.request_timeout_seconds * 1000),
    // Node looks for slow clients only so often, every 30 s if nothing is said.
    connectionsCheckingInterval: Math.min(5000, Math.max(100, headersTimeout / 4)),
  }
  const app = getRequestListener(fetch, { hostname: host })
  const listener: RequestListener = (incoming, outgoing) => {
    if (!direct(incoming, outgoing)) void app(incoming, outgoing)
  }
  const server = tls ? createTlsServer(serverOptions, listener) : createServer(serverOptions, listener)
  return new Promise((done, fail) => {
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      const setTls = (next: Tls) => 'setSecureContext' in server && server.setSecureContext(next)
      done({ url: `${tls ? 'https' : 'http'}://${name}:${address.port}`, close: () => close(server), setTls })
    })
    server.once('error', (cause: NodeJS.ErrnoException) => {
      fail(new IndelibleError('ERR_CONFIG_INVALID', `cannot listen at ${host}, port ${port}: ${cause.code}`, { cause }))
    })
  })
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()))
  server.closeIdleConnections()
  await Promise.race([closed, new Promise((done) => setTimeout(done, 10_000).unref())])
  server.closeAllConnections()
}
