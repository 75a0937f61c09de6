/** What a client says about a value that it has judged itself: meta could smuggle out what the value withholds. */
import type { PartMeta } from '../record/disclosure.ts'
import type { Json } from '../record/jcs.ts'

const KEYED = /^hmac-sha256:[A-Za-z0-9_-]{43}$/
const PLAIN = /^sha256:[A-Za-z0-9_-]{43}$/
const KIND = /^[A-Z][A-Z0-9_]{0,39}$/
const WITHHELD = new Set<unknown>(['redactor_failed'])
const KNOWN = new Set(['bytes', 'clipped', 'fingerprint', 'redacted', 'withheld'])

export interface MetaRules {
  readonly lengths: boolean
  /** Whether a fingerprint that anybody could try values against may stay. */
  readonly allowsPlain: boolean
}

/** The facts about a value that do not give it away; `none` of a part that nothing at all is kept of. */
export function clientMeta(meta: PartMeta, kept: 'none' | 'kept', { lengths, allowsPlain }: MetaRules): PartMeta {
  const { bytes, clipped, fingerprint, redacted, withheld } = meta
  const reason = WITHHELD.has(withheld) && { withheld: withheld as Json }
  if (kept === 'none') return { ...reason }
  const isFingerprint =
    typeof fingerprint === 'string' && (KEYED.test(fingerprint) || (allowsPlain && PLAIN.test(fingerprint)))
  return {
    ...(lengths && Number.isSafeInteger(bytes) && { bytes }),
    ...(clipped === true && { clipped }),
    ...(isFingerprint && { fingerprint }),
    ...(isCounts(redacted) && { redacted }),
    ...reason,
  }
}

/** Members of meta that are the client's own. */
export function otherMeta(meta: PartMeta): PartMeta {
  return Object.fromEntries(Object.entries(meta).filter(([name]) => !KNOWN.has(name)))
}

function isCounts(value: Json | undefined): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const counts = Object.entries(value)
  return counts.length <= 64 && counts.every(([kind, count]) => KIND.test(kind) && Number.isSafeInteger(count))
}
