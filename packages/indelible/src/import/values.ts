/** Values of foreign records, brought into the form that members of an event have. */
import { MAX_STRING } from '../record/schema.ts'
import { normalizeTime } from '../record/time.ts'

/** Thrown by a mapping for a record that it cannot take. */
export class Malformed {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** A JSON object. May have an own member called `__proto__`. */
export interface Members {
  readonly [key: string]: unknown
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `value` if it can stand in a structured member as it is. */
export function asName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= MAX_STRING && value.isWellFormed()
    ? value
    : undefined
}

/** `value` if it is an amount: a number from 0 that JSON carries exactly. */
export function asAmount(value: unknown): number | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return undefined
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : value
}

/**
 * `value` as a time of ours; `undefined` if there is none.
 * @throws Malformed if it is something else
 */
export function asTime(value: unknown, member: string): string | undefined {
  if (value === undefined || value === null) return undefined
  const time = typeof value === 'string' ? normalizeTime(value) : null
  if (time === null) throw new Malformed(`${member}: expected an RFC 3339 time`)
  return time
}

/** A foreign name as the last label of an event type: `CamelCase` and `kebab-case` become `snake_case`. */
export function asLabel(name: unknown): string {
  if (typeof name !== 'string') return 'other'
  const snake = name
    .slice(0, 200)
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 64)
  return snake === '' ? 'other' : snake
}

/** `object` without the members that are `undefined`. */
export function compact<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never
}

/** Values as parts; those that are `undefined` or `null` are left out. */
export function partsOf(values: Members): { parts?: Record<string, { value: unknown }> } {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null)
  return given.length === 0 ? {} : { parts: Object.fromEntries(given.map(([name, value]) => [name, { value }])) }
}

/** Members that `known` does not name; `undefined` if there are none. */
export function othersOf(value: Members, known: ReadonlySet<string>): Members | undefined {
  const others = Object.entries(value).filter(([key, member]) => !known.has(key) && member !== undefined)
  return others.length === 0 ? undefined : Object.fromEntries(others)
}

/**
 * Numbers as `usage` has them. Objects of numbers count under `key_inner`; what is no amount, or one too many, is left out.
 */
export function usageOf(amounts: Members): { usage?: Record<string, number> } {
  const flat: [string, unknown][] = []
  for (const [key, value] of Object.entries(amounts)) {
    if (isMembers(value)) for (const [inner, amount] of Object.entries(value)) flat.push([`${key}_${inner}`, amount])
    else flat.push([key, value])
  }
  const fit = flat.flatMap(([key, value]): [string, number][] => {
    const amount = asAmount(value)
    return amount !== undefined && /^[a-z][a-z0-9_]{0,63}$/.test(key) ? [[key, amount]] : []
  })
  return fit.length === 0 ? {} : { usage: Object.fromEntries(fit.slice(0, 16)) }
}
