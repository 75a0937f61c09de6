/** Rules for fields: what becomes of a member by where it stands, whatever it holds. */
import { IndelibleError } from '../../errors.ts'

/** `drop` takes the member out, `keep` leaves it as it is, anything else is the kind that is shown in its place. */
export type FieldAction = string

interface FieldRule {
  readonly pattern: readonly string[]
  readonly action: FieldAction
}

export const KIND_NAME = /^[A-Z][A-Z0-9_]{0,63}$/
const MAX_SEGMENTS = 32
const MAX_RULES = 256

/**
 * Rules by path: names of members and indexes of arrays from the root of a part, parted by dots. `*` stands for any number
 * of them, none included: `*.password` is every member of that name. Names are compared without regard to case.
 */
export class FieldRules {
  readonly #rules: readonly FieldRule[]

  /**
   * @throws IndelibleError `ERR_CONFIG_INVALID` for a path or an action that is none, and for two rules of which one keeps
   * what the other does not
   */
  constructor(fields: Readonly<Record<string, FieldAction>>) {
    const entries = Object.entries(fields)
    if (entries.length > MAX_RULES) throw invalid(`more than ${MAX_RULES} rules for fields`)
    this.#rules = entries.map(([path, action]) => ({ pattern: parsePath(path), action: checkAction(path, action) }))
    for (const [i, a] of this.#rules.entries()) {
      for (const [j, b] of this.#rules.entries()) {
        if (a.action !== 'keep' || b.action === 'keep' || !canMeet(a.pattern, b.pattern)) continue
        const [kept, other] = [entries[i]![0], entries[j]![0]]
        const done = b.action === 'drop' ? 'dropped' : `redacted as ${b.action}`
        throw invalid(`fields: ${kept} is kept, and ${other}, which can be the same field, is ${done}`)
      }
    }
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0
  }

  /** What becomes of the field at `path`. Of several rules, the one that drops counts, else the first. */
  action(path: readonly string[]): FieldAction | undefined {
    const found = this.#rules.filter(({ pattern }) => matches(pattern, path))
    return (found.find(({ action }) => action === 'drop') ?? found[0])?.action
  }
}

function parsePath(path: string): readonly string[] {
  const segments = path.toLowerCase().split('.')
  if (segments.length > MAX_SEGMENTS || segments.some((segment) => segment === '')) {
    throw invalid(`fields: ${JSON.stringify(path.slice(0, 64))} is no path such as customer.email or *.password`)
  }
  if (segments.some((segment) => segment !== '*' && segment.includes('*'))) {
    throw invalid(`fields: ${path.slice(0, 64)}: * stands for whole names only`)
  }
  return segments.filter((segment, i) => segment !== '*' || segments[i - 1] !== '*')
}

function checkAction(path: string, action: unknown): FieldAction {
  if (action === 'drop' || action === 'keep' || (typeof action === 'string' && KIND_NAME.test(action))) return action
  throw invalid(`fields: ${path}: expected drop, keep, or a kind such as CUSTOMER_ID`)
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  // Which beginnings of the pattern match the path so far.
  let states = closure(new Set([0]), pattern)
  for (const name of path) {
    const next = new Set<number>()
    for (const state of states) {
      if (pattern[state] === '*') next.add(state)
      else if (pattern[state] === name) next.add(state + 1)
    }
    states = closure(next, pattern)
    if (states.size === 0) return false
  }
  return states.has(pattern.length)
}

function closure(states: Set<number>, pattern: readonly string[]): Set<number> {
  for (const state of states) if (pattern[state] === '*') states.add(state + 1)
  return states
}

/** Whether some path matches both. */
function canMeet(a: readonly string[], b: readonly string[]): boolean {
  const seen = new Set<number>()
  const queue: [number, number][] = [[0, 0]]
  for (const [i, j] of queue) {
    const state = i * (MAX_SEGMENTS + 1) + j
    if (seen.has(state)) continue
    seen.add(state)
    if (i === a.length && j === b.length) return true
    if (a[i] === '*') queue.push([i + 1, j])
    if (b[j] === '*') queue.push([i, j + 1])
    if (i === a.length || j === b.length) continue
    if (a[i] === '*' && b[j] === '*') continue
    if (a[i] === '*') queue.push([i, j + 1])
    else if (b[j] === '*') queue.push([i + 1, j])
    else if (a[i] === b[j]) queue.push([i + 1, j + 1])
  }
  return false
}

function invalid(message: string): IndelibleError {
  return new IndelibleError('ERR_CONFIG_INVALID', message)
}
