/**
 * Events of our own form, one JSON object per line. What they claim for themselves and an import cannot know is kept as an
 * attribute: their `id` as `source_id`, their `assurance` as `source_assurance`, the adapter as `source_adapter`.
 */
import type { AgentEvent } from '../record/schema.ts'
import { attempt, type ImportedEvent, type Importer, type ImportSource, readRecords } from './importer.ts'
import { compact, isMembers, Malformed, type Members } from './values.ts'

/** @throws Malformed; what else is wrong is the record's schema to say */
function eventOf({ id, assurance, ...event }: Members): AgentEvent {
  const source = isMembers(event.source) ? event.source : {}
  if (event.attributes !== undefined && !isMembers(event.attributes))
    throw new Malformed('attributes: expected an object')
  for (const part of Object.values(isMembers(event.parts) ? event.parts : {})) {
    if (isMembers(part) && Object.hasOwn(part, 'disclosure')) {
      throw new Malformed(
        'parts: a disclosure belongs to one entry of one log and cannot be imported; expected {value}',
      )
    }
  }
  const claims = compact({ source_id: id, source_assurance: assurance, source_adapter: source.adapter })
  if (Object.keys(claims).length === 0) return event as unknown as AgentEvent
  return { ...event, attributes: { ...claims, ...event.attributes } } as unknown as AgentEvent
}

async function* read(source: ImportSource): AsyncGenerator<ImportedEvent, void> {
  for await (const { line, value } of readRecords(source)) {
    const event = attempt(source, { line }, () => eventOf(value))
    if (event !== null) yield { line, event }
  }
}

export const events: Importer = {
  name: 'events',
  describe: 'events as indelible records them, JSON Lines',
  events: read,
}
