/**
 * Texts that stay in the entry. Attributes and names are declared free of personal data, but agents and tools steer them:
 * what the redactor finds there is replaced like anywhere else.
 */
import { MOVED, type PreparedEvent } from '../record/event.ts'
import type { Json } from '../record/jcs.ts'
import { MAX_STRING } from '../record/schema.ts'
import type { PartRedactor, RedactedValue } from './policy.ts'

/** Stands for a text that the redactor failed on. */
const WITHHELD = '[WITHHELD]'

/** Nothing that any pattern looks for is made of a few letters alone. */
const PLAIN_WORD = /^[A-Za-z_-]{0,32}$/
/** Identifiers: what call ids, names of tools and codes of errors are made of. A false find would cost their correlation. */
const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_.:/-]{0,63}$/

interface Place {
  readonly text: string
  readonly put: (text: string) => void
}

/**
 * Redacts the attributes of an event and the names that an agent or a tool may have made up.
 * Members that change are replaced, not written to: they may be the caller's.
 * @returns a promise if the redactor gives one
 */
export function redactMembers(members: PreparedEvent['members'], redactor: PartRedactor): null | Promise<null> {
  const places = placesOf(members)
  if (places.length === 0) return null
  const texts = places.map(({ text }) => text)
  let left: RedactedValue | Promise<RedactedValue>
  try {
    left = redactor.redact(texts)
  } catch {
    return withhold(places)
  }
  if (!('then' in left)) return put(places, left)
  return left.then(
    (settled) => put(places, settled),
    () => withhold(places),
  )
}

function placesOf(members: PreparedEvent['members']): Place[] {
  const places: Place[] = []
  const { attributes, tool, error } = members
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value !== 'string' || PLAIN_WORD.test(value)) continue
    const put = (text: string) => {
      members.attributes = { ...members.attributes, [key]: text }
    }
    places.push({ text: value, put })
  }
  const add = (text: string | undefined, put: Place['put']) => {
    if (text !== undefined && text !== MOVED && !IDENTIFIER.test(text)) places.push({ text, put })
  }
  add(members.call, (text) => {
    members.call = text
  })
  add(tool?.name, (text) => {
    members.tool = { ...members.tool!, name: text }
  })
  add(error?.type, (text) => {
    members.error = { ...members.error!, type: text }
  })
  add(error?.code, (text) => {
    members.error = { ...members.error!, code: text }
  })
  return places
}

function put(places: readonly Place[], { value, failed }: RedactedValue): null {
  if (failed || !Array.isArray(value) || value.length !== places.length) return withhold(places)
  for (const [i, place] of places.entries()) place.put(fitting((value as readonly Json[])[i]!))
  return null
}

function withhold(places: readonly Place[]): null {
  for (const place of places) place.put(WITHHELD)
  return null
}

/** What a redactor puts in may be longer than what it takes out. */
function fitting(text: Json): string {
  if (typeof text !== 'string' || text === '') return WITHHELD
  if (text.length <= MAX_STRING) return text
  const cut = text.slice(0, MAX_STRING)
  return cut.isWellFormed() ? cut : cut.slice(0, -1)
}
