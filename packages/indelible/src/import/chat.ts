/**
 * Chat messages with tool calls, as the API of OpenAI and those modelled on it have them.
 *
 * They carry no times, so all events have the time of the file. Nobody is guessed: the agent is `agent`, the user `user`, and on
 * whose behalf they act is left out. A call's end is paired with the latest open call of its id; as ids repeat within a run, the
 * second call `c` is named `c#2`, and keeps the id as the attribute `source_call`.
 */
import type { AgentEvent } from '../record/schema.ts'
import { isMessage, readChats } from './chat-shape.ts'
import type { ImportedEvent, Importer, ImportSource, SourcePlace } from './importer.ts'
import { parseForeign } from './json.ts'
import { asName, compact, isMembers, Malformed, type Members, othersOf, partsOf } from './values.ts'

const AGENT = { type: 'agent', id: 'agent' } as const
const USER = { type: 'user', id: 'user' } as const
const SYSTEM = { type: 'system', id: 'system' } as const

type Draft = Omit<AgentEvent, 'run'>

/** A call whose result has not come yet. */
interface OpenCall {
  readonly call: string | undefined
  readonly tool: { readonly name: string } | undefined
}

async function* events(source: ImportSource): AsyncGenerator<ImportedEvent, void> {
  let runs = 0
  const begin = (place: SourcePlace) => new ChatRun(`chat-${source.sha256.slice(0, 16)}-${++runs}`, place)
  let loose: ChatRun | null = null
  for await (const item of readChats(source)) {
    if (item.kind === 'message') {
      if (!loose) {
        loose = begin(item.place)
        yield loose.start({})
      }
      yield* loose.add(item.message, item.place)
      continue
    }
    if (loose) yield loose.end({})
    loose = null
    const run = begin(item.place)
    yield run.start(item.facts)
    for (const { value, place } of item.messages) {
      if (isMessage(value)) yield* run.add(value, place)
      else source.bad(place, 'expected a chat message with a role')
    }
    yield run.end(item.facts)
  }
  if (loose) yield loose.end({})
}

/** One run, message after message. */
class ChatRun {
  readonly #run: { readonly id: string }
  readonly #at: string
  readonly #open = new Map<string, OpenCall[]>()
  readonly #used = new Set<string>()
  #messages = 0

  constructor(id: string, { line, pointer }: SourcePlace) {
    this.#run = { id }
    this.#at = `run:${line ?? ''}${pointer ?? ''}`
  }

  start({ task_id, trial, reward, ...facts }: Members): ImportedEvent {
    const { info, ...others } = facts
    const unfit = Object.entries({ task_id, trial, reward }).filter(([, value]) => small(value) === undefined)
    const rest = othersOf({ ...others, ...Object.fromEntries(unfit) }, new Set())
    const attributes = { task_id: small(task_id), trial: small(trial) }
    const parts = partsOf({ info, facts: rest })
    return { at: `${this.#at}:start`, event: { type: 'run.start', actor: AGENT, run: this.#run, attributes, ...parts } }
  }

  end({ reward }: Members): ImportedEvent {
    const open = [...this.#open.values()].reduce((sum, calls) => sum + calls.length, 0)
    const attributes = { reward: small(reward), messages: this.#messages, open_calls: open || undefined }
    return { at: `${this.#at}:end`, event: { type: 'run.end', actor: AGENT, run: this.#run, attributes } }
  }

  *add(message: Members, place: SourcePlace): Generator<ImportedEvent, void> {
    this.#messages++
    for (const draft of this.#drafts(message)) yield { ...place, event: { ...draft, run: this.#run } }
  }

  #drafts(message: Members): Draft[] {
    const { role, content } = message
    switch (role) {
      case 'system':
      case 'developer':
        return [request(SYSTEM, { prompt: content }, message)]
      case 'user':
        return [request(USER, { input: content }, message)]
      case 'assistant':
        return this.#response(message)
      case 'tool':
      case 'function':
        return [this.#result(message)]
      default:
        return [{ type: 'x.chat.message', actor: AGENT, ...partsOf({ message }) }]
    }
  }

  #response(message: Members): Draft[] {
    const { content, tool_calls: calls, function_call: legacy } = message
    const list = Array.isArray(calls) ? calls : legacy === undefined || legacy === null ? [] : [{ function: legacy }]
    const isOdd = calls !== undefined && calls !== null && !Array.isArray(calls)
    const parts = partsOf({ output: content, extra: othersOf(message, isOdd ? KNOWN_BUT_CALLS : KNOWN) })
    const attributes = { tool_calls: list.length || undefined }
    return [
      { type: 'llm.response', actor: AGENT, outcome: 'success', attributes, ...parts },
      ...list.map((call) => this.#start(call)),
    ]
  }

  #start(value: unknown): Draft {
    const call = isMembers(value) ? value : {}
    const called = isMembers(call.function) ? call.function : call
    const { name = call.name, arguments: given = called.args ?? called.input } = called
    const id = call.id ?? undefined
    const tool = { name: (name ?? '') as string }
    const unique = this.#unique(id)
    const key = keyOf(id, name)
    this.#open.set(key, [...(this.#open.get(key) ?? []), { call: unique, tool }])
    const others = othersOf({ ...call, ...called }, KNOWN_OF_CALL)
    const extra = isMembers(value) && asName(name) !== undefined ? others : value
    return compact({
      type: 'tool.start',
      actor: AGENT,
      outcome: 'pending',
      call: unique,
      tool,
      attributes: { source_call: unique === id ? undefined : id },
      ...partsOf({ input: argumentsOf(given), extra }),
    })
  }

  #result(message: Members): Draft {
    const { tool_call_id: id = undefined, name, content } = message
    const calls = this.#open.get(keyOf(id, name))
    const open = calls?.pop()
    const tool = name === undefined || name === null ? open?.tool : { name: name as string }
    const isError = textOf(content).startsWith('Error')
    const call = open?.call ?? (id as string | undefined)
    const extra = othersOf(message, KNOWN)
    return compact({
      actor: AGENT,
      call: call ?? undefined,
      tool,
      attributes: {
        source_call: call === id ? undefined : id,
        unpaired: open ? undefined : true,
      },
      ...(isError
        ? { type: 'tool.error' as const, outcome: 'failure' as const, error: { type: 'Error', message: content } }
        : { type: 'tool.end' as const, outcome: 'success' as const }),
      ...partsOf({ output: isError ? undefined : content, extra }),
    })
  }

  /** A name for the call that no other of this run has. */
  #unique(id: unknown): string | undefined {
    if (typeof id !== 'string') return id as undefined
    let unique = id
    for (let n = 2; this.#used.has(unique); n++) unique = `${id}#${n}`
    this.#used.add(unique)
    return unique
  }
}

const KNOWN = new Set(['role', 'content', 'tool_calls', 'function_call', 'tool_call_id'])
const KNOWN_BUT_CALLS = new Set([...KNOWN].filter((key) => key !== 'tool_calls'))
const KNOWN_OF_CALL = new Set(['id', 'type', 'function', 'name', 'arguments', 'args', 'input'])

/** A user's name is kept as a part: it may be a person's. */
function request(actor: AgentEvent['actor'], value: Members, message: Members): Draft {
  return { type: 'llm.request', actor, outcome: 'success', ...partsOf({ ...value, extra: othersOf(message, KNOWN) }) }
}

/** Calls without an id, as functions once were, are told apart by name. */
function keyOf(id: unknown, name: unknown): string {
  return typeof id === 'string' ? `id:${id}` : `name:${typeof name === 'string' ? name : ''}`
}

/** Models write arguments as JSON text; what is none is kept as the text that it is. */
function argumentsOf(given: unknown): unknown {
  if (typeof given !== 'string') return given
  try {
    return parseForeign(given)
  } catch (error) {
    if (error instanceof Malformed) return given
    throw error
  }
}

/** The text of a message, or of its first part. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  const first: unknown = Array.isArray(content) ? content[0] : undefined
  return isMembers(first) && typeof first.text === 'string' ? first.text : ''
}

/** What may stand in an attribute, which no privacy policy looks at: numbers, and short words such as those of a test set. */
function small(value: unknown): string | number | boolean | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return value
  return typeof value === 'string' && /^[A-Za-z0-9_.:/-]{1,64}$/.test(value) ? value : undefined
}

export const chat: Importer = {
  name: 'chat',
  describe: 'chat messages with tool calls, as JSON or JSON Lines, also wrapped per run',
  events,
}
