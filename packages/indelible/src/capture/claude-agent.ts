/**
 * Adapter for the Claude Agent SDK (`@anthropic-ai/claude-agent-sdk` 0.3): stands in for its `query`, and records a session by
 * hooks and by the messages that it gives. The agent itself is another process, which asks these hooks before each tool.
 * Nothing is imported from the package.
 */
import { isIndelibleError } from '../errors.ts'
import { beginTool } from './action-tool.ts'
import { ClaudeMessages } from './claude-agent-messages.ts'
import { currentRun } from './context.ts'
import { type Fields, fields, text } from './fields.ts'
import { installedVersion } from './installed.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { tapStream } from './stream.ts'
import { checkVersion } from './support.ts'

export interface ClaudeAgentOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Of sessions that begin outside of any run. Default: an agent `claude-agent`. */
  readonly run?: Partial<RunOptions>
  /** Default: the run's. In mode `block`, no tool begins before its entry is durable. */
  readonly onFailure?: FailureMode
  /** Who answers `canUseTool`. Without it, its answers are recorded as those of a policy. */
  readonly approver?: string
  /** How long the agent waits for a policy and a person, s. Default: one hour. */
  readonly timeoutSeconds?: number
  /** Of the SDK. Default: as installed. */
  readonly version?: string
}

const PACKAGE = '@anthropic-ai/claude-agent-sdk'
/** Before 1.0, a minor version may change everything. */
const VERSIONS = ['0.3']
const HOUR_SECONDS = 3600

interface QueryParameters {
  readonly prompt: unknown
  readonly options?: Fields
}

type Hook = (input: unknown, toolUseId: string | undefined) => Promise<object>

/**
 * `query`, recorded. What it gives is what the SDK gives.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordClaudeAgent<Query extends (parameters: never) => AsyncIterable<unknown>>(
  query: Query,
  options: ClaudeAgentOptions,
): Query {
  const version = options.version ?? installedVersion(PACKAGE)
  checkVersion(PACKAGE, version, VERSIONS)
  const source = { adapter: 'claude-agent', sdk: `${PACKAGE}/${version}` }
  const recorded = ({ prompt, options: given = {} }: QueryParameters) => {
    const current = currentRun()
    const signal = fields(given.abortController).signal
    const model = text(given.model)
    const run =
      current ??
      options.recorder.run({
        agent: 'claude-agent',
        source,
        ...(typeof prompt === 'string' && { input: prompt }),
        ...(model !== undefined && { model: { name: model, provider: 'anthropic' } }),
        ...(signal instanceof AbortSignal && { signal }),
        ...(options.onFailure !== undefined && { onFailure: options.onFailure }),
        ...options.run,
      })
    const session = new Session(run, current === undefined, options)
    const stream = run.within(() => query({ prompt, options: session.attach(given) } as never))
    return session.watch(stream)
  }
  return recorded as unknown as Query
}

class Session {
  readonly #run: Run
  readonly #isOwn: boolean
  readonly #options: ClaudeAgentOptions
  readonly #onFailure: FailureMode
  readonly #messages: ClaudeMessages
  #signal: AbortSignal | undefined
  /** Calls that handed over to another agent. */
  readonly #handoffs = new Set<string>()
  /** Calls that were not allowed, which the session tells of more than once. */
  readonly #refused = new Set<string>()

  constructor(run: Run, isOwn: boolean, options: ClaudeAgentOptions) {
    this.#run = run
    this.#isOwn = isOwn
    this.#options = options
    this.#onFailure = options.onFailure ?? run.onFailure
    this.#messages = new ClaudeMessages(run)
  }

  /** The caller's options with our hooks after theirs. */
  attach(given: Fields): Fields {
    const { signal } = fields(given.abortController)
    if (signal instanceof AbortSignal) this.#signal = signal
    const timeout = this.#options.timeoutSeconds ?? HOUR_SECONDS
    // A hook that does not answer must not let a tool through that it was to hold back.
    const isGate = this.#onFailure === 'block' || this.#run.policyHook !== undefined
    const hooks: Record<string, unknown> = { ...fields(given.hooks) }
    const add = (event: string, hook: Hook, more: object = {}) => {
      const before = hooks[event]
      hooks[event] = [...(Array.isArray(before) ? before : []), { hooks: [hook], timeout, ...more }]
    }
    add('PreToolUse', (input, id) => this.#before(fields(input), id), isGate ? { onFailure: 'block' } : {})
    add('PostToolUse', async (input, id) => this.#after(fields(input), id))
    add('PostToolUseFailure', async (input, id) => this.#failed(fields(input), id))
    add('PermissionDenied', async (input, id) => this.#denied(fields(input), id))
    const { canUseTool } = given
    return {
      ...given,
      hooks,
      ...(typeof canUseTool === 'function' && { canUseTool: this.#asked(canUseTool as CanUseTool) }),
    }
  }

  watch(stream: AsyncIterable<unknown>): unknown {
    const tapped = tapStream(
      stream,
      (end) => {
        const result = this.#messages.end()
        for (const { id, name } of result.denials) this.#refuse(id, name, 'not permitted')
        if (!this.#isOwn) return
        // What the SDK throws for an abort has no name that could be known.
        if (end.how === 'failed' && this.#signal?.aborted) void this.#run.abort(end.error)
        else if (end.how === 'failed') void this.#run.fail(end.error)
        else if (end.how === 'left' && !result.isKnown) void this.#run.abort('stream was not read to its end')
        else void this.#run.end(result.end)
      },
      (message) => this.#messages.see(fields(message)),
    )
    return tapped ? tapped.stream : stream
  }

  async #before(input: Fields, toolUseId: string | undefined): Promise<object> {
    const { tool_input: args, mcp_server } = input
    const call = toolUseId ?? text(input.tool_use_id) ?? this.#run.calls.nextId('tool')
    const name = text(input.tool_name) ?? 'unknown'
    const server = text(fields(mcp_server).name)
    try {
      const to = SUBAGENT_TOOLS.has(name) ? text(fields(args).subagent_type) : undefined
      if (to !== undefined) {
        this.#handoffs.add(call)
        const recorded = this.#run.handoff(to, args)
        if (this.#onFailure === 'block') await recorded
      } else {
        const onFailure = this.#onFailure
        await beginTool(this.#run, name, args, { call, onFailure, ...(server !== undefined && { server }) })
      }
      return {}
    } catch (error) {
      if (!isIndelibleError(error, 'ERR_ACTION_DENIED', 'ERR_CAPTURE_BLOCKED')) throw error
      this.#refused.add(call)
      const permissionDecisionReason = error.message
      return {
        hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision: 'deny', permissionDecisionReason },
      }
    }
  }

  #after(input: Fields, toolUseId: string | undefined): object {
    const call = toolUseId ?? text(input.tool_use_id)
    if (call === undefined || this.#handoffs.has(call)) return {}
    const { tool_response: output, duration_ms: durationMs } = input
    const measured = typeof durationMs === 'number' ? { durationMs } : {}
    void this.#run.toolEnd({ call, ...this.#named(input), output, ...measured })
    return {}
  }

  #failed(input: Fields, toolUseId: string | undefined): object {
    const call = toolUseId ?? text(input.tool_use_id)
    if (call === undefined) return {}
    const attributes = input.is_interrupt === true ? { attributes: { aborted: true } } : {}
    void this.#run.toolError({ call, ...this.#named(input), error: input.error, ...attributes })
    return {}
  }

  #denied(input: Fields, toolUseId: string | undefined): object {
    const call = toolUseId ?? text(input.tool_use_id)
    if (call !== undefined) this.#refuse(call, text(input.tool_name) ?? 'unknown', input.reason)
    return {}
  }

  #named({ tool_name }: Fields): { name?: string } {
    const name = text(tool_name)
    return name === undefined ? {} : { name }
  }

  /** The agent's own permissions stopped a tool whose beginning is recorded: its end is that. */
  #refuse(call: string, name: string, reason: unknown): void {
    if (this.#refused.has(call)) return
    this.#refused.add(call)
    void this.#run.policy({ id: 'claude.permissions', decision: 'deny', reason, call, tool: name })
    const isBegun = this.#run.calls.find('tool', call) !== undefined
    if (isBegun) void this.#run.toolError({ call, name, error: new PermissionDenied() })
  }

  #asked(canUseTool: CanUseTool): CanUseTool {
    return async (tool, args, context) => {
      const call = text(fields(context).toolUseID) ?? this.#run.calls.nextId('tool')
      const by = this.#options.approver
      if (by !== undefined) void this.#run.approvalRequested({ call, tool, args })
      const answer = await canUseTool(tool, args, context)
      const { behavior, message } = fields(answer)
      const isAllowed = behavior === 'allow'
      const reason = text(message)
      const told = reason === undefined ? {} : { reason }
      if (by !== undefined) void this.#run.approvalDecided({ call, tool }, { approved: isAllowed, by, ...told })
      else {
        const decision = isAllowed ? 'allow' : 'deny'
        void this.#run.policy({ id: 'claude.canUseTool', decision, call, tool, args, ...told })
      }
      if (!isAllowed && this.#run.calls.find('tool', call)) {
        this.#refused.add(call)
        void this.#run.toolError({ call, name: tool, error: new PermissionDenied() })
      }
      return answer
    }
  }
}

type CanUseTool = (tool: string, input: unknown, context: unknown) => Promise<unknown>

/** Tools that hand over to another agent: the older and the newer name. */
const SUBAGENT_TOOLS = new Set(['Task', 'Agent'])

class PermissionDenied extends Error {
  override readonly name = 'PermissionDenied'
  constructor() {
    super('not permitted')
  }
}
