/** One run of the OpenAI Agents SDK, from its first turn to its end, whoever is asked in between. */
import { isIndelibleError } from '../errors.ts'
import { beginTool } from './action-tool.ts'
import { type Fields, fields, text } from './fields.ts'
import { isAbort } from './fit.ts'
import { reviewed } from './gate.ts'
import type { OpenAiAgentsOptions } from './openai-agents.ts'
import type { Run } from './run.ts'
import type { Ack, FailureMode } from './sink.ts'
import { readUsage } from './usage.ts'

/** An answer to the SDK's own request for approval. */
export interface ApprovalAnswer {
  readonly call: string
  readonly tool: string
  readonly approved: boolean
}

interface ModelCall {
  answered(response: unknown, isStream?: boolean): Promise<void>
  failed(error: unknown): void
}

export class AgentsRun {
  readonly run: Run
  readonly onFailure: FailureMode
  readonly #options: OpenAiAgentsOptions
  readonly isOwnRun: boolean
  /** Calls of function tools that may run, or may not: what became of the question. */
  readonly #gates = new Map<string, Promise<string | undefined>>()
  /** Calls that a person has approved in the SDK's own way. */
  readonly #approved = new Set<string>()
  readonly #errors = new Map<string, { readonly error: unknown }>()
  readonly #others = new Set<string>()
  /** What became of the last handoff: no model is asked before that is known. */
  #handoff: Promise<unknown> = Promise.resolve()

  constructor(run: Run, isOwnRun: boolean, options: OpenAiAgentsOptions) {
    this.run = run
    this.isOwnRun = isOwnRun
    this.#options = options
    this.onFailure = options.onFailure ?? run.onFailure
  }

  /** Resolves with what to tell the model of a tool that must not run; `undefined` if it may. Asks once for each call. */
  toolStart(call: string, name: string, input: unknown): Promise<string | undefined> {
    let gate = this.#gates.get(call)
    if (!gate) {
      gate = this.#gate(call, name, input)
      this.#gates.set(call, gate)
    }
    return gate
  }

  async #gate(call: string, name: string, input: unknown): Promise<string | undefined> {
    const policy = this.#options.run?.policy ?? this.run.policyHook
    const approve = this.#options.run?.approve ?? this.run.approveHook
    try {
      await beginTool(this.run, name, parsed(input), {
        call,
        onFailure: this.onFailure,
        ...(policy && { policy: this.#approved.has(call) ? reviewed(policy) : policy }),
        ...(approve && { approve }),
      })
      return undefined
    } catch (error) {
      if (isIndelibleError(error, 'ERR_ACTION_DENIED')) return error.message
      this.#gates.delete(call)
      throw error
    }
  }

  /** Calls a tool that may run. The SDK makes an answer of what it throws, unless the tool is a {@link recordedTool}. */
  async invoked<T>(call: string, invoke: () => Promise<T>): Promise<T> {
    let output: T
    try {
      output = await this.run.within(invoke)
    } catch (error) {
      this.#toolError(call, this.#errors.get(call)?.error ?? error)
      throw error
    }
    const threw = this.#errors.get(call)
    if (threw) this.#toolError(call, threw.error)
    else await this.#kept(this.run.toolEnd({ call, output }))
    this.#forget(call)
    return output
  }

  threw(call: string, error: unknown): void {
    this.#errors.set(call, { error })
  }

  #toolError(call: string, error: unknown): void {
    const attributes = isAbort(error, this.run.signal) && { aborted: true }
    void this.run.toolError({ call, error, ...(attributes && { attributes }) })
    this.#forget(call)
  }

  #forget(call: string): void {
    this.#gates.delete(call)
    this.#errors.delete(call)
    this.#approved.delete(call)
  }

  /** Tools other than functions, such as shells: told of, and held back by nobody. */
  otherToolStart(tool: Fields, toolCall: Fields): void {
    if (tool.type === 'function') return
    const call = text(toolCall.callId) ?? text(toolCall.id) ?? 'unknown'
    this.#others.add(call)
    const name = text(tool.name) ?? 'unknown'
    const args = toolCall.action ?? toolCall.operation ?? toolCall.arguments
    void this.run.toolStart({ call, name, args, kind: String(tool.type), onFailure: 'continue' })
  }

  otherToolEnd(tool: Fields, output: unknown, toolCall: Fields): void {
    const call = text(toolCall.callId) ?? text(toolCall.id) ?? 'unknown'
    if (tool.type !== 'function' && this.#others.delete(call)) void this.run.toolEnd({ call, output })
  }

  handoff(to: string): void {
    const ack = this.run.handoff(to)
    this.#handoff = ack
    ack.catch(() => {})
  }

  /** @throws IndelibleError `ERR_CAPTURE_BLOCKED`: then the model must not be asked */
  async modelCallStart(name: string, request: Fields): Promise<ModelCall> {
    const { run } = this
    if (this.onFailure === 'block') await this.#handoff
    const call = run.calls.nextId('llm')
    const { systemInstructions, input, modelSettings } = request
    const effort = text(fields(fields(modelSettings).reasoning).effort)
    const model = { name, ...(effort !== undefined && { reasoning_effort: effort }) }
    const asked = { ...(systemInstructions !== undefined && { instructions: systemInstructions }), input }
    const ack = run.llmRequest({ call, model, input: asked, onFailure: this.onFailure })
    if (this.onFailure === 'block') await ack
    let isOver = false
    return {
      answered: async (response, isStream = false) => {
        if (isOver) return
        isOver = true
        const { output, usage } = fields(response)
        const amounts = readUsage(usage)
        const attributes = isStream && { streamed: true, ...(response === undefined && { left: true }) }
        await this.#kept(
          run.llmResponse({
            call,
            model,
            ...(output !== undefined && { output }),
            ...(amounts && { usage: amounts }),
            ...(attributes && { attributes }),
          }),
        )
      },
      failed: (error) => {
        if (isOver) return
        isOver = true
        const attributes = isAbort(error, run.signal) && { aborted: true }
        void run.llmError({ call, model, error, ...(attributes && { attributes }) })
      },
    }
  }

  /** The SDK stopped to have a person asked. */
  asked(item: Fields): void {
    const { call, tool, args } = about(item)
    void this.run.approvalRequested({ call, tool, args })
  }

  answered(item: Fields, approved: boolean, options: Fields): void {
    const { call, tool } = about(item)
    const by = this.#options.approver?.({ call, tool, approved }) ?? 'unknown'
    const reason = text(options.message)
    void this.run.approvalDecided({ call, tool }, { approved, by, ...(reason !== undefined && { reason }) })
    if (approved) this.#approved.add(call)
  }

  async end(output: unknown): Promise<void> {
    if (this.isOwnRun) await this.#kept(this.run.end({ ...(output !== undefined && { output }) }))
  }

  async fail(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (!this.isOwnRun) return
    await this.#kept(signal?.aborted || isAbort(error, signal) ? this.run.abort(error) : this.run.fail(error))
  }

  /** In mode `block` the agent, which waits for this, goes on once the entry is durable somewhere. */
  async #kept(ack: Promise<Ack>): Promise<void> {
    if (this.onFailure === 'block') await this.run.recorder.outcome(ack)
  }
}

function about(item: Fields): { call: string; tool: string; args: unknown } {
  const raw = fields(item.rawItem)
  return {
    call: text(raw.callId) ?? text(raw.id) ?? 'unknown',
    tool: text(item.name) ?? text(item.toolName) ?? text(raw.name) ?? 'unknown',
    args: parsed(item.arguments ?? raw.arguments),
  }
}

/** Models write arguments as JSON; what is none stays as it is. */
function parsed(input: unknown): unknown {
  if (typeof input !== 'string') return input
  try {
    return JSON.parse(input)
  } catch {
    return input
  }
}
