/** The names of the modes, and what `keys` and `preview` leave of a value. */
import type { Mode } from '../record/event.ts'
import { canonicalize, type Json } from '../record/jcs.ts'
import { MODES } from '../record/schema.ts'

/** What other systems call a mode of ours; compared without regard to case. */
const ALIASES: Readonly<Record<string, Mode>> = {
  hashed: 'fingerprint',
  keys_only: 'keys',
  payload: 'full',
}

/**
 * A mode by our name or by the name that another system has for the nearest one: `NONE`, `HASHED`, `KEYS_ONLY`, `FULL` of
 * selectools, `fingerprint`, `preview`, `payload` of OpenMed.
 *
 * @returns `null` for what is no mode
 */
export function parseMode(name: string): Mode | null {
  const lower = name.toLowerCase()
  const known = Object.hasOwn(ALIASES, lower) ? ALIASES[lower]! : lower
  return (MODES as readonly string[]).includes(known) ? (known as Mode) : null
}

/** Stands in a shape for every value. */
export const REDACTED = '<redacted>'

/** Stands in a shape for a key that does not look like the name of a member. */
const UNNAMED = '<key>'

/** Of `record/carry.ts`. Another `$type` is a text like any. */
const TAGS = new Set(
  'undefined number bigint string symbol function bytes date url regexp map set boxed error class object cycle unreadable deep clipped'.split(
    ' ',
  ),
)

/** Most different shapes of the elements of one array. */
const MAX_ELEMENT_SHAPES = 16

/**
 * The shape of a carried value: keys stay, nested ones too, and every other value is `<redacted>`. An array shows each
 * different shape among its elements once, because how many there are is a fact about the value. Tags of values that are
 * not JSON keep their `$type`.
 *
 * @param rename what stands for a key: see {@link keysOf}
 */
export function shapeOf(value: Json, rename: (key: string) => string): Json {
  if (typeof value !== 'object' || value === null) return REDACTED
  if (Array.isArray(value)) return elementShapes(value as readonly Json[], rename)
  const tag = (value as { readonly $type?: Json }).$type
  const isTag = typeof tag === 'string' && TAGS.has(tag)
  const shape = new Map<string, Json>()
  for (const [key, inner] of Object.entries(value as { readonly [key: string]: Json })) {
    if (key === '$type' && isTag) shape.set(key, tag)
    else if (isTag && key === 'entries' && Array.isArray(inner)) shape.set(key, pairShapes(inner, rename))
    else addMember(shape, rename(key), shapeOf(inner, rename))
  }
  return Object.fromEntries(shape)
}

function elementShapes(elements: readonly Json[], rename: (key: string) => string): Json {
  const shapes = new Map<string, Json>()
  for (const element of elements) {
    const shape = shapeOf(element, rename)
    const text = canonicalize(shape)
    if (!shapes.has(text) && shapes.size < MAX_ELEMENT_SHAPES) shapes.set(text, shape)
  }
  return [...shapes.values()]
}

/** The keys of a map, and of an object that JSON cannot hold, stand in a list of pairs. */
function pairShapes(pairs: readonly Json[], rename: (key: string) => string): Json {
  const shape = new Map<string, Json>()
  for (const pair of pairs) {
    const [key, inner = null] = Array.isArray(pair) ? (pair as readonly Json[]) : []
    addMember(shape, typeof key === 'string' ? rename(key) : UNNAMED, shapeOf(inner, rename))
  }
  return Object.fromEntries(shape)
}

/** Two keys may have become one. */
function addMember(shape: Map<string, Json>, name: string, inner: Json): void {
  const text = canonicalize(inner)
  let free = name
  for (let i = 2; shape.has(free) && canonicalize(shape.get(free)!) !== text; i++) free = `${name} ${i}`
  shape.set(free, inner)
}

/** Up to four words of letters, digits and the usual separators; not the numbers, addresses and sentences that maps are keyed by. */
const MEMBER_NAME = /^[\p{L}_$][\p{L}\p{M}\p{N}_.$:/-]*(?: [\p{L}\p{M}\p{N}_.$:/-]+){0,3}$/u
const LONGEST_NAME = 64
/** What a redactor, or an earlier pass, has put there. */
const REPLACED = /^(?:<key>|\[[A-Z][A-Z0-9_]*\])(?: [0-9]+)?$/
const LONG_NUMBER = /\p{Nd}(?:[ _.:/-]?\p{Nd}){3}/u

/** `key` if it looks like the name of a member, or like what stands in place of one; else `<key>`. */
export function nameOf(key: string): string {
  const isName = (MEMBER_NAME.test(key) && !LONG_NUMBER.test(key)) || REPLACED.test(key)
  return isName && key.length <= LONGEST_NAME ? key : UNNAMED
}

/**
 * The keys in `value` that a shape would show, each once, with what they are shown as. Keys can be data, as in a map from
 * customer to balance: those that do not look like names of members are `<key>`, and the rest is for the redactor to see.
 */
export function keysOf(value: Json): Map<string, string> {
  const keys = new Map<string, string>()
  const add = (key: string) => {
    if (!keys.has(key)) keys.set(key, nameOf(key))
  }
  const visit = (node: Json): void => {
    if (typeof node !== 'object' || node === null) return
    if (Array.isArray(node)) {
      // The list of pairs of a tag is an array as well: their first elements may be keys.
      for (const inner of node as readonly Json[]) {
        if (Array.isArray(inner) && typeof inner[0] === 'string') add(inner[0])
        visit(inner)
      }
      return
    }
    for (const [key, inner] of Object.entries(node as { readonly [key: string]: Json })) {
      add(key)
      visit(inner)
    }
  }
  visit(value)
  return keys
}

/** Length of a preview unless configured otherwise, in characters. */
export const DEFAULT_PREVIEW_CHARS = 120

/** The beginning of a redacted value as text: a text itself, or canonical JSON. */
export function previewOf(redacted: Json, maxChars: number): string {
  const text = typeof redacted === 'string' ? redacted : canonicalize(redacted)
  // A preview that another process has made is one: previews of previews would lose a character each time.
  if (text.length <= maxChars || (text.length === maxChars + 1 && text.endsWith('…'))) return text
  const head = text.slice(0, maxChars)
  // Half a surrogate pair is no text.
  return `${head.isWellFormed() ? head : head.slice(0, -1)}…`
}
