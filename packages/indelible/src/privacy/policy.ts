/**
 * What may be kept of the parts of an event. Runs before anything is hashed or written.
 *
 * No text escapes it: an error's message, a policy's reason and a guardrail's detail are parts like any other.
 */
import { hmacSha256Base64Url, type MacKey, sha256Base64Url } from '#crypto'
import { utf8Length } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { carry } from '../record/carry.ts'
import { checkDisclosure, commitTo, type Disclosed, disclose, type PartMeta, restOf } from '../record/disclosure.ts'
import type { Mode, PartInput } from '../record/event.ts'
import { canonicalize, type Json } from '../record/jcs.ts'
import { plainBytes } from '../record/json-bytes.ts'
import { MODES } from '../record/schema.ts'
import { clientMeta, otherMeta } from './client-meta.ts'
import { DEFAULT_PREVIEW_CHARS, keysOf, nameOf, previewOf, shapeOf } from './modes.ts'
import { type Decision, type ModeRules, RuleSet, type RuleSubject } from './rules.ts'

/** Replaces what must not be kept in a value. */
export interface PartRedactor {
  /** Names what it replaces: two of one version leave the same of the same value. */
  readonly version: string
  /** What is left of a carried value, and how often each kind of thing was replaced. `failed`: nothing may be kept. */
  redact(value: Json): RedactedValue | Promise<RedactedValue>
}

export interface RedactedValue {
  readonly value: Json
  readonly counts: Readonly<Record<string, number>>
  readonly failed?: unknown
}

export interface PrivacyRules extends ModeRules {
  /** Whether lengths of values stand in their meta. Default true. */
  readonly lengths?: boolean | undefined
  /** `sha256` is for those who must compare with other systems: anybody can try out values against it. Default the keyed one. */
  readonly fingerprint?: 'hmac-sha256' | 'sha256' | undefined
  /** Longest preview, in characters. Default 120. */
  readonly previewChars?: number | undefined
}

export const DEFAULT_PRIVACY: PrivacyRules = { mode: 'fingerprint' }

/** One part after the policy. */
export class KeptPart {
  readonly name: string
  readonly mode: Mode
  readonly commit: string
  readonly disclosure: string
  /** The redactor failed, and so nothing was kept. */
  readonly withheld: boolean
  readonly #rest: number

  /** @param disclosed with `rest`, where value and meta begin in the disclosure */
  constructor(name: string, mode: Mode, disclosed: Disclosed, withheld = false) {
    this.name = name
    this.mode = mode
    this.commit = disclosed.commit
    this.disclosure = disclosed.disclosure
    this.withheld = withheld
    this.#rest = disclosed.rest
  }

  /** What the policy left, without the salt: equal for a retry of the same event. */
  get stable(): string {
    return `["${this.name}","${this.mode}"${this.disclosure.slice(this.#rest)}`
  }
}

/** `meta.withheld` of a part that nothing was kept of, though the rules would have kept more. */
export const REDACTOR_FAILED = 'redactor_failed'

/** Applies privacy rules for one log. */
export class PrivacyPolicy {
  readonly #rules: RuleSet
  readonly #stated: PrivacyRules
  readonly #origin: string
  readonly #key: MacKey
  readonly #redactor: PartRedactor | null
  readonly #previewChars: number
  readonly #lengths: boolean

  /**
   * @param fingerprintKey the deployment's; equal values correlate under one key, outsiders cannot guess them
   * @param redactor for all text that is kept. Without one, it is kept as it is
   */
  constructor(rules: PrivacyRules, origin: string, fingerprintKey: MacKey, redactor: PartRedactor | null = null) {
    this.#rules = new RuleSet(rules)
    this.#stated = rules
    this.#origin = origin
    this.#key = fingerprintKey
    this.#redactor = redactor
    this.#previewChars = rules.previewChars ?? DEFAULT_PREVIEW_CHARS
    this.#lengths = rules.lengths ?? true
  }

  /** Names the rules in force: two policies of one version leave the same of the same event. */
  get version(): string {
    const { mode, parts, rules = [], lengths = true, fingerprint = 'hmac-sha256' } = this.#stated
    return canonicalize({
      mode,
      parts: { ...parts },
      ...(rules.length > 0 && {
        rules: rules.map((rule) => Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined))),
      }),
      ...(!lengths && { lengths }),
      ...(fingerprint !== 'hmac-sha256' && { fingerprint }),
      ...(this.#previewChars !== DEFAULT_PREVIEW_CHARS && { preview: this.#previewChars }),
      ...(this.#redactor && { redactor: this.#redactor.version }),
    })
  }

  /** The redactor for text that is kept. */
  get redactor(): PartRedactor | null {
    return this.#redactor
  }

  /** Whether a mode can depend on more than the name of a part and the type of its event. */
  get hasRules(): boolean {
    return (this.#stated.rules ?? []).length > 0
  }

  /** The same rules with a redactor that fails on everything: what is left where text may not be kept unseen. */
  withoutText(): PrivacyPolicy {
    const redactor = { version: '', redact: () => ({ value: null, counts: {}, failed: true }) }
    return new PrivacyPolicy(this.#stated, this.#origin, this.#key, redactor)
  }

  /** Which mode part `name` of such an event gets, and by which rule. */
  decide(subject: RuleSubject, name: string): Decision {
    return this.#rules.decide(subject, name)
  }

  /**
   * What is kept of part `name` of entry `id`. Never fails for a raw value, whatever it is; a promise if the redactor gives
   * one.
   * @throws IndelibleError `ERR_DISCLOSURE_INVALID` if a client's own disclosure belongs to another log, entry or part
   */
  keep(id: string, name: string, part: PartInput, subject: RuleSubject = {}): KeptPart | Promise<KeptPart> {
    const mode = this.#rules.mode(subject, name)
    if ('disclosure' in part) return this.#keepDisclosed(id, name, part, mode)
    if (mode === 'none') return this.#kept(id, name, mode, 'null', {})
    // The default, and plain as nearly everything is: no text is needed.
    const plain = mode === 'fingerprint' ? plainBytes(part.value) : null
    if (plain !== null) {
      const bytes = this.#lengths ? `"bytes":${plain.length},` : ''
      return this.#keptText(id, name, mode, 'null', `{${bytes}"fingerprint":"${this.fingerprint(plain)}"}`)
    }
    const { value, clipped } = carry(part.value)
    const text = canonicalize(value)
    const fingerprint = this.fingerprint(text)
    const meta: PartMeta = {
      ...(this.#lengths && { bytes: utf8Length(text) }),
      ...(clipped && { clipped }),
      fingerprint,
    }
    if (mode === 'fingerprint') return this.#kept(id, name, mode, 'null', meta)
    return this.#finish(id, name, mode, meta, () => this.#reduce(mode, value), value, text)
  }

  /** `hmac-sha256:…` of canonical JSON, as text or in UTF-8; `sha256:…` where the rules say so. */
  fingerprint(canonical: string | Uint8Array): string {
    if (this.#stated.fingerprint === 'sha256') return `sha256:${sha256Base64Url(canonical)}`
    return `hmac-sha256:${hmacSha256Base64Url(this.#key, canonical)}`
  }

  /** A client may have withheld more than we would; what it withheld less, we withhold. */
  #keepDisclosed(
    id: string,
    name: string,
    part: { readonly disclosure: string; readonly mode: Mode },
    ours: Mode,
  ): KeptPart | Promise<KeptPart> {
    const commit = commitTo(part.disclosure)
    const { value, meta } = checkDisclosure(part.disclosure, { commit, origin: this.#origin, id, name })
    if (value !== null && isWithheld(part.mode)) {
      throw new IndelibleError('ERR_DISCLOSURE_INVALID', `part ${name} says ${part.mode} and holds a value`)
    }
    const mode = MODES.indexOf(part.mode) < MODES.indexOf(ours) ? part.mode : ours
    // Meta is the client's as well, and could say what the value does not.
    const rules = { lengths: this.#lengths, allowsPlain: this.#stated.fingerprint === 'sha256' }
    const allowed = mode === 'none' ? clientMeta(meta, 'none', rules) : clientMeta(meta, 'kept', rules)
    const same = (left: PartMeta, kept: Json): KeptPart | null => {
      if (mode !== part.mode || canonicalize(left) !== canonicalize(meta)) return null
      if (canonicalize(kept) !== canonicalize(value)) return null
      const { disclosure } = part
      return new KeptPart(name, mode, { disclosure, commit, rest: restOf(disclosure, this.#origin, id, name) })
    }
    if (isWithheld(mode)) return same(allowed, null) ?? this.#kept(id, name, mode, 'null', allowed)
    // Where we would keep all, whatever the client left is only redacted: it may have left less, and cannot prove how.
    const others = ours === 'full' ? otherMeta(meta) : {}
    const hasOthers = Object.keys(others).length > 0
    const reduce = () => {
      if (ours !== 'full') return this.#reduce(mode, value)
      return this.#redact(hasOthers ? [value, others as Json] : value)
    }
    const settle = (left: RedactedValue): KeptPart => {
      if (left.failed) return this.#withheld(id, name)
      const [kept, more] = hasOthers ? (left.value as readonly [Json, PartMeta]) : [left.value, {}]
      const full = { ...more, ...allowed, ...countsMeta(allowed, left.counts) }
      return same(full, kept) ?? this.#kept(id, name, mode, canonicalize(kept), full)
    }
    return this.#attempt(id, name, reduce, settle)
  }

  #finish(
    id: string,
    name: string,
    mode: Mode,
    meta: PartMeta,
    reduce: () => RedactedValue | Promise<RedactedValue>,
    value: Json,
    text: string,
  ): KeptPart | Promise<KeptPart> {
    return this.#attempt(id, name, reduce, (left) => {
      if (left.failed) return this.#withheld(id, name)
      const kept = left.value === value ? text : canonicalize(left.value)
      return this.#kept(id, name, mode, kept, { ...meta, ...countsMeta(meta, left.counts) })
    })
  }

  /** A redactor that fails keeps the event and withholds the part, never the other way round. */
  #attempt(
    id: string,
    name: string,
    reduce: () => RedactedValue | Promise<RedactedValue>,
    settle: (left: RedactedValue) => KeptPart,
  ): KeptPart | Promise<KeptPart> {
    const attempt = (left: RedactedValue): KeptPart => {
      try {
        return settle(left)
      } catch (error) {
        if (isIndelibleError(error, 'ERR_DISCLOSURE_INVALID')) throw error
        return this.#withheld(id, name)
      }
    }
    let left: RedactedValue | Promise<RedactedValue>
    try {
      left = reduce()
    } catch {
      return this.#withheld(id, name)
    }
    if (!isPromise(left)) return attempt(left)
    return left.then(attempt, () => this.#withheld(id, name))
  }

  /** What a mode that keeps some text leaves of a carried value. */
  #reduce(mode: Mode, value: Json): RedactedValue | Promise<RedactedValue> {
    if (mode === 'keys') return this.#shape(value)
    return after(this.#redact(value), (left) =>
      mode === 'full' || left.failed ? left : { ...left, value: previewOf(left.value, this.#previewChars) },
    )
  }

  #shape(value: Json): RedactedValue | Promise<RedactedValue> {
    const names = keysOf(value)
    const keys = [...names.keys()]
    return after(this.#redact([...names.values()]), ({ value: redacted, counts, failed }) => {
      if (failed || !isTexts(redacted, keys.length)) return { value: null, counts, failed: failed ?? true }
      // What is left of a key after a part of it was replaced is no name any more.
      const renamed = new Map(keys.map((key, i) => [key, nameOf(redacted[i]!)]))
      return { value: shapeOf(value, (key) => renamed.get(key) ?? key), counts }
    })
  }

  #redact(value: Json): RedactedValue | Promise<RedactedValue> {
    return this.#redactor ? this.#redactor.redact(value) : { value, counts: {} }
  }

  #withheld(id: string, name: string): KeptPart {
    const meta = canonicalize({ withheld: REDACTOR_FAILED })
    return new KeptPart(name, 'none', disclose({ origin: this.#origin, id, name, value: 'null', meta }), true)
  }

  #kept(id: string, name: string, mode: Mode, value: string, meta: PartMeta): KeptPart {
    return this.#keptText(id, name, mode, value, canonicalize(meta))
  }

  /** @param value and `metaText`: canonical JSON */
  #keptText(id: string, name: string, mode: Mode, value: string, metaText: string): KeptPart {
    return new KeptPart(name, mode, disclose({ origin: this.#origin, id, name, value, meta: metaText }))
  }
}

function isWithheld(mode: Mode): boolean {
  return mode === 'none' || mode === 'fingerprint'
}

function isTexts(value: Json, length: number): value is readonly string[] {
  return Array.isArray(value) && value.length === length && value.every((text) => typeof text === 'string')
}

/** `redacted`: how often each kind of thing was replaced, by us and by whoever redacted before us. */
function countsMeta(before: PartMeta, counts: Readonly<Record<string, number>>): PartMeta {
  const kinds = Object.keys(counts)
  if (kinds.length === 0) return {}
  const sum = new Map(Object.entries((before.redacted ?? {}) as Record<string, number>))
  for (const kind of kinds) sum.set(kind, (sum.get(kind) ?? 0) + counts[kind]!)
  return { redacted: Object.fromEntries(sum) }
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null)?.then === 'function'
}

/** `next` at once, or once the promise has settled: most redactors need no promise, and no turn of the event loop. */
function after<T, U>(value: T | Promise<T>, next: (value: T) => U): U | Promise<U> {
  return isPromise(value) ? value.then(next) : next(value)
}
