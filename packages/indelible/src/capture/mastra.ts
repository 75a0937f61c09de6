/**
 * Adapter for Mastra (`@mastra/core` 1): an exporter for its observability, which records runs, model calls and tools and can
 * hold nothing back, and a wrapper of tools, which can. Nothing is imported from the package.
 */
import { beginTool, keep } from './action-tool.ts'
import { currentRun } from './context.ts'
import { type Fields, fields, text } from './fields.ts'
import { installedVersion } from './installed.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { checkVersion } from './support.ts'
import { readUsage } from './usage.ts'

export interface MastraOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Of runs that begin with an agent or a workflow. Default agent: its name. */
  readonly run?: Partial<RunOptions>
  /** Default: the run's. In mode `block`, no tool that went through `tools` begins before its entry is durable. */
  readonly onFailure?: FailureMode
  /** Of `@mastra/core`. Default: as installed. */
  readonly version?: string
}

const PACKAGE = '@mastra/core'
const MAJORS = [1]

/** Traces that are remembered until they end. */
const MAX_TRACES = 10_000

interface Trace {
  readonly run: Run
  readonly isOwn: boolean
  /** Span with which it ends. */
  readonly root: string
  /** By step: the model call whose input is not known yet. */
  readonly asked: Map<string, { readonly call: string; readonly span: Fields }>
  /** A tool of it was stopped by an abort. */
  isAborted: boolean
}

/** @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know */
export function recordMastra(options: MastraOptions): MastraRecording {
  const version = options.version ?? installedVersion(PACKAGE)
  checkVersion(PACKAGE, version, MAJORS)
  return new MastraRecording(options, version!)
}

/** An exporter as `new Observability({configs: {…: {exporters: […]}}})` takes them. */
export interface MastraExporter {
  readonly name: string
  exportTracingEvent(event: unknown): Promise<void>
  onTracingEvent(event: unknown): Promise<void>
  flush(): Promise<void>
  shutdown(): Promise<void>
}

export class MastraRecording {
  readonly exporter: MastraExporter
  readonly #options: MastraOptions
  readonly #source: { readonly adapter: string; readonly sdk: string }
  readonly #traces = new Map<string, Trace>()
  /** Names of the tools that record themselves. */
  readonly #wrapped = new Set<string>()

  /** Use {@link recordMastra}. */
  constructor(options: MastraOptions, version: string) {
    this.#options = options
    this.#source = { adapter: 'mastra', sdk: `${PACKAGE}/${version}` }
    const take = async (event: unknown) => this.#take(fields(event))
    this.exporter = {
      name: 'indelible',
      exportTracingEvent: take,
      onTracingEvent: take,
      flush: () => options.recorder.flush(),
      // The recorder is the log's, and is closed with that.
      shutdown: () => options.recorder.flush(),
    }
  }

  /** The same tools, each of which asks policy and person, and is recorded, before it runs. */
  tools<Tools extends Readonly<Record<string, object>>>(tools: Tools): Tools {
    return Object.fromEntries(Object.entries(tools).map(([key, tool]) => [key, this.#wrap(key, tool)])) as Tools
  }

  #wrap(key: string, tool: object): object {
    const { execute, id } = tool as { execute?: unknown; id?: unknown }
    // One without runs elsewhere, and is seen by the exporter.
    if (typeof execute !== 'function') return tool
    const name = text(id) ?? key
    this.#wrapped.add(name).add(key)
    const recorded = (args: unknown, context: unknown) =>
      this.#call(name, args, fields(context), () => execute.call(tool, args, context))
    const same = Object.create(Object.getPrototypeOf(tool), Object.getOwnPropertyDescriptors(tool)) as object
    return Object.defineProperty(same, 'execute', { value: recorded, enumerable: true, writable: true })
  }

  async #call(name: string, args: unknown, context: Fields, execute: () => unknown): Promise<unknown> {
    const trace = text(fields(fields(context.tracingContext).currentSpan).traceId)
    const known = trace === undefined ? undefined : this.#traces.get(trace)?.run
    const run = known ?? currentRun()
    if (!run) {
      return this.#options.recorder.run(this.#runOptions('mastra'), (own) =>
        this.#within(own, name, args, context, execute),
      )
    }
    return this.#within(run, name, args, context, execute)
  }

  async #within(run: Run, name: string, args: unknown, context: Fields, execute: () => unknown): Promise<unknown> {
    const onFailure = this.#options.onFailure ?? run.onFailure
    const { abortSignal } = context
    const signal = abortSignal instanceof AbortSignal ? { signal: abortSignal } : {}
    const id = text(fields(context.agent).toolCallId)
    const call = await beginTool(run, name, args, { ...(id !== undefined && { call: id }), onFailure, ...signal })
    let output: unknown
    try {
      output = await run.within(execute)
    } catch (error) {
      await keep(run, onFailure, run.toolError({ call, error }))
      throw error
    }
    await keep(run, onFailure, run.toolEnd({ call, output }))
    return output
  }

  #runOptions(agent: string): RunOptions {
    const { onFailure, run } = this.#options
    return { agent, source: this.#source, ...(onFailure !== undefined && { onFailure }), ...run }
  }

  #take({ type, exportedSpan }: Fields): void {
    const span = fields(exportedSpan)
    const [traceId, id] = [text(span.traceId), text(span.id)]
    if (traceId === undefined || id === undefined) return
    if (type === 'span_started' && ROOTS.has(span.type) && !this.#traces.has(traceId)) this.#begin(traceId, id, span)
    const trace = this.#traces.get(traceId)
    if (!trace) return
    if (span.type === 'model_inference') this.#model(trace, type, id, span)
    else if (span.type === 'model_step') this.#step(trace, id, span)
    else if (TOOLS.has(span.type)) {
      if (fields(span.errorInfo).name === 'AbortError') trace.isAborted = true
      this.#tool(trace.run, type, id, span)
    } else if (span.type === 'model_chunk' && type === 'span_ended') chunk(trace.run, span)
    if (type === 'span_ended' && id === trace.root) this.#end(traceId, trace, span)
  }

  #begin(traceId: string, root: string, span: Fields): void {
    const current = currentRun()
    const { input, metadata } = span
    const { threadId, resourceId } = fields(metadata)
    const [session, user] = [text(threadId), text(resourceId)]
    const options: RunOptions = {
      ...(session !== undefined && { session }),
      ...(user !== undefined && { user }),
      ...(input !== undefined && { input }),
      ...this.#runOptions(text(span.entityName) ?? text(span.entityId) ?? 'mastra'),
    }
    const run = current ?? this.#options.recorder.run(options)
    this.#traces.set(traceId, { run, isOwn: current === undefined, root, asked: new Map(), isAborted: false })
    if (this.#traces.size <= MAX_TRACES) return
    const [oldest, { run: lost, isOwn }] = this.#traces.entries().next().value!
    this.#traces.delete(oldest)
    if (isOwn) void lost.end({ outcome: 'unknown' })
  }

  #end(traceId: string, { run, isOwn, isAborted }: Trace, { errorInfo, output }: Fields): void {
    this.#traces.delete(traceId)
    if (!isOwn) return
    const { status, reason } = fields(output)
    if (errorInfo !== undefined) void run.fail(errorOf(errorInfo))
    else if (status === 'aborted') void run.abort(reason)
    // Of an abort while a tool ran, the agent's span says no more than that nothing came out.
    else if (output === undefined && isAborted) void run.abort()
    else if (status === 'suspended') void run.end({ outcome: 'pending', attributes: { interrupted: true } })
    else void run.end(output === undefined ? {} : { output })
  }

  /** What a model is asked is known a moment after that it is. */
  #model({ run, asked }: Trace, type: unknown, call: string, span: Fields): void {
    const step = text(span.parentSpanId) ?? call
    if (type === 'span_started') {
      asked.set(step, { call, span })
      return
    }
    if (type !== 'span_ended') return
    this.#ask(run, asked, step, undefined)
    const { errorInfo, output } = span
    if (errorInfo !== undefined) {
      void run.llmError({ call, ...modelOf(span), error: errorOf(errorInfo) })
      return
    }
    const usage = readUsage(fields(span.attributes).usage)
    void run.llmResponse({ call, ...modelOf(span), output, ...(usage && { usage }) })
  }

  #step({ run, asked }: Trace, id: string, { input }: Fields): void {
    if (input !== undefined) this.#ask(run, asked, id, input)
  }

  #ask(run: Run, asked: Trace['asked'], step: string, input: unknown): void {
    const pending = asked.get(step)
    if (!pending) return
    asked.delete(step)
    const { call, span } = pending
    // It is being asked already: there is nothing to hold back.
    void run.llmRequest({ call, ...modelOf(span), ...(input !== undefined && { input }), onFailure: 'continue' })
  }

  #tool(run: Run, type: unknown, id: string, span: Fields): void {
    const { input, output, errorInfo } = span
    const name = text(span.entityId) ?? text(span.entityName) ?? text(span.name) ?? 'unknown'
    if (this.#wrapped.has(name)) return
    const call = text(fields(span.attributes).toolCallId) ?? id
    if (type === 'span_started') void run.toolStart({ call, name, args: input, onFailure: 'continue' })
    else if (type !== 'span_ended') return
    else if (errorInfo === undefined) void run.toolEnd({ call, name, output })
    else void run.toolError({ call, name, error: errorOf(errorInfo) })
  }
}

const ROOTS: ReadonlySet<unknown> = new Set(['agent_run', 'workflow_run'])
const TOOLS: ReadonlySet<unknown> = new Set(['tool_call', 'mcp_tool_call', 'provider_tool_call', 'client_tool_call'])

/** Mastra's own approvals: that somebody is asked shows as a part of a stream, what they said shows nowhere. */
function chunk(run: Run, { attributes, output }: Fields): void {
  if (fields(attributes).chunkType !== 'tool-call-approval') return
  const { toolCallId, toolName, args } = fields(output)
  const call = text(toolCallId)
  if (call !== undefined) void run.approvalRequested({ call, tool: text(toolName) ?? 'unknown', args })
}

function modelOf({ attributes }: Fields): { model?: { name: string; provider?: string } } {
  const { model, responseModel, provider } = fields(attributes)
  const name = text(responseModel) ?? text(model)
  const by = text(provider)
  return name === undefined ? {} : { model: { name, ...(by !== undefined && { provider: by }) } }
}

/** A span keeps of an error what it said. */
function errorOf(info: unknown): unknown {
  const { name, message, id } = fields(info)
  return { name: text(name) ?? text(id) ?? 'Error', message: message ?? null }
}
