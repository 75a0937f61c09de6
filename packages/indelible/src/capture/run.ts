/**
 * One run of an agent, as whoever writes the agent records it. Adapters for frameworks use the same methods: `tool`, `llm`
 * and `step` wrap a function; `toolStart`, `toolEnd` and their like are for hooks that come one by one.
 *
 * Methods that record something give a promise of what became of it ({@link Ack}), which nobody has to wait for. Only what
 * begins an action rejects, and only in failure mode `block`: with `ERR_CAPTURE_BLOCKED`, and then it must not happen.
 */
import { newId } from '../record/id.ts'
import type { AgentEvent } from '../record/schema.ts'
import { formatTime } from '../record/time.ts'
import { type LlmContext, type LlmOptions, recordLlm } from './action-llm.ts'
import { recordStep } from './action-step.ts'
import { recordTool, type ToolContext, type ToolOptions } from './action-tool.ts'
import { type CallKind, Calls, type OpenCall } from './calls.ts'
import { currentRun, withinRun } from './context.ts'
import { errorFacts, fitModel, fitText, isAbort, type ModelFacts } from './fit.ts'
import type { ApprovalDecision, ApproveHook, PolicyHook } from './gate.ts'
import { type RunMembers, type RunOptions, runFacts } from './members.ts'
import type { Recorder } from './recorder.ts'
import type {
  ApprovalEvent,
  CallEnd,
  CallError,
  EndOptions,
  GuardrailEvent,
  LlmStart,
  PolicyEvent,
  RunEvent,
  ToolStart,
} from './run-facts.ts'
import type { Ack, FailureMode } from './sink.ts'
import { activeTrace } from './trace-context.ts'
import { readUsage, withCost } from './usage.ts'

/** How long an abort waits for calls under way to end, ms. */
const ABORT_GRACE_MS = 1000

export class Run implements AsyncDisposable {
  readonly id: string
  readonly recorder: Recorder
  readonly model: ModelFacts | undefined
  readonly onFailure: FailureMode
  readonly policyHook: PolicyHook | undefined
  readonly approveHook: ApproveHook | undefined
  readonly signal: AbortSignal | undefined
  /** What became of `run.start`. */
  readonly started: Promise<Ack>
  readonly calls = new Calls()
  readonly #members: RunMembers
  readonly #hasTrace: boolean
  readonly #startedAt = performance.now()
  readonly #onAbort: (() => void) | undefined
  #ended: Promise<Ack> | null = null
  #abortReason: { readonly reason: unknown } | null = null
  #abortTimer: NodeJS.Timeout | undefined

  /** Use {@link Recorder.run}. */
  constructor(recorder: Recorder, options: RunOptions) {
    this.recorder = recorder
    this.id = options.id ?? newId(Date.now())
    const { members, model } = runFacts(options, this.id, currentRun()?.id)
    this.#members = members
    this.#hasTrace = options.traceparent !== undefined
    this.model = model
    this.onFailure = options.onFailure ?? recorder.onFailure
    this.policyHook = options.policy ?? recorder.policy
    this.approveHook = options.approve ?? recorder.approve
    this.signal = options.signal
    this.started = this.#start(options)
    if (options.signal) {
      this.#onAbort = () => this.#abortWhenIdle(options.signal!.reason)
      if (options.signal.aborted) this.#onAbort()
      else options.signal.addEventListener('abort', this.#onAbort, { once: true })
    }
  }

  /** Who acts, for whom, where: what all of its events have in common. */
  get about(): Pick<RunMembers, 'actor' | 'session' | 'tenant'> {
    return this.#members
  }

  get hasEnded(): boolean {
    return this.#ended !== null
  }

  /** Calls `work` as part of this run: {@link currentRun} gives it, and runs that begin within have it as parent. */
  within<T>(work: () => T): T {
    return withinRun(this, work)
  }

  /**
   * Calls a tool and records that, what went in and what came out. Asks the policy and, where needed, a person before. A
   * stream that the tool answers with is passed on, and recorded when it ends.
   *
   * @throws IndelibleError `ERR_ACTION_DENIED`, `ERR_CAPTURE_BLOCKED`; otherwise what the tool throws
   */
  tool<A, T>(
    name: string,
    args: A,
    fn: (args: A, context: ToolContext) => T,
    options?: ToolOptions,
  ): Promise<Awaited<T>> {
    return recordTool(this, name, args, fn, options)
  }

  /**
   * Calls a model and records that. Usage is read from the answer, or from the last chunk of a stream that has it.
   * @throws IndelibleError `ERR_CAPTURE_BLOCKED`; otherwise what `fn` throws
   */
  llm<T>(request: LlmStart, fn: (context: LlmContext) => T, options?: LlmOptions<Awaited<T>>): Promise<Awaited<T>> {
    return recordLlm(this, request, fn, options)
  }

  /** Records a step, such as one turn of an agent, around `fn`. */
  step<T>(name: string, fn: () => T): Promise<Awaited<T>> {
    return recordStep(this, name, fn)
  }

  /** A tool is about to be called. In mode `block`, it must not be before this resolves, and not at all if it rejects. */
  toolStart(start: ToolStart): Promise<Ack> {
    const { call = this.calls.nextId('tool'), name, args, version, server, kind, attributes, subjects } = start
    const event: RunEvent = {
      type: 'tool.start',
      outcome: 'pending',
      call,
      tool: toolMember(name, { version, server, kind }),
      ...(attributes && { attributes }),
      ...(subjects && { subjects: [...subjects] }),
      ...(args !== undefined && { parts: { input: { value: args } } }),
    }
    return this.#begin('tool', call, name, event, start.onFailure)
  }

  toolEnd(end: CallEnd): Promise<Ack> {
    return this.#end('tool', end, { type: 'tool.end', outcome: 'success' })
  }

  toolError({ error, ...end }: CallError): Promise<Ack> {
    return this.#end('tool', end, { type: 'tool.error', outcome: 'failure', error: errorFacts(error) })
  }

  /** A model is about to be asked. As {@link toolStart}. */
  llmRequest({ call = this.calls.nextId('llm'), model, input, attributes, onFailure }: LlmStart): Promise<Ack> {
    const facts = fitModel(model) ?? this.model
    const event: RunEvent = {
      type: 'llm.request',
      outcome: 'pending',
      call,
      ...(facts && { model: facts }),
      ...(attributes && { attributes }),
      ...(input !== undefined && { parts: { input: { value: input } } }),
    }
    return this.#begin('llm', call, facts?.name, event, onFailure)
  }

  llmResponse(end: CallEnd): Promise<Ack> {
    return this.#end('llm', end, { type: 'llm.response', outcome: 'success' })
  }

  llmError({ error, ...end }: CallError): Promise<Ack> {
    return this.#end('llm', end, { type: 'llm.error', outcome: 'failure', error: errorFacts(error) })
  }

  stepStart(name: string, call: string = this.calls.nextId('step')): Promise<Ack> {
    const event: RunEvent = { type: 'step.start', outcome: 'pending', call, attributes: { step: name } }
    return this.#begin('step', call, name, event, 'continue')
  }

  stepEnd(call: string): Promise<Ack> {
    return this.#end('step', { call }, { type: 'step.end', outcome: 'success' })
  }

  stepError(call: string, error: unknown): Promise<Ack> {
    return this.#end('step', { call }, { type: 'step.error', outcome: 'failure', error: errorFacts(error) })
  }

  /** A policy was asked. Outcome by default: `denied` unless it decided `allow`, or `review`, which is `pending`. */
  policy({ id, decision, version, rule, reason, outcome, call, tool, args }: PolicyEvent): Promise<Ack> {
    const usual = decision === 'allow' ? 'approved' : decision === 'review' ? 'pending' : 'denied'
    if ((outcome ?? usual) === 'denied') this.calls.denied++
    return this.record({
      type: 'policy.evaluated',
      outcome: outcome ?? usual,
      policy: {
        id: fitText(id) ?? 'policy',
        decision: fitText(decision) ?? 'unknown',
        ...withText({ version, rule }),
        ...(reason !== undefined && { reason }),
      },
      ...(call !== undefined && { call }),
      ...(tool !== undefined && { tool: toolMember(tool) }),
      ...(args !== undefined && { parts: { input: { value: args } } }),
    })
  }

  /** A guardrail looked at something. Outcome by default: `denied` for the action `block`, else `success`. */
  guardrail({ name, action, stage, detail, outcome, call }: GuardrailEvent): Promise<Ack> {
    return this.record({
      type: 'guardrail.evaluated',
      outcome: outcome ?? (action === 'block' ? 'denied' : 'success'),
      guardrail: {
        name: fitText(name) ?? 'guardrail',
        action: fitText(action) ?? 'unknown',
        ...withText({ stage }),
        ...(detail !== undefined && { detail }),
      },
      ...(call !== undefined && { call }),
    })
  }

  /** A person is asked about an action. */
  approvalRequested({ call, tool, args, reason }: ApprovalEvent): Promise<Ack> {
    const parts = {
      ...(args !== undefined && { input: { value: args } }),
      ...(reason !== undefined && { reason: { value: reason } }),
    }
    return this.record({ type: 'approval.requested', outcome: 'pending', call, tool: toolMember(tool), parts })
  }

  /** What the person decided; the actor of this event is that person. */
  approvalDecided({ call, tool }: ApprovalEvent, { approved, by, reason }: ApprovalDecision): Promise<Ack> {
    if (!approved) this.calls.denied++
    return this.record({
      type: 'approval.decided',
      actor: { type: 'user', id: fitText(by) ?? 'unknown' },
      outcome: approved ? 'approved' : 'rejected',
      call,
      tool: toolMember(tool),
      ...(reason !== undefined && { parts: { reason: { value: reason } } }),
    })
  }

  /** Nobody decided, so the action was not allowed. */
  approvalExpired({ call, tool }: ApprovalEvent): Promise<Ack> {
    this.calls.denied++
    return this.record({ type: 'approval.expired', outcome: 'denied', call, tool: toolMember(tool) })
  }

  /** Another agent takes over. In mode `block` as {@link toolStart}. */
  handoff(to: string, input?: unknown): Promise<Ack> {
    this.calls.handoffs++
    const event: RunEvent = {
      type: 'handoff',
      outcome: 'success',
      resource: { type: 'agent', id: fitText(to) ?? 'unknown' },
      ...(input !== undefined && { parts: { input: { value: input } } }),
    }
    return this.onFailure === 'block' ? this.require(event) : this.record(event)
  }

  /** Something was done with a memory: `memory.<operation>`, such as `read`, `write`, `delete`. */
  memory(operation: string, facts: { readonly store?: string; readonly key?: string; readonly value?: unknown } = {}) {
    const { store, key, value } = facts
    const parts = {
      ...(key !== undefined && { key: { value: key } }),
      ...(value !== undefined && { input: { value } }),
    }
    const id = fitText(store)
    const isName = /^[a-z0-9_]{1,64}$/.test(operation)
    return this.record({
      type: isName ? `memory.${operation}` : 'memory.other',
      outcome: 'success',
      ...(id !== undefined && { resource: { type: 'memory', id } }),
      parts,
    })
  }

  /** The run ends with an error. What comes after the first end of a run is answered as that. */
  error(error: unknown, options: EndOptions = {}): Promise<Ack> {
    this.calls.errors++
    return this.#finish({ type: 'run.error', error: errorFacts(error) }, { outcome: 'failure', ...options })
  }

  /** The run was stopped from outside. */
  abort(reason?: unknown, options: EndOptions = {}): Promise<Ack> {
    const error = reason === undefined ? undefined : errorFacts(reason)
    return this.#finish({ type: 'run.abort', ...(error && { error }) }, { outcome: 'failure', ...options })
  }

  /** The run ends. Its last entry says what it adds up to. */
  end(options: EndOptions = {}): Promise<Ack> {
    return this.#finish({ type: 'run.end' }, options)
  }

  /** Ends a run that its code left without saying how it went: outcome `unknown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    const ack = this.end({ outcome: 'unknown' })
    if (this.onFailure === 'block') await this.recorder.outcome(ack)
  }

  /** Ends a run whose code threw: as aborted, if that was why. */
  fail(error: unknown): Promise<Ack> {
    return isAbort(error, this.signal) ? this.abort(error) : this.error(error)
  }

  /** Records any event as one of this run. */
  record(event: RunEvent): Promise<Ack> {
    return this.recorder.emit(this.#complete(event), false)
  }

  /** {@link record}, and rejects unless it is durable in the log: `ERR_CAPTURE_BLOCKED`. */
  async require(event: RunEvent): Promise<Ack> {
    const full = this.#complete({ assurance: 'enforced', ...event })
    try {
      return await this.recorder.emit(full, true)
    } catch (error) {
      // The refusal is a decision like any other, and nobody is refused in silence.
      this.policy({
        id: 'indelible.capture',
        decision: 'block',
        reason: errorFacts(error).code ?? 'unknown',
        ...(event.call !== undefined && { call: event.call }),
        ...(event.tool !== undefined && { tool: event.tool.name }),
      })
      throw error
    }
  }

  #start(options: RunOptions): Promise<Ack> {
    const { prompt, input, attributes, modes, source, subjects, user, on_behalf_of: behalf } = options
    const parts = {
      ...(prompt !== undefined && { prompt: { value: prompt } }),
      ...(input !== undefined && { input: { value: input } }),
    }
    const host = this.recorder.host
    const event: RunEvent = {
      type: 'run.start',
      outcome: 'pending',
      ...(this.model && { model: this.model }),
      ...(modes && { modes }),
      source: { ...source, ...(host !== undefined && { host }) },
      ...(user !== undefined && behalf !== undefined && user !== behalf && { resource: { type: 'user', id: user } }),
      ...(attributes && { attributes }),
      ...(subjects && { subjects: [...subjects] }),
      parts,
    }
    return this.recorder.emit(this.#complete(event), false, { isChecked: true })
  }

  #complete(event: RunEvent): AgentEvent {
    const trace = this.#hasTrace ? undefined : activeTrace()
    const full = { ...this.#members, ...(trace && { trace }), time: formatTime(this.recorder.now()), ...event }
    if (this.#ended) full.attributes = { ...full.attributes, after_end: true }
    return full as AgentEvent
  }

  #begin(
    kind: CallKind,
    call: string,
    name: string | undefined,
    event: RunEvent,
    onFailure: FailureMode = this.onFailure,
  ): Promise<Ack> {
    const open = this.calls.find(kind, call)
    if (open) {
      this.calls.duplicates++
      return open.ack
    }
    const ack = onFailure === 'block' ? this.require(event) : this.record(event)
    this.calls.begin(kind, call, { name, startedAt: performance.now(), ack })
    if (onFailure === 'block') ack.catch(() => this.calls.forget(kind, call))
    return ack
  }

  #end(kind: CallKind, end: CallEnd, event: RunEvent): Promise<Ack> {
    const open = this.calls.end(kind, end.call)
    if (open === 'ended') {
      this.calls.duplicates++
      return Promise.resolve({ state: 'off' })
    }
    if (event.outcome === 'failure') this.calls.errors++
    const model = kind === 'llm' ? (fitModel(end.model) ?? this.model) : undefined
    const usage = withCost(readUsage(end.usage), this.recorder.priceOf(model?.name))
    this.calls.addUsage(usage)
    const ack = this.record({
      ...event,
      call: end.call,
      ...nameMember(kind, end.name ?? open?.name),
      ...(model && { model }),
      ...(usage && { usage }),
      ...durationMember(end.durationMs, open),
      ...((end.attributes || !open) && { attributes: { ...end.attributes, ...(!open && { unpaired: true }) } }),
      ...(end.output !== undefined && { parts: { output: { value: end.output } } }),
    })
    if (this.#abortReason && this.calls.openCount === 0) void this.abort(this.#abortReason.reason)
    return ack
  }

  #finish(event: RunEvent, options: EndOptions): Promise<Ack> {
    if (this.#ended) return this.#ended
    const { outcome = 'success', output, usage, iterations, attributes } = options
    if (this.#onAbort) this.signal?.removeEventListener('abort', this.#onAbort)
    const sums = readUsage(usage) ?? this.calls.usage
    const ended = this.record({
      ...event,
      outcome,
      duration_ms: round(performance.now() - this.#startedAt),
      ...(sums && { usage: sums }),
      attributes: { ...attributes, ...this.calls.summary(), ...(iterations !== undefined && { iterations }) },
      ...(output !== undefined && { parts: { output: { value: output } } }),
    })
    this.#ended = ended
    clearTimeout(this.#abortTimer)
    return ended
  }

  /** Calls under way see the same signal: their ends come first, unless they take no notice of it. */
  #abortWhenIdle(reason: unknown): void {
    this.#abortReason = { reason }
    if (this.calls.openCount === 0) {
      void this.abort(reason)
      return
    }
    this.#abortTimer = setTimeout(() => void this.abort(reason), ABORT_GRACE_MS)
    this.#abortTimer.unref()
  }
}

function toolMember(name: string, more: Readonly<Record<string, unknown>> = {}): NonNullable<AgentEvent['tool']> {
  return { name, ...withText(more) }
}

function nameMember(kind: CallKind, name: string | undefined): Partial<RunEvent> {
  if (name === undefined) return {}
  if (kind === 'tool') return { tool: toolMember(name) }
  return kind === 'step' ? { attributes: { step: name } } : {}
}

function durationMember(given: number | undefined, open: OpenCall | undefined): Partial<RunEvent> {
  const ms = given ?? (open && performance.now() - open.startedAt)
  return ms === undefined || !Number.isFinite(ms) || ms < 0 ? {} : { duration_ms: round(ms) }
}

/** Microseconds are enough, and the digits of a double say no more. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** Those members that are texts, made to fit. */
function withText(members: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [key, value] of Object.entries(members)) {
    const text = fitText(value)
    if (text !== undefined) texts[key] = text
  }
  return texts
}
