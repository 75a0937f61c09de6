/** A tool call from the question whether it may happen to its last chunk. */

import { blocked } from './delivery-errors.ts'
import { errorFacts, isAbort } from './fit.ts'
import { type ActionRequest, type ApproveHook, denied, type PolicyHook, policyDecision } from './gate.ts'
import type { Run } from './run.ts'
import type { Ack, FailureMode } from './sink.ts'
import { joinChunks, tapStream } from './stream.ts'
import { type Usage, usageOf } from './usage.ts'

export interface ToolOptions {
  /** What the framework calls this call. Default: a fresh id. */
  readonly call?: string
  readonly version?: string
  readonly server?: string
  readonly kind?: string
  readonly attributes?: Readonly<Record<string, unknown>>
  /** The persons concerned. */
  readonly subjects?: readonly string[]
  /** Handed on to the tool; default: the run's. */
  readonly signal?: AbortSignal
  /** Default: the run's. */
  readonly onFailure?: FailureMode
  /** Default: the run's. `null`: none is asked. */
  readonly policy?: PolicyHook | null
  /** A person is asked, whatever the policy says. */
  readonly needsApproval?: boolean
  /** Default: the run's. */
  readonly approve?: ApproveHook
  /** Reads the amounts out of what the tool gave. */
  readonly usage?: (output: unknown) => Usage | undefined
}

export interface ToolContext {
  readonly run: Run
  readonly call: string
  readonly signal: AbortSignal | undefined
}

/** How long an agent waits, at most, for memory that fills up, ms. */
const BACK_PRESSURE_MS = 100

export async function recordTool<A, T>(
  run: Run,
  name: string,
  args: A,
  fn: (args: A, context: ToolContext) => T,
  options: ToolOptions = {},
): Promise<Awaited<T>> {
  const { signal = run.signal, onFailure = run.onFailure } = options
  const call = await beginTool(run, name, args, options)

  let result: Awaited<T>
  try {
    result = await run.within(() => fn(args, { run, call, signal }))
  } catch (error) {
    const attributes = isAbort(error, signal) ? { aborted: true } : undefined
    await keep(run, onFailure, run.toolError({ call, error, ...(attributes && { attributes }) }))
    throw error
  }
  const usage = options.usage?.(result) ?? usageOf(result)
  const tapped = tapStream(result, (end) => {
    const { chunks, isClipped } = end
    const attributes = { chunks: chunks.length, ...(isClipped && { clipped: true }) }
    if (end.how === 'failed') void run.toolError({ call, error: end.error, attributes })
    else {
      const left = end.how === 'left' && { left: true }
      void run.toolEnd({ call, output: joinChunks(chunks), attributes: { ...attributes, ...left } })
    }
  })
  if (tapped) return tapped.stream as Awaited<T>
  await keep(run, onFailure, run.toolEnd({ call, output: result, ...(usage && { usage }) }))
  return result
}

/**
 * All that comes before a tool: policy, person, and the entry that says that it begins. For adapters whose framework calls
 * the tool itself; they say later how it ended. Resolves when the tool may run, with the name of the call.
 *
 * @throws IndelibleError `ERR_ACTION_DENIED`, `ERR_CAPTURE_BLOCKED`: then the tool must not run
 */
export async function beginTool(run: Run, name: string, args: unknown, options: ToolOptions = {}): Promise<string> {
  const { call = run.calls.nextId('tool'), signal = run.signal, onFailure = run.onFailure } = options
  await allow(run, { run: run.id, call, tool: name, args, ...(signal && { signal }) }, options)
  const { version, server, kind, attributes, subjects } = options
  const started = run.toolStart({
    call,
    name,
    args,
    ...(version !== undefined && { version }),
    ...(server !== undefined && { server }),
    ...(kind !== undefined && { kind }),
    ...(attributes && { attributes }),
    ...(subjects && { subjects }),
    onFailure,
  })
  if (onFailure === 'block') await started
  else await run.recorder.backPressure(BACK_PRESSURE_MS)
  return call
}

/** What has happened can not be refused any more; but in mode `block` nobody goes on before it is durable somewhere. */
export async function keep(run: Run, onFailure: FailureMode, ack: Promise<Ack>): Promise<void> {
  if (onFailure !== 'block') return
  const outcome = await run.recorder.outcome(ack)
  if (outcome === null || outcome.state === 'dropped') throw blocked(new Error('its outcome could not be kept'))
}

/** @throws IndelibleError `ERR_ACTION_DENIED` */
async function allow(run: Run, request: ActionRequest, options: ToolOptions): Promise<void> {
  const { call, tool, args } = request
  const policy = options.policy === undefined ? run.policyHook : options.policy
  let needsApproval = options.needsApproval ?? false
  let reason: unknown
  if (policy) {
    const decision = await decide(policy, request)
    run.policy({
      id: decision.id ?? 'policy',
      decision: decision.decision,
      ...(decision.version !== undefined && { version: decision.version }),
      ...(decision.rule !== undefined && { rule: decision.rule }),
      ...(decision.reason !== undefined && { reason: decision.reason }),
      call,
      tool,
      args,
    })
    if (decision.decision === 'deny') throw denied('policy does not allow it')
    if (decision.decision === 'review') needsApproval = true
    reason = decision.reason
  }
  if (needsApproval) await askPerson(run, request, reason, options.approve ?? run.approveHook)
}

async function decide(policy: PolicyHook, request: ActionRequest) {
  try {
    return policyDecision(await policy(request))
  } catch (error) {
    return { decision: 'deny' as const, rule: 'policy failed', reason: errorFacts(error) }
  }
}

async function askPerson(
  run: Run,
  request: ActionRequest,
  reason: unknown,
  approve: ApproveHook | undefined,
): Promise<void> {
  const { call, tool, args } = request
  const isRecorded = approve?.recordsItself === true
  const expired = () => {
    if (isRecorded) run.calls.denied++
    else run.approvalExpired({ call, tool })
  }
  if (!isRecorded) run.approvalRequested({ call, tool, args, ...(reason !== undefined && { reason }) })
  if (!approve) {
    expired()
    throw denied('it needs an approval, and there is nobody to ask')
  }
  let decision: Awaited<ReturnType<ApproveHook>>
  try {
    decision = await run.within(() => approve({ ...request, ...(reason !== undefined && { reason }) }))
  } catch (cause) {
    run.approvalExpired({ call, tool })
    throw denied('no approval could be had', { cause })
  }
  if (!decision) {
    expired()
    throw denied('nobody approved it in time')
  }
  if (!isRecorded) run.approvalDecided({ call, tool }, decision)
  else if (!decision.approved) run.calls.denied++
  if (decision.approved !== true) throw denied('it was rejected')
}
