/** An event that waits for its place in the log, and what of it may be written elsewhere meanwhile. */

import { fromUtf8 } from '../bytes.ts'
import type { EventDraft } from '../capture/sink.ts'
import type { AgentEvent } from '../record/schema.ts'
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
