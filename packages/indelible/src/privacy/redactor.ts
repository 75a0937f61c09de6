/**
 * Redaction: takes out of texts what has a form that gives it away, before anything is hashed or written.
 *
 * Patterns find numbers, addresses of machines and of mail, and keys. They do not find names, street addresses or what
 * somebody tells in his own words: that takes a recognizer, or a mode that keeps no text.
 */
import { sha256 } from '#crypto'
import { toHex, utf8 } from '../bytes.ts'
import { canonicalize, type Json } from '../record/jcs.ts'
import { FORBIDDEN_RULES } from './redaction/cards.ts'
import { type FieldAction, FieldRules } from './redaction/fields.ts'
import { type OwnPattern, OwnPatterns } from './redaction/own-patterns.ts'
import { choosePacks, packHash, rulesOf } from './redaction/packs/index.ts'
import { type Recognizer, recognize } from './redaction/recognizer.ts'
import type { Rule } from './redaction/rule.ts'
import { type Hit, type Miss, Scanner } from './redaction/scan.ts'
import { Walk, type WalkOptions } from './redaction/walk.ts'

export type { Miss, OwnPattern, Recognizer }

export interface RedactionOptions {
  /** Packs beside `global` and `secrets`, which are always on. */
  readonly packs?: readonly string[]
  /** Patterns of the deployment's own, RE2 syntax. */
  readonly patterns?: readonly OwnPattern[]
  /** Rules by path, see {@link FieldRules}. */
  readonly fields?: Readonly<Record<string, FieldAction>>
  readonly recognizer?: Recognizer
  /** How long the recognizer may take for one value, default 1000. */
  readonly recognizerTimeoutMs?: number
}

/** What stands in the entry that says which packs are in force. */
export interface PackInForce {
  readonly pack: string
  readonly version: number
  /** Hex, over all rules of the pack. */
  readonly sha256: string
}

/** Kind → how often it was replaced; empty if nothing was. */
export type RedactionCounts = Readonly<Record<string, number>>

export interface Redacted {
  /** Shares nothing that changed with the value handed in. */
  readonly value: Json
  readonly counts: RedactionCounts
  /** The recognizer threw, hung or answered nonsense: withhold the value. It is `null` then, and the counts are empty. */
  readonly failed?: true
}

export interface RedactedText {
  readonly text: string
  readonly counts: RedactionCounts
  /** As in {@link Redacted}; the text is empty then. */
  readonly failed?: true
}

/** A place in a text of a value that a rule looked at. */
export interface Finding extends Omit<Hit, 'rank'> {
  /** Names of members and indexes, from the root, also through JSON in a string. */
  readonly path: readonly string[]
  /** Replaced; or left, because its check refused it, or because no word of its context is near. */
  readonly outcome: 'replaced' | Miss['why']
}

export interface Redactor {
  /** Names packs and rules in force: two redactors of one version leave the same of the same value. */
  readonly version: string
  /** Built-in packs in force, and `own` for patterns and fields of the deployment's own, version 1. */
  readonly packs: readonly PackInForce[]
  /** Whether {@link redact} is asynchronous. */
  readonly isAsync: boolean
  /**
   * Redacts every text in a carried value: strings, keys, identifiers written as numbers, JSON within strings, bytes that
   * are text. Keys with a value that is dropped go with it. Never throws and never rejects. A promise only if there is a
   * recognizer.
   */
  redact(value: Json): Redacted | Promise<Redacted>
  /** The same for one text. */
  redactText(text: string): RedactedText | Promise<RedactedText>
  /** Removes what may be kept in no mode at all: card verification codes and track data. */
  removeForbidden(value: Json): Redacted
  /** What the rules do to `value`, without a recognizer: what they replace, without overlaps, and what they leave, by place. */
  explain(value: Json): readonly Finding[]
}

const DEFAULT_TIMEOUT_MS = 1000
const forbidden = new Scanner(FORBIDDEN_RULES)

/**
 * Rules are compiled when the first value comes.
 *
 * @throws IndelibleError `ERR_CONFIG_INVALID` for an unknown pack, a pattern that the linear-time engine does not take, and
 * rules for fields that contradict each other
 */
export function createRedactor(options: RedactionOptions = {}): Redactor {
  return new RuleRedactor(options)
}

/** Removes card verification codes and track data: what goes in every mode, whatever the configuration. */
export function removeForbidden(value: Json): Redacted {
  return finish(value, new Walk({ find: (text, key) => forbidden.find(text, key), secrets: false }))
}

class RuleRedactor implements Redactor {
  readonly version: string
  readonly packs: readonly PackInForce[]
  readonly #scanner: Scanner
  readonly #own: OwnPatterns
  readonly #fields: FieldRules
  readonly #recognizer: Recognizer | undefined
  readonly #timeoutMs: number
  readonly #cleanNames = new Set<string>()

  constructor({ packs = [], patterns = [], fields = {}, recognizer, recognizerTimeoutMs }: RedactionOptions) {
    const chosen = choosePacks(packs)
    this.#own = new OwnPatterns(patterns)
    this.#fields = new FieldRules(fields)
    this.#recognizer = recognizer
    this.#timeoutMs = recognizerTimeoutMs ?? DEFAULT_TIMEOUT_MS
    const rules: Rule[] = [...FORBIDDEN_RULES, ...rulesOf(chosen)]
    this.#scanner = new Scanner(rules)
    const own = {
      patterns: patterns.map(({ kind, pattern }) => ({ kind, pattern })),
      // The first of two rules counts, so their order is part of what they say.
      fields: Object.entries(fields).map(([path, action]) => [path, action]),
    }
    const hasOwn = own.patterns.length + own.fields.length > 0
    this.packs = [
      ...chosen.map((pack) => ({ pack: pack.name, version: pack.version, sha256: packHash(pack) })),
      ...(hasOwn ? [{ pack: 'own', version: 1, sha256: toHex(sha256(utf8(canonicalize(own)))) }] : []),
    ]
    const named = this.packs.map(({ pack, version, sha256: hash }) => `${pack}@${version}+${hash.slice(0, 16)}`)
    this.version = [...named, ...(recognizer ? ['recognizer'] : [])].join(' ')
  }

  get isAsync(): boolean {
    return this.#recognizer !== undefined
  }

  redact(value: Json): Redacted | Promise<Redacted> {
    if (this.#recognizer) return this.#redactLate(value, this.#recognizer)
    return this.#walk(value, { cleanNames: this.#cleanNames })
  }

  redactText(text: string): RedactedText | Promise<RedactedText> {
    const read = ({ value, counts, failed }: Redacted): RedactedText => ({
      text: failed ? '' : (value as string),
      counts,
      ...(failed && { failed }),
    })
    const redacted = this.redact(text)
    return redacted instanceof Promise ? redacted.then(read) : read(redacted)
  }

  removeForbidden(value: Json): Redacted {
    return removeForbidden(value)
  }

  explain(value: Json): Finding[] {
    const findings = new Map<string, Finding>()
    const add = (finding: Finding) => {
      const { path, rule, start, end, outcome } = finding
      findings.set(JSON.stringify([path, rule, start, end, outcome]), finding)
    }
    this.#walker({
      find: (text, key, path) => {
        const misses: Miss[] = []
        const hits = [...this.#scanner.find(text, key, misses), ...this.#own.find(text)]
        for (const { why, rank: _, ...hit } of misses) add({ ...hit, path: [...path], outcome: why })
        return hits
      },
      onFound: ({ path, hits }) => {
        for (const { rank: _, ...hit } of hits) add({ ...hit, path, outcome: 'replaced' })
      },
    }).value(value)
    return sortFindings([...findings.values()])
  }

  #walk(value: Json, more?: Partial<WalkOptions>): Redacted {
    return finish(value, this.#walker(more))
  }

  #walker(more: Partial<WalkOptions> = {}): Walk {
    return new Walk({
      find: (text, key) => {
        const hits = this.#scanner.find(text, key)
        const own = this.#own.find(text)
        return own.length === 0 ? hits : [...hits, ...own]
      },
      fields: this.#fields,
      kept: (kept, counts) =>
        new Walk({ find: (text, key) => forbidden.find(text, key), secrets: false }, counts).value(kept),
      secrets: true,
      ...more,
    })
  }

  async #redactLate(value: Json, recognizer: Recognizer): Promise<Redacted> {
    try {
      const texts = new Set<string>()
      const collect = (text: string) => {
        texts.add(text)
        return []
      }
      this.#walk(value, { find: collect })
      const known = await recognize(recognizer, [...texts], this.#timeoutMs)
      return this.#walk(value, {
        find: (text, key) => [...this.#scanner.find(text, key), ...this.#own.find(text), ...(known.get(text) ?? [])],
      })
    } catch {
      return { value: null, counts: {}, failed: true }
    }
  }
}

/** By place; without candidates that were left for a longer one. */
function sortFindings(findings: readonly Finding[]): Finding[] {
  const byPath = new Map<string, Finding[]>()
  for (const finding of findings) {
    const path = JSON.stringify(finding.path)
    byPath.set(path, [...(byPath.get(path) ?? []), finding])
  }
  return [...byPath.values()].flatMap((here) => {
    const replaced = here.filter(({ outcome }) => outcome === 'replaced').sort((a, b) => a.start - b.start)
    const left = here.filter((one) => {
      // Replacements do not overlap: the last that begins before is the one that may hold it.
      const holder = replaced.findLast(({ start }) => start <= one.start)
      return one.outcome !== 'replaced' && !(holder && one.end <= holder.end)
    })
    return [...replaced, ...left].sort((a, b) => a.start - b.start || b.end - a.end)
  })
}

function finish(value: Json, walk: Walk): Redacted {
  try {
    const read = walk.value(value)
    return { value: read, counts: Object.fromEntries([...walk.counts].sort(([a], [b]) => (a < b ? -1 : 1))) }
  } catch {
    // The caller left no room on the stack.
    return { value: null, counts: {}, failed: true }
  }
}
