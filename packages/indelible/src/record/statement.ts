/**
 * What a person signs when they decide: the whole record but for what only the log can know, and the signature itself. So
 * the signature binds name, time, meaning, scope, and by their commitments the texts, and a verifier needs nothing but the entry.
 */
import { canonicalize, type Json } from './jcs.ts'
import type { AuditRecord } from './schema.ts'

/** First line of a statement. */
export const DECISION_STATEMENT = 'indelible/decision@1'

/**
 * Text of the signed note: `indelible/decision@1`, the origin, and on one line the record in canonical JSON without `observed`,
 * `assurance` and `decision.signature`.
 */
export function decisionStatement(origin: string, record: Omit<AuditRecord, 'observed'> | AuditRecord): string {
  const { observed, assurance, decision, ...rest } = record as AuditRecord
  const { signature, ...signed } = decision ?? {}
  return `${DECISION_STATEMENT}\n${origin}\n${canonicalize({ ...rest, decision: signed } as unknown as Json)}\n`
}
