/** Which mode a part gets: the first rule that matches, then the part's own, then the mode of everything. */
import type { Mode } from '../record/event.ts'
import { couldBeType } from '../record/schema.ts'

/**
 * A rule. Each condition given must hold; `*` in one stands for any text. A condition on something that an event does not
 * have, such as the tool of a `run.start`, does not hold.
 */
export interface PrivacyRule {
  readonly type?: string | undefined
  readonly tool?: string | undefined
  readonly part?: string | undefined
  readonly tenant?: string | undefined
  readonly mode: Mode
}

const CONDITIONS = ['type', 'tool', 'part', 'tenant'] as const

/** What rules look at in an event. */
export interface RuleSubject {
  readonly type?: string
  readonly tool?: { readonly name: string } | undefined
  readonly tenant?: string | undefined
}

export interface ModeRules {
  /** Mode of every part that nothing else names. */
  readonly mode: Mode
  /** Modes by part name. */
  readonly parts?: Readonly<Record<string, Mode>> | undefined
  /** Looked at first, in order. */
  readonly rules?: readonly PrivacyRule[] | undefined
}

/** A mode, and the place in the configuration that says so. */
export interface Decision {
  readonly mode: Mode
  /** `privacy.rules[2]`, `privacy.parts.output` or `privacy.mode`. */
  readonly by: string
}

/** Compiled rules. */
export class RuleSet {
  readonly #rules: readonly { readonly rule: PrivacyRule; readonly tests: readonly RuleTest[] }[]
  readonly #parts: ReadonlyMap<string, Mode>
  readonly #mode: Mode

  constructor({ mode, parts = {}, rules = [] }: ModeRules) {
    this.#mode = mode
    this.#parts = new Map(Object.entries(parts))
    this.#rules = rules.map((rule) => ({
      rule,
      tests: CONDITIONS.flatMap((name) => {
        const pattern = rule[name]
        if (pattern === undefined) return []
        const matches = matcher(pattern)
        return [
          (subject: RuleSubject, part: string) => {
            const value = memberOf(subject, part, name)
            return value !== undefined && matches(value)
          },
        ]
      }),
    }))
  }

  /** @param part its name; one that was moved aside for another of its name is judged as that */
  mode(subject: RuleSubject, part: string): Mode {
    return this.#find(subject, part)?.rule.mode ?? this.#parts.get(withoutMoved(part)) ?? this.#fallback(subject)
  }

  /** As {@link mode}, with the reason. */
  decide(subject: RuleSubject, part: string): Decision {
    const found = this.#find(subject, part)
    if (found) return { mode: found.rule.mode, by: `privacy.rules[${this.#rules.indexOf(found)}]` }
    const name = withoutMoved(part)
    const own = this.#parts.get(name)
    if (own !== undefined) return { mode: own, by: `privacy.parts.${name}` }
    const mode = this.#fallback(subject)
    return { mode, by: mode === this.#mode ? 'privacy.mode' : 'what people state for the record' }
  }

  /**
   * Rationales, statements and model cards are written for the record: where nothing but the default would withhold them, they
   * are kept. A stricter mode, or a rule, withholds them too.
   */
  #fallback({ type }: RuleSubject): Mode {
    return this.#mode === 'fingerprint' && type !== undefined && isForTheRecord(type) ? 'full' : this.#mode
  }

  #find(subject: RuleSubject, part: string) {
    if (this.#rules.length === 0) return undefined
    const name = withoutMoved(part)
    return this.#rules.find(({ tests }) => tests.every((test) => test(subject, name)))
  }
}

/** Types of events that people write, or that describe what they registered. */
function isForTheRecord(type: string): boolean {
  return /^(decision|dataset|model)\./.test(type) || type === 'eval.result'
}

type RuleTest = (subject: RuleSubject, part: string) => boolean

function memberOf(subject: RuleSubject, part: string, name: (typeof CONDITIONS)[number]): string | undefined {
  if (name === 'part') return part
  return name === 'tool' ? subject.tool?.name : subject[name]
}

/** Texts that an agent steers must not get away from a rule by colliding with a part of the caller's. */
function withoutMoved(part: string): string {
  return part.includes('.moved') ? part.replace(/\.moved[0-9]*$/, '') : part
}

function matcher(pattern: string): (value: string) => boolean {
  if (!pattern.includes('*')) return (value) => value === pattern
  const pieces = pattern.split('*')
  const [first, last] = [pieces[0]!, pieces.at(-1)!]
  const middle = pieces.slice(1, -1).filter((piece) => piece !== '')
  return (value) => {
    if (value.length < first.length + last.length || !value.startsWith(first) || !value.endsWith(last)) return false
    const end = value.length - last.length
    let at = first.length
    for (const piece of middle) {
      const found = value.indexOf(piece, at)
      if (found === -1 || found + piece.length > end) return false
      at = found + piece.length
    }
    return true
  }
}

/** Something that is wrong with a set of rules, and where. */
export interface RuleFault {
  /** Below `privacy`: `rules.2`, `parts.output`. */
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** Rules that contradict one another, and those that nothing can ever reach: whoever wrote them expects something else. */
export function findRuleFaults({ parts = {}, rules = [] }: ModeRules): RuleFault | null {
  for (const [i, rule] of rules.entries()) {
    const path = ['rules', i]
    if (rule.type !== undefined && !couldBeType(rule.type)) {
      return { path: [...path, 'type'], message: 'no event type that can have parts is like this' }
    }
    if (rule.part !== undefined && !/^[a-z*][a-z0-9_.*-]*$/.test(rule.part)) {
      return { path: [...path, 'part'], message: 'no part can have such a name' }
    }
    for (const [j, earlier] of rules.slice(0, i).entries()) {
      if (!covers(earlier, rule)) continue
      const isSame = covers(rule, earlier) && rule.mode !== earlier.mode
      const message = isSame
        ? `contradicts rules.${j}: the same conditions, ${earlier.mode} there and ${rule.mode} here`
        : `is never reached: rules.${j} decides everything that it matches`
      return { path, message }
    }
  }
  for (const name of Object.keys(parts)) {
    const at = rules.findIndex((rule) => covers(rule, { part: name, mode: 'none' }))
    if (at !== -1) return { path: ['parts', name], message: `is never reached: rules.${at} decides about that part` }
  }
  return null
}

/** Whether `outer` matches whatever `inner` matches. */
function covers(outer: PrivacyRule, inner: PrivacyRule): boolean {
  return CONDITIONS.every((name) => {
    const [wide, narrow] = [outer[name], inner[name]]
    if (wide === undefined) return true
    // Every event has a type, and every part a name.
    if (narrow === undefined) return wide === '*' && (name === 'type' || name === 'part')
    // A `*` of the narrow pattern is a character that only a `*` of the wide one takes.
    return matcher(wide)(narrow)
  })
}
