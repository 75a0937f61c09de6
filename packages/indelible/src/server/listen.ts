/** What listens: a port, TLS or none, and how long a client may take. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isAbsolute, join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { type ServerType, serve } from '@hono/node-server'
import type { ServerConfig } from '../config/server-section.ts'
import { IndelibleError } from '../errors.ts'

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

/** @throws IndelibleError `ERR_CONFIG_INVALID` if the address cannot be had */
export function listen(
  fetch: (request: Request) => Response | Promise<Response>,
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
  const options = { fetch, hostname: host, port, serverOptions, ...(tls && { createServer: createTlsServer }) }
  return new Promise((done, fail) => {
    const server = serve(options as Parameters<typeof serve>[0], (address: AddressInfo) => {
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      const setTls = (next: Tls) => 'setSecureContext' in server && server.setSecureContext(next)
      done({ url: `${tls ? 'https' : 'http'}://${name}:${address.port}`, close: () => close(server), setTls })
    })
    server.once('error', (cause: NodeJS.ErrnoException) => {
      fail(new IndelibleError('ERR_CONFIG_INVALID', `cannot listen at ${host}, port ${port}: ${cause.code}`, { cause }))
    })
  })
}

async function close(server: ServerType): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()))
  if ('closeIdleConnections' in server) server.closeIdleConnections()
  await Promise.race([closed, new Promise((done) => setTimeout(done, 10_000).unref())])
  if ('closeAllConnections' in server) server.closeAllConnections()
}
