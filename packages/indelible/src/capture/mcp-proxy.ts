/**
 * A proxy between an MCP client and a server that talks over standard input and output: every line passes as it came, byte
 * by byte, and is recorded on its way. What must not happen does not reach the server; the client is told why.
 *
 * A gate has to read a message as the server will. So where requests may be refused, lines that two parsers could read in
 * two ways (duplicate keys, keys that differ in case only, carriage returns, what is no JSON) are refused as well.
 */

import { isUtf8 } from 'node:buffer'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { basename } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { parseJson } from '../record/jcs.ts'
import { LineSplitter, LineWriter } from './mcp-lines.ts'
import { isAmbiguous, isObject, type McpMessage, type McpSide, RPC, refusal } from './mcp-message.ts'
import { type McpOptions, McpSession } from './mcp-session.ts'

export interface McpProxyOptions extends McpOptions {
  readonly command: string
  readonly args?: readonly string[]
  /** Default: this process's. */
  readonly env?: NodeJS.ProcessEnv
  /** What the client writes. Default stdin. */
  readonly input?: Readable
  /** What the client reads. Default stdout. */
  readonly output?: Writable
  /** Longest line that is read, bytes. Default 16 MiB. A longer one passes unread; where requests may be refused, it is. */
  readonly maxLineBytes?: number
}

/** How the server ended. */
export interface McpProxyEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface McpProxy {
  /** Resolves once the server has ended and all is recorded. Rejects if it could not be started. */
  readonly ended: Promise<McpProxyEnd>
  kill(signal: NodeJS.Signals): void
}

const DEFAULT_MAX_LINE = 16 * 1024 * 1024
/** Most messages that are held back before no more are read. */
const MAX_HELD = 256
/** What a server has to end by itself after its client has gone, ms; and once more after SIGTERM. */
const GRACE_MS = 5000

/**
 * Starts a server and stands between it and its client. Its standard error is this process's.
 * @throws IndelibleError `ERR_EVENT_INVALID` for an agent or a user that no event can hold
 */
export function runMcpProxy(options: McpProxyOptions): McpProxy {
  const { command, args = [], env = process.env, run } = options
  const session = new McpSession({
    ...options,
    run: { attributes: { command: basename(command) }, input: { command, args }, ...run },
  })
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
  const stop = new AbortController()
  return {
    ended: relay(child, session, options, stop.signal),
    kill(signal) {
      stop.abort()
      child.kill(signal)
    },
  }
}

/** @param stop aborted once the server is to end */
async function relay(
  child: ChildProcess,
  session: McpSession,
  options: McpProxyOptions,
  stop: AbortSignal,
): Promise<McpProxyEnd> {
  const { input = process.stdin, output = process.stdout, maxLineBytes = DEFAULT_MAX_LINE } = options
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  closed.catch(() => {})
  await once(child, 'spawn')
  child.on('error', () => {})
  const toServer = new LineWriter(child.stdin!, () => {})
  const toClient = new LineWriter(output, () => {
    toServer.end()
    stopLater(child)
  })
  const reading = pump(new Relay('client', session, toServer, toClient, maxLineBytes), input).then(async () => {
    await session.idle()
    toServer.end()
  })
  const answering = pump(new Relay('server', session, toClient, toServer, maxLineBytes), child.stdout!)
  const relayed = Promise.all([reading, answering])
  relayed.catch(() => child.kill())
  const [code, signal] = await closed
  input.destroy()
  await relayed
  const isFailure = code !== 0 && !toClient.isGone && !stop.aborted
  const error = isFailure ? new ServerEnded(signal ?? `code ${code}`) : undefined
  await session.close(error, { ...(code !== null && { exit_code: code }), ...(signal !== null && { signal }) })
  return { code, signal }
}

class ServerEnded extends Error {
  override readonly name = 'ServerEnded'

  constructor(how: string) {
    super(`the server ended with ${how}`)
  }
}

function stopLater(child: ChildProcess): void {
  const timers: NodeJS.Timeout[] = []
  for (const [i, signal] of (['SIGTERM', 'SIGKILL'] as const).entries()) {
    timers.push(setTimeout(() => child.kill(signal), GRACE_MS * (i + 1)))
  }
  child.once('exit', () => timers.forEach(clearTimeout))
  if (child.exitCode !== null || child.signalCode !== null) timers.forEach(clearTimeout)
}

/** @throws what relaying throws: a pipe that breaks has only ended, and what it carried is known */
async function pump(relay: Relay, source: Readable): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  try {
    for await (const chunk of source) {
      try {
        await relay.push(chunk as Buffer)
      } catch (error) {
        failure = { error }
        break
      }
    }
  } catch {}
  if (failure) throw failure.error
  relay.end()
}

/** One direction. */
class Relay {
  readonly #from: McpSide
  readonly #session: McpSession
  readonly #to: LineWriter
  readonly #back: LineWriter
  readonly #maxBytes: number
  readonly #lines: LineSplitter
  #longBytes = 0
  #isLongRefused = false

  constructor(from: McpSide, session: McpSession, to: LineWriter, back: LineWriter, maxBytes: number) {
    this.#from = from
    this.#session = session
    this.#to = to
    this.#back = back
    this.#maxBytes = maxBytes
    this.#lines = new LineSplitter(maxBytes)
  }

  async push(chunk: Buffer): Promise<void> {
    for (const one of this.#lines.push(chunk)) {
      this.#take(one)
      await this.#to.drained()
    }
    if (this.#session.heldCount >= MAX_HELD) await this.#session.idle()
  }

  end(): void {
    for (const one of this.#lines.end()) this.#take(one)
  }

  /** Whether what cannot be read must not go on. */
  get #isStrict(): boolean {
    return this.#from === 'client' && this.#session.isGate
  }

  #take(one: { line: Buffer } | { piece: Buffer; isFirst: boolean; isLast: boolean }): void {
    if ('line' in one) this.#line(one.line)
    else this.#long(one.piece, one.isFirst, one.isLast)
  }

  #line(line: Buffer): void {
    const message = readLine(line, this.#isStrict)
    if (message === BLANK) this.#to.line(line)
    else if (message === UNREADABLE) this.#unreadable(line)
    else if (Array.isArray(message)) this.#batch(message, line)
    else {
      this.#session.take(this.#from, message, {
        pass: () => this.#to.line(line),
        reply: (answer) => this.#back.message(answer),
        replace: (other) => this.#to.message(other),
        drop: () => {},
      })
    }
  }

  #unreadable(line: Buffer): void {
    const refused = this.#isStrict
    this.#session.odd('malformed', this.#from, { bytes: line.length, refused }, line.toString())
    if (refused) this.#back.message(refusal(null, RPC.parse, 'the message cannot be read in one way only'))
    else this.#to.line(line)
  }

  /** Messages that come together go on together, and as they came if all of them do. */
  #batch(messages: readonly unknown[], line: Buffer): void {
    if (messages.length === 0) {
      this.#to.line(line)
      return
    }
    const going: unknown[] = new Array(messages.length)
    const replies: McpMessage[] = []
    let [left, isWhole] = [messages.length, true]
    const settle = () => {
      if (--left > 0) return
      const kept = going.filter((one) => one !== undefined)
      if (isWhole) this.#to.line(line)
      else if (kept.length > 0) this.#to.message(kept)
      if (replies.length > 0) this.#back.message(replies)
    }
    for (const [i, message] of messages.entries()) {
      this.#session.take(this.#from, message, {
        pass: () => {
          going[i] = message
          settle()
        },
        reply: (answer) => {
          isWhole = false
          replies.push(answer)
          settle()
        },
        replace: (other) => {
          isWhole = false
          going[i] = other
          settle()
        },
        drop: () => {
          isWhole = false
          settle()
        },
      })
    }
  }

  #long(piece: Buffer, isFirst: boolean, isLast: boolean): void {
    if (isFirst) {
      this.#longBytes = 0
      this.#isLongRefused = this.#isStrict
      if (this.#isLongRefused) {
        this.#back.message(refusal(null, RPC.request, `the message is longer than ${this.#maxBytes} bytes`))
      }
    }
    this.#longBytes += piece.length
    if (!this.#isLongRefused) this.#to.piece(piece, isLast)
    if (isLast) this.#session.odd('oversized', this.#from, { bytes: this.#longBytes, refused: this.#isLongRefused })
  }
}

const BLANK = Symbol('blank')
const UNREADABLE = Symbol('unreadable')

function readLine(line: Buffer, isStrict: boolean): unknown {
  const text = line.toString()
  if (text.trim() === '') return BLANK
  try {
    if (!isStrict) return JSON.parse(text)
    // Some readers end a line at a carriage return.
    if (text.trimEnd().includes('\r') || !isUtf8(line)) return UNREADABLE
    const value: unknown = parseJson(text)
    const messages = Array.isArray(value) ? value : [value]
    return messages.some((one) => isObject(one) && isAmbiguous(one)) ? UNREADABLE : value
  } catch {
    return UNREADABLE
  }
}
