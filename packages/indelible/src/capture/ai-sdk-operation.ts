/** One call of `generateText` or `streamText`, as the SDK's telemetry tells of it. */
import { IndelibleError } from '../errors.ts'
import { beginTool } from './action-tool.ts'
import type { AiSdkOptions } from './ai-sdk.ts'
import { type Fields, fields, list, text } from './fields.ts'
import { isAbort } from './fit.ts'
import { reviewed } from './gate.ts'
import type { Run } from './run.ts'
import type { Ack, FailureMode } from './sink.ts'
import { readUsage } from './usage.ts'

export class AiSdkOperation {
  readonly callId: string
  readonly run: Run
  readonly #options: AiSdkOptions
  readonly #isOwnRun: boolean
  readonly #onFailure: FailureMode
  /** Calls of tools that may run, and have not ended. */
  readonly #tools = new Map<string, string>()
  /** Calls of tools that the SDK has asked a person about, who said yes. */
  readonly #approved = new Set<string>()
  #modelCall: string | null = null
  #step: string | null = null

  constructor(callId: string, options: AiSdkOptions, run: Run, isOwnRun: boolean) {
    this.callId = callId
    this.run = run
    this.#options = options
    this.#isOwnRun = isOwnRun
    this.#onFailure = options.onFailure ?? run.onFailure
  }

  /** The SDK asks a person in one operation and hands the answer to the next, among its messages. */
  begin({ messages }: Fields): void {
    const asked = new Map<string, Fields>()
    const calls = new Map<string, Fields>()
    for (const message of list(messages)) {
      for (const part of list(fields(message).content).map(fields)) {
        if (part.type === 'tool-call') calls.set(String(part.toolCallId), part)
        if (part.type === 'tool-approval-request') asked.set(String(part.approvalId), part)
      }
    }
    const last = fields(list(messages).at(-1))
    for (const part of last.role === 'tool' ? list(last.content).map(fields) : []) {
      if (part.type !== 'tool-approval-response') continue
      const request = asked.get(String(part.approvalId))
      const call = text(request?.toolCallId) ?? text(fields(request?.toolCall).toolCallId)
      if (call === undefined) continue
      const tool = text(calls.get(call)?.toolName) ?? 'unknown'
      const reason = text(part.reason)
      const response = { approvalId: String(part.approvalId), ...(reason !== undefined && { reason }) }
      const decision = {
        approved: part.approved === true,
        by: this.#options.approver?.(response) ?? 'unknown',
        ...(reason !== undefined && { reason }),
      }
      void this.run.approvalDecided({ call, tool }, decision)
      if (decision.approved) this.#approved.add(call)
    }
  }

  stepStart({ stepNumber }: Fields): void {
    this.#step = `${this.callId}-step-${stepNumber}`
    void this.run.stepStart(`step ${stepNumber}`, this.#step)
  }

  stepEnd({ content }: Fields): void {
    for (const part of list(content).map(fields)) {
      const { toolCallId, toolName, input } = fields(part.toolCall)
      const about = { call: String(toolCallId), tool: text(toolName) ?? 'unknown', args: input, reason: part.reason }
      if (part.type === 'tool-approval-request' && part.isAutomatic !== true) void this.run.approvalRequested(about)
      if (part.type === 'tool-approval-response') {
        void this.run.policy({ id: 'toolApproval', decision: part.approved === true ? 'allow' : 'deny', ...about })
      }
    }
    if (this.#step !== null) void this.run.stepEnd(this.#step)
    this.#step = null
  }

  stepError({ error }: Fields): void {
    if (this.#step !== null) void this.run.stepError(this.#step, error)
    this.#step = null
  }

  /** @throws IndelibleError `ERR_CAPTURE_BLOCKED`: then the model must not be asked */
  async modelCallStart({ modelId, provider, instructions, messages }: Fields): Promise<void> {
    const call = this.run.calls.nextId('llm')
    this.#modelCall = call
    const by = text(provider)
    const ack = this.run.llmRequest({
      call,
      model: { name: text(modelId) ?? 'unknown', ...(by !== undefined && { provider: by }) },
      input: { ...(instructions !== undefined && { instructions }), messages },
      onFailure: this.#onFailure,
    })
    if (this.#onFailure !== 'block') return
    try {
      await ack
    } catch (error) {
      this.#modelCall = null
      throw error
    }
  }

  async modelCallEnd({ modelId, provider, content, usage, finishReason }: Fields): Promise<void> {
    const call = this.#modelCall
    if (call === null) return
    this.#modelCall = null
    const by = text(provider)
    const amounts = readUsage(usage)
    const ack = this.run.llmResponse({
      call,
      model: { name: text(modelId) ?? 'unknown', ...(by !== undefined && { provider: by }) },
      output: { content, finish_reason: finishReason },
      ...(amounts && { usage: amounts }),
    })
    this.#providersTools(content)
    await this.#kept(ack)
  }

  modelCallError(error: unknown): void {
    if (this.#modelCall === null) return
    const attributes = isAbort(error, this.run.signal) && { aborted: true }
    void this.run.llmError({ call: this.#modelCall, error, ...(attributes && { attributes }) })
    this.#modelCall = null
  }

  /** @throws IndelibleError `ERR_ACTION_DENIED`, `ERR_CAPTURE_BLOCKED`, `ERR_CAPTURE_UNSUPPORTED`: then it must not run */
  async toolStart(call: string, { toolCall, recordInputs }: Fields): Promise<void> {
    const { toolName, input } = fields(toolCall)
    const name = text(toolName) ?? 'unknown'
    const policy = this.#options.run?.policy ?? this.run.policyHook
    const approve = this.#options.run?.approve ?? this.run.approveHook
    if (policy && recordInputs === false) {
      const message = 'a policy cannot judge arguments that telemetry.recordInputs hides'
      throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', message)
    }
    const isApproved = this.#approved.has(call)
    await beginTool(this.run, name, input, {
      call,
      onFailure: this.#onFailure,
      ...(policy && { policy: isApproved ? reviewed(policy) : policy }),
      ...(approve && { approve }),
    })
    this.#tools.set(call, name)
  }

  /** The result comes with the hook; a tool that was refused has none. */
  async toolEnd({ toolCall, toolOutput, toolExecutionMs }: Fields): Promise<void> {
    const call = String(fields(toolCall).toolCallId)
    if (!this.#tools.delete(call)) return
    const { output } = fields(toolOutput)
    const duration = typeof toolExecutionMs === 'number' && { durationMs: toolExecutionMs }
    await this.#kept(this.run.toolEnd({ call, output, ...duration }))
  }

  toolError(call: string, error: unknown): void {
    if (!this.#tools.delete(call)) return
    const attributes = isAbort(error, this.run.signal) && { aborted: true }
    void this.run.toolError({ call, error, ...(attributes && { attributes }) })
  }

  async end({ text: answer, finalStep }: Fields): Promise<void> {
    if (!this.#isOwnRun) return
    const output = text(answer) ?? text(fields(finalStep).text)
    await this.#kept(this.run.end({ ...(output !== undefined && { output }) }))
  }

  abort(reason: unknown): void {
    this.modelCallError(reason ?? new DOMException('aborted', 'AbortError'))
    if (this.#isOwnRun) void this.run.abort(reason)
  }

  fail(error: unknown): void {
    this.modelCallError(error)
    if (this.#isOwnRun) void this.run.fail(error)
  }

  /** Tools that the provider ran itself: told of afterwards, and held back by nobody. */
  #providersTools(content: unknown): void {
    for (const part of list(content).map(fields)) {
      if (part.providerExecuted !== true) continue
      const call = String(part.toolCallId)
      if (part.type === 'tool-call') {
        const name = text(part.toolName) ?? 'unknown'
        void this.run.toolStart({ call, name, args: part.input, kind: 'provider', onFailure: 'continue' })
      } else if (part.type === 'tool-result') void this.run.toolEnd({ call, output: part.output })
      else if (part.type === 'tool-error') void this.run.toolError({ call, error: part.error })
    }
  }

  /** In mode `block` the SDK, which waits for its hooks, goes on once the entry is durable somewhere. */
  async #kept(ack: Promise<Ack>): Promise<void> {
    if (this.#onFailure === 'block') await this.run.recorder.outcome(ack)
  }
}
