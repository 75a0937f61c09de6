/**
 * `POST /v1/events` from Node's request to Node's response. The app's way there, with objects of the web's kind for request,
 * response and headers, costs more than recording the event does. What is done on the way is the same: this file has no rule of
 * its own, and whatever is not ordinary about a request is the app's.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readIncoming } from './body.ts'
import { problemToTell } from './failure.ts'
import type { Gate } from './gate.ts'
import { answerOf } from './problem.ts'
import { type Service, TENANT_HEADER } from './service.ts'

/** Returns whether it answers; if not, nothing was read or written. */
export type Direct = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean

export interface DirectParts {
  readonly service: Service
  readonly gate: Gate
  /** Names and values of headers of every answer, in turns. */
  readonly headerLines: readonly string[]
}

const ROUTE = '/v1/events'

/** Names of hosts that no URL parser would see anything else in. */
const PLAIN_HOST = /^[a-z0-9._-]+(?::\d{1,5})?$/

export function directEvents(parts: DirectParts): Direct {
  return (incoming, outgoing) => {
    if (!isOrdinary(incoming, parts.service)) return false
    void answer(incoming, outgoing, parts)
    return true
  }
}

function isOrdinary({ method, url, headers, rawHeaders }: IncomingMessage, { config, isDraining }: Service): boolean {
  if (method !== 'POST' || url !== ROUTE || config.cors.length > 0 || isDraining()) return false
  // Two of a name: which of them Node keeps is not which the app would see.
  if (Object.keys(headers).length * 2 !== rawHeaders.length) return false
  if (headers['content-encoding'] !== undefined || headers['transfer-encoding'] !== undefined) return false
  // Node's parser sees to it that a body has the length that it says.
  if (!(Number(headers['content-length'] ?? Number.NaN) <= config.max_body_bytes)) return false
  return headers.host !== undefined && PLAIN_HOST.test(headers.host)
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, parts: DirectParts): Promise<void> {
  const { service, gate, headerLines } = parts
  const { headers } = incoming
  const begun = performance.now()
  const requestId = randomUUID()
  const lines = [...headerLines, 'x-request-id', requestId]
  let status: number
  try {
    const principal = await gate.admit(headers.authorization)
    const taken = await service.ingest.take({
      body: (grow) => readIncoming(incoming, service.config.max_body_bytes, grow),
      contentType: headers['content-type'],
      principal,
      tenant: headers[TENANT_HEADER] as string | undefined,
      isAtomic: false,
    })
    status = taken.status
    lines.push('content-type', 'application/json', 'content-length', String(taken.text.length))
    // ASCII, so a character is a byte.
    outgoing.writeHead(status, lines).end(taken.text, 'latin1')
  } catch (error) {
    // A body that nobody began to read is dropped by Node before the next request of the connection; one that was given up
    // halfway is dropped by nobody else. It is as long as it said, which is not too long.
    incoming.resume()
    const problem = answerOf(problemToTell(service, error, { requestId, route: ROUTE }), requestId)
    status = problem.status
    lines.push(...Object.entries(problem.headers).flat(), 'content-length', String(Buffer.byteLength(problem.text)))
    outgoing.writeHead(status, lines).end(problem.text)
  }
  service.metrics.count('requests', { route: ROUTE, status: String(status) })
  service.metrics.observe('request_seconds', { route: ROUTE }, (performance.now() - begun) / 1000)
}
