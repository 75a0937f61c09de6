/**
 * The gate before the rules: one pass over a text that says which rules could match it at all, and where its longer
 * numbers are.
 *
 * All literals of all rules are one automaton (Aho and Corasick, 1975), so their number does not matter. A rule behind a
 * shut gate would have found nothing: `gate.test.ts` compares with the rules run on everything.
 */
import { contextLiterals, MOST_SEPARATORS, type Rule, SEPARATORS } from './rule.ts'

/** Numbers with fewer digits are nobody's business here. */
export const LEAST_DIGITS = 7

// In this order: what may stand within a number, what may not, letters.
const DIGIT = 0
const SEPARATOR = 1
const DOT = 2
const HYPHEN = 3
const COLON = 4
const OTHER = 5
const HEX_LETTER = 6
const LETTER = 7

const KINDS = new Uint8Array(128).fill(OTHER)
for (let code = 0; code < 128; code++) {
  const character = String.fromCharCode(code)
  if (/[0-9]/.test(character)) KINDS[code] = DIGIT
  else if (/[a-f]/i.test(character)) KINDS[code] = HEX_LETTER
  else if (/[a-z]/i.test(character)) KINDS[code] = LETTER
  else if (character === '.') KINDS[code] = DOT
  else if (character === ':') KINDS[code] = COLON
  else if (character === '-') KINDS[code] = HYPHEN
  else if (SEPARATORS.includes(character)) KINDS[code] = SEPARATOR
}

const SHAPES = { dots: 1, colons: 2, code: 4, digits: 8, fiscal: 16 } as const

/** Edges of a number. */
export const NEITHER = 0
const LEFT_ONLY = 1
export const BOTH = 2

const WIDTH_BITS = 6
const WIDTH = 1 << WIDTH_BITS

/** What is looked for, compiled; one for a set of rules. */
export class Gate {
  /** Whether the text has characters that mean others, see `fold.ts`. Then the rest of the answer is of no use. */
  needsFold = false
  /** Of each number with {@link LEAST_DIGITS} or more: start, end, digits, and which edges it has. */
  readonly numbers: number[] = []

  readonly #isFoldable: (text: string, at: number) => boolean
  readonly #next: Uint16Array
  readonly #column: Uint8Array
  /** States up to this one end no literal. */
  #lastPlain = 0
  /** For each state after the plain ones, the groups of literals that end there. */
  readonly #ends: Uint16Array[] = []
  /** By state after the plain ones: the last scan that came by. */
  readonly #ended: Uint32Array
  /** By group of literals: the last scan that met one of them. */
  readonly #met: Uint32Array
  /** Four by rule: its own literals and those of its context, as groups, 0 for none; digits; shape. */
  readonly #needs: Uint16Array
  #scan = 0
  #shapes = 0
  #hasMet = false
  #mostDigits = 0

  constructor(rules: readonly Rule[], isFoldable: (text: string, at: number) => boolean) {
    this.#isFoldable = isFoldable
    const groups = new Map<string, { id: number; words: readonly string[] }>()
    const group = (words: readonly string[] | undefined): number => {
      if (!words) return 0
      const name = words.join('\n')
      const known = groups.get(name) ?? { id: groups.size + 1, words }
      groups.set(name, known)
      return known.id
    }
    this.#needs = Uint16Array.from(
      rules.flatMap((rule) => [
        group(rule.literals),
        group(rule.near && contextLiterals(rule.near)),
        rule.digits ?? 0,
        rule.shape ? SHAPES[rule.shape] : 0,
      ]),
    )
    this.#met = new Uint32Array(groups.size + 1)
    const automaton = buildAutomaton([...groups.values()])
    this.#next = automaton.next
    this.#column = automaton.column
    this.#lastPlain = automaton.lastPlain
    this.#ends = automaton.ends
    this.#ended = new Uint32Array(automaton.ends.length)
  }

  /**
   * Looks at `text`, and at `key`, which may hold words of a context but no match.
   *
   * @param isFolded whether the text is one that was folded already
   */
  scan(text: string, key: string, isFolded = false): void {
    this.#scan++
    this.#shapes = 0
    this.#hasMet = false
    this.#mostDigits = 0
    this.needsFold = false
    this.numbers.length = 0
    if (key !== '') this.#meet(key)
    this.#read(text, isFolded)
  }

  /** Whether no rule can match what was scanned last. */
  get isShut(): boolean {
    return !this.#hasMet && this.#shapes === 0 && this.#mostDigits === 0
  }

  /** Whether rule `i` may match what was scanned last. */
  isOpen(i: number): boolean {
    const needs = this.#needs
    const literals = needs[4 * i]!
    if (literals !== 0 && this.#met[literals] !== this.#scan) return false
    const near = needs[4 * i + 1]!
    if (near !== 0 && this.#met[near] !== this.#scan) return false
    if (needs[4 * i + 2]! > this.#mostDigits) return false
    const shape = needs[4 * i + 3]!
    return (shape & this.#shapes) === shape
  }

  #meet(text: string): void {
    const next = this.#next
    const column = this.#column
    const lastPlain = this.#lastPlain
    let state = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      state = code < 128 ? next[(state << WIDTH_BITS) | column[code]!]! : 0
      if (state > lastPlain) this.#accept(state)
    }
  }

  #accept(state: number): void {
    const at = state - this.#lastPlain - 1
    if (this.#ended[at] === this.#scan) return
    this.#ended[at] = this.#scan
    this.#hasMet = true
    const ends = this.#ends[at]!
    for (let i = 0; i < ends.length; i++) this.#met[ends[i]!] = this.#scan
  }

  #read(text: string, isFolded: boolean): void {
    const next = this.#next
    const column = this.#column
    const lastPlain = this.#lastPlain
    const length = text.length
    let shapes = 0
    let state = 0
    let digits = 0
    let run = 0
    let separators = 0
    let start = 0
    let last = 0
    let dots = 0
    let marks = 0
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      let kind = OTHER
      if (code < 128) {
        state = next[(state << WIDTH_BITS) | column[code]!]!
        if (state > lastPlain) this.#accept(state)
        kind = KINDS[code]!
        // Most characters, and nothing under way that they could end.
        if (kind >= HEX_LETTER && digits === 0) {
          if (kind === LETTER) marks = 0
          dots = 0
          continue
        }
      } else state = 0
      if (kind === DIGIT) {
        if (digits === 0) start = i
        digits++
        run++
        separators = 0
        last = i
        if (run === 2) {
          if (isLetter(text.charCodeAt(i - 2)) && isLetter(text.charCodeAt(i - 3))) shapes |= lettersBefore(text, i - 3)
        } else if (run === 5) shapes |= SHAPES.digits
        continue
      }
      if (digits > 0 && (kind >= COLON || ++separators > MOST_SEPARATORS)) {
        if (digits >= LEAST_DIGITS) this.#number(text, start, last + 1, digits)
        digits = 0
        run = 0
        separators = 0
      }
      if (kind >= HEX_LETTER) {
        if (kind === LETTER) marks = 0
        dots = 0
        run = 0
        continue
      }
      if (kind === DOT) {
        dots = run > 0 ? dots + 1 : 0
        if (dots >= 3) shapes |= SHAPES.dots
        marks = 0
      } else {
        dots = 0
        if (kind === COLON || kind === HYPHEN) {
          marks++
          if (marks >= 5 || (kind === COLON && text.charCodeAt(i - 1) === 58)) shapes |= SHAPES.colons
        } else marks = 0
      }
      run = 0
      if (kind === OTHER && !isFolded && (code > 127 || isEscape(code)) && this.#isFoldable(text, i)) {
        this.needsFold = true
        return
      }
    }
    if (digits >= LEAST_DIGITS) this.#number(text, start, last + 1, digits)
    this.#shapes = shapes
  }

  #number(text: string, start: number, end: number, digits: number): void {
    this.numbers.push(start, end, digits, edgesOf(text, start, end))
    if (digits > this.#mostDigits) this.#mostDigits = digits
  }
}

/** The shape that two letters, the first at `at`, and two digits have. */
function lettersBefore(text: string, at: number): number {
  if (!isWord(text.charCodeAt(at - 1))) return SHAPES.code
  for (let i = 1; i < 5; i++) if (!isLetter(text.charCodeAt(at - i))) return 0
  return SHAPES.fiscal
}

/** Whether a part of the number may be one by itself: `LEFT` holds before one of its digits, and `RIGHT` after one. */
function edgesOf(text: string, start: number, end: number): number {
  let edges = NEITHER
  for (let i = start; i < end; i++) {
    if (!isDigit(text.charCodeAt(i))) continue
    const before = text.charCodeAt(i - 1)
    if (edges === NEITHER && !isWord(before) && !(isJoint(before) && isDigit(text.charCodeAt(i - 2)))) edges = LEFT_ONLY
    const after = text.charCodeAt(i + 1)
    if (edges === LEFT_ONLY && !isWord(after) && !(isJoint(after) && isDigit(text.charCodeAt(i + 2)))) return BOTH
  }
  return edges
}

// All of them are false for NaN, which is what stands before and after a text.
const isDigit = (code: number) => code >= 48 && code <= 57
const isJoint = (code: number) => code === 45 || code === 46
const isWord = (code: number) => isDigit(code) || isLetter(code)
const isEscape = (code: number) => code === 92 || code === 37 || code === 38

function isLetter(code: number): boolean {
  const small = code | 32
  return small >= 97 && small <= 122
}

interface Automaton {
  readonly next: Uint16Array
  readonly column: Uint8Array
  readonly lastPlain: number
  readonly ends: Uint16Array[]
}

/** A state for each beginning of a literal; states that end one come last, so that one comparison finds them. */
function buildAutomaton(groups: readonly { id: number; words: readonly string[] }[]): Automaton {
  const column = columns(groups.flatMap(({ words }) => words))
  const goto: Map<number, number>[] = [new Map()]
  const ends: Set<number>[] = [new Set()]
  for (const { id, words } of groups) {
    for (const word of words) {
      let state = 0
      for (let i = 0; i < word.length; i++) {
        const code = word.charCodeAt(i)
        let to = goto[state]!.get(column[code]!)
        if (to === undefined) {
          to = goto.length
          goto.push(new Map())
          ends.push(new Set())
          goto[state]!.set(column[code]!, to)
        }
        state = to
      }
      ends[state]!.add(id)
    }
  }
  const full = complete(goto, ends)
  const states = [...ends.keys()]
  const isPlain = (state: number) => ends[state]!.size === 0
  const order = [...states.filter(isPlain), ...states.filter((state) => !isPlain(state))]
  const rank = new Uint16Array(order.length)
  for (const [to, from] of order.entries()) rank[from] = to
  const next = new Uint16Array(order.length * WIDTH)
  for (const [to, from] of order.entries()) {
    for (let c = 0; c < WIDTH; c++) next[to * WIDTH + c] = rank[full[from * WIDTH + c]!]!
  }
  const lastPlain = order.findLastIndex(isPlain)
  return { next, column, lastPlain, ends: order.slice(lastPlain + 1).map((state) => Uint16Array.from(ends[state]!)) }
}

/** Follows the failure links: what each state goes to for each column, and all that ends there. */
function complete(goto: readonly Map<number, number>[], ends: readonly Set<number>[]): Uint16Array {
  const full = new Uint16Array(goto.length * WIDTH)
  const fail = new Uint16Array(goto.length)
  const queue = [0]
  for (const state of queue) {
    for (let c = 0; c < WIDTH; c++) {
      const to = goto[state]!.get(c)
      const fallback = state === 0 ? 0 : full[fail[state]! * WIDTH + c]!
      if (to === undefined) {
        full[state * WIDTH + c] = fallback
        continue
      }
      full[state * WIDTH + c] = to
      fail[to] = fallback
      for (const id of ends[fallback]!) ends[to]!.add(id)
      queue.push(to)
    }
  }
  return full
}

/** A column for each character of a literal, the same for both cases; 0 for all others. */
function columns(words: readonly string[]): Uint8Array {
  const column = new Uint8Array(128)
  let used = 0
  for (const character of new Set(words.join(''))) {
    const code = character.charCodeAt(0)
    if (code > 127) throw new RangeError('literals are ASCII')
    column[code] = ++used
    column[character.toUpperCase().charCodeAt(0)] = used
  }
  if (used >= WIDTH) throw new RangeError(`literals of ${used} different characters`)
  return column
}
