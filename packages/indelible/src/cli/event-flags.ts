/** One event from flags, for shell scripts. */
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import type { AgentEvent } from '../record/schema.ts'

const ACTOR_TYPES = ['agent', 'user', 'service', 'system']

export interface EventFlags {
  readonly type?: string
  readonly actor?: { readonly type: string; readonly id: string }
  readonly onBehalfOf?: string
  readonly outcome?: string
  readonly run?: string
  readonly session?: string
  readonly tenant?: string
  readonly tool?: string
  readonly model?: string
  readonly id?: string
  readonly time?: string
  readonly part?: Readonly<Record<string, unknown>>
  readonly attribute?: Readonly<Record<string, unknown>>
}

export function addEventFlags(command: Command): Command {
  return command
    .option('--type <type>', 'record one event of this type, instead of reading stdin')
    .option('--actor <type:id>', 'who did it: agent:ID, user:ID, service:ID or system:ID', parseActor)
    .option('--on-behalf-of <id>', 'for whom')
    .option('--outcome <outcome>', 'success, failure, denied, approved, rejected, pending or unknown')
    .option('--run <id>', 'run')
    .option('--session <id>', 'session')
    .option('--tenant <id>', 'tenant')
    .option('--tool <name>', 'tool')
    .option('--model <name>', 'model')
    .option('--id <uuid>', 'id of the event, a UUIDv7: recording it twice adds nothing')
    .option('--time <time>', 'when it happened')
    .option('--part <name=value>', 'a part, as JSON or as text; may be repeated', parsePair)
    .option('--attribute <name=value>', 'an attribute, as JSON or as text; may be repeated', parsePair)
}

/** `null` if no flag asks for an event; then stdin has them. */
export function eventOf(flags: EventFlags): AgentEvent | null {
  const { type, actor, onBehalfOf, outcome, run, session, tenant, tool, model, id, time, part, attribute } = flags
  if (type === undefined && actor === undefined) return null
  const event = {
    type,
    actor: actor && { ...actor, on_behalf_of: onBehalfOf },
    outcome,
    run: run === undefined ? undefined : { id: run },
    session,
    tenant,
    tool: tool === undefined ? undefined : { name: tool },
    model: model === undefined ? undefined : { name: model },
    id,
    time,
    attributes: attribute,
    parts: part && Object.fromEntries(Object.entries(part).map(([name, value]) => [name, { value }])),
  }
  // What is missing is the log's to say; what was not given must not look as if it were.
  return JSON.parse(JSON.stringify(event)) as AgentEvent
}

function parseActor(text: string): { type: string; id: string } {
  const colon = text.indexOf(':')
  const type = text.slice(0, Math.max(0, colon))
  if (!ACTOR_TYPES.includes(type) || colon === text.length - 1) {
    throw new InvalidArgumentError('expected agent:ID, user:ID, service:ID or system:ID')
  }
  return { type, id: text.slice(colon + 1) }
}

function parsePair(text: string, previous: Record<string, unknown> = {}): Record<string, unknown> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('expected NAME=VALUE')
  const value = text.slice(equals + 1)
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch {
    parsed = value
  }
  return { ...previous, [text.slice(0, equals)]: parsed }
}
