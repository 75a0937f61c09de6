/**
 * Adapter for the Model Context Protocol, `@modelcontextprotocol/sdk` (v1) and `@modelcontextprotocol/server`, `/client` (v2).
 * It sits on the transport, which is the same in both: there it also sees what never reaches a tool, such as calls of unknown
 * tools and arguments that fail validation, and there a call can be held back. What a tool does runs within the session's run.
 *
 * For servers that cannot be changed there is `indelible mcp-proxy`, on {@link runMcpProxy}.
 */
import { IndelibleError } from '../errors.ts'
import type { McpVia } from './mcp-exchange.ts'
import type { McpMessage, McpSide } from './mcp-message.ts'
import { type McpOptions, McpSession } from './mcp-session.ts'
import { checkVersion } from './support.ts'

export { type McpProxy, type McpProxyEnd, type McpProxyOptions, runMcpProxy } from './mcp-proxy.ts'
export type { McpOptions } from './mcp-session.ts'

export interface RecordMcpOptions extends McpOptions {
  /** Of the package, whose objects do not say it. Without, only their shape is checked. */
  readonly version?: string
}

export interface RecordMcpTransportOptions extends RecordMcpOptions {
  /** Whose transport it is. Default `server`. */
  readonly side?: McpSide
}

/** What v1 and v2 call a transport. */
interface Transport {
  start(): Promise<void>
  send(message: McpMessage, options?: unknown): Promise<void>
  close(): Promise<void>
  onmessage?: ((message: McpMessage, extra?: unknown) => void) | undefined
  onclose?: (() => void) | undefined
  sessionId?: string | undefined
}

interface Connectable {
  connect(transport: unknown, ...rest: unknown[]): Promise<unknown>
}

const MAJORS = [1, 2]
const RECORDED = Symbol('recorded')

/**
 * Has every session of a server recorded from its next `connect` on: `McpServer`, or the `Server` below it. Tools may be
 * registered before or after. Returns the server.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for what is no such server, or a version that this adapter does not know
 */
export function recordMcpServer<Server extends object>(server: Server, options: RecordMcpOptions): Server {
  return recordConnections(server, { ...options, side: 'server' })
}

/** The same for a `Client`: what it asks of servers. Throws as {@link recordMcpServer}. */
export function recordMcpClient<Client extends object>(client: Client, options: RecordMcpOptions): Client {
  return recordConnections(client, { ...options, side: 'client' })
}

function recordConnections<End extends object>(end: End, options: RecordMcpTransportOptions): End {
  const packageName = `@modelcontextprotocol ${options.side}`
  if (options.version !== undefined) checkVersion(packageName, options.version, MAJORS)
  const target = end as End & Connectable & { [RECORDED]?: true }
  if (typeof target.connect !== 'function') throw unsupported(`${packageName} has no connect()`)
  if (target[RECORDED]) return end
  const connect = target.connect.bind(target)
  target.connect = (transport, ...rest) => connect(recordMcpTransport(transport as Transport, options), ...rest)
  Object.defineProperty(target, RECORDED, { value: true })
  return end
}

/**
 * Records what goes over one transport, and holds back what must not happen. Call it before `connect`. The transport is
 * changed in place, since some frameworks know theirs by identity. Returns it.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`
 */
export function recordMcpTransport<T extends object>(transport: T, options: RecordMcpTransportOptions): T {
  if (options.version !== undefined) checkVersion('@modelcontextprotocol', options.version, MAJORS)
  const target = transport as T & Transport & { [RECORDED]?: true }
  for (const name of ['start', 'send', 'close'] as const) {
    if (typeof target[name] !== 'function') throw unsupported(`transport has no ${name}()`)
  }
  if (target[RECORDED]) return transport
  Object.defineProperty(target, RECORDED, { value: true })
  const us = options.side ?? 'server'
  const them: McpSide = us === 'server' ? 'client' : 'server'
  const session = new McpSession(sessionOptions(options, target))
  const send = target.send.bind(target)
  let receive = target.onmessage
  let closed = target.onclose

  const ours = (message: McpMessage, extra?: unknown) => {
    const deliver = (one: McpMessage) => receive?.call(target, one, extra)
    session.take(them, message, {
      pass: () => deliver(message),
      // The peer may be gone; then nobody waits for the answer.
      reply: (answer) => void send(answer, relatedTo(answer)).catch(() => {}),
      replace: deliver,
      drop: () => {},
    })
  }
  Object.defineProperty(target, 'onmessage', {
    configurable: true,
    enumerable: true,
    // Not before the protocol has set its own: it would call ours in turn.
    get: () => (receive ? ours : undefined),
    set: (handler: Transport['onmessage']) => {
      receive = handler
    },
  })
  const end = () => {
    void session.close()
    closed?.call(target)
  }
  Object.defineProperty(target, 'onclose', {
    configurable: true,
    enumerable: true,
    get: () => (closed ? end : undefined),
    set: (handler: Transport['onclose']) => {
      closed = handler
    },
  })
  target.send = (message, sendOptions) =>
    sendThrough(session, us, message, sendOptions, send, (answer) => receive?.call(target, answer))
  return transport
}

/** Resolves as the transport's own `send` does; a message that is held back, once it has gone or been refused. */
function sendThrough(
  session: McpSession,
  us: McpSide,
  message: McpMessage,
  options: unknown,
  send: Transport['send'],
  receive: (message: McpMessage) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const via: McpVia = {
      pass: () => void send(message, options).then(resolve, reject),
      reply: (answer) => {
        resolve()
        receive(answer)
      },
      replace: (other) => void send(other, options).then(resolve, reject),
      drop: resolve,
    }
    session.take(us, message, via)
  })
}

/** Transports of HTTP have to know on which request's stream an answer goes. */
function relatedTo({ id }: McpMessage): { relatedRequestId: unknown } {
  return { relatedRequestId: id }
}

function sessionOptions(options: RecordMcpTransportOptions, { sessionId }: Transport): McpOptions {
  const { run, version } = options
  const side = options.side ?? 'server'
  const sdk = version === undefined ? undefined : `mcp-${side}/${version}`
  return {
    ...options,
    run: {
      source: { adapter: 'mcp', ...(sdk !== undefined && { sdk }) },
      ...(typeof sessionId === 'string' && sessionId !== '' && { session: sessionId.slice(0, 256) }),
      ...run,
    },
  }
}

function unsupported(what: string): IndelibleError {
  return new IndelibleError('ERR_CAPTURE_UNSUPPORTED', `${what}; this adapter knows versions ${MAJORS.join(' and ')}`)
}
