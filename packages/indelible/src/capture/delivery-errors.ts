/** Which errors of a sink are about one event, and how an action is refused. */
import { IndelibleError, isIndelibleError } from '../errors.ts'

/** Of one event, not of the sink: to try again would change nothing. */
export const OF_THE_EVENT = [
  'ERR_DISCLOSURE_INVALID',
  'ERR_ENTRY_TOO_LARGE',
  'ERR_EVENT_INVALID',
  'ERR_ID_CONFLICT',
  'ERR_JSON_INVALID',
] as const

/** What an action is refused with that could not be recorded first. */
export function blocked(cause: unknown): IndelibleError {
  const message = `action refused: it could not be recorded first (${codeOf(cause)})`
  return new IndelibleError('ERR_CAPTURE_BLOCKED', message, { cause })
}

/** A code, or at least the kind of an error; never its message, which may quote what it is about. */
export function codeOf(error: unknown): string {
  if (isIndelibleError(error)) return error.code
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : error instanceof Error ? error.name : typeof error
}
