/**
 * JSON that others wrote, with nothing lost: integers that a double would round become `bigint`, lone surrogates stay as they
 * are. Both are recordable as parts. Only what has two meanings, a duplicate key, is refused.
 */
import { Malformed } from './values.ts'

/**
 * Value of JSON text.
 * @throws Malformed saying where it stops being JSON, and quoting nothing of it
 */
export function parseForeign(text: string): unknown {
  const value = parse(text)
  const { members, isRounded } = scan(text)
  // A duplicate key, and all that stood under the first of its values, is in the text but not in the value.
  if (members !== countMembers(value)) throw new Malformed('a key stands twice in one object')
  return isRounded ? parseExactly(text) : value
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // The message quotes the text; all that may be taken from it is the position.
    const at = /at position (\d+)/.exec(String(error))
    throw new Malformed(at ? `not JSON (at character ${Number(at[1]) + 1})` : 'not JSON')
  }
}

/** With `bigint` for integers that a double cannot hold. */
function parseExactly(text: string): unknown {
  const revive = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && !isExact(context?.source ?? '') ? BigInt(context!.source!) : value
  try {
    return JSON.parse(text, revive as (key: string, value: unknown) => unknown)
  } catch {
    // A reviver is called on the stack, which `JSON.parse` alone does without.
    throw new Malformed('nested too deeply')
  }
}

/** Whether a double holds what a number's literal says, or as much of it as of any fraction. */
export function isExact(literal: string): boolean {
  if (literal.length <= 15 || !/^-?[0-9]+$/.test(literal)) return true
  const value = Number(literal)
  return Number.isFinite(value) && BigInt(literal) === BigInt(value)
}

/** On a list instead of the stack: nesting is the sender's to choose. */
function countMembers(value: unknown): number {
  let count = 0
  const rest: unknown[] = [value]
  while (rest.length > 0) {
    const next = rest.pop()
    if (typeof next !== 'object' || next === null) continue
    if (Array.isArray(next)) {
      for (const element of next) if (typeof element === 'object') rest.push(element)
      continue
    }
    for (const key of Object.keys(next)) {
      count++
      const member = (next as Record<string, unknown>)[key]
      if (typeof member === 'object') rest.push(member)
    }
  }
  return count
}

/** Counts the members that JSON text spells out, and looks for integers that a double rounds. */
function scan(text: string): { members: number; isRounded: boolean } {
  let members = 0
  let isRounded = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x3a) members++
    else if (code === 0x22) i = endOfString(text, i)
    else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      const end = endOfNumber(text, i)
      isRounded ||= end - i > 15 && !isExact(text.slice(i, end))
      i = end - 1
    }
  }
  return { members, isRounded }
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes++
    if (escapes % 2 === 0) return end
  }
}

function endOfNumber(text: string, start: number): number {
  let end = start + 1
  // Digits, and . + - E e.
  while (end < text.length && /[0-9.+\-Ee]/.test(text[end]!)) end++
  return end
}
