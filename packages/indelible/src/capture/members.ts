/** What a run is made of, and what all of its events have in common. */
import { IndelibleError } from '../errors.ts'
import type { Assurance } from '../record/event.ts'
import type { AgentEvent } from '../record/schema.ts'
import { fitModel, type ModelFacts, type ModelInput } from './fit.ts'
import type { ApproveHook, PolicyHook } from './gate.ts'
import type { FailureMode } from './sink.ts'
import { activeTrace, parseTraceparent } from './trace-context.ts'

/** One run of an agent. Members are the integrator's: a bad value is `ERR_EVENT_INVALID` at once. */
export interface RunOptions {
  readonly agent: string | { readonly id: string; readonly name?: string; readonly version?: string }
  /** Default: a fresh UUIDv7. */
  readonly id?: string
  /** Run that this one is part of. Default: the run whose code begins this one; `null` for none. */
  readonly parent?: string | null
  /** The person whom the agent works for: `actor.on_behalf_of` of every event, unless `on_behalf_of` is given. */
  readonly user?: string
  readonly on_behalf_of?: string
  readonly model?: ModelInput
  readonly session?: string
  readonly tenant?: string
  readonly deployment?: string
  readonly modes?: { readonly agent?: string; readonly access?: string; readonly phi?: string }
  readonly source?: { readonly adapter?: string; readonly sdk?: string }
  /** W3C Trace Context. Default: the active OpenTelemetry span, if the host has one. */
  readonly traceparent?: string
  /** System prompt, a part. */
  readonly prompt?: unknown
  /** What the agent was asked, a part. */
  readonly input?: unknown
  /** Small and not personal. */
  readonly attributes?: Readonly<Record<string, unknown>>
  /** The persons concerned. */
  readonly subjects?: readonly string[]
  /** Default: the recorder's. */
  readonly onFailure?: FailureMode
  /** What its events vouch for. Default `observed`; actions that were held back until recorded are `enforced`. */
  readonly assurance?: Assurance
  /** When it aborts, the run is recorded as aborted. */
  readonly signal?: AbortSignal
  /** Asked about every tool call of {@link Run.tool} before anything else. Default: the recorder's. */
  readonly policy?: PolicyHook
  /** Asks a person. Default: the recorder's. */
  readonly approve?: ApproveHook
}

/** Members of every event of a run. */
export interface RunMembers {
  readonly actor: NonNullable<AgentEvent['actor']>
  readonly run: { readonly id: string; readonly parent?: string }
  readonly session?: string
  readonly tenant?: string
  readonly deployment?: { readonly id: string }
  readonly trace?: { readonly trace_id: string; readonly span_id?: string }
  readonly assurance: Assurance
}

export interface RunFacts {
  readonly members: RunMembers
  readonly model: ModelFacts | undefined
}

/**
 * @param parent of the surrounding run
 * @throws IndelibleError `ERR_EVENT_INVALID` if there is no agent
 */
export function runFacts(options: RunOptions, id: string, parent: string | undefined): RunFacts {
  const agent = typeof options.agent === 'string' ? { id: options.agent } : options.agent
  if (typeof agent?.id !== 'string') throw new IndelibleError('ERR_EVENT_INVALID', 'run: expected the id of its agent')
  const behalf = options.on_behalf_of ?? options.user
  const up = options.parent === undefined ? parent : (options.parent ?? undefined)
  const trace = options.traceparent === undefined ? activeTrace() : parseTraceparent(options.traceparent)
  return {
    members: {
      actor: {
        type: 'agent',
        id: agent.id,
        ...(agent.name !== undefined && { name: agent.name }),
        ...(agent.version !== undefined && { version: agent.version }),
        ...(behalf !== undefined && { on_behalf_of: behalf }),
      },
      run: { id, ...(up !== undefined && { parent: up }) },
      ...(options.session !== undefined && { session: options.session }),
      ...(options.tenant !== undefined && { tenant: options.tenant }),
      ...(options.deployment !== undefined && { deployment: { id: options.deployment } }),
      ...(trace && { trace }),
      assurance: options.assurance ?? 'observed',
    },
    model: fitModel(options.model),
  }
}
