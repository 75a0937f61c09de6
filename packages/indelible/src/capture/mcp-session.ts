/**
 * One session of the Model Context Protocol as it is recorded, whatever carries its messages: it is told each one, and says
 * whether it goes on. Requests that act (`tools/call`, `resources/read`, `prompts/get`, `sampling/createMessage`, and every
 * method that is not known to be harmless) are recorded when they come and when they are answered; in mode `block`, they go
 * on only once their entry is durable. Tools are subject to the policy and the approval of the run.
 */
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { MAX_STRING } from '../record/schema.ts'
import { currentRun } from './context.ts'
import { blocked } from './delivery-errors.ts'
import { errorFacts, fitText } from './fit.ts'
import type { ApproveHook, PolicyHook } from './gate.ts'
import { Exchange, Exchanges, type McpVia } from './mcp-exchange.ts'
import {
  entryType,
  errorOf,
  HARMLESS,
  infoOf,
  isObject,
  McpAnswerError,
  type McpMessage,
  type McpRefusal,
  type McpSide,
  metaOf,
  PROTOCOLS,
  RPC,
  refusal,
  UNRECORDED,
} from './mcp-message.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { CallEnd, RunEvent } from './run-facts.ts'
import type { FailureMode } from './sink.ts'
import { usageOf } from './usage.ts'

export interface McpOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Who calls. Default: what the client names itself, else `mcp-client`. */
  readonly agent?: RunOptions['agent']
  /** More about the run that a session is, unless it happens within one. */
  readonly run?: Omit<RunOptions, 'agent'>
  /** What the tools are said to be of. Default: what the server names itself. */
  readonly server?: string
  /** Default: the recorder's. In mode `block`, nothing that acts reaches the server before its entry is durable. */
  readonly onFailure?: FailureMode
  /** Decides about each call of a tool. Default: the run's. */
  readonly policy?: PolicyHook
  /** Asks a person. Default: the run's. */
  readonly approve?: ApproveHook
}

/** Keys of `_meta`, from revision 2026-07-28 of the protocol. */
const CLIENT_INFO = 'io.modelcontextprotocol/clientInfo'
const SERVER_INFO = 'io.modelcontextprotocol/serverInfo'
const PROTOCOL = 'io.modelcontextprotocol/protocolVersion'
const TRACEPARENT = 'traceparent'

/** Requests in which the ends say who they are. */
const GREETINGS: ReadonlySet<string> = new Set(['initialize', 'server/discover'])

export class McpSession {
  readonly #options: McpOptions
  readonly #exchanges = new Exchanges()
  readonly #held = new Set<Promise<void>>()
  #run: Run | null = null
  #isOwnRun = false
  #server: string | undefined
  #number = 0
  #ended: Promise<void> | null = null

  /** @throws IndelibleError `ERR_EVENT_INVALID` for an agent or a user that no event can hold: the run begins too late to say so */
  constructor(options: McpOptions) {
    const { agent, run } = options
    const names = {
      agent: typeof agent === 'object' ? agent.id : agent,
      user: run?.user,
      on_behalf_of: run?.on_behalf_of,
    }
    for (const [what, name] of Object.entries(names)) {
      if (name === undefined || fitText(name) === name) continue
      throw new IndelibleError('ERR_EVENT_INVALID', `${what}: expected a text of up to ${MAX_STRING} characters`)
    }
    this.#options = options
    this.#server = options.server
  }

  /** Whether requests may be refused here, so that what cannot be read must not go on. */
  get isGate(): boolean {
    const { recorder, run, onFailure, policy } = this.#options
    const ours = this.#run ?? { onFailure: run?.onFailure, policyHook: run?.policy }
    const mode = onFailure ?? ours.onFailure ?? recorder.onFailure
    return mode === 'block' || (policy ?? ours.policyHook ?? recorder.policy) !== undefined
  }

  /** Messages that are held back. */
  get heldCount(): number {
    return this.#held.size
  }

  /** Resolves once no message is held back. */
  async idle(): Promise<void> {
    while (this.#held.size > 0) await Promise.all(this.#held)
  }

  /** Told of each message, in the order in which they come. Calls one of `via`, at once if it can; never throws. */
  take(from: McpSide, message: unknown, via: McpVia): void {
    if (!isObject(message)) {
      this.odd('invalid', from, {}, message)
      if (this.isGate && from === 'client') via.reply(refusal(null, RPC.request, 'expected a message'))
      else via.pass()
      return
    }
    const { id, method } = message
    const hasId = id !== undefined && id !== null
    if (typeof method === 'string') {
      if (hasId) this.#request(from, message, method, via)
      else this.#notification(from, message, method, via)
    } else if (hasId) this.#answer(from, message, via)
    else {
      this.odd('invalid', from, {}, message)
      via.pass()
    }
  }

  /** Records that something came which is no message of the protocol, or was refused as such. */
  odd(what: string, from: McpSide, attributes: Readonly<Record<string, unknown>>, value?: unknown): void {
    const event: RunEvent = {
      type: `x.mcp.${what}`,
      outcome: attributes.refused === true ? 'denied' : 'unknown',
      attributes: { from, ...attributes },
      ...(value !== undefined && { parts: { input: { value } } }),
    }
    void this.#runFor(null).record(event)
  }

  /** The session is over. What was not answered ends as an error. Resolves once that is recorded. */
  close(error?: unknown, attributes?: Readonly<Record<string, unknown>>): Promise<void> {
    this.#ended ??= this.#close(error, attributes)
    return this.#ended
  }

  async #close(error: unknown, attributes: Readonly<Record<string, unknown>> | undefined): Promise<void> {
    const open = this.#exchanges.all()
    this.#exchanges.clear()
    for (const exchange of open) {
      if (exchange.isPassed) exchange.end(null, new McpAnswerError('ConnectionClosed', 'no answer came'))
      else exchange.cancel('session closed')
    }
    // Not for those that still wait for a person: that may be long.
    await Promise.all(open.filter(({ isPassed }) => isPassed).map(({ recorded }) => recorded))
    const run = this.#runFor(null)
    if (!this.#isOwnRun) return
    const options = attributes && { attributes }
    const ack = error === undefined ? run.end(options) : run.error(error, options)
    if (run.onFailure === 'block') await run.recorder.outcome(ack)
  }

  #request(from: McpSide, message: McpMessage, method: string, via: McpVia): void {
    const run = this.#runFor(message)
    const exchange = new Exchange(message.id, method)
    this.#exchanges.add(from, exchange)
    const isOfClient = from === 'client'
    if (isOfClient && method === 'tools/call') this.#tool(run, exchange, message, via)
    else if (!isOfClient && method === 'sampling/createMessage') this.#sampling(run, exchange, message, via)
    else this.#other(run, from, exchange, message, via)
  }

  #tool(run: Run, exchange: Exchange, message: McpMessage, via: McpVia): void {
    const params = isObject(message.params) ? message.params : {}
    const { policy = run.policyHook, approve, onFailure = run.onFailure } = this.#options
    const isGated = onFailure === 'block' || policy !== undefined
    if (typeof params.name !== 'string' && isGated) {
      this.#exchanges.remove('client', exchange)
      this.odd('invalid', 'client', { method: 'tools/call', refused: true }, message.params)
      via.reply(refusal(message.id, RPC.params, 'expected the name of a tool'))
      return
    }
    const name = typeof params.name === 'string' ? params.name : 'unknown'
    const about = {
      call: run.calls.nextId('tool'),
      kind: 'mcp',
      ...(this.#server !== undefined && { server: this.#server }),
      attributes: { request_id: message.id },
    }
    if (!isGated) {
      void run.toolStart({ ...about, name, args: params.arguments, onFailure })
      exchange.onEnd = (answer, error) => this.#toolEnded(run, about.call, answer, error, exchange.isCancelled)
      exchange.isPassed = true
      run.within(() => via.pass())
      return
    }
    this.#gate('client', exchange, via, (forward) =>
      run.tool(name, params.arguments, forward, {
        ...about,
        onFailure,
        signal: exchange.signal,
        ...(policy && { policy }),
        ...(approve && { approve }),
      }),
    )
  }

  #toolEnded(run: Run, call: string, answer: McpMessage | null, error: Error | undefined, aborted: boolean): void {
    if (error) void run.toolError({ call, error, ...(aborted && { attributes: { aborted } }) })
    else void run.toolEnd(resultOf(call, answer))
  }

  /** The server asks the client's model. */
  #sampling(run: Run, exchange: Exchange, message: McpMessage, via: McpVia): void {
    const { onFailure = run.onFailure } = this.#options
    const request = {
      call: run.calls.nextId('llm'),
      model: 'client',
      input: message.params,
      attributes: { request_id: message.id, sampling: true },
      onFailure,
    }
    if (onFailure === 'block') {
      this.#gate('server', exchange, via, (forward) => run.llm(request, () => forward()))
      return
    }
    void run.llmRequest(request)
    exchange.onEnd = (answer, error) => {
      if (error) void run.llmError({ call: request.call, error })
      else {
        const { model } = isObject(answer?.result) ? answer.result : {}
        void run.llmResponse({ ...resultOf(request.call, answer), ...(typeof model === 'string' && { model }) })
      }
    }
    exchange.isPassed = true
    via.pass()
  }

  /**
   * Lets `record` hold a request back: it is given what hands the request on and gives the answer, and rejects if that must
   * not happen.
   */
  #gate(
    from: McpSide,
    exchange: Exchange,
    via: McpVia,
    record: (forward: () => Promise<unknown>) => Promise<unknown>,
  ): void {
    const answered = Promise.withResolvers<unknown>()
    exchange.onEnd = (answer, error) => (error ? answered.reject(error) : answered.resolve(answer?.result))
    answered.promise.catch(() => {})
    const passed = Promise.withResolvers<void>()
    const done = record(() => {
      exchange.signal.throwIfAborted()
      exchange.isPassed = true
      via.pass()
      passed.resolve()
      return answered.promise
    })
    exchange.recorded = done.then(
      () => null,
      (error) => {
        if (exchange.isPassed) return isIndelibleError(error, 'ERR_CAPTURE_BLOCKED') ? error : null
        this.#exchanges.remove(from, exchange)
        if (exchange.isCancelled) via.drop()
        else via.reply(refused(exchange.id, error))
        return null
      },
    )
    this.#hold(Promise.race([passed.promise, exchange.recorded]).then(() => {}))
  }

  #other(run: Run, from: McpSide, exchange: Exchange, message: McpMessage, via: McpVia): void {
    const { method } = exchange
    const { onFailure = run.onFailure } = this.#options
    if (UNRECORDED.has(method)) {
      exchange.isPassed = true
      via.pass()
      return
    }
    const isHarmless = HARMLESS.has(method)
    const common = { type: entryType(method), call: `mcp-${++this.#number}` }
    const attributes = { from, method, request_id: message.id }
    const input = message.params === undefined ? {} : { input: { value: message.params } }
    const record = (answer: McpMessage | null, error: Error | undefined) => {
      const output = !error && answer?.result !== undefined ? { output: { value: answer.result } } : {}
      const facts = GREETINGS.has(method) ? this.#met(message, answer) : {}
      return run.record({
        ...common,
        outcome: error ? 'failure' : 'success',
        duration_ms: Math.round((performance.now() - exchange.startedAt) * 1000) / 1000,
        ...(error && { error: errorFacts(error) }),
        attributes: { ...attributes, ...facts, ...(exchange.isCancelled && { aborted: true }) },
        parts: { ...(isHarmless && input), ...output },
      })
    }
    const begun: RunEvent = { ...common, outcome: 'pending', attributes, parts: input }
    if (isHarmless || onFailure !== 'block') {
      if (!isHarmless) void run.record(begun)
      exchange.onEnd = (answer, error) => void record(answer, error)
      exchange.isPassed = true
      via.pass()
      return
    }
    const kept = Promise.withResolvers<Error | null>()
    exchange.onEnd = (answer, error) => {
      const outcome = run.recorder.outcome(record(answer, error))
      void outcome.then((ack) => {
        const isKept = ack !== null && ack.state !== 'dropped'
        kept.resolve(isKept ? null : blocked(new Error('its outcome could not be kept')))
      })
    }
    exchange.recorded = kept.promise
    const required = run.require(begun).then(
      () => {
        if (exchange.isCancelled) {
          via.drop()
          return
        }
        exchange.isPassed = true
        via.pass()
      },
      (error) => {
        this.#exchanges.remove(from, exchange)
        exchange.onEnd = undefined
        kept.resolve(null)
        if (exchange.isCancelled) via.drop()
        else via.reply(refused(exchange.id, error))
      },
    )
    this.#hold(required)
  }

  #answer(from: McpSide, message: McpMessage, via: McpVia): void {
    const asker: McpSide = from === 'client' ? 'server' : 'client'
    const exchange = this.#exchanges.find(asker, message.id)
    if (!exchange) {
      const late = this.#exchanges.wasCancelled(asker, message.id) ? { after_cancel: true } : { unpaired: true }
      this.odd('response', from, { request_id: message.id, ...late }, message.result ?? message.error)
      via.pass()
      return
    }
    this.#exchanges.remove(asker, exchange)
    exchange.end(message, errorOf(message))
    if (!exchange.recorded) {
      via.pass()
      return
    }
    const recorded = exchange.recorded.then((why) => (why ? via.replace(refused(exchange.id, why)) : via.pass()))
    this.#hold(recorded)
  }

  #notification(from: McpSide, message: McpMessage, method: string, via: McpVia): void {
    const params = isObject(message.params) ? message.params : {}
    if (!method.startsWith('notifications/')) {
      // A request without an id: nobody could be told of a refusal, but a server may act on it.
      const isRefused = this.isGate && from === 'client'
      this.odd(entryType(method).slice('x.mcp.'.length), from, { method, no_id: true, refused: isRefused }, params)
      if (isRefused) via.drop()
      else via.pass()
      return
    }
    if (method !== 'notifications/cancelled') {
      via.pass()
      return
    }
    const exchange = this.#exchanges.find(from, params.requestId)
    if (!exchange) {
      this.odd('cancelled', from, { request_id: params.requestId, unpaired: true })
      via.pass()
      return
    }
    // A request that is still held back never reaches the other end, and so its end does not either.
    const { isPassed } = exchange
    exchange.cancel(params.reason)
    this.#exchanges.remove(from, exchange)
    if (isPassed) via.pass()
    else via.drop()
  }

  /** Who the two ends say they are. */
  #met(asked: McpMessage, answer: McpMessage | null): Record<string, unknown> {
    const result = isObject(answer?.result) ? answer.result : {}
    const [said, meta] = [metaOf(asked), isObject(result._meta) ? result._meta : {}]
    const client = infoOf(isObject(asked.params) ? asked.params.clientInfo : undefined) ?? infoOf(said[CLIENT_INFO])
    const server = infoOf(result.serverInfo) ?? infoOf(meta[SERVER_INFO])
    const protocol = fitText(result.protocolVersion) ?? fitText(said[PROTOCOL])
    this.#server ??= server?.name
    return {
      ...(protocol !== undefined && { protocol }),
      ...(protocol !== undefined && !PROTOCOLS.includes(protocol) && { protocol_known: false }),
      ...(client && { client: client.name }),
      ...(client?.version !== undefined && { client_version: client.version }),
      ...(server && { server: server.name }),
      ...(server?.version !== undefined && { server_version: server.version }),
    }
  }

  #runFor(message: McpMessage | null): Run {
    if (this.#run) return this.#run
    const current = currentRun()
    if (current && !current.hasEnded && current.recorder === this.#options.recorder) {
      this.#run = current
      return current
    }
    const { recorder, run: options, onFailure, policy, approve } = this.#options
    const params = isObject(message?.params) ? message.params : {}
    const meta = metaOf(message)
    const info = infoOf(params.clientInfo) ?? infoOf(meta[CLIENT_INFO])
    const agent =
      this.#options.agent ?? (info ? { id: info.name, ...(info.version && { version: info.version }) } : 'mcp-client')
    this.#isOwnRun = true
    this.#run = recorder.run({
      agent,
      source: { adapter: 'mcp' },
      ...(typeof meta[TRACEPARENT] === 'string' && { traceparent: meta[TRACEPARENT] }),
      ...options,
      ...(onFailure && { onFailure }),
      ...(policy && { policy }),
      ...(approve && { approve }),
    })
    return this.#run
  }

  #hold(work: Promise<void>): void {
    this.#held.add(work)
    void work.finally(() => this.#held.delete(work))
  }
}

function resultOf(call: string, answer: McpMessage | null): CallEnd {
  const output = answer?.result
  const usage = usageOf(output)
  return { call, ...(output !== undefined && { output }), ...(usage && { usage }) }
}

/** What an end is told whose request was not handed on, or whose answer was not. */
function refused(id: unknown, error: unknown): McpRefusal {
  if (isIndelibleError(error)) return refusal(id, RPC.refused, error.message, error.code)
  return refusal(id, RPC.refused, 'the request could not be recorded')
}
