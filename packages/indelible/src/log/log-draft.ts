/** An event that waits for its place in the log, and what of it may be written elsewhere meanwhile. */

import { fromUtf8 } from '../bytes.ts'
import type { EventDraft } from '../capture/sink.ts'
import { KeptPart } from '../privacy/policy.ts'
import { commitTo, restOf } from '../record/disclosure.ts'
import type { Mode, PartInput } from '../record/event.ts'
import { type AgentEvent, type AuditRecord, ENTRY_SCHEMA } from '../record/schema.ts'
import type { Item } from './sequencer.ts'

/** About what a draft takes in memory beside its texts, bytes. */
const DRAFT_BYTES = 1024

export class LogDraft implements EventDraft {
  readonly bytes: number
  /** Settles when the redactor has answered; `null` if it has. Never rejects. */
  readonly ready: Promise<void> | null
  #item: Item

  /**
   * @param item what is known at once: all of it, or what is left where nothing may be kept that was not redacted
   * @param later the event once the redactor has answered. Should that fail, `item` counts
   */
  constructor(item: Item, later: Promise<Item> | null = null) {
    this.#item = item
    const settle = (settled: Item) => {
      this.#item = settled
    }
    this.ready = later?.then(settle, () => {}) ?? null
    let bytes = DRAFT_BYTES + item.draft.bytes.length
    for (const { disclosure } of item.payloads) bytes += disclosure.length
    this.bytes = bytes
  }

  get item(): Item {
    return this.#item
  }

  get id(): string {
    return this.item.id
  }

  /** Read back from the entry that it would have become: nothing raw is kept for it. */
  toEvent(): AgentEvent {
    const { draft, payloads, subjects = [] } = this.item
    const { schema, observed, parts, ...members } = JSON.parse(fromUtf8(draft.bytes)) as Record<string, unknown>
    const modes = (parts ?? {}) as Record<string, { mode: string }>
    const kept = payloads.map(({ name, disclosure }) => [name, { disclosure, mode: modes[name]!.mode }])
    return {
      ...members,
      ...(kept.length > 0 && { parts: Object.fromEntries(kept) }),
      ...(subjects.length > 0 && { subjects }),
    } as AgentEvent
  }
}

/** An event of the log's own spool, taken apart. */
export interface RestoredEvent {
  readonly id: string
  readonly record: Omit<AuditRecord, 'observed'>
  readonly kept: readonly KeptPart[]
  readonly subjects: readonly string[]
}

/**
 * Takes apart what {@link LogDraft.toEvent} made, without validating it again or asking the privacy policy again. Only for
 * events of a spool that only this deployment's key opens, spooled under the rules that are in force.
 * @returns `null` if it is not of that form
 */
export function restoreEvent(event: AgentEvent, origin: string): RestoredEvent | null {
  const { parts: given = {}, subjects = [], id, ...members } = event
  if (typeof id !== 'string' || typeof members.time !== 'string') return null
  const kept: KeptPart[] = []
  const parts: Record<string, { commit: string; mode: Mode }> = {}
  for (const [name, part] of Object.entries(given)) {
    const one = restorePart(part, origin, id, name)
    if (one === null) return null
    kept.push(one)
    parts[name] = { commit: one.commit, mode: one.mode }
  }
  const record = { ...members, id, schema: ENTRY_SCHEMA, ...(kept.length > 0 && { parts }) }
  return { id, record: record as unknown as Omit<AuditRecord, 'observed'>, kept, subjects }
}

/** A part of an event of the log's own spool; `null` if it is not of that form. */
export function restorePart(part: PartInput, origin: string, id: string, name: string): KeptPart | null {
  if (!('disclosure' in part)) return null
  const { disclosure, mode } = part
  const rest = restOf(disclosure, origin, id, name)
  return rest < 0 ? null : new KeptPart(name, mode, { disclosure, commit: commitTo(disclosure), rest })
}
