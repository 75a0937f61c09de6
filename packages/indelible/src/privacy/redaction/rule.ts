/** What a rule of the built-in packs is made of. */

/** Where a candidate stands. */
export interface Place {
  /** Normalised, see `fold.ts`. */
  readonly text: string
  readonly start: number
  readonly end: number
  /** Names of the members that hold the text, the outer one first; empty for a bare text. */
  readonly key: string
}

/** Says whether a candidate is what its pattern takes it for; a number accepts that many characters from its start. */
export interface Check {
  readonly name: string
  readonly test: (candidate: string, place: Place) => boolean | number
}

/**
 * One way to find one kind of value.
 *
 * Every pattern takes time linear in the text, on any text: `linear.test.ts` holds the conditions and checks them.
 */
export interface Rule {
  /** Unique, `pack/name`. */
  readonly id: string
  /** What the replacement shows. */
  readonly kind: string
  /** For the documentation. */
  readonly what: string
  /**
   * Alternatives, tried one by one. Group 1, if there is one, is what gets replaced, and ends where the match ends; inside
   * a look-behind at the start it is what precedes the match and gets replaced with it.
   */
  readonly patterns: readonly RegExp[]
  /** A text without any of these, in whatever case, cannot match. Lower case. */
  readonly literals?: readonly string[]
  /** Matches hold this many digits at least, 7 or more, at most {@link MOST_SEPARATORS} separators between any two. */
  readonly digits?: number
  /** Matches start and end with a digit, or a bracket before it, where {@link LEFT} and {@link RIGHT} hold. */
  readonly alone?: true
  /** Matches start so. */
  readonly left?: true
  /** A text without such a shape cannot match. */
  readonly shape?: Shape
  /** Counts only with one of these words near it, or in the name of its member. Lower case; a space is any separator. */
  readonly near?: readonly string[]
  readonly check?: Check
  /** Says little about the number itself, so any other rule that found the same place knows better. */
  readonly isWeak?: true
}

/**
 * `dots`: three dots between digits. `colons`: `::`, or five colons or hyphens between hex digits. `code`: a word that
 * starts with two letters and two digits. `fiscal`: six letters and two digits. `digits`: five digits next to each other.
 */
export type Shape = 'dots' | 'colons' | 'code' | 'fiscal' | 'digits'

/** Characters between two digits of one number. */
export const SEPARATORS = ' -./()+'
export const MOST_SEPARATORS = 3

export interface Pack {
  readonly name: PackName
  /** Goes up with every change of what the pack finds. */
  readonly version: number
  readonly what: string
  readonly rules: readonly Rule[]
}

export const PACK_NAMES = ['secrets', 'global', 'us', 'ca', 'uk', 'eu', 'au', 'in', 'br', 'sg', 'pci', 'hipaa'] as const
export type PackName = (typeof PACK_NAMES)[number]

/** In force whatever the configuration says. */
export const ALWAYS_ON = ['global', 'secrets'] as const satisfies readonly PackName[]

/** Before a number: not within a word, and not the rest of a longer number. */
export const LEFT = '(?<![A-Za-z0-9]|[0-9][-.])'
/** After a number. */
export const RIGHT = '(?![A-Za-z0-9]|[-.][0-9])'

/** A global pattern of what stands by itself. */
export function alone(source: string, flags = ''): RegExp {
  return new RegExp(`${LEFT}(?:${source})${RIGHT}`, `g${flags}`)
}

/** How far from a candidate a word of its context may stand. */
const BEFORE = 48
const AFTER = 24

const contexts = new Map<readonly string[], RegExp>()

/** Whether one of `words` stands near, or in the name of the member. */
export function hasContext(words: readonly string[], { text, start, end, key }: Place): boolean {
  let pattern = contexts.get(words)
  if (!pattern) {
    pattern = new RegExp(`(?<![a-z])(?:${words.map(wordPattern).join('|')})`, 'i')
    contexts.set(words, pattern)
  }
  return (
    pattern.test(splitCamel(text.slice(Math.max(0, start - BEFORE), start))) ||
    (key !== '' && pattern.test(splitCamel(key))) ||
    pattern.test(splitCamel(text.slice(end, end + AFTER)))
  )
}

/** Short words are words of their own; longer ones may go on, as in `cards`. */
function wordPattern(word: string): string {
  const source = word.split(' ').join('[^a-z0-9]{0,3}')
  return word.length < 4 ? `${source}(?![a-z])` : source
}

/** `homePhone` as `home Phone`, with nothing lost that a search without case finds. */
function splitCamel(text: string): string {
  return text.replace(/([a-z])([A-Z])/g, '$1 $2')
}

/** The literals of which a text or a key has one whenever {@link hasContext} holds. */
export function contextLiterals(words: readonly string[]): string[] {
  return words.map((word) => word.split(' ').reduce((a, b) => (b.length > a.length ? b : a)))
}

/** Numbers that are called by another name are what else they look like only if they are called that as well. */
const OTHER_NUMBER = /(?:order|invoice|tracking|shipment|parcel)[ _-]{0,2}(?:number|no|nr|id|#)?[ .:=#"']{0,4}$/i

/** Whether the number at a place is said to be that of an order and the like. */
export function isCalledOtherwise({ text, start }: Place): boolean {
  return OTHER_NUMBER.test(text.slice(Math.max(0, start - 24), start))
}

/** Letters and digits alone, in capitals. */
export function bare(candidate: string): string {
  return candidate.replace(/[^A-Za-z0-9]/g, '').toUpperCase()
}
