/**
 * What may be kept of the parts of an event. Runs before anything is hashed or written.
 *
 * No text escapes it: an error's message, a policy's reason and a guardrail's detail are parts like any other.
 */
import { hmacSha256, type MacKey } from '#crypto'
import { toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { carry } from '../record/carry.ts'
import { checkDisclosure, commitTo, disclose, type PartMeta, utf8Length } from '../record/disclosure.ts'
import type { Mode, PartInput } from '../record/event.ts'
import { canonicalize } from '../record/jcs.ts'
import { MODES } from '../record/schema.ts'

/** Modes that this version can apply. `keys` and `preview` are known to the format and to readers. */
export const SUPPORTED_MODES = ['none', 'fingerprint', 'full'] as const satisfies readonly Mode[]
export type SupportedMode = (typeof SUPPORTED_MODES)[number]

export interface PrivacyRules {
  /** Mode of every part that `parts` does not name. */
  readonly mode: SupportedMode
  /** Modes by part name. */
  readonly parts?: Readonly<Record<string, SupportedMode>>
}

export const DEFAULT_PRIVACY: PrivacyRules = { mode: 'fingerprint' }

/** One part after the policy. */
export interface KeptPart {
  readonly name: string
  readonly mode: Mode
  readonly commit: string
  readonly disclosure: string
  /** What the policy left, without the salt: equal for a retry of the same event. */
  readonly stable: string
}

/** Applies privacy rules for one log. */
export class PrivacyPolicy {
  readonly #rules: PrivacyRules
  readonly #origin: string
  readonly #key: MacKey

  /** @param fingerprintKey the deployment's; equal values correlate under one key, outsiders cannot guess them */
  constructor(rules: PrivacyRules, origin: string, fingerprintKey: MacKey) {
    this.#rules = rules
    this.#origin = origin
    this.#key = fingerprintKey
  }

  /** Names the rules in force: two policies of one version leave the same of the same event. */
  get version(): string {
    return canonicalize({ mode: this.#rules.mode, parts: { ...this.#rules.parts } })
  }

  /**
   * What is kept of part `name` of entry `id`. Never throws for a raw value, whatever it is.
   * @throws IndelibleError `ERR_DISCLOSURE_INVALID` if a client's own disclosure belongs to another log, entry or part
   */
  keep(id: string, name: string, part: PartInput): KeptPart {
    const mode = this.#mode(name)
    if ('disclosure' in part) return this.#keepDisclosed(id, name, part, mode)
    const { value, clipped } = mode === 'none' ? { value: null, clipped: false } : carry(part.value)
    const text = canonicalize(value)
    const meta: PartMeta = mode === 'none' ? {} : { bytes: utf8Length(text), fingerprint: this.fingerprint(text) }
    return this.#kept(id, name, mode, mode === 'full' ? text : 'null', clipped ? { ...meta, clipped } : meta)
  }

  /** `hmac-sha256:…` of canonical JSON. */
  fingerprint(canonical: string): string {
    return `hmac-sha256:${toBase64Url(hmacSha256(this.#key, canonical))}`
  }

  /** A client may have withheld more than we would; what it withheld less, we withhold. */
  #keepDisclosed(id: string, name: string, part: { disclosure: string; mode: Mode }, ours: SupportedMode): KeptPart {
    const commit = commitTo(part.disclosure)
    const { value, meta } = checkDisclosure(part.disclosure, { commit, origin: this.#origin, id, name })
    if (value !== null && isWithheld(part.mode)) {
      throw new IndelibleError('ERR_DISCLOSURE_INVALID', `part ${name} says ${part.mode} and holds a value`)
    }
    const mode = MODES.indexOf(part.mode) < MODES.indexOf(ours) ? part.mode : ours
    if (isWithheld(mode)) {
      // Meta is the client's as well, and could say what the value does not.
      const allowed = mode === 'none' ? {} : withheldMeta(meta)
      if (mode !== part.mode || canonicalize(allowed) !== canonicalize(meta)) {
        return this.#kept(id, name, mode, 'null', allowed)
      }
    }
    const stable = canonicalize([name, mode, value, meta])
    return { name, mode, commit, disclosure: part.disclosure, stable }
  }

  #kept(id: string, name: string, mode: Mode, value: string, meta: PartMeta): KeptPart {
    const metaText = canonicalize(meta)
    const { disclosure, commit } = disclose({ origin: this.#origin, id, name, value, meta: metaText })
    return { name, mode, commit, disclosure, stable: `["${name}","${mode}",${value},${metaText}]` }
  }

  #mode(name: string): SupportedMode {
    const { mode, parts } = this.#rules
    return parts && Object.hasOwn(parts, name) ? parts[name]! : mode
  }
}

function isWithheld(mode: Mode): boolean {
  return mode === 'none' || mode === 'fingerprint'
}

const FINGERPRINT = /^hmac-sha256:[A-Za-z0-9_-]{43}$/

/** The facts about a withheld value that do not give it away. */
function withheldMeta({ bytes, clipped, fingerprint }: PartMeta): PartMeta {
  return {
    ...(Number.isSafeInteger(bytes) && { bytes }),
    ...(clipped === true && { clipped }),
    ...(typeof fingerprint === 'string' && FINGERPRINT.test(fingerprint) && { fingerprint }),
  }
}
