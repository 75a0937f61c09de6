/**
 * Carries any JavaScript value into I-JSON, so that nothing an agent or a tool puts out is unrecordable.
 *
 * Plain JSON stays as it is: `null`, booleans, strings, arrays, plain objects, and numbers other than integers beyond
 * ±(2^53-1); `-0` becomes `0`. Everything else becomes an object with a string under `$type`:
 *
 * | `$type` | other members |
 * | --- | --- |
 * | `undefined` | also stands for a hole in an array |
 * | `number` | `value`: `NaN`, `Infinity`, `-Infinity`, or all decimal digits of an integer beyond ±(2^53-1) |
 * | `bigint` | `value`: decimal |
 * | `string` | `utf16`: base64url of the UTF-16LE code units of a string with lone surrogates |
 * | `symbol`, `function` | `description` if it has one; `name` |
 * | `bytes` | `base64url`; `view`, for instance `Float32Array`, unless it is `Uint8Array` or a buffer |
 * | `date`, `url` | `value`: ISO 8601 UTC, `null` for an invalid date; the URL |
 * | `regexp` | `source`, `flags` |
 * | `map`, `set` | `entries`: `[[key, value], …]`; `values`; both in insertion order |
 * | `boxed` | `value`: the primitive inside `new String(…)` and its like |
 * | `error` | `name`, `message`, `stack`, `cause`, `errors`, and further own members in `fields`; each if there is one |
 * | `class` | `name` of the constructor; `fields`: own members, absent for streams and other async iterables |
 * | `object` | `entries`: a plain object with a key `$type` or ill-formed keys; sorted by UTF-16 code units |
 * | `cycle` | `up`: stands for a value that encloses it, 1 for the one that holds it, 2 for the next |
 * | `unreadable` | a getter or a proxy threw |
 * | `deep` | `of`: left out because it stands too deep |
 * | `clipped` | `of`; `length`, where known, in UTF-16 code units, bytes, elements or members: cut to fit |
 *
 * A clipped string keeps `head`, or `utf16` if ill-formed; clipped bytes keep `base64url`; a clipped bigint keeps `low`,
 * its low 16,384 bits, signed. In a clipped array or list of entries, the tag stands after the last element kept; in a
 * clipped object, under the key `$type`. So `$type` tells all: absent, a plain object; a string, a tag; an object, some
 * members of a plain object.
 *
 * Values are looked at, not used: no iterator, promise or stream is consumed, no `toJSON` called. Getters are read once.
 * Symbol keys, and members of arrays other than their elements, are left out, as in JSON.
 */
import { toBase64Url } from '../bytes.ts'
import type { Json } from './jcs.ts'

/** How deep arrays and objects nest in a carried value at most, so that it fits into an envelope of `MAX_DEPTH`. */
export const MAX_CARRIED_DEPTH = 56

// The value must have a canonical text, and strings have a greatest length in every engine.
const MOST_BYTES = 256 * 1024 * 1024
const BIGINT_BITS = 16_384

/** Bounds; what is not a number from 0 up counts as absent. */
export interface CarryLimits {
  /** Bytes of canonical text, default 8 MiB, at most 256 MiB. The tags under way may add 32 KiB to it. */
  readonly maxBytes?: number
  /** Values visited, nested ones included, default 1,000,000. */
  readonly maxNodes?: number
}

export interface Carried {
  /** Has a canonical text, nests at most {@link MAX_CARRIED_DEPTH} deep, shares nothing with the value handed in. */
  readonly value: Json
  /** Whether limits left something out: the value contains a `clipped` or `deep` tag. */
  readonly clipped: boolean
}

/**
 * Carries `value` into I-JSON as the table above says. Never throws. Plain JSON within the limits that nests less than
 * {@link MAX_CARRIED_DEPTH} deep is never clipped. Takes time in proportion to what it keeps and to the number of keys of
 * the objects that it enters, besides what the getters and proxies in `value` take.
 */
export function carry(value: unknown, limits: CarryLimits = {}): Carried {
  const carrier = new Carrier(limits)
  try {
    return { value: carrier.carry(value, 1), clipped: carrier.clipped }
  } catch {
    // The caller left no room on the stack.
    return { value: { $type: 'unreadable' }, clipped: true }
  }
}

type Members = Record<string, Json>
const MEMBER = { enumerable: true, configurable: true, writable: true }

class Carrier {
  clipped = false
  private bytes: number
  private nodes: number
  /** The objects around the one being read, outermost first. */
  private readonly path: object[] = []

  constructor({ maxBytes, maxNodes }: CarryLimits) {
    this.bytes = Math.min(isLimit(maxBytes) ? maxBytes : 8 * 1024 * 1024, MOST_BYTES)
    this.nodes = isLimit(maxNodes) ? maxNodes : 1_000_000
  }

  /** `level` is the depth at which a container made of this value stands, from 1 to {@link MAX_CARRIED_DEPTH}. */
  carry(value: unknown, level: number): Json {
    // Members of tags that were under way when a limit was reached.
    if (this.isSpent()) return this.clip(value === null ? 'null' : typeof value)
    this.nodes--
    switch (typeof value) {
      case 'string':
        return this.string(value)
      case 'number':
        return this.number(value)
      case 'boolean':
        this.bytes -= value ? 4 : 5
        return value
      case 'undefined':
        return this.tag('undefined')
      case 'bigint':
        return this.bigint(value)
      case 'symbol':
        if (level === MAX_CARRIED_DEPTH) return this.deep('symbol')
        return this.tag(
          'symbol',
          value.description === undefined ? {} : { description: this.string(value.description) },
        )
      case 'function':
        return this.object(value, level)
      case 'object':
        if (value !== null) return this.object(value, level)
        this.bytes -= 4
        return null
    }
  }

  private isSpent(): boolean {
    return this.bytes <= 0 || this.nodes <= 0
  }

  private tag(kind: string, members: Members = {}): Json {
    // {"$type":"…"}, and ,"…": for each member: an upper bound, the longest name has 11 characters.
    this.bytes -= 12 + kind.length + 15 * Object.keys(members).length
    return { $type: kind, ...members }
  }

  private clip(of: string, members: Members = {}): Json {
    this.clipped = true
    return this.tag('clipped', { of: this.ascii(of), ...members })
  }

  private deep(of: string): Json {
    this.clipped = true
    return this.tag('deep', { of: this.ascii(of) })
  }

  private ascii(text: string): string {
    this.bytes -= text.length + 2
    return text
  }

  private string(text: string): Json {
    if (text.length + 2 <= this.bytes && !NEEDS_CARE.test(text)) return this.ascii(text)
    const whole = measure(text, this.bytes)
    if (!whole.isWellFormed) return this.utf16(text)
    if (whole.end === text.length) {
      this.bytes -= whole.bytes
      return text
    }
    // Half of what is left, so that what comes after a huge string is on record as well.
    const head = measure(text, this.bytes / 2)
    this.bytes -= head.bytes
    return this.clip('string', { length: text.length, head: text.slice(0, head.end) })
  }

  private utf16(text: string): Json {
    if ((text.length * 8) / 3 + 3 <= this.bytes) return this.tag('string', { utf16: this.ascii(utf16Text(text)) })
    const head = text.slice(0, Math.max(0, Math.floor((this.bytes * 3) / 16)))
    return this.clip('string', { length: text.length, utf16: this.ascii(utf16Text(head)) })
  }

  private byteString(bytes: Uint8Array, view: Members = {}): Json {
    if ((bytes.length * 4) / 3 + 3 <= this.bytes) {
      return this.tag('bytes', { base64url: this.ascii(toBase64Url(bytes)), ...view })
    }
    const head = bytes.subarray(0, Math.max(0, Math.floor((this.bytes * 3) / 8)))
    return this.clip('bytes', { length: bytes.length, base64url: this.ascii(toBase64Url(head)), ...view })
  }

  private number(value: number): Json {
    if (Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))) {
      this.bytes -= `${value}`.length
      return value === 0 ? 0 : value
    }
    return this.tag('number', { value: this.ascii(Number.isFinite(value) ? `${BigInt(value)}` : `${value}`) })
  }

  private bigint(value: bigint): Json {
    // Bounded, since writing a number in decimal takes more than linear time.
    const low = BigInt.asIntN(BIGINT_BITS, value)
    const text = this.ascii(`${low}`)
    return low === value ? this.tag('bigint', { value: text }) : this.clip('bigint', { low: text })
  }

  /** Carries an object or a function, with the object on the path; a cycle or a throw becomes a tag. */
  private object(value: object, level: number): Json {
    const { path } = this
    const at = path.lastIndexOf(value)
    if (at >= 0) return this.tag('cycle', { up: path.length - at })
    const depth = path.push(value) - 1
    try {
      if (level === MAX_CARRIED_DEPTH) return this.deep(typeof value)
      if (typeof value === 'function') return this.tag('function', { name: this.name(value) })
      if (Array.isArray(value)) return this.array(value, level)
      if (isPlain(value)) return this.record(value, Object.keys(value), level)
      return this.special(value, level)
    } catch {
      return this.tag('unreadable')
    } finally {
      path.length = depth
    }
  }

  /** Carries one member; if reading it throws, the loss is that member alone. */
  private member(value: object, key: PropertyKey, level: number): Json {
    let member: unknown
    try {
      member = (value as Record<PropertyKey, unknown>)[key]
    } catch {
      return this.tag('unreadable')
    }
    return this.carry(member, level)
  }

  private name(type: unknown): Json {
    const name: unknown = typeof type === 'function' ? type.name : ''
    return this.string(typeof name === 'string' ? name : '')
  }

  private list<T>(of: string, length: number, items: Iterable<T>, read: (item: T) => Json): Json[] {
    const out: Json[] = []
    this.bytes -= length === 0 ? 2 : 1
    for (const item of items) {
      if (this.isSpent()) {
        out.push(this.clip(of, { length }))
        break
      }
      this.bytes -= 1
      out.push(read(item))
    }
    return out
  }

  private pair(key: Json, value: Json): Json {
    this.bytes -= 3
    return [key, value]
  }

  private array(value: readonly unknown[], level: number): Json {
    const { length } = value
    // A proxy may say anything.
    if (!Number.isSafeInteger(length) || length < 0) return this.tag('unreadable')
    return this.list('array', length, indices(length), (i) => this.member(value, i, level + 1))
  }

  /** Carries the members `keys` of an object as those of a plain one. */
  private record(value: object, keys: string[], level: number): Json {
    const isTagged = keys.some((key) => key === '$type' || !key.isWellFormed())
    if (level + (isTagged ? 3 : 1) > MAX_CARRIED_DEPTH) return this.deep('object')
    if (isTagged) {
      const read = (key: string) => this.pair(this.string(key), this.member(value, key, level + 3))
      return this.tag('object', { entries: this.list('object', keys.length, keys.sort(), read) })
    }
    const out: Members = {}
    this.bytes -= keys.length === 0 ? 2 : 1
    let isWhole = true
    for (const key of keys) {
      const cost = costOf(key, this.bytes) + 2
      // A huge key must not take the members after it along.
      if (this.isSpent() || cost > this.bytes) {
        isWhole = false
        continue
      }
      this.bytes -= cost
      const member = this.member(value, key, level + 1)
      // Assignment would run the setter of __proto__, and throw for any name that a frozen Object.prototype has.
      if (key in out) Object.defineProperty(out, key, { ...MEMBER, value: member })
      else out[key] = member
    }
    if (!isWhole) out.$type = this.clip('object', { length: keys.length })
    return out
  }

  private special(value: object, level: number): Json {
    if (ArrayBuffer.isView(value)) return this.view(value)
    const [kind, found] = brandOf(value)
    switch (kind) {
      case 'date':
        return this.tag(kind, {
          value: Number.isNaN(found) ? null : this.ascii(new Date(found as number).toISOString()),
        })
      case 'url':
        return this.tag(kind, { value: this.string(found as string) })
      case 'regexp':
        return this.tag(kind, { source: this.string(found as string), flags: this.string(flagsOf.call(value)) })
      case 'bytes':
        return this.byteString(new Uint8Array(value as ArrayBuffer))
      case 'boxed':
        return this.tag(kind, { value: this.carry(found, level + 1) })
      case 'map': {
        if (level + 3 > MAX_CARRIED_DEPTH) return this.deep(kind)
        const read = (entry: [unknown, unknown]) =>
          this.pair(this.carry(entry[0], level + 3), this.carry(entry[1], level + 3))
        return this.tag(kind, { entries: this.list(kind, found as number, entriesOf.call(value), read) })
      }
      case 'set': {
        if (level + 2 > MAX_CARRIED_DEPTH) return this.deep(kind)
        const read = (item: unknown) => this.carry(item, level + 2)
        return this.tag(kind, { values: this.list(kind, found as number, valuesOf.call(value), read) })
      }
      case 'error':
        return this.error(value, level)
      default:
        return this.instance(value, level)
    }
  }

  private view(value: ArrayBufferView): Json {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    const name = viewName.call(value) ?? 'DataView'
    return this.byteString(bytes, name === 'Uint8Array' ? {} : { view: this.ascii(name) })
  }

  private error(value: object, level: number): Json {
    const members: Members = {}
    for (const key of ERROR_MEMBERS) if (key in value) members[key] = this.member(value, key, level + 1)
    const others = Object.keys(value).filter((key) => !ERROR_MEMBERS.includes(key))
    if (others.length > 0) members.fields = this.record(value, others, level + 1)
    return this.tag('error', members)
  }

  private instance(value: object, level: number): Json {
    const members: Members = { name: this.name(Object.getPrototypeOf(value).constructor) }
    // The fields of a stream are its machinery: sockets, buffers, session keys.
    if (!(Symbol.asyncIterator in value)) members.fields = this.record(value, Object.keys(value), level + 1)
    return this.tag('class', members)
  }
}

function isLimit(limit: number | undefined): limit is number {
  return limit !== undefined && limit >= 0
}

function* indices(length: number): Generator<number> {
  for (let i = 0; i < length; i++) yield i
}

const NEEDS_CARE = /[^ !#-[\]-~]/

/**
 * How much of `text` fits into `budget` bytes of canonical text, quotes included, without cutting a surrogate pair; and
 * whether the part looked at is well-formed.
 */
function measure(text: string, budget: number): { end: number; bytes: number; isWellFormed: boolean } {
  let bytes = 2
  let end = 0
  while (end < text.length) {
    const code = text.codePointAt(end)!
    if (code >= 0xd800 && code <= 0xdfff) return { end, bytes, isWellFormed: false }
    const cost = escapedBytes(code)
    if (bytes + cost > budget) break
    bytes += cost
    end += code > 0xffff ? 2 : 1
  }
  return { end, bytes, isWellFormed: true }
}

function escapedBytes(code: number): number {
  // RFC 8785 §3.2.2.2: \b \t \n \f \r \" \\ and \u00xx for other control characters, all else as it is.
  if (code < 0x20) return code >= 8 && code <= 13 && code !== 11 ? 2 : 6
  if (code < 0x80) return code === 0x22 || code === 0x5c ? 2 : 1
  return code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
}

function costOf(key: string, budget: number): number {
  if (key.length + 2 > budget) return Number.POSITIVE_INFINITY
  if (!NEEDS_CARE.test(key)) return key.length + 2
  const { end, bytes } = measure(key, budget)
  return end === key.length ? bytes : Number.POSITIVE_INFINITY
}

function utf16Text(text: string): string {
  const bytes = new Uint8Array(2 * text.length)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit & 255
    bytes[2 * i + 1] = unit >> 8
  }
  return toBase64Url(bytes)
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return true
  // Object.prototype of another realm, such as a sandbox in which a tool ran.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'isPrototypeOf')
}

const ERROR_MEMBERS: readonly string[] = ['name', 'message', 'stack', 'cause', 'errors']

type Type = { readonly name: string; readonly prototype: object; [Symbol.hasInstance](value: unknown): boolean }
type Probe<T> = (this: unknown) => T

function getter<T>(type: { prototype: object }, name: PropertyKey): Probe<T> {
  return Object.getOwnPropertyDescriptor(type.prototype, name)!.get as Probe<T>
}

const flagsOf = getter<string>(RegExp, 'flags')
const viewName = getter<string | undefined>(Object.getPrototypeOf(Uint8Array) as Type, Symbol.toStringTag)
const entriesOf = Map.prototype.entries as Probe<Iterable<[unknown, unknown]>>
const valuesOf = Set.prototype.values as Probe<Iterable<unknown>>

/** Built-in types, each with a method that throws on anything else, whatever prototype or tag that may claim. */
const BRANDS: (readonly [kind: string, type: Type, probe: Probe<unknown>])[] = [
  ['date', Date, Date.prototype.getTime],
  ['map', Map, getter(Map, 'size')],
  ['set', Set, getter(Set, 'size')],
  ['regexp', RegExp, getter(RegExp, 'source')],
  ['bytes', ArrayBuffer, getter(ArrayBuffer, 'byteLength')],
]
for (const type of [String, Number, Boolean, Symbol, BigInt]) BRANDS.push(['boxed', type, type.prototype.valueOf])
// Not ECMAScript, or not everywhere: pages that are not isolated have no SharedArrayBuffer.
for (const [kind, name, property] of [
  ['bytes', 'SharedArrayBuffer', 'byteLength'],
  ['url', 'URL', 'href'],
] as const) {
  const type = Reflect.get(globalThis, name) as Type | undefined
  if (type) BRANDS.push([kind, type, getter(type, property)])
}

/** Kind of an object that is not plain, and what the probe found. */
function brandOf(value: object): readonly [kind: string, found?: unknown] {
  try {
    const name = Object.prototype.toString.call(value).slice(8, -1)
    for (const [kind, type, probe] of BRANDS) {
      // By name as well: objects of another realm are no instances of our types.
      if (!(value instanceof type) && name !== type.name) continue
      try {
        return [kind, probe.call(value)]
      } catch {}
    }
    if (value instanceof Error || name === 'Error') return ['error']
  } catch {}
  return ['class']
}
