/**
 * Characters that stand for others, so that a number is found however it is written: digits of other scripts, full-width
 * and mathematical letters, other spaces and hyphens, invisible characters, and the escapes of JSON, URLs and HTML. Patterns
 * see the folded text; what is replaced is the original one.
 *
 * Letters that only look alike, such as Cyrillic ones, stay what they are.
 */

/** A text as patterns see it. */
export interface Folded {
  readonly text: string
  /** Where the character at this place, or the end, was in the original. */
  readonly starts: Uint32Array
}

const DROP = 0xffff
const UNKNOWN = 0
/** By UTF-16 code unit, learned as they come. */
let table: Uint16Array | undefined

const INVISIBLE = /\p{Cf}|\p{Variation_Selector}|\u034f|[\u115f\u1160\u17b4\u17b5\u3164\uffa0]/u

/** What a character is read as: itself, an ASCII character, or nothing. */
function foldCodePoint(code: number): number {
  const character = String.fromCodePoint(code)
  if (INVISIBLE.test(character)) return DROP
  if (/\p{Nd}/u.test(character)) return 48 + digitValue(code)
  if (/\p{Pd}|[\u2212\u00ad]/u.test(character)) return 45
  if (/\p{Zs}/u.test(character)) return 32
  const normal = character.normalize('NFKC')
  return normal.length === 1 && normal.charCodeAt(0) < 128 ? normal.charCodeAt(0) : code
}

/** Decimal digits come in rows of ten, from 0 to 9; the mathematical ones are five rows in a row. */
function digitValue(code: number): number {
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10
  let zero = code
  while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--
  return code - zero
}

function foldUnit(unit: number): number {
  table ??= new Uint16Array(65_536)
  let folded = table[unit]!
  if (folded === UNKNOWN) {
    folded = unit >= 0xd800 && unit <= 0xdfff ? unit : foldCodePoint(unit)
    table[unit] = folded
  }
  return folded
}

const isHex = (code: number) => (code >= 48 && code <= 57) || ((code | 32) >= 97 && (code | 32) <= 102)

/** Whether the character at `at` may be read as another one. */
export function isFoldable(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  if (code === 92) return true
  if (code === 37) return isHex(text.charCodeAt(at + 1)) && isHex(text.charCodeAt(at + 2))
  if (code === 38) return text.charCodeAt(at + 1) === 35
  if (code >= 0xd800 && code <= 0xdbff) return foldPair(text, at) !== -1
  return code > 127 && foldUnit(code) !== code
}

function foldPair(text: string, at: number): number {
  const code = text.codePointAt(at)!
  if (code < 0x10000) return -1
  const folded = foldCodePoint(code)
  return folded === code ? -1 : folded
}

/** Reads the text as patterns see it. Takes time in proportion to its length. */
export function fold(text: string): Folded {
  const starts = new Uint32Array(text.length + 1)
  const out: string[] = []
  let length = 0
  let plain = 0
  const put = (at: number, until: number, read: string) => {
    if (plain < at) out.push(text.slice(plain, at))
    if (read !== '') {
      starts[length++] = at
      out.push(read)
    }
    plain = until
  }
  for (let i = 0; i < text.length; ) {
    const code = text.charCodeAt(i)
    const isPlain = code < 128 ? code !== 92 && code !== 37 && code !== 38 : !isFoldable(text, i)
    if (isPlain) {
      starts[length++] = i++
      continue
    }
    const [until, read] = code < 128 ? readEscape(text, i) : readCharacter(text, i)
    if (read === null) for (; i < until; i++) starts[length++] = i
    else put(i, until, read)
    i = until
  }
  if (plain < text.length) out.push(text.slice(plain))
  starts[length] = text.length
  return { text: out.join(''), starts: starts.subarray(0, length + 1) }
}

type Read = readonly [until: number, read: string | null]

function readCharacter(text: string, at: number): Read {
  const code = text.charCodeAt(at)
  const isPair = code >= 0xd800 && code <= 0xdbff
  const folded = isPair ? foldPair(text, at) : foldUnit(code)
  return [at + (isPair ? 2 : 1), folded === DROP ? '' : String.fromCharCode(folded)]
}

/** An escape that begins here; `null` if what stands here means itself. */
function readEscape(text: string, at: number): Read {
  const code = text.charCodeAt(at)
  if (code === 37) {
    const value = Number.parseInt(text.slice(at + 1, at + 3), 16)
    if (!isFoldable(text, at) || value < 0x20 || value > 0x7e) return [at + 1, null]
    return [at + 3, String.fromCharCode(value)]
  }
  if (code === 38) {
    const entity = /^&#(?:x([0-9a-f]{1,4})|([0-9]{1,5}));/i.exec(text.slice(at, at + 8))
    const value = entity ? Number.parseInt(entity[1] ?? entity[2]!, entity[1] ? 16 : 10) : 0
    return value >= 0x20 && value <= 0x7e ? [at + entity![0].length, String.fromCharCode(value)] : [at + 1, null]
  }
  // JSON within JSON has several backslashes.
  let until = at
  while (text.charCodeAt(until) === 92) until++
  const letter = text[until]
  if (letter === 'n' || letter === 'r' || letter === 't') return [until + 1, ' ']
  if (letter === '"' || letter === '/' || letter === "'") return [until + 1, letter]
  if (letter === 'u' && /^[0-9a-f]{4}$/i.test(text.slice(until + 1, until + 5))) {
    const folded = foldUnit(Number.parseInt(text.slice(until + 1, until + 5), 16))
    return [until + 5, folded === DROP ? '' : String.fromCharCode(folded)]
  }
  return [until, null]
}
