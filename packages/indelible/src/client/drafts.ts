/** The client's own privacy policy: what of an event leaves this process. The server may withhold more, and cannot get back less. */
import { sha256 } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import type { EventDraft } from '../capture/sink.ts'
import { redactMembers } from '../privacy/members.ts'
import type { KeptPart, PrivacyPolicy } from '../privacy/policy.ts'
import { draftEntry } from '../record/entry.ts'
import { type Assurance, type PreparedEvent, prepareEvent } from '../record/event.ts'
import { newId } from '../record/id.ts'
import { type AgentEvent, ASSURANCES, type AuditRecord, ENTRY_SCHEMA } from '../record/schema.ts'
import { formatTime } from '../record/time.ts'

/** The most that a server believes of what it is told. */
const CEILING: Assurance = 'reported'

/** About what a draft takes in memory beside its texts, bytes. */
const DRAFT_BYTES = 1024

/** An event after the client's privacy policy. */
export class ClientDraft implements EventDraft {
  readonly bytes: number
  /** Settles when the redactor has answered; `null` if it has. Never rejects. */
  readonly ready: Promise<void> | null
  #event: AgentEvent & { readonly id: string }

  /** @param later the event once a redactor that takes its time has answered. Should that fail, `event` counts */
  constructor(event: AgentEvent & { readonly id: string }, bytes: number, later: Promise<AgentEvent> | null = null) {
    this.#event = event
    this.bytes = DRAFT_BYTES + bytes
    const settle = (settled: AgentEvent) => {
      this.#event = settled as AgentEvent & { readonly id: string }
    }
    this.ready = later?.then(settle, () => {}) ?? null
  }

  get id(): string {
    return this.#event.id
  }

  toEvent(): AgentEvent {
    return this.#event
  }
}

export class Drafter {
  readonly #privacy: PrivacyPolicy
  readonly #clock: () => number
  readonly mark: string

  constructor(privacy: PrivacyPolicy, clock: () => number) {
    this.#privacy = privacy
    this.#clock = clock
    this.mark = toBase64Url(sha256(privacy.version))
  }

  /** @throws IndelibleError `ERR_EVENT_INVALID`, `ERR_ENTRY_TOO_LARGE` */
  draft(event: AgentEvent, assurance: Assurance): ClientDraft {
    const nowMs = this.#clock()
    const named = { ...event, id: event.id ?? newId(nowMs), time: event.time ?? formatTime(nowMs) }
    const made = this.#apply(named, assurance, this.#privacy)
    if (!('then' in made)) return new ClientDraft(made.event, made.bytes)
    made.catch(() => {})
    // What must be written elsewhere before the redactor has answered has no text.
    const bare = this.#apply(named, assurance, this.#privacy.withoutText()) as Applied
    return new ClientDraft(
      bare.event,
      bare.bytes,
      made.then(({ event: settled }) => settled),
    )
  }

  /** A draft that was spooled under the policy of the same {@link mark}. */
  restore(event: AgentEvent): ClientDraft {
    if (typeof event.id !== 'string') return this.draft(event, CEILING)
    return new ClientDraft(event as AgentEvent & { readonly id: string }, JSON.stringify(event).length)
  }

  #apply(event: AgentEvent, assurance: Assurance, privacy: PrivacyPolicy): Applied | Promise<Applied> {
    const { members, parts, subjects } = prepareEvent(event, assurance)
    const redacted = privacy.redactor && redactMembers(members, privacy.redactor)
    const kept = [...parts].map(([name, part]) => privacy.keep(members.id!, name, part, members))
    const isPending = redacted !== null || kept.some((one) => 'then' in one)
    if (!isPending) return finish(members, kept as KeptPart[], subjects)
    return Promise.all([Promise.all(kept), redacted]).then(([settled]) => finish(members, settled, subjects))
  }
}

interface Applied {
  readonly event: AgentEvent & { readonly id: string }
  readonly bytes: number
}

function finish(members: PreparedEvent['members'], kept: readonly KeptPart[], subjects: readonly string[]): Applied {
  const assurance = ASSURANCES[Math.max(ASSURANCES.indexOf(members.assurance), ASSURANCES.indexOf(CEILING))]!
  const commits = Object.fromEntries(kept.map(({ name, commit, mode }) => [name, { commit, mode }]))
  const hasParts = kept.length > 0
  const record = { ...members, assurance, schema: ENTRY_SCHEMA, ...(hasParts && { parts: commits }) }
  // Refused here rather than by the server, where it can be said of the event at once.
  const { draft } = draftEntry(record as unknown as Omit<AuditRecord, 'observed'>, { time: true })
  const disclosed = Object.fromEntries(kept.map(({ name, disclosure, mode }) => [name, { disclosure, mode }]))
  const event = {
    ...members,
    assurance,
    ...(hasParts && { parts: disclosed }),
    ...(subjects.length > 0 && { subjects }),
  } as unknown as AgentEvent & { readonly id: string }
  return { event, bytes: kept.reduce((sum, { disclosure }) => sum + disclosure.length, draft.bytes.length) }
}
