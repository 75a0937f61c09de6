import type { EventDraft, Sink } from '../src/capture/sink.ts'
import type { AgentEvent } from '../src/record/schema.ts'

/** Keeps events as they are handed in. */
export class KeptSink implements Sink {
  readonly origin = 'kept.example/log'
  readonly events: AgentEvent[] = []

  draft(event: AgentEvent): EventDraft {
    return { id: event.id!, bytes: 100, toEvent: () => event } as unknown as EventDraft
  }

  async append(drafts: readonly EventDraft[]) {
    return drafts.map((draft) => {
      this.events.push(draft.toEvent())
      return { index: this.events.length - 1 } as never
    })
  }

  async recordGap() {
    return {} as never
  }

  async record(event: AgentEvent) {
    return (await this.append([this.draft(event)]))[0]!
  }

  async recordMany(events: readonly AgentEvent[]) {
    return this.append(events.map((event) => this.draft(event)))
  }

  async flush() {}
}
