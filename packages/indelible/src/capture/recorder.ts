/**
 * Records runs of agents into a sink, by a failure mode. Handing in an event is an enqueue after the privacy policy; the
 * agent's code is never broken by it, unless mode `block` asks for that.
 */
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { newId } from '../record/id.ts'
import { type AgentEvent, isAgentEventType } from '../record/schema.ts'
import { formatTime } from '../record/time.ts'
import { Delivery, type DeliveryOptions, type DeliveryState } from './delivery.ts'
import { OF_THE_EVENT } from './delivery-errors.ts'
import { fitText } from './fit.ts'
import type { ApproveHook, PolicyHook } from './gate.ts'
import type { RunOptions } from './members.ts'
import { Run } from './run.ts'
import type { Ack, EventDraft, FailureMode, Sink } from './sink.ts'
import type { Spool } from './spool.ts'
import type { Price } from './usage.ts'

export interface RecorderOptions extends DeliveryOptions {
  /** Default true. A recorder that is switched off records nothing; tools, policies and approvals work as ever. */
  readonly enabled?: boolean
  /** Default `continue`. */
  readonly onFailure?: FailureMode
  /** Called when it is first needed. Without one, what finds no room in memory is lost, and counted. */
  readonly spool?: () => Spool | null
  /** What `source.host` of a run's first entry says. */
  readonly host?: string
  /** By name of the model; gives calls a `cost_usd` whose provider states none. */
  readonly prices?: Readonly<Record<string, Price>>
  /** Of runs that have none of their own. */
  readonly policy?: PolicyHook
  readonly approve?: ApproveHook
  /** Wall clock, ms since 1970. */
  readonly clock?: () => number
}

const OFF: Ack = { state: 'off' }

export class Recorder {
  readonly isEnabled: boolean
  readonly onFailure: FailureMode
  readonly host: string | undefined
  readonly policy: PolicyHook | undefined
  readonly approve: ApproveHook | undefined
  readonly now: () => number
  readonly #sink: Sink | null
  readonly #delivery: Delivery | null
  readonly #prices: ReadonlyMap<string, Price>

  /** @param sink `null` for a recorder that is switched off and has no log */
  constructor(sink: Sink | null, options: RecorderOptions = {}) {
    this.isEnabled = sink !== null && (options.enabled ?? true)
    this.onFailure = options.onFailure ?? 'continue'
    this.host = options.host
    this.policy = options.policy
    this.approve = options.approve
    this.now = options.clock ?? Date.now
    this.#prices = new Map(Object.entries(options.prices ?? {}))
    this.#sink = this.isEnabled ? sink : null
    this.#delivery = this.#sink && new Delivery(this.#sink, options.spool?.() ?? null, options)
    this.resume()
  }

  /**
   * Begins a run. With `work`, calls it within the run and ends the run with it: `run.end`, or `run.error` and `run.abort`
   * by what it throws. Without, the caller ends it, or writes `await using`.
   *
   * @throws IndelibleError `ERR_EVENT_INVALID` if an option is none that an event can hold
   */
  run(options: RunOptions): Run
  run<T>(options: RunOptions, work: (run: Run) => T | Promise<T>): Promise<T>
  run<T>(options: RunOptions, work?: (run: Run) => T | Promise<T>): Run | Promise<T> {
    const run = new Run(this, options)
    return work ? this.#work(run, work) : run
  }

  async #work<T>(run: Run, work: (run: Run) => T | Promise<T>): Promise<T> {
    try {
      const result = await run.within(() => work(run))
      await this.#ended(run, run.end())
      return result
    } catch (error) {
      await this.#ended(run, run.fail(error))
      throw error
    }
  }

  /** The agent's work is done; only whoever wants nothing unrecorded waits for that to be said. */
  async #ended(run: Run, ack: Promise<Ack>): Promise<void> {
    if (run.onFailure === 'block') await this.outcome(ack)
  }

  /** What became of an event; `null` if it is in memory only, and the sink takes nothing. */
  async outcome(ack: Promise<Ack>): Promise<Ack | null> {
    return this.#delivery ? this.#delivery.outcome(ack) : ack
  }

  /**
   * Records one event that belongs to no run of ours. Resolves when it is known what became of it; rejects only for an event
   * that is wrong, and in mode `block`.
   * @throws IndelibleError `ERR_EVENT_INVALID`, `ERR_CAPTURE_BLOCKED`
   */
  async record(event: AgentEvent, { onFailure = this.onFailure }: { onFailure?: FailureMode } = {}): Promise<Ack> {
    return this.emit(event, onFailure === 'block', { isChecked: true })
  }

  /**
   * Hands an event over.
   * @param isRequired reject unless it becomes durable in the log
   * @param isChecked throw for an event that is wrong. Otherwise as much of it is recorded as can be: what a framework made
   * of a model's answer must not break the agent.
   */
  emit(event: AgentEvent, isRequired: boolean, { isChecked = false } = {}): Promise<Ack> {
    const [sink, delivery] = [this.#sink, this.#delivery]
    if (!sink || !delivery) return Promise.resolve(OFF)
    // Given here, so that the same event is known by them if it is handed in once more.
    const nowMs = this.now()
    const full = { assurance: 'observed', ...event } as AgentEvent
    full.id ??= newId(nowMs)
    full.time ??= formatTime(nowMs)
    let draft: EventDraft
    try {
      draft = sink.draft(full, { assurance: 'enforced' })
    } catch (error) {
      if (isChecked || !isIndelibleError(error, ...OF_THE_EVENT)) throw error
      draft = sink.draft(reduced(full, error.code), { assurance: 'enforced' })
    }
    return isRequired ? delivery.require(draft) : delivery.put(draft)
  }

  /** Waits while memory fills up, for `ms` at most. */
  async backPressure(ms: number): Promise<void> {
    if (this.#delivery?.isCrowded) await this.#delivery.drained(ms)
  }

  priceOf(model: string | undefined): Price | undefined {
    return model === undefined ? undefined : this.#prices.get(model)
  }

  /** Appends what earlier processes have left in the spool. A recorder does so by itself when it is made. */
  resume(): void {
    this.#delivery?.resume()
  }

  /** How delivery stands; `null` if capture is switched off. */
  get state(): DeliveryState | null {
    return this.#delivery?.state ?? null
  }

  /** Resolves once everything handed in so far is in the log, in the spool, or known to be lost. */
  async flush(timeoutMs?: number): Promise<void> {
    await this.#delivery?.flush(timeoutMs)
  }

  /** {@link flush}, and an end. Does not close the log. */
  async close(): Promise<void> {
    await this.#delivery?.close()
  }
}

/** What of an event can be recorded that as a whole cannot. */
function reduced(event: AgentEvent, code: string): AgentEvent {
  const { id, time, type, actor, outcome, assurance, run, call, tool, session, tenant } = event
  const name = fitText(tool?.name)
  const callId = fitText(call)
  if (fitText(actor?.id) === undefined) throw new IndelibleError('ERR_EVENT_INVALID', 'event has no actor')
  return {
    id,
    time,
    type: isAgentEventType(type) ? type : 'x.invalid',
    actor,
    outcome,
    assurance,
    run,
    session,
    tenant,
    ...(callId !== undefined && { call: callId }),
    ...(name !== undefined && { tool: { name } }),
    attributes: { capture_error: code },
  } as AgentEvent
}
