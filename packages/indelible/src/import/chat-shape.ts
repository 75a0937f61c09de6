/**
 * Finds messages and runs in a file of chat messages, in whichever of the usual shapes it is: messages; lists of messages;
 * objects around such a list, with facts about the run. Each as one JSON document or as JSON Lines.
 */
import { attempt, type ImportSource, type SourcePlace } from './importer.ts'
import { parseForeign } from './json.ts'
import { isMembers, Malformed, type Members } from './values.ts'

/** A message that no list holds: those that follow each other are one run. */
export interface LooseMessage {
  readonly kind: 'message'
  readonly place: SourcePlace
  readonly message: Members
}

export interface WholeRun {
  readonly kind: 'run'
  readonly place: SourcePlace
  /** What stands beside the list. */
  readonly facts: Members
  readonly messages: readonly { readonly place: SourcePlace; readonly value: unknown }[]
}

/** Members that hold the messages of a run, best first. */
const LISTS = ['traj', 'trajectory', 'messages', 'conversation'] as const

export async function* readChats(source: ImportSource): AsyncGenerator<LooseMessage | WholeRun, void> {
  const first = await source.firstLine()
  // A document may fill one line, or many; only if its first line is no JSON by itself can it be the latter.
  if (first === null || !isJson(first)) {
    const text = await source.text()
    if (text === null)
      source.bad({ line: 1 }, 'no JSON by itself, and the file is too long for one document: use JSON Lines')
    if (text !== null && isJson(text)) {
      const value = attempt(source, { pointer: '' }, () => parseForeign(text))
      if (value !== null) yield* itemsOf(source, value, {})
      return
    }
  }
  for await (const { line, text } of source.lines()) {
    const value = attempt(source, { line }, () => parseForeign(text))
    if (value !== null) yield* itemsOf(source, value, { line })
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

export function isMessage(value: unknown): value is Members {
  return isMembers(value) && typeof value.role === 'string'
}

const EXPECTED = 'expected a chat message with a role, or a list of them'

/** The items of a document, or of one line. */
function* itemsOf(source: ImportSource, value: unknown, place: SourcePlace): Generator<LooseMessage | WholeRun, void> {
  if (isMessage(value)) {
    yield { kind: 'message', place, message: value }
    return
  }
  const run = runOf(value, place)
  if (run) {
    if (run.messages.length > 0 || !Array.isArray(value)) yield run
    return
  }
  if (!Array.isArray(value)) return source.bad(place, EXPECTED)
  for (const [i, element] of value.entries()) {
    const inner = within(place, i)
    const item = attempt(source, inner, () => {
      const found = runOf(element, inner)
      if (!found) throw new Malformed(EXPECTED)
      return found
    })
    if (item) yield item
  }
}

/** A list of messages, or an object around one. `null` for everything else, lists of runs among it. */
function runOf(value: unknown, place: SourcePlace): WholeRun | null {
  if (Array.isArray(value)) {
    if (value.length > 0 && !value.some(isMessage)) return null
    return {
      kind: 'run',
      place,
      facts: {},
      messages: value.map((message, i) => ({ place: within(place, i), value: message })),
    }
  }
  if (!isMembers(value)) return null
  const key = LISTS.find((name) => Array.isArray(value[name]))
  if (key === undefined) return null
  const { [key]: list, ...facts } = value
  const inner = within(place, key)
  const messages = (list as unknown[]).map((message, i) => ({ place: within(inner, i), value: message }))
  return { kind: 'run', place, facts, messages }
}

function within({ line, pointer = '' }: SourcePlace, key: string | number): SourcePlace {
  return { ...(line !== undefined && { line }), pointer: `${pointer}/${key}` }
}
