/** What an error is to the one who called: its exit code, its code, its message. */
import { type IndelibleErrorCode, isIndelibleError, OutcomeUnknownError } from '../errors.ts'
import { VERSION } from '../version.ts'

/** Done, or verified. */
export const OK = 0
/** Something is wrong with what was looked at: tampered, incomplete, malformed. */
export const FINDINGS = 1
/** The command line or the configuration asks for something that does not exist. */
export const USAGE = 2
/** Nothing is known: a key is missing, a store cannot be reached. */
export const COULD_NOT_TELL = 3
/** What a shell reports of a process that wrote to a closed pipe. */
export const PIPE_CLOSED = 128 + 13

export type ExitCode = number

const EXIT_CODES: Readonly<Record<IndelibleErrorCode, ExitCode>> = {
  ERR_ANCHOR_FAILED: COULD_NOT_TELL,
  ERR_ANCHOR_REFUSED: FINDINGS,
  ERR_APPROVAL_CHANGED: FINDINGS,
  ERR_APPROVAL_CONCLUDED: FINDINGS,
  ERR_APPROVAL_EXPIRED: FINDINGS,
  ERR_APPROVAL_NOT_FOUND: USAGE,
  ERR_APPROVAL_REFUSED: FINDINGS,
  ERR_ACTION_DENIED: FINDINGS,
  ERR_CAPTURE_BLOCKED: COULD_NOT_TELL,
  ERR_CAPTURE_UNSUPPORTED: USAGE,
  ERR_CHECKPOINT_INVALID: FINDINGS,
  ERR_CLOCK_AHEAD: COULD_NOT_TELL,
  ERR_CLOSED: COULD_NOT_TELL,
  ERR_CONFIG_INVALID: USAGE,
  ERR_COPY_UNFINISHED: COULD_NOT_TELL,
  ERR_DATASET_CHANGED: COULD_NOT_TELL,
  ERR_DATASET_INVALID: USAGE,
  ERR_DECISION_INVALID: USAGE,
  ERR_DISCLOSURE_INVALID: FINDINGS,
  ERR_DRIVER_MISSING: USAGE,
  ERR_ENTRY_INVALID: FINDINGS,
  ERR_ENTRY_NOT_FOUND: USAGE,
  ERR_ENTRY_TOO_LARGE: FINDINGS,
  ERR_ERASURE_INVALID: USAGE,
  ERR_ERASURE_UNAPPROVED: USAGE,
  ERR_EVENT_INVALID: FINDINGS,
  ERR_EXPORT_INVALID: FINDINGS,
  ERR_EXPORT_TOO_LARGE: USAGE,
  ERR_FILTER_INVALID: USAGE,
  ERR_FIPS_UNAVAILABLE: COULD_NOT_TELL,
  ERR_HEAD_FORGED: FINDINGS,
  ERR_HELD: FINDINGS,
  ERR_HOLD_INVALID: USAGE,
  ERR_HOLD_NOT_FOUND: USAGE,
  ERR_HOME_COPIED: COULD_NOT_TELL,
  ERR_HOME_EXISTS: USAGE,
  ERR_HOME_NOT_FOUND: COULD_NOT_TELL,
  ERR_ID_CONFLICT: FINDINGS,
  ERR_IDENTITY_INVALID: USAGE,
  ERR_IDENTITY_REVOKED: FINDINGS,
  ERR_IDENTITY_UNKNOWN: USAGE,
  ERR_IMPORT_BROKEN: FINDINGS,
  ERR_IMPORT_CHANGED: COULD_NOT_TELL,
  ERR_IMPORT_FORMAT: USAGE,
  ERR_IMPORT_INVALID: FINDINGS,
  ERR_JSON_INVALID: FINDINGS,
  ERR_KEY_INVALID: COULD_NOT_TELL,
  ERR_KEY_MISMATCH: COULD_NOT_TELL,
  ERR_KEY_PERMISSIONS: COULD_NOT_TELL,
  ERR_LINEAGE_NOT_FOUND: USAGE,
  ERR_NOTE_INVALID: FINDINGS,
  // None of the keys given signed it: the wrong key looks the same as a signature that was stripped.
  ERR_NOTE_UNVERIFIED: COULD_NOT_TELL,
  ERR_NOTHING_TO_ERASE: USAGE,
  ERR_OUTCOME_UNKNOWN: COULD_NOT_TELL,
  ERR_OVERLOADED: COULD_NOT_TELL,
  ERR_PIN_CONFLICT: COULD_NOT_TELL,
  ERR_POLICY_INVALID: USAGE,
  ERR_PROOF_INVALID: FINDINGS,
  ERR_PURGE_TOO_LARGE: USAGE,
  ERR_PURGE_UNAPPROVED: FINDINGS,
  ERR_PURGE_UNVOUCHED: COULD_NOT_TELL,
  ERR_RETENTION_CLOCK: COULD_NOT_TELL,
  ERR_ROLLED_BACK: FINDINGS,
  ERR_SERVER_REFUSED: COULD_NOT_TELL,
  ERR_SERVER_UNREACHABLE: COULD_NOT_TELL,
  ERR_SIGNATURE_INVALID: FINDINGS,
  ERR_SPLIT_VIEW: FINDINGS,
  ERR_STORE_BUSY: COULD_NOT_TELL,
  ERR_STORE_CONFLICT: COULD_NOT_TELL,
  ERR_STORE_CORRUPT: FINDINGS,
  ERR_STORE_DENIED: COULD_NOT_TELL,
  ERR_STORE_FAILED: COULD_NOT_TELL,
  ERR_STORE_FULL: COULD_NOT_TELL,
  ERR_STORE_MISSING: FINDINGS,
  ERR_STORE_READONLY: COULD_NOT_TELL,
  ERR_STORE_UNREACHABLE: COULD_NOT_TELL,
  ERR_STORE_VERSION: COULD_NOT_TELL,
  ERR_TILE_INVALID: FINDINGS,
  ERR_VAULT_MISSING: COULD_NOT_TELL,
}

/** Arguments that no command can make sense of. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What is wrong with lines of the input, usually with one; the reason is the cause. */
export class LineError extends Error {
  override readonly name = 'LineError'
  readonly line: number

  constructor(line: number, cause: Error, last = line) {
    super(`${line === last ? `line ${line}` : `lines ${line} to ${last}`}: ${cause.message}`, { cause })
    this.line = line
  }
}

export interface Failure {
  readonly exitCode: ExitCode
  readonly code: string
  readonly message: string
  /** Where in the input. */
  readonly line?: number
  /** Of the entries of which it is not known whether they were kept: to repeat them with. */
  readonly ids?: readonly string[]
}

/** Besides the library's codes there are `ERR_USAGE`, the system's own (`ENOENT`, …), and `ERR_UNEXPECTED`. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof LineError) {
    return { ...describeFailure(error.cause), message: error.message, line: error.line }
  }
  if (error instanceof UsageError) return { exitCode: USAGE, code: 'ERR_USAGE', message: error.message }
  if (error instanceof OutcomeUnknownError) {
    return { exitCode: EXIT_CODES[error.code], code: error.code, message: error.message, ids: error.ids }
  }
  if (isIndelibleError(error)) return { exitCode: EXIT_CODES[error.code], code: error.code, message: error.message }
  const { code, syscall, path, message } = error as NodeJS.ErrnoException
  if (typeof code === 'string' && typeof syscall === 'string') {
    // "ENOENT: no such file or directory, open '…'"
    const reason = /^[A-Z0-9]+: ([^,]+)/.exec(message)?.[1] ?? message
    return {
      exitCode: COULD_NOT_TELL,
      code,
      message: path === undefined ? `${syscall}: ${reason}` : `${path}: ${reason}`,
    }
  }
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const help = `This is a bug of indelible ${VERSION}: please report it, with the command and what it prints under DEBUG=1.`
  return { exitCode: COULD_NOT_TELL, code: 'ERR_UNEXPECTED', message: `unexpected ${what}. ${help}` }
}
