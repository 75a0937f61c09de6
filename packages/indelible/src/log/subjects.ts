/**
 * Which entries concern which person. The store keeps a keyed hash of the person's id, never the id: whoever has the store
 * alone can neither read who is in it nor try ids out.
 */
import { hmacSha256 } from '#crypto'
import type { LogKeys } from '../keys/log-keys.ts'

const SUBJECT_BYTES = 16

/** How the store names a person: the first 16 bytes of `HMAC-SHA-256(subjects key, "indelible/subject@1\n" ‖ origin ‖ "\n" ‖ id)`. */
export function subjectMac({ origin, subjects }: Pick<LogKeys, 'origin' | 'subjects'>, id: string): Uint8Array {
  return hmacSha256(subjects, `indelible/subject@1\n${origin}\n${id}`).slice(0, SUBJECT_BYTES)
}

/** Of several persons, each once. */
export function subjectMacs(keys: Pick<LogKeys, 'origin' | 'subjects'>, ids: readonly string[]): Uint8Array[] {
  return [...new Set(ids)].map((id) => subjectMac(keys, id))
}
