/** Approvals at run time as the `approve` of a run: where its policy wants a person asked, the people of the log are. */

import { currentRun } from '../capture/context.ts'
import type { ApprovalDecision, ApprovalRequest, ApproveHook } from '../capture/gate.ts'
import { IndelibleError } from '../errors.ts'
import type { Approvals } from './approvals.ts'

export interface ApprovalsHookOptions {
  /** Names of registered identities: all the same, or chosen for each action. */
  readonly approvers: readonly string[] | ((request: ApprovalRequest) => readonly string[])
  /** How many of them must approve. Default 1. */
  readonly quorum?: number
  /** How long it may be decided, ms. Default 10 minutes. */
  readonly expiresMs?: number
}

/** How long a request waits for what the run has recorded before it, ms. */
const FLUSH_MS = 1000

/**
 * Asks, waits, and uses the approval up before the tool runs, with the very arguments that were shown. What is recorded of it
 * are the requests and signed decisions of `approvals`, as part of the run.
 *
 * A request that cannot be recorded, or that too few could approve, is answered with no, whatever the run's failure mode.
 *
 * @param approvals of the log that the run is recorded in
 */
export function approvalsHook(approvals: Approvals, options: ApprovalsHookOptions): ApproveHook {
  const approve = async (request: ApprovalRequest): Promise<ApprovalDecision | null> => {
    const run = currentRun()
    if (!run) throw new IndelibleError('ERR_APPROVAL_REFUSED', 'an approval is asked for outside of any run')
    // So that the log tells it in the order in which it happened.
    await run.recorder.flush(FLUSH_MS)
    const { actor, session, tenant } = run.about
    const { approvers, quorum, expiresMs } = options
    const { tool, args, reason, call, signal } = request
    const approval = await approvals.request({
      actor,
      tool,
      args,
      ...(reason !== undefined && { shown: { args, reason } }),
      approvers: typeof approvers === 'function' ? approvers(request) : approvers,
      ...(quorum !== undefined && { quorum }),
      ...(expiresMs !== undefined && { expiresMs }),
      run: run.id,
      call,
      ...(session !== undefined && { session }),
      ...(tenant !== undefined && { tenant }),
    })
    const { decision, by } = await approval.wait(signal)
    if (decision === 'expired') return null
    if (decision === 'approved') await approval.execute(args, () => {})
    return { approved: decision === 'approved', by: by.join(', ') }
  }
  return Object.assign(approve, { recordsItself: true as const })
}
