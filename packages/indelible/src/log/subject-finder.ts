/**
 * Finds the persons that an event concerns where the configuration says so: `privacy.subjects` maps a path in the parts of
 * a tool's entries to them. Runs on raw values, before the privacy policy withholds them; ids found never enter the entry.
 *
 * The result of a call concerns whom the call concerned: calls are remembered until they end.
 */
import type { PreparedEvent } from '../record/event.ts'
import { MAX_STRING } from '../record/schema.ts'

/** Calls that have begun and not ended, at most. */
const MAX_CALLS = 10_000

/** Persons of one event, at most: as many as an event may name itself. */
const MAX_SUBJECTS = 64

interface Rule {
  /** Name of the tool; `*` for any, and for entries of none. */
  readonly tool: string
  readonly path: readonly string[]
  /** Goes before what stands there, as in `customer:`. */
  readonly prefix: string
}

export class SubjectFinder {
  readonly #rules: readonly Rule[]
  /** Oldest first. */
  readonly #calls = new Map<string, readonly string[]>()

  /** `null` if nothing is mapped: then there is nothing to look for. */
  static of(mapping: Readonly<Record<string, string>>): SubjectFinder | null {
    return Object.keys(mapping).length > 0 ? new SubjectFinder(mapping) : null
  }

  /** @param mapping from `tool.path.in.a.part` to a prefix of the id; `*` as tool is any or none, as a step of the path each element */
  constructor(mapping: Readonly<Record<string, string>>) {
    this.#rules = Object.entries(mapping).map(([key, prefix]) => {
      const dot = key.indexOf('.')
      return { tool: key.slice(0, dot), path: key.slice(dot + 1).split('.'), prefix }
    })
  }

  /** The persons that the event names itself, and those found. Never throws for what is in the parts. */
  find({ members, parts, subjects: given }: PreparedEvent): readonly string[] {
    const { type, tool, call, run } = members
    const key = call === undefined ? null : `${run?.id ?? ''}\n${call}`
    const found = new Set(given)
    const rules = this.#rules.filter((rule) => rule.tool === '*' || rule.tool === tool?.name)
    if (rules.length > 0) {
      for (const part of parts.values()) if ('value' in part) search(rules, part.value, found)
    }
    if (key !== null) {
      for (const subject of this.#calls.get(key) ?? []) found.add(subject)
      this.#calls.delete(key)
      if (type === 'tool.start' && found.size > 0) this.#remember(key, [...found])
    }
    return [...found].slice(0, MAX_SUBJECTS)
  }

  #remember(key: string, subjects: readonly string[]): void {
    this.#calls.set(key, subjects)
    if (this.#calls.size > MAX_CALLS) this.#calls.delete(this.#calls.keys().next().value!)
  }
}

function search(rules: readonly Rule[], given: unknown, found: Set<string>): void {
  try {
    const value = typeof given === 'string' ? parsed(given) : given
    for (const { path, prefix } of rules) {
      for (const one of valuesAt(value, path)) {
        const id = prefix + one
        if (one !== '' && id.length <= MAX_STRING && id.isWellFormed()) found.add(id)
      }
    }
  } catch {
    // A proxy or a getter that throws: it is recorded as what it is, and says nothing of persons.
  }
}

/** Arguments often come as a text that is JSON. */
function parsed(text: string): unknown {
  if (!text.startsWith('{')) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function valuesAt(value: unknown, path: readonly string[]): string[] {
  let at: unknown[] = [value]
  for (const step of path) {
    at = at.flatMap((one) => {
      if (typeof one !== 'object' || one === null) return []
      if (step === '*') return Object.values(one)
      return Object.hasOwn(one, step) ? [(one as Record<string, unknown>)[step]] : []
    })
  }
  return at.filter((one) => typeof one === 'string' || typeof one === 'number').map(String)
}
