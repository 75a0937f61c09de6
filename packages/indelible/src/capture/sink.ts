/**
 * Where captured events go: a `Log` of this process, or a client of a log elsewhere. The recorder knows nothing else of
 * either.
 *
 * An event is handed over in two steps. `draft` applies the privacy policy at once, so that nothing raw waits in memory or
 * reaches a disk, and what the caller changes afterwards changes nothing; `append` makes drafts durable.
 */
import type { Assurance } from '../record/event.ts'
import type { AgentEvent } from '../record/schema.ts'

/** An event after privacy that waits to be appended. */
export interface EventDraft {
  readonly id: string
  /** About what it takes in memory, bytes. */
  readonly bytes: number
  /**
   * The event as it may be written to a disk: parts are `{disclosure, mode}`, never a raw value. Drafted anew by the same
   * sink, it is the same event.
   */
  toEvent(): AgentEvent
}

export interface DraftOptions {
  /** The most that this channel vouches for. Default `observed`. */
  readonly assurance?: Assurance
}

/** A promise that an entry is durable; a `Log` gives its own receipts. */
export interface SinkReceipt {
  readonly id: string
  readonly index: number
}

/** Takes events, one at a time or together. Methods may be called concurrently. */
export interface Sink<Draft extends EventDraft = EventDraft, Receipt extends SinkReceipt = SinkReceipt> {
  /** The log's identity. */
  readonly origin: string
  /**
   * Validates one event and applies the privacy policy to it.
   * @throws IndelibleError `ERR_EVENT_INVALID`, `ERR_ENTRY_TOO_LARGE`
   */
  draft(event: AgentEvent, options?: DraftOptions): Draft
  /** Names the privacy policy in force; stands in a spool beside what was judged by it. */
  readonly policyMark?: string
  /** `draft` of an event that the same sink drafted before, under a policy of the same mark. */
  restore?(event: AgentEvent): Draft
  /**
   * Makes drafts durable: all of them, in this order, or none. A draft whose id the log has already is not written again.
   * @throws IndelibleError as `Log.record`
   */
  append(drafts: readonly Draft[]): Promise<Receipt[]>
  /** Has an `audit.gap` entry written. One of an id that the log has is not written again. */
  recordGap(audit: Readonly<Record<string, unknown>>, id?: string): Promise<unknown>
  record(event: AgentEvent, options?: DraftOptions): Promise<Receipt>
  recordMany(events: readonly AgentEvent[], options?: DraftOptions): Promise<Receipt[]>
  /** Resolves once everything recorded so far is durable or refused. */
  flush(): Promise<void>
}

/** What to do while events cannot be recorded: let the agent go on, or refuse its actions. */
export const FAILURE_MODES = ['continue', 'block'] as const
export type FailureMode = (typeof FAILURE_MODES)[number]

/**
 * What became of an event:
 * - `recorded`: durable in the log
 * - `spooled`: durable on this machine, and appended once the log takes entries again
 * - `dropped`: lost, because memory and spool were full or there is no spool; counted, and stated in the log as a gap
 * - `refused`: the log will not take it, whatever is done (`code` says why); stated as a gap as well
 * - `off`: capture is switched off
 */
export type Ack =
  | { readonly state: 'recorded'; readonly id: string; readonly index: number }
  | { readonly state: 'spooled' | 'dropped'; readonly id: string }
  | { readonly state: 'refused'; readonly id: string; readonly code: string }
  | { readonly state: 'off' }
