/** Has a witness listen. Loopback unless told otherwise: what stands in front of it, TLS included, is the operator's. */
import type { AddressInfo } from 'node:net'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import type { WitnessAppOptions } from './witness-app.ts'
import { witnessApp } from './witness-app.ts'
import type { WitnessState } from './witness-state.ts'

export interface ListenOptions extends WitnessAppOptions {
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** Default 0: any that is free. */
  readonly port?: number
}

export interface ListeningWitness {
  /** Submission and monitoring prefix. */
  readonly url: string
  close(): Promise<void>
}

/** How long a client may take for its headers, and for all of its request, ms. */
const HEADERS_MS = 5000
const REQUEST_MS = 15_000

/** Resolves once the witness can be reached. Throws what listening throws, such as `EADDRINUSE`. */
export async function listenWitness(state: WitnessState, options: ListenOptions = {}): Promise<ListeningWitness> {
  const { host = '127.0.0.1', port = 0, ...appOptions } = options
  const app = witnessApp(state, (context) => getConnInfo(context).remote.address ?? 'unknown', appOptions)
  const server = createAdaptorServer({
    fetch: (request, env) => app.fetch(request, env as HttpBindings),
    serverOptions: { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1000 },
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, port: bound, family } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
