/**
 * Adapter for LangChain (`@langchain/core` 1, and so `createAgent` and LangGraph): a callback handler that records runs, model
 * calls, tools, handoffs and interrupts, and holds tools back; and a middleware for `createAgent` that does the latter where
 * callbacks could get lost. Nothing is imported from the packages.
 */

import { isIndelibleError } from '../errors.ts'
import { beginTool, keep } from './action-tool.ts'
import { currentRun } from './context.ts'
import { fields, text } from './fields.ts'
import { installedVersion } from './installed.ts'
import { Interrupts } from './langchain-interrupts.ts'
import {
  answerOf,
  answerOfResult,
  argsOf,
  handoffByName,
  modelOfCall,
  plainMessage,
  toolOutputOf,
} from './langchain-values.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { checkVersion } from './support.ts'

export interface LangChainOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Of runs that begin with a call of LangChain. Default agent: the `runName`, else `langchain`. */
  readonly run?: Partial<RunOptions>
  /** Default: the run's. In mode `block`, no model call and no tool begins before its entry is durable. */
  readonly onFailure?: FailureMode
  /** The agent that a tool hands over to, if that is what it is for. Default: `transfer_to_<agent>`. */
  readonly handoff?: (tool: string, args: unknown) => string | null
  /** Who answered an interrupt, by the metadata of the call that resumes. Without it nobody is known to. */
  readonly approver?: (metadata: Readonly<Record<string, unknown>>) => string | undefined
  /** Of `@langchain/core`. Default: as installed. */
  readonly version?: string
}

const MAJORS = [1]

/** Calls from outside that are remembered until they end; a stream that nobody reads to its end never does. */
const MAX_ROOTS = 10_000

/** What belongs to one call from outside, and to all that it calls. */
interface Root {
  readonly id: string
  readonly run: Run
  readonly isOwn: boolean
  readonly ids: Set<string>
  /** Names of calls by LangChain's ids of them. */
  readonly tools: Map<string, string>
  readonly handoffs: Set<string>
  readonly interrupts: Interrupts
}

/**
 * To be given as `callbacks: [handler]`, at the outermost call. One may serve any number of calls.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordLangChain(options: LangChainOptions): LangChainHandler {
  return new LangChainHandler(options, checked(options))
}

function checked({ version = installedVersion('@langchain/core') }: LangChainOptions): string {
  checkVersion('@langchain/core', version, MAJORS)
  return version!
}

/** A callback handler as LangChain knows them. Its methods throw what refuses an action, and nothing else. */
export class LangChainHandler {
  readonly name = 'indelible'
  /** Without these two, LangChain neither waits nor refuses. */
  readonly awaitHandlers = true
  readonly raiseError = true
  readonly ignoreLLM = false
  readonly ignoreChain = false
  readonly ignoreAgent = false
  readonly ignoreRetriever = true
  readonly ignoreCustomEvent = true
  readonly #options: LangChainOptions
  readonly #source: { readonly adapter: string; readonly sdk: string }
  readonly #roots = new Map<string, Root>()
  /** Of every call under way, its root. */
  readonly #known = new Map<string, Root>()
  /** By thread: what waits for people. */
  readonly #waiting = new Map<string, Interrupts>()

  /** Use {@link recordLangChain}. */
  constructor(options: LangChainOptions, version: string) {
    this.#options = options
    this.#source = { adapter: 'langchain', sdk: `@langchain/core/${version}` }
  }

  /** In the order in which arguments come, which is not the one that LangChain's types declare. */
  handleChainStart(
    _chain: unknown,
    inputs: unknown,
    runId: string,
    parentRunId?: string,
    _tags?: unknown,
    metadata?: unknown,
    _runType?: string,
    runName?: string,
  ): void {
    const root = this.#rootOf(runId, parentRunId, runName, inputs, metadata)
    if (root.id === runId) this.#resumed(root, inputs, fields(metadata))
  }

  handleChainEnd(_outputs: unknown, runId: string): void {
    this.#left(runId)
  }

  handleChainError(error: unknown, runId: string): void {
    const root = this.#known.get(runId)
    if (root?.interrupts.add(root.run, error) && root.id !== runId) return
    this.#left(runId, error)
  }

  async handleChatModelStart(
    llm: unknown,
    messages: unknown,
    runId: string,
    parentRunId?: string,
    extraParams?: unknown,
    _tags?: unknown,
    metadata?: unknown,
    runName?: string,
  ): Promise<void> {
    const asked = Array.isArray(messages) && Array.isArray(messages[0]) ? messages[0].map(plainMessage) : messages
    await this.handleLLMStart(llm, asked, runId, parentRunId, extraParams, _tags, metadata, runName)
  }

  async handleLLMStart(
    _llm: unknown,
    prompts: unknown,
    runId: string,
    parentRunId?: string,
    extraParams?: unknown,
    _tags?: unknown,
    metadata?: unknown,
    runName?: string,
  ): Promise<void> {
    const { run } = this.#rootOf(runId, parentRunId, runName, undefined, metadata)
    const model = modelOfCall(extraParams, metadata)
    const onFailure = this.#options.onFailure ?? run.onFailure
    const started = run.llmRequest({ call: runId, ...(model && { model }), input: prompts, onFailure })
    if (onFailure !== 'block') return
    await started.catch((error) => this.#refused(runId, error))
  }

  handleLLMEnd(result: unknown, runId: string): void {
    const root = this.#known.get(runId)
    if (!root) return
    const { output, usage, model, toolCalls } = answerOfResult(result)
    root.interrupts.asked(toolCalls)
    void root.run.llmResponse({
      call: runId,
      output,
      ...(usage && { usage }),
      ...(model !== undefined && { model }),
    })
    this.#left(runId)
  }

  handleLLMError(error: unknown, runId: string): void {
    void this.#known.get(runId)?.run.llmError({ call: runId, error })
    this.#left(runId, error)
  }

  async handleToolStart(
    tool: unknown,
    input: unknown,
    runId: string,
    parentRunId?: string,
    _tags?: unknown,
    metadata?: unknown,
    runName?: string,
    toolCallId?: string,
  ): Promise<void> {
    const root = this.#rootOf(runId, parentRunId, runName, undefined, metadata)
    const name = text(runName) ?? text(fields(tool).name) ?? 'unknown'
    const args = argsOf(input)
    const call = text(toolCallId) ?? runId
    root.tools.set(runId, call)
    try {
      await begin(root.run, name, args, call, this.#options, () => root.handoffs.add(runId))
    } catch (error) {
      this.#refused(runId, error)
    }
  }

  handleToolEnd(output: unknown, runId: string): void {
    const root = this.#known.get(runId)
    if (!root) return
    const call = root.tools.get(runId) ?? runId
    if (!root.handoffs.has(runId)) void root.run.toolEnd({ call, output: toolOutputOf(output) })
    this.#left(runId)
  }

  handleToolError(error: unknown, runId: string): void {
    const root = this.#known.get(runId)
    // A tool may interrupt its graph, to ask somebody: it will be called again.
    if (root && !root.interrupts.add(root.run, error)) {
      void root.run.toolError({ call: root.tools.get(runId) ?? runId, error })
    }
    this.#left(runId, error)
  }

  #rootOf(id: string, parent: string | undefined, name: string | undefined, input: unknown, metadata: unknown): Root {
    const known = this.#known.get(id) ?? (parent === undefined ? undefined : this.#known.get(parent))
    if (known) {
      known.ids.add(id)
      this.#known.set(id, known)
      return known
    }
    const current = currentRun()
    const thread = text(fields(metadata).thread_id)
    const options: RunOptions = {
      agent: text(name) ?? 'langchain',
      source: this.#source,
      ...(thread !== undefined && { session: thread }),
      ...(input !== undefined && { input: plainInput(input) }),
      ...(this.#options.onFailure !== undefined && { onFailure: this.#options.onFailure }),
      ...this.#options.run,
    }
    const root: Root = {
      id,
      run: current ?? this.#options.recorder.run(options),
      isOwn: current === undefined,
      ids: new Set([id]),
      tools: new Map(),
      handoffs: new Set(),
      interrupts: new Interrupts(thread),
    }
    this.#roots.set(id, root)
    this.#known.set(id, root)
    if (this.#roots.size > MAX_ROOTS) this.#forget(this.#roots.values().next().value!, { outcome: 'unknown' })
    return root
  }

  /** A call that answers an interrupt: `Command({resume})`. */
  #resumed(root: Root, inputs: unknown, metadata: Readonly<Record<string, unknown>>): void {
    const thread = text(metadata.thread_id)
    const waiting = thread === undefined ? undefined : this.#waiting.get(thread)
    if (!waiting) return
    this.#waiting.delete(thread!)
    waiting.answered(root.run, inputs, this.#options.approver?.(metadata))
  }

  /** A call ended; with the outermost one, so does what it began. */
  #left(id: string, error?: unknown): void {
    const root = this.#known.get(id)
    if (!root || root.id !== id) return
    const { interrupts } = root
    if (interrupts.isWaiting && interrupts.thread !== undefined) {
      this.#waiting.set(interrupts.thread, interrupts)
      if (this.#waiting.size > MAX_ROOTS) this.#waiting.delete(this.#waiting.keys().next().value!)
    }
    if (interrupts.isWaiting) this.#forget(root, { outcome: 'pending', attributes: { interrupted: true } })
    else if (error === undefined) this.#forget(root, {})
    else {
      if (root.isOwn) void (isLangChainAbort(error) ? root.run.abort(error) : root.run.fail(error))
      this.#forget(root, {})
    }
  }

  /** LangChain does not say that a call ended which it was not allowed to begin. */
  #refused(id: string, error: unknown): never {
    this.#left(id, error)
    throw error
  }

  #forget(root: Root, end: Parameters<Run['end']>[0]): void {
    if (root.isOwn) void root.run.end(end)
    for (const id of root.ids) this.#known.delete(id)
    this.#roots.delete(root.id)
  }
}

/** Asks whether a tool may run and says that it begins; or that it hands over to another agent. */
async function begin(
  run: Run,
  name: string,
  args: unknown,
  call: string,
  options: LangChainOptions,
  handsOver: () => void,
): Promise<void> {
  const to = (options.handoff ?? handoffByName)(name, args)
  const onFailure = options.onFailure ?? run.onFailure
  if (to === null) {
    await beginTool(run, name, args, { call, onFailure })
    return
  }
  handsOver()
  const recorded = run.handoff(to, args)
  if (onFailure === 'block') await recorded
}

/** Whatever the signal's reason is, the outermost call ends with this. */
function isLangChainAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'Error' && /^Abort(ed)?$/.test(error.message)
}

function plainInput(input: unknown): unknown {
  const { messages } = fields(input)
  return Array.isArray(messages) ? messages.map(plainMessage) : input
}

/** What `createAgent` hands to a middleware before a tool is called. */
interface ToolCallRequest {
  readonly toolCall: { readonly id?: string; readonly name: string; readonly args: unknown }
}

interface ModelRequest {
  readonly messages?: unknown
  readonly systemPrompt?: unknown
  readonly model?: unknown
}

type Handler<Request, Result> = (request: Request) => Result | Promise<Result>

/** Of the shape that `createMiddleware` gives. */
export interface LangChainMiddleware {
  readonly name: string
  wrapToolCall<Request, Result>(request: Request, handler: Handler<Request, Result>): Promise<Result>
  wrapModelCall<Request, Result>(request: Request, handler: Handler<Request, Result>): Promise<Result>
}

/**
 * To be given as the last of `createAgent`'s `middleware`, so that it sees what really happens: records its model calls and
 * tools whatever callbacks a call is given. Use it within `log.run`, and not together with {@link recordLangChain}.
 *
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function langChainMiddleware(options: LangChainOptions): LangChainMiddleware {
  const source = { adapter: 'langchain', sdk: `@langchain/core/${checked(options)}` }
  /** Outside of any run, each action is one of its own. */
  const within = <T>(work: (run: Run) => Promise<T>): Promise<T> => {
    const run = currentRun()
    return run ? work(run) : options.recorder.run({ agent: 'langchain', source, ...options.run }, work)
  }
  return {
    name: 'indelible',
    wrapToolCall: (request, handler) =>
      within(async (run) => {
        const { id, name, args } = (request as ToolCallRequest).toolCall
        const to = (options.handoff ?? handoffByName)(name, args)
        const onFailure = options.onFailure ?? run.onFailure
        if (to !== null) {
          const recorded = run.handoff(to, args)
          if (onFailure === 'block') await recorded
          return await handler(request)
        }
        const call = text(id) ?? run.calls.nextId('tool')
        await beginTool(run, name, args, { call, onFailure })
        let result: Awaited<ReturnType<typeof handler>>
        try {
          result = await handler(request)
        } catch (error) {
          await keep(run, onFailure, run.toolError({ call, error }))
          throw error
        }
        await keep(run, onFailure, run.toolEnd({ call, output: toolOutputOf(result) }))
        return result
      }),
    wrapModelCall: (request, handler) =>
      within(async (run) => {
        const { messages, systemPrompt, model } = request as ModelRequest
        const asked = {
          messages: Array.isArray(messages) ? messages.map(plainMessage) : messages,
          ...(text(systemPrompt) !== undefined && { system: systemPrompt }),
        }
        const { model: name, modelName } = fields(model)
        const facts = text(modelName) ?? text(name)
        return await run.llm(
          {
            input: asked,
            ...(facts !== undefined && { model: facts }),
            ...(options.onFailure !== undefined && { onFailure: options.onFailure }),
          },
          () => handler(request),
          {
            output: (answer) => answerOf(answer).output,
            usage: (answer) => answerOf(answer).usage,
            model: (answer) => answerOf(answer).model,
          },
        )
      }),
  }
}

/** Whether an error says that an action was refused by policy, by a person, or because it could not be recorded. */
export function isRefusal(error: unknown): boolean {
  return isIndelibleError(error, 'ERR_ACTION_DENIED', 'ERR_CAPTURE_BLOCKED')
}
