/** Redacts every text in a carried value: strings, keys, numbers that are identifiers, JSON within strings, bytes that are text. */
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from '../../bytes.ts'
import type { Json } from '../../record/jcs.ts'
import type { FieldRules } from './fields.ts'
import { isCvv, secretKind } from './packs/secret-keys.ts'
import { type Hit, merge, replace } from './scan.ts'

/** Where a text stands, and what was found in it. */
export interface Found {
  /** Names of members and indexes of arrays from the root. */
  readonly path: readonly string[]
  readonly hits: readonly Hit[]
}

export interface WalkOptions {
  /** Everything that is found in one text; overlaps are merged here. */
  readonly find: (text: string, key: string, path: readonly string[]) => readonly Hit[]
  readonly fields?: FieldRules | undefined
  /** Redacts what a field rule keeps: what nobody may keep goes all the same. */
  readonly kept?: ((value: Json, counts: Counts) => Json) | undefined
  /** Whether members go by their names alone, such as `password`. */
  readonly secrets: boolean
  /** Remembers names of members in which nothing was found. */
  readonly cleanNames?: Set<string> | undefined
  readonly onFound?: ((found: Found) => void) | undefined
}

export type Counts = Map<string, number>

/** JSON within JSON within strings: each level is read once, so a few of them stay linear. */
const MAX_TEXT_LEVELS = 6
/** Deeper JSON in a string is read as text. A carried value nests less. */
const MAX_TEXT_DEPTH = 100
const PLACEHOLDER = /^\[[A-Z][A-Z0-9_]*\]$/
const LONGEST_NUMBER = 21
const MOST_NAMES = 4096
const JSON_LINE = /^\{.*\}\r?$/

/** One pass over one value. */
export class Walk {
  readonly counts: Counts
  readonly #options: WalkOptions
  readonly #path: string[] = []
  #textLevel = 0

  constructor(options: WalkOptions, counts: Counts = new Map()) {
    this.#options = options
    this.counts = counts
  }

  value(value: Json, secret?: string): Json {
    if (typeof value === 'string') return secret ? this.#whole(value, secret) : this.text(value)
    if (typeof value === 'number') return this.#number(value, secret)
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return this.#array(value, secret)
    const source = rawSource(value)
    return source === undefined
      ? this.#object(value as { readonly [key: string]: Json })
      : this.#raw(value as Json, source)
  }

  /** A text, which may be JSON, or lines of it. */
  text(text: string): string {
    return this.#jsonText(text) ?? this.#jsonLines(text) ?? this.#plainText(text, this.#key())
  }

  #jsonLines(text: string): string | null {
    if (text.charCodeAt(0) !== 0x7b || this.#textLevel >= MAX_TEXT_LEVELS) return null
    const lines = text.split('\n')
    if (lines.length < 2 || lines.some((line) => line !== '' && !JSON_LINE.test(line))) return null
    return lines.map((line) => this.#jsonText(line) ?? this.#plainText(line, this.#key())).join('\n')
  }

  #plainText(text: string, key: string): string {
    const hits = merge(this.#options.find(text, key, this.#path))
    if (hits.length === 0) return text
    this.#found(hits)
    return replace(text, hits)
  }

  #found(hits: readonly Hit[]): void {
    for (const { kind } of hits) this.#count(kind)
    this.#options.onFound?.({ path: [...this.#path], hits })
  }

  #count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  /** Names of the two members around, the inner one last: `phone number` of `{"phone": {"number": …}}`. */
  #key(): string {
    let key = ''
    let found = 0
    for (let i = this.#path.length - 1; i >= 0 && found < 2; i--) {
      const name = this.#path[i]!
      const first = name.charCodeAt(0)
      if (first >= 48 && first <= 57) continue
      key = found++ === 0 ? name : `${name} ${key}`
    }
    return key.length > 128 ? key.slice(-128) : key
  }

  /** A value that goes by the name of its member. */
  #whole(text: string, kind: string): string {
    if (text === '' || PLACEHOLDER.test(text)) return text
    this.#found([{ kind, rule: `key/${kind}`, start: 0, end: text.length }])
    return `[${kind}]`
  }

  #number(value: number, secret?: string): Json {
    const text = `${value}`
    if (secret) return this.#whole(text, secret)
    if (!Number.isInteger(value) || text.length < 2 || text.length > LONGEST_NUMBER) return value
    const read = this.#plainText(text, this.#key())
    return read === text ? value : read
  }

  /** A number of JSON in a string, which keeps the digits that it was written with. */
  #raw(value: Json, source: string): Json {
    const read = /^[0-9]+$/.test(source) ? this.#plainText(source, this.#key()) : source
    return read === source ? value : read
  }

  #array(values: readonly Json[], secret?: string): Json {
    return values.map((value, i) => {
      this.#path.push(`${i}`)
      const action = this.#action()
      const read = action === undefined ? this.value(value, secret) : this.#act(value, action)
      this.#path.pop()
      return read === undefined ? null : read
    })
  }

  #object(value: { readonly [key: string]: Json }): Json {
    if (typeof value.$type === 'string') {
      const read = this.#tag(value as { readonly [key: string]: Json } & { readonly $type: string })
      if (read !== undefined) return read
    }
    const out: { [key: string]: Json } = {}
    for (const key of Object.keys(value)) {
      const read = this.#member(key, value[key]!)
      if (read === undefined) continue
      define(out, this.#freeName(out, value, key), read)
    }
    return out
  }

  /** What becomes of a member; `undefined` if it is dropped. */
  #member(key: string, value: Json): Json | undefined {
    this.#path.push(key)
    const action = this.#action()
    let read: Json | undefined
    if (action !== undefined) read = this.#act(value, action)
    else if ((typeof value === 'string' || typeof value === 'number') && isCvv(key, value))
      read = this.#whole(`${value}`, 'CVV')
    else read = this.value(value, this.#options.secrets ? secretKind(key, value) : undefined)
    this.#path.pop()
    return read
  }

  #action(): string | undefined {
    const { fields } = this.#options
    if (!fields || fields.isEmpty) return undefined
    return fields.action(this.#path.map((name) => name.toLowerCase()))
  }

  #act(value: Json, action: string): Json | undefined {
    if (action === 'keep') return this.#options.kept ? this.#options.kept(value, this.counts) : value
    const kind = action === 'drop' ? 'DROPPED' : action
    if (value === null || (typeof value === 'string' && (value === '' || PLACEHOLDER.test(value)) && action !== 'drop'))
      return value
    this.#found([{ kind, rule: `field/${kind}`, start: 0, end: typeof value === 'string' ? value.length : 0 }])
    return action === 'drop' ? undefined : `[${kind}]`
  }

  /** A key as it is kept: redacted, and apart from its neighbours. */
  #freeName(out: object, value: object, key: string): string {
    const { cleanNames } = this.#options
    if (cleanNames?.has(key)) return key
    const read = this.#plainText(key, '')
    if (read === key) {
      if (cleanNames && cleanNames.size < MOST_NAMES && key.length <= 64) cleanNames.add(key)
      return key
    }
    let name = read
    for (let n = 2; Object.hasOwn(out, name) || Object.hasOwn(value, name); n++) name = `${read}#${n}`
    return name
  }

  /** Tags of `carry.ts` that hold texts in another form, or keys as values. */
  #tag(tag: { readonly [key: string]: Json } & { readonly $type: string }): Json | undefined {
    const { $type, utf16, base64url, entries } = tag
    if (typeof utf16 === 'string') {
      return this.#encoded(tag, 'utf16', utf16, fromUtf16, toUtf16)
    }
    if (typeof base64url === 'string' && ($type === 'bytes' || $type === 'clipped')) {
      return this.#encoded(tag, 'base64url', base64url, (bytes) => fromUtf8(bytes), utf8)
    }
    if (Array.isArray(entries) && entries.every(isPairOrTag)) {
      const read = entries.flatMap((entry): Json[] => {
        if (!isPair(entry)) return [this.value(entry)]
        const [key, value] = entry
        if (typeof key !== 'string') return [[this.value(key), this.value(value)]]
        const member = this.#member(key, value)
        return member === undefined ? [] : [[this.#plainText(key, ''), member]]
      })
      return { ...tag, entries: read }
    }
    return undefined
  }

  #encoded(
    tag: { readonly [key: string]: Json },
    name: string,
    text: string,
    decode: (bytes: Uint8Array) => string,
    encode: (text: string) => Uint8Array,
  ): Json | undefined {
    let decoded: string
    try {
      decoded = decode(fromBase64Url(text))
    } catch {
      // Bytes that are no text.
      return undefined
    }
    const read = this.text(decoded)
    return read === decoded ? tag : { ...tag, [name]: toBase64Url(encode(read)) }
  }

  /** JSON with what is in it redacted, or as it is if nothing was found; `null` if the text is to be read as text. */
  #jsonText(text: string): string | null {
    const quotes = this.#textLevel < MAX_TEXT_LEVELS ? countQuotes(text) : 0
    if (quotes === 0) return null
    let parsed: Json
    try {
      parsed = JSON.parse(text) as Json
    } catch {
      return null
    }
    const silent = this.#inside(undefined)
    silent.value(parsed)
    if (silent.counts.size === 0) {
      // Of two members with one name, the parser knows the last.
      return countStrings(parsed) * 2 === quotes ? text : null
    }
    const inside = this.#inside(this.#options.onFound)
    const read = JSON.stringify(inside.value(parseExact(text)))
    for (const [kind, n] of inside.counts) this.counts.set(kind, (this.counts.get(kind) ?? 0) + n)
    return read
  }

  #inside(onFound: WalkOptions['onFound']): Walk {
    const walk = new Walk({ ...this.#options, onFound })
    walk.#path.push(...this.#path)
    walk.#textLevel = this.#textLevel + 1
    return walk
  }
}

/** Quotes that begin or end a string, if the text may be an object, an array or a string of JSON; else 0. */
function countQuotes(text: string): number {
  if (text.length < 4 || !/^[ \t\r\n]{0,64}[[{"]/.test(text) || !/[\]}"][ \t\r\n]{0,64}$/.test(text.slice(-65)))
    return 0
  let depth = 0
  let quotes = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) quotes++
    else if (code === 0x5c) i++
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > MAX_TEXT_DEPTH) return 0
    } else if (code === 0x7d || code === 0x5d) depth--
  }
  return quotes
}

/** Strings in a value, keys included. */
function countStrings(value: Json): number {
  if (typeof value === 'string') return 1
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) for (const item of value) count += countStrings(item)
  else for (const key of Object.keys(value)) count += 1 + countStrings((value as { [key: string]: Json })[key]!)
  return count
}

type JsonReviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown
type RawJson = {
  readonly rawJSON?: (text: string) => unknown
  readonly isRawJSON?: (value: unknown) => boolean
  readonly parse: (text: string, reviver: JsonReviver) => unknown
}
// Not in every runtime yet; without it, numbers beyond 2^53 are rounded where a text is written anew.
const RAW = JSON as unknown as RawJson

function parseExact(text: string): Json {
  const keep: JsonReviver = (_, value, context) =>
    typeof value === 'number' && context?.source !== undefined && context.source !== `${value}`
      ? RAW.rawJSON!(context.source)
      : value
  return (RAW.rawJSON ? RAW.parse(text, keep) : JSON.parse(text)) as Json
}

function rawSource(value: object): string | undefined {
  return RAW.isRawJSON?.(value) ? (value as { rawJSON: string }).rawJSON : undefined
}

function define(out: object, key: string, value: Json): void {
  if (key in out) Object.defineProperty(out, key, { value, enumerable: true, configurable: true, writable: true })
  else (out as { [key: string]: Json })[key] = value
}

const isPair = (entry: Json): entry is readonly [Json, Json] => Array.isArray(entry) && entry.length === 2
const isPairOrTag = (entry: Json) =>
  isPair(entry) || (typeof entry === 'object' && entry !== null && !Array.isArray(entry))

function fromUtf16(bytes: Uint8Array): string {
  let out = ''
  for (let i = 0; i + 1 < bytes.length; i += 2) out += String.fromCharCode(bytes[i]! | (bytes[i + 1]! << 8))
  return out
}

function toUtf16(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length)
  for (let i = 0; i < text.length; i++) {
    bytes[2 * i] = text.charCodeAt(i) & 255
    bytes[2 * i + 1] = text.charCodeAt(i) >> 8
  }
  return bytes
}
