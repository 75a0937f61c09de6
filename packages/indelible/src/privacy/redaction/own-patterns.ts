/** A deployment's own patterns. They run on the linear-time engine alone, whatever they are. */
import { RE2JS, RE2Set } from 're2js'
import { IndelibleError } from '../../errors.ts'
import { KIND_NAME } from './fields.ts'
import { fold } from './fold.ts'
import type { Hit } from './scan.ts'

export interface OwnPattern {
  /** What the replacement shows: capitals, digits and underscores. */
  readonly kind: string
  /** RE2 syntax; `(?i)` at its start ignores case. */
  readonly pattern: string
}

const MAX_PATTERNS = 256
const MAX_PATTERN_LENGTH = 4096

/** Own patterns, compiled. */
export class OwnPatterns {
  readonly #patterns: readonly { readonly kind: string; readonly pattern: RE2JS }[]
  readonly #set: RE2Set

  /** @throws IndelibleError `ERR_CONFIG_INVALID` with the reason, for a pattern that the engine does not take */
  constructor(patterns: readonly OwnPattern[]) {
    if (patterns.length > MAX_PATTERNS) throw invalid(`more than ${MAX_PATTERNS} own patterns`)
    this.#patterns = patterns.map(compile)
    this.#set = new RE2Set(RE2Set.UNANCHORED)
    for (const { pattern } of patterns) this.#set.add(pattern)
    if (patterns.length > 0) this.#set.compile()
  }

  /** What they find in `text`, as it is and as it is read, see `fold.ts`; overlaps included. */
  find(text: string): Hit[] {
    if (this.#patterns.length === 0) return []
    const hits = this.#findIn(text)
    const folded = fold(text)
    if (folded.text === text) return hits
    for (const hit of this.#findIn(folded.text)) {
      hits.push({ ...hit, start: folded.starts[hit.start]!, end: folded.starts[hit.end]! })
    }
    return hits
  }

  #findIn(text: string): Hit[] {
    const hits: Hit[] = []
    for (const i of this.#set.match(text)) {
      const { kind, pattern } = this.#patterns[i]!
      const matcher = pattern.matcher(text)
      while (matcher.find()) {
        const [start, end] = [matcher.start(), matcher.end()]
        if (end > start) hits.push({ kind, rule: `own/${kind}`, start, end })
      }
    }
    return hits
  }
}

function compile({ kind, pattern }: OwnPattern, i: number): { kind: string; pattern: RE2JS } {
  const where = `patterns.${i}`
  if (typeof kind !== 'string' || !KIND_NAME.test(kind)) throw invalid(`${where}: expected a kind such as CUSTOMER_ID`)
  if (typeof pattern !== 'string' || pattern === '') throw invalid(`${where}: expected a pattern`)
  if (pattern.length > MAX_PATTERN_LENGTH) throw invalid(`${where}: longer than ${MAX_PATTERN_LENGTH} characters`)
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(pattern)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw invalid(`${where} (${kind}) does not compile on the linear-time engine: ${reason}`)
  }
  if (compiled.matches('')) throw invalid(`${where} (${kind}) matches the empty text, so it says nothing`)
  return { kind, pattern: compiled }
}

function invalid(message: string): IndelibleError {
  return new IndelibleError('ERR_CONFIG_INVALID', message)
}
