/** `indelible serve`: the log for many agents and many tenants, over HTTP. */
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { RunningServer } from '../server/server.ts'
import { type Context, examples } from './context.ts'

interface ServeFlags {
  readonly host?: string
  readonly port?: number
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** Where a server keeps everything, if nothing else is said: a log of one agent has another default. */
const DEFAULT_SERVER_HOME = '.indelible-server'

export function addServe(program: Command, context: Context): void {
  program
    .command('serve')
    .description('serve logs over HTTP: ingest, search, proofs, for many tenants')
    .option('--host <host>', 'address to listen at (default: server.host, 127.0.0.1)')
    .option('--port <port>', 'port to listen at; 0 takes a free one (default: server.port, 8787)', parsePort)
    .option('--tls-cert <file>', 'certificate chain, PEM (default: server.tls_cert; without, a proxy must speak TLS)')
    .option('--tls-key <file>', 'its private key, PEM (default: server.tls_key)')
    .addHelpText(
      'after',
      examples('indelible serve', 'indelible --home /var/lib/indelible serve --host 0.0.0.0 --port 443'),
    )
    .action((flags: ServeFlags) => serve(flags, context))
}

async function serve({ host, port, tlsCert, tlsKey }: ServeFlags, context: Context): Promise<void> {
  const { startServer } = await import('../server/server.ts')
  const { pino } = await import('pino')
  const logger = pino({ level: process.env.LOG_LEVEL ?? 'info', base: null }, process.stderr)
  const home = resolve(context.home ?? process.env.INDELIBLE_HOME ?? DEFAULT_SERVER_HOME)
  const secrets: { readonly kind: string; readonly secret: string; readonly of: string }[] = []
  const show = (url: string | null) => {
    const shown = {
      url,
      home,
      api_key: secrets.find(({ kind }) => kind === 'api_key')?.secret,
      mac_keys: secrets
        .filter(({ kind }) => kind === 'mac_key')
        .map(({ secret, of }) => ({ origin: of, mac_key: secret })),
    }
    return context.answer(shown, () => describe(shown))
  }
  const starting = startServer({
    home,
    logger,
    onSecret: (kind, secret, of) => secrets.push({ kind, secret, of }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(tlsCert !== undefined && { tlsCert: resolve(tlsCert) }),
    ...(tlsKey !== undefined && { tlsKey: resolve(tlsKey) }),
  })
  // Without an address if it does not start: the keys that it made are shown now or never.
  const server = await starting.catch(async (error: unknown) => {
    if (secrets.length > 0) await show(null)
    throw error
  })
  await show(server.url)
  await context.out.flush()
  const reload = () => {
    try {
      server.reload()
    } catch (error) {
      logger.error({ error: (error as { code?: string }).code }, 'configuration stays as it was')
    }
  }
  process.on('SIGHUP', reload)
  await untilStopped(server)
  process.off('SIGHUP', reload)
}

interface Shown {
  readonly url: string | null
  readonly home: string
  readonly api_key: string | undefined
  readonly mac_keys: readonly { readonly origin: string; readonly mac_key: string }[]
}

function describe({ url, home, api_key: key, mac_keys: macKeys }: Shown): string {
  const lines = url === null ? [`home ${home}`] : [`listening at ${url}`, `home ${home}`, `reference ${url}/docs`]
  if (key !== undefined) lines.push('', 'operator key, shown this once:', `  ${key}`)
  if (macKeys.length > 0) lines.push('', 'mac verification keys, shown this once: keep them off this host')
  for (const { origin, mac_key: secret } of macKeys) lines.push(`  ${origin}  ${secret}`)
  return `${lines.join('\n')}\n`
}

/** Drains on the first signal. On the second the process ends as any other would. */
function untilStopped(server: RunningServer): Promise<void> {
  return new Promise((done, fail) => {
    const stop = () => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
      server.stop().then(done, fail)
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  })
}

function parsePort(text: string): number {
  const port = Number(text)
  if (!/^[0-9]{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('expected a port, 0 to 65535')
  return port
}
