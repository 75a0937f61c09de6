/**
 * A witness over HTTP (C2SP tlog-witness v1.0.0): `POST /add-checkpoint`, and for everybody `GET /<log id>/checkpoint`, where
 * the log id is the SHA-256 of the origin in hex. Request in, response out; whoever listens is elsewhere.
 */
import { createHash } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { SIZE_MEDIA_TYPE } from '../note/add-checkpoint.ts'
import { formatVkey } from '../note/signed-note.ts'
import type { Verdict, WitnessState } from './witness-state.ts'

export interface WitnessAppOptions {
  /** Requests that one client may make in a minute. Default 60. */
  readonly perMinute?: number
  /** Longest request that is read, bytes. Default 128 KiB: a checkpoint with a hundred signatures fits. */
  readonly maxBytes?: number
  /** Told of every decision, for a log of one's own. */
  readonly onVerdict?: (verdict: Verdict) => void
}

/** Names the client of a request, for the rate limit. */
export type ClientOf = (context: Context) => string

const TEXT = 'text/plain; charset=utf-8'

export function witnessApp(state: WitnessState, clientOf: ClientOf, options: WitnessAppOptions = {}): Hono {
  const { perMinute = 60, maxBytes = 131_072, onVerdict } = options
  const limiter = new RateLimiterMemory({ points: perMinute, duration: 60 })
  const app = new Hono()
  app.use(async (context, next) => {
    try {
      await limiter.consume(clientOf(context))
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error
      const seconds = String(Math.ceil(error.msBeforeNext / 1000))
      return context.text('too many requests\n', 429, { 'retry-after': seconds })
    }
    return next()
  })
  app.post('/add-checkpoint', async (context) => {
    const body = await readText(context.req.raw, maxBytes)
    if (body === null) return context.text(`more than ${maxBytes} bytes\n`, 413)
    const verdict = state.add(body)
    onVerdict?.(verdict)
    switch (verdict.status) {
      case 200:
        return context.body(verdict.line, 200, { 'content-type': TEXT })
      case 409:
        return context.body(`${verdict.size}\n`, 409, { 'content-type': SIZE_MEDIA_TYPE })
      default:
        return context.text(`${verdict.reason}\n`, verdict.status)
    }
  })
  app.get('/:log{[0-9a-f]{64}}/checkpoint', (context) => {
    const id = context.req.param('log')
    const origin = state.origins().find((one) => createHash('sha256').update(one).digest('hex') === id)
    const note = origin === undefined ? null : state.latest(origin)
    if (note === null) return context.text('no checkpoint of that log\n', 404)
    return context.body(note, 200, { 'content-type': TEXT, 'cache-control': 'no-cache' })
  })
  app.get('/', (context) => context.text(`witness\n${formatVkey(state.key)}\n`))
  app.onError((_, context) => context.text('the witness failed\n', 500))
  return app
}

/** `null` if there is more than `most` bytes: it is not read to its end. What is not UTF-8 is no note, and is read as none. */
async function readText(request: Request, most: number): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.length
    if (length > most) return null
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
  } catch {
    return ''
  }
}
