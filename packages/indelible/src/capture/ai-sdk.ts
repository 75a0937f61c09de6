/**
 * Adapter for Vercel's AI SDK (`ai` 7): a telemetry integration, which also holds tools and model calls back; the SDK's tool
 * approval; and a middleware for models, which sees what telemetry does not. Nothing is imported from the package.
 *
 * The SDK swallows what its `on…` hooks throw. So nothing is decided there, but in `executeTool` and
 * `executeLanguageModelCall`, which call the tool or the model, or do not.
 */

import { type AiSdkMiddleware, aiSdkMiddleware, withinModelCall } from './ai-sdk-middleware.ts'
import { AiSdkOperation } from './ai-sdk-operation.ts'
import { currentRun } from './context.ts'
import { type Fields, fields, text } from './fields.ts'
import { policyDecision } from './gate.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { checkVersion } from './support.ts'

export interface AiSdkOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /**
   * Of the runs that generations are, unless they are part of a run of yours. Default agent: the telemetry's `functionId`, or
   * `ai-sdk`. Its `policy` and `approve` are asked about each tool.
   */
  readonly run?: Partial<RunOptions>
  /** Default: the run's. */
  readonly onFailure?: FailureMode
  /** Who gave an answer to the SDK's own request for approval: its messages do not say. Default `unknown`. */
  readonly approver?: (response: { readonly approvalId: string; readonly reason?: string }) => string
}

/** As the SDK's option `toolApproval` wants it: the status of one call. */
type ToolApproval = (options: { readonly toolCall: unknown }) => Promise<ApprovalStatus>
type ApprovalStatus = undefined | 'user-approval' | { readonly type: 'user-approval'; readonly reason?: string }

/** What the SDK calls with an event, or with what it is to execute. */
export interface AiSdkIntegration {
  onStart(event: object): void
  onStepStart(event: object): void
  onStepEnd(event: object): void
  onStepError(event: object): void
  onLanguageModelCallEnd(event: object): Promise<void>
  onToolExecutionEnd(event: object): Promise<void>
  onEnd(event: object): Promise<void>
  onAbort(event: object): void
  onError(event: unknown): void
  executeLanguageModelCall<T>(options: { readonly callId: string; execute(): PromiseLike<T> }): Promise<T>
  executeTool<T>(options: {
    readonly callId: string
    readonly toolCallId: string
    execute(): PromiseLike<T>
  }): Promise<T>
}

export interface AiSdkAdapter {
  /** For `registerTelemetry`. */
  readonly integration: AiSdkIntegration
  /** For the option `telemetry` of a call. */
  readonly telemetry: { readonly integrations: AiSdkIntegration[] }
  /**
   * For the option `toolApproval`, where nobody can be waited for: what the policy wants reviewed becomes the SDK's own request
   * for approval. With `approve`, it is not needed.
   */
  readonly toolApproval: ToolApproval
  /** For `wrapLanguageModel`: records the calls of a model that telemetry does not see. */
  readonly middleware: AiSdkMiddleware
}

const MAJORS = [7]

/** Operations that are generations by a language model. */
const GENERATIONS = new Set(['ai.generateText', 'ai.streamText'])

/** Operations that are open at most: of one that the SDK never ends, nothing more than this is kept. */
const MAX_OPEN = 10_000

/** One adapter for an application, or for one agent of it. */
export function recordAiSdk(options: AiSdkOptions): AiSdkAdapter {
  const integration = new Integration(options)
  return {
    integration,
    telemetry: { integrations: [integration] },
    toolApproval: (asked) => toolApproval(asked, options),
    middleware: aiSdkMiddleware(options),
  }
}

class Integration implements AiSdkIntegration {
  readonly #options: AiSdkOptions
  readonly #open = new Map<string, AiSdkOperation>()
  /** Runs of ours: what begins within them is a run of its own. */
  readonly #runs = new WeakSet<Run>()

  constructor(options: AiSdkOptions) {
    this.#options = options
  }

  onStart(event: object): void {
    const { operationId, callId } = event as { operationId?: unknown; callId?: unknown }
    if (typeof callId !== 'string' || !GENERATIONS.has(String(operationId))) return
    this.#operation(callId, event as Fields).begin(event as Fields)
  }

  onStepStart(event: object): void {
    this.#find(event)?.stepStart(event as Fields)
  }

  onStepEnd(event: object): void {
    this.#find(event)?.stepEnd(event as Fields)
  }

  onStepError(event: object): void {
    this.#find(event)?.stepError(event as Fields)
  }

  async onLanguageModelCallEnd(event: object): Promise<void> {
    await this.#find(event)?.modelCallEnd(event as Fields)
  }

  async onToolExecutionEnd(event: object): Promise<void> {
    await this.#find(event)?.toolEnd(event as Fields)
  }

  async onEnd(event: object): Promise<void> {
    await this.#close(event)?.end(event as Fields)
  }

  onAbort(event: object): void {
    this.#close(event)?.abort((event as { reason?: unknown }).reason)
  }

  onError(event: unknown): void {
    const { error } = fields(event)
    this.#close(fields(event))?.fail(error)
  }

  async executeLanguageModelCall<T>(options: { readonly callId: string; execute(): PromiseLike<T> }): Promise<T> {
    const operation = this.#operation(options.callId, options as unknown as Fields)
    await operation.modelCallStart(options as unknown as Fields)
    try {
      return await withinModelCall(() => operation.run.within(options.execute))
    } catch (error) {
      operation.modelCallError(error)
      throw error
    }
  }

  async executeTool<T>(options: {
    readonly callId: string
    readonly toolCallId: string
    execute(): PromiseLike<T>
  }): Promise<T> {
    const operation = this.#operation(options.callId, options as unknown as Fields)
    await operation.toolStart(options.toolCallId, options as unknown as Fields)
    try {
      return await operation.run.within(options.execute)
    } catch (error) {
      operation.toolError(options.toolCallId, error)
      throw error
    }
  }

  #find(event: object): AiSdkOperation | undefined {
    return this.#open.get(String((event as { callId?: unknown }).callId))
  }

  #close(event: object): AiSdkOperation | undefined {
    const operation = this.#find(event)
    if (operation) this.#open.delete(operation.callId)
    return operation
  }

  /**
   * The operation under way, or a new one.
   * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED`
   */
  #operation(callId: string, event: Fields): AiSdkOperation {
    const known = this.#open.get(callId)
    if (known) return known
    const version = text(event.aiVersion)
    checkVersion('ai', version, MAJORS)
    const operation = new AiSdkOperation(callId, this.#options, ...this.#runOf(event, version!))
    if (this.#open.size >= MAX_OPEN) this.#open.delete(this.#open.keys().next().value!)
    this.#open.set(callId, operation)
    return operation
  }

  /** Whose run it is: one of yours, or one of ours, which ends with the operation. */
  #runOf(event: Fields, version: string): [run: Run, isOwn: boolean] {
    const current = currentRun()
    if (current && !this.#runs.has(current)) return [current, false]
    const { recorder, run: given, onFailure } = this.#options
    const name = text(event.modelId)
    const run = recorder.run({
      agent: text(event.functionId) ?? 'ai-sdk',
      source: { adapter: 'ai-sdk', sdk: `ai/${version}` },
      ...(name !== undefined && { model: { name, ...provider(event) } }),
      ...(event.instructions !== undefined && { prompt: event.instructions }),
      ...(event.messages !== undefined && { input: event.messages }),
      ...(onFailure !== undefined && { onFailure }),
      ...given,
    })
    this.#runs.add(run)
    return [run, true]
  }
}

function provider(event: Fields): { provider?: string } {
  const name = text(event.provider)
  return name === undefined ? {} : { provider: name }
}

/** Only questions: what is denied is denied, and recorded, where the tool would be called. */
async function toolApproval(
  { toolCall }: { readonly toolCall: unknown },
  options: AiSdkOptions,
): Promise<ApprovalStatus> {
  const run = currentRun()
  const policy = options.run?.policy ?? run?.policyHook ?? options.recorder.policy
  const approve = options.run?.approve ?? run?.approveHook ?? options.recorder.approve
  if (!policy || approve) return undefined
  const { toolName, toolCallId, input } = fields(toolCall)
  const request = { run: run?.id ?? '', call: String(toolCallId), tool: String(toolName), args: input }
  const { decision, reason } = policyDecision(await policy(request))
  if (decision !== 'review') return undefined
  return typeof reason === 'string' ? { type: 'user-approval', reason } : 'user-approval'
}
