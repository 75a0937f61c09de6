/** Whether an action may happen: a policy that decides, a person who is asked. */
import { IndelibleError } from '../errors.ts'

/** An action before it happens. */
export interface ActionRequest {
  readonly run: string
  readonly call: string
  readonly tool: string
  /** As they are: a policy must see what the tool would get. */
  readonly args: unknown
  readonly signal?: AbortSignal
}

/** What a policy says. `review`: a person must be asked. */
export type Verdict = 'allow' | 'deny' | 'review'

export interface PolicyDecision {
  readonly decision: Verdict
  /** Of the policy. Default `policy`. */
  readonly id?: string
  readonly version?: string
  readonly rule?: string
  /** Free text; kept as a part. */
  readonly reason?: unknown
}

/** Decides about an action. One that throws has denied it. */
export type PolicyHook = (request: ActionRequest) => PolicyDecision | Verdict | Promise<PolicyDecision | Verdict>

/** An action that a person is asked about. */
export interface ApprovalRequest extends ActionRequest {
  /** Why a person is asked, if the policy said so. */
  readonly reason?: unknown
}

export interface ApprovalDecision {
  readonly approved: boolean
  /** The person who decided, as they are known to the host. */
  readonly by: string
  /** Free text; kept as a part. */
  readonly reason?: unknown
}

/** Asks a person, waits, and tells what they decided. `null`: nobody answered in time. One that throws has rejected. */
export interface ApproveHook {
  (request: ApprovalRequest): Promise<ApprovalDecision | null>
  /** It records what was asked and decided, as part of the run; otherwise the run does. */
  readonly recordsItself?: boolean
}

export function policyDecision(answer: PolicyDecision | Verdict): PolicyDecision {
  const decision = typeof answer === 'string' ? { decision: answer } : answer
  // Whatever is not a plain yes, or a question, is a no.
  const isKnown = decision?.decision === 'allow' || decision?.decision === 'review'
  return isKnown ? decision : { ...decision, decision: 'deny' }
}

/** A policy whose question a person has answered with yes. */
export function reviewed(policy: PolicyHook): PolicyHook {
  return async (request) => {
    const decision = policyDecision(await policy(request))
    return decision.decision === 'review' ? { ...decision, decision: 'allow' } : decision
  }
}

/** What an action is refused with that policy or a person did not allow. */
export function denied(why: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError('ERR_ACTION_DENIED', `action refused: ${why}`, options)
}
