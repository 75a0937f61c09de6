/** What is told of a run: by whoever writes the agent, or by the hooks of a framework, one by one. */
import type { AgentEvent } from '../record/schema.ts'
import type { ModelInput } from './fit.ts'
import type { FailureMode } from './sink.ts'
import type { Usage } from './usage.ts'

/** Members that an event of a run may have beside those that the run gives it. */
export type RunEvent = Omit<AgentEvent, 'actor' | 'run'> & { readonly actor?: AgentEvent['actor'] }

/** What a hook tells of the beginning of a tool call. */
export interface ToolStart {
  /** Pairs the beginning with its end. Default: a fresh one, which the caller does not learn. */
  readonly call?: string
  readonly name: string
  readonly args?: unknown
  readonly version?: string
  readonly server?: string
  readonly kind?: string
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly subjects?: readonly string[]
  /** Default: the run's. */
  readonly onFailure?: FailureMode
}

export interface CallEnd {
  readonly call: string
  readonly output?: unknown
  readonly usage?: Usage
  readonly attributes?: Readonly<Record<string, unknown>>
  /** Default: of the call's beginning. */
  readonly name?: string
  readonly model?: ModelInput
  /** Default: measured from the beginning, ms. */
  readonly durationMs?: number
}

export interface CallError extends Omit<CallEnd, 'output'> {
  readonly error: unknown
}

export interface LlmStart {
  readonly call?: string
  /** Default: the run's. */
  readonly model?: ModelInput
  readonly input?: unknown
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly onFailure?: FailureMode
}

export interface PolicyEvent {
  readonly id: string
  readonly decision: string
  readonly version?: string
  readonly rule?: string
  readonly reason?: unknown
  readonly outcome?: AgentEvent['outcome']
  readonly call?: string
  readonly tool?: string
  readonly args?: unknown
}

export interface GuardrailEvent {
  readonly name: string
  /** `block`, `rewrite`, `warn`, `pass`, … */
  readonly action: string
  readonly stage?: string
  readonly detail?: unknown
  readonly outcome?: AgentEvent['outcome']
  readonly call?: string
}

export interface ApprovalEvent {
  readonly call: string
  readonly tool: string
  readonly args?: unknown
  readonly reason?: unknown
}

export interface EndOptions {
  /** Default `success`. */
  readonly outcome?: AgentEvent['outcome']
  readonly output?: unknown
  /** Default: what the run's calls add up to. */
  readonly usage?: Usage
  readonly iterations?: number
  readonly attributes?: Readonly<Record<string, unknown>>
}
