/** Finds what rules know in one text. */
import { fold, isFoldable } from './fold.ts'
import { BOTH, Gate, NEITHER } from './gate.ts'
import { hasContext, type Place, type Rule } from './rule.ts'

/** One place in a text that is replaced. */
export interface Hit {
  readonly kind: string
  /** Of the rule, or `own/KIND`, `field/KIND`, `recognizer/KIND`. */
  readonly rule: string
  readonly start: number
  readonly end: number
  /** Name of the check that it passed. */
  readonly check?: string
  /** Of two hits of one length, the higher counts: 2 with a word of its context near, 1, 0 for weak rules. */
  readonly rank?: number
}

/** A candidate that a rule looked at and did not take. For `--explain`. */
export interface Miss extends Hit {
  readonly why: 'check' | 'context'
}

interface CompiledRule {
  readonly rule: Rule
  readonly index: number
  readonly patterns: readonly { readonly pattern: RegExp; readonly hasLead: boolean }[]
}

/** What belongs to a number stands this close: letters of an identity card, an extension. */
const MARGIN = 24
/** At the edge of what is looked at, a pattern cannot tell whether a word goes on; no match lies there rightfully. */
const EDGE = 4

/** A candidate that is longer and is refused is left whole, so that no text is read over and over. */
export const LONGEST_RETRY = 256

/** Rules made ready to run; compiled when first used. */
export class Scanner {
  readonly #rules: readonly Rule[]
  #gate: Gate | undefined
  #compiled: readonly CompiledRule[] = []

  constructor(rules: readonly Rule[]) {
    this.#rules = rules
  }

  /**
   * What the rules find in `text`, in no order, overlaps included. Takes time in proportion to the length of `text`.
   *
   * @param key names of the members that hold the text, the outer one first
   * @param misses gets the candidates that were not taken
   */
  find(text: string, key = '', misses?: Miss[]): Hit[] {
    this.#gate ??= this.#prepare()
    const gate = this.#gate
    gate.scan(text, key)
    if (!gate.needsFold) return this.#run(text, key, gate, misses)
    const folded = fold(text)
    gate.scan(folded.text, key, true)
    const { starts } = folded
    const unfold = <T extends Hit>(hit: T): T => ({ ...hit, start: starts[hit.start]!, end: starts[hit.end]! })
    const folds: Miss[] | undefined = misses && []
    const hits = this.#run(folded.text, key, gate, folds).map(unfold)
    misses?.push(...folds!.map(unfold))
    return hits
  }

  /** The same with every rule on all of the text: what the gate is measured against. */
  findWithoutGate(text: string, key = ''): Hit[] {
    this.#gate ??= this.#prepare()
    const folded = fold(text)
    const hits: Hit[] = []
    for (const { rule, patterns } of this.#compiled) {
      for (const one of patterns) runPattern(rule, one, folded.text, 0, folded.text, key, hits)
    }
    return hits.map((hit) => ({ ...hit, start: folded.starts[hit.start]!, end: folded.starts[hit.end]! }))
  }

  #prepare(): Gate {
    this.#compiled = this.#rules.map((rule, index) => ({
      rule,
      index,
      patterns: rule.patterns.map((pattern) => ({
        // Patterns keep their place in themselves: these are ours.
        pattern: new RegExp(pattern.source, pattern.flags),
        hasLead: /^\(\?<=\((?!\?)/.test(pattern.source),
      })),
    }))
    return new Gate(this.#rules, isFoldable)
  }

  #run(text: string, key: string, gate: Gate, misses: Miss[] | undefined): Hit[] {
    const hits: Hit[] = []
    if (gate.isShut) return hits
    for (const compiled of this.#compiled) {
      if (!gate.isOpen(compiled.index)) continue
      const { rule, patterns } = compiled
      if (rule.digits === undefined) {
        for (const one of patterns) runPattern(rule, one, text, 0, text, key, hits, misses)
        continue
      }
      for (let i = 0; i < gate.numbers.length; i += 4) {
        const edges = gate.numbers[i + 3]!
        if (gate.numbers[i + 2]! < rule.digits || (rule.alone && edges < BOTH) || (rule.left && edges === NEITHER))
          continue
        const from = Math.max(0, gate.numbers[i]! - MARGIN)
        const around = text.slice(from, gate.numbers[i + 1]! + MARGIN)
        for (const one of patterns) runPattern(rule, one, around, from, text, key, hits, misses)
      }
    }
    return hits
  }
}

/** @param around the part of `text` from `from` on that is looked at */
function runPattern(
  rule: Rule,
  { pattern, hasLead }: { readonly pattern: RegExp; readonly hasLead: boolean },
  around: string,
  from: number,
  text: string,
  key: string,
  hits: Hit[],
  misses?: Miss[],
): void {
  pattern.lastIndex = 0
  for (;;) {
    const match = pattern.exec(around)
    if (!match) return
    const whole = match[0]
    const group = match[1]
    const matchEnd = match.index + whole.length
    const start = hasLead ? match.index - group!.length : group === undefined ? match.index : matchEnd - group.length
    const candidate = around.slice(start, matchEnd)
    if ((from > 0 && start < EDGE) || (from + around.length < text.length && matchEnd > around.length - EDGE)) {
      pattern.lastIndex = match.index + 1
      continue
    }
    const place: Place = { text, start: from + start, end: from + matchEnd, key }
    const verdict = rule.check ? rule.check.test(candidate, place) : true
    const end = typeof verdict === 'number' ? start + verdict : matchEnd
    const hit: Hit = {
      kind: rule.kind,
      rule: rule.id,
      start: place.start,
      end: from + end,
      ...(rule.check && { check: rule.check.name }),
      rank: rule.isWeak ? 0 : rule.near ? 2 : 1,
    }
    const why =
      verdict === false
        ? 'check'
        : rule.near && !hasContext(rule.near, { ...place, end: from + end })
          ? 'context'
          : null
    if (why === null) hits.push(hit)
    else misses?.push({ ...hit, why })
    // What was refused may hold something else from its second character on.
    if (why === null) pattern.lastIndex = Math.max(end, match.index + 1)
    else pattern.lastIndex = whole.length > LONGEST_RETRY ? matchEnd : match.index + 1
  }
}

/**
 * Hits without overlaps, from left to right. Those that overlap become one, of the kind of the longest: no part of any of
 * them stays, and none is replaced in part. Of equal length, the
 * higher rank counts, then the first found.
 */
export function merge(hits: readonly Hit[]): Hit[] {
  if (hits.length < 2) return [...hits]
  const sorted = hits.toSorted((a, b) => a.start - b.start || b.end - a.end)
  const merged: Hit[] = []
  let longest = 0
  for (const hit of sorted) {
    const last = merged.at(-1)
    if (!last || hit.start >= last.end) {
      merged.push(hit)
      longest = hit.end - hit.start
      continue
    }
    const length = hit.end - hit.start
    const isBetter = length > longest || (length === longest && rankOf(hit) > rankOf(last))
    const winner = isBetter ? hit : last
    merged[merged.length - 1] = { ...winner, start: last.start, end: Math.max(last.end, hit.end) }
    longest = Math.max(longest, length)
  }
  return merged
}

const rankOf = ({ rank = 1 }: Hit) => rank

/** `text` with `hits`, which do not overlap, replaced by their kinds. */
export function replace(text: string, hits: readonly Hit[]): string {
  let out = ''
  let at = 0
  for (const { start, end, kind } of hits) {
    out += `${text.slice(at, start)}[${kind}]`
    at = end
  }
  return out + text.slice(at)
}
