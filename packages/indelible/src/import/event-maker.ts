/** Completes imported events: an id from the source, where in the source they stand, and the file's time where they have none. */
import { hash } from 'node:crypto'
import { isIndelibleError } from '../errors.ts'
import { draftEntry } from '../record/entry.ts'
import { prepareEvent } from '../record/event.ts'
import { formatId } from '../record/id.ts'
import { type AgentEvent, type AuditRecord, ENTRY_SCHEMA } from '../record/schema.ts'
import type { ImportedEvent } from './importer.ts'

/** An event that can be recorded. */
export interface MadeEvent {
  readonly event: AgentEvent & { readonly id: string; readonly time: string }
  /** The time is that of the file: what it is when the file is imported again makes no other event. */
  readonly isFileTime: boolean
  /** How many events of the same position come before it. */
  readonly nth: number
}

export interface MakerOptions {
  readonly format: string
  readonly sha256: string
  readonly fileTime: string
}

/** Attributes that this module sets. */
const OURS = ['source_sha256', 'source_line', 'source_pointer', 'time_source']
/** Years 1970 to 10889: what 48 bits hold. */
const MOST_MS = 2 ** 48 - 1

export class EventMaker {
  readonly #options: MakerOptions
  #last = ''
  #count = 0

  constructor(options: MakerOptions) {
    this.#options = options
  }

  make({ event, line, pointer, at }: ImportedEvent): MadeEvent {
    const { format, sha256, fileTime } = this.#options
    const position = at ?? `${line ?? ''}${pointer ?? ''}`
    this.#count = position === this.#last ? this.#count + 1 : 0
    this.#last = position
    const isFileTime = event.time === undefined || event.time === null
    const attributes: Record<string, unknown> = {
      source_sha256: sha256,
      source_line: line,
      source_pointer: pointer,
      time_source: isFileTime ? 'file' : undefined,
    }
    for (const [name, value] of Object.entries(event.attributes ?? {})) {
      attributes[OURS.includes(name) ? `${name}_given` : name] = value
    }
    const made = {
      ...event,
      id: this.id(position, this.#count, isFileTime ? 0 : Date.parse(event.time!)),
      time: event.time ?? fileTime,
      source: { ...event.source, adapter: `import:${format}` },
      attributes,
    }
    return { event: made, isFileTime, nth: this.#count }
  }

  /**
   * A UUIDv7 whose time is the event's, or zero where the source has none, so that a copy of the file gives the same ids.
   * @param count how many events of the same position come before
   */
  id(position: string, count: number, ms = 0): string {
    const { format, sha256 } = this.#options
    const digest = hash('sha256', `indelible/import@1\n${format}\n${sha256}\n${position}\n${count}`, 'buffer')
    return formatId(ms >= 0 && ms <= MOST_MS ? ms : 0, digest.subarray(0, 10))
  }
}

/** Why the log would refuse an event, or `null`. Tells what `Log.recordMany` would, without writing. */
export function checkEvent({ event }: MadeEvent): string | null {
  try {
    const { members, parts } = prepareEvent(event, 'imported')
    // The longest that a part's commitment can be: it depends on the salt, but not in length.
    const commitments = Array.from(parts.keys(), (name) => [name, { commit: '_'.repeat(43), mode: 'fingerprint' }])
    const record = { ...members, schema: ENTRY_SCHEMA, parts: Object.fromEntries(commitments) }
    draftEntry(record as unknown as Omit<AuditRecord, 'observed'>, { time: true })
    return null
  } catch (error) {
    if (isIndelibleError(error, 'ERR_EVENT_INVALID', 'ERR_ENTRY_TOO_LARGE', 'ERR_JSON_INVALID')) return error.message
    throw error
  }
}
