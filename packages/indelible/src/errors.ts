/**
 * Every stable code. A code keeps its meaning within a major version; messages may change. `docs/errors.md` says for each
 * what to do, and a test keeps that page complete.
 */
export const ERROR_CODES = [
  'ERR_ACTION_DENIED',
  'ERR_ANCHOR_FAILED',
  'ERR_ANCHOR_REFUSED',
  'ERR_APPROVAL_CHANGED',
  'ERR_APPROVAL_CONCLUDED',
  'ERR_APPROVAL_EXPIRED',
  'ERR_APPROVAL_NOT_FOUND',
  'ERR_APPROVAL_REFUSED',
  'ERR_CAPTURE_BLOCKED',
  'ERR_CAPTURE_UNSUPPORTED',
  'ERR_CHECKPOINT_INVALID',
  'ERR_CLOCK_AHEAD',
  'ERR_CLOSED',
  'ERR_CONFIG_INVALID',
  'ERR_COPY_UNFINISHED',
  'ERR_DATASET_CHANGED',
  'ERR_DATASET_INVALID',
  'ERR_DECISION_INVALID',
  'ERR_DISCLOSURE_INVALID',
  'ERR_DRIVER_MISSING',
  'ERR_ENTRY_INVALID',
  'ERR_ENTRY_NOT_FOUND',
  'ERR_ENTRY_TOO_LARGE',
  'ERR_ERASURE_INVALID',
  'ERR_ERASURE_UNAPPROVED',
  'ERR_EVENT_INVALID',
  'ERR_EXPORT_INVALID',
  'ERR_EXPORT_TOO_LARGE',
  'ERR_FILTER_INVALID',
  'ERR_FIPS_UNAVAILABLE',
  'ERR_HEAD_FORGED',
  'ERR_HELD',
  'ERR_HOLD_INVALID',
  'ERR_HOLD_NOT_FOUND',
  'ERR_HOME_COPIED',
  'ERR_HOME_EXISTS',
  'ERR_HOME_NOT_FOUND',
  'ERR_IDENTITY_INVALID',
  'ERR_IDENTITY_REVOKED',
  'ERR_IDENTITY_UNKNOWN',
  'ERR_ID_CONFLICT',
  'ERR_IMPORT_BROKEN',
  'ERR_IMPORT_CHANGED',
  'ERR_IMPORT_FORMAT',
  'ERR_IMPORT_INVALID',
  'ERR_JSON_INVALID',
  'ERR_KEY_INVALID',
  'ERR_KEY_MISMATCH',
  'ERR_KEY_PERMISSIONS',
  'ERR_LINEAGE_NOT_FOUND',
  'ERR_NOTE_INVALID',
  'ERR_NOTE_UNVERIFIED',
  'ERR_NOTHING_TO_ERASE',
  'ERR_OUTCOME_UNKNOWN',
  'ERR_OVERLOADED',
  'ERR_PIN_CONFLICT',
  'ERR_POLICY_INVALID',
  'ERR_PROOF_INVALID',
  'ERR_PURGE_TOO_LARGE',
  'ERR_PURGE_UNAPPROVED',
  'ERR_PURGE_UNVOUCHED',
  'ERR_RETENTION_CLOCK',
  'ERR_ROLLED_BACK',
  'ERR_SERVER_REFUSED',
  'ERR_SERVER_UNREACHABLE',
  'ERR_SIGNATURE_INVALID',
  'ERR_SPLIT_VIEW',
  'ERR_STORE_BUSY',
  'ERR_STORE_CONFLICT',
  'ERR_STORE_CORRUPT',
  'ERR_STORE_DENIED',
  'ERR_STORE_FAILED',
  'ERR_STORE_FULL',
  'ERR_STORE_MISSING',
  'ERR_STORE_READONLY',
  'ERR_STORE_UNREACHABLE',
  'ERR_STORE_VERSION',
  'ERR_TILE_INVALID',
  'ERR_VAULT_MISSING',
] as const

export type IndelibleErrorCode = (typeof ERROR_CODES)[number]

/**
 * Something a caller may want to handle. Misuse of the API is a plain `TypeError` or `RangeError` instead.
 * The message says what was found, what was expected and where; it never carries record contents or keys.
 */
export class IndelibleError extends Error {
  override readonly name: string = 'IndelibleError'
  readonly code: IndelibleErrorCode

  constructor(code: IndelibleErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * Signed notes, verbatim. Of equal size they convict alone; else `proof` shows the root of the older size that `newer`
 * implies, see `rootFromConsistency` of tree/proof.ts.
 */
export interface SplitView {
  readonly older: string
  readonly newer: string
  readonly proof: readonly Uint8Array[]
}

/** Two checkpoints that no one append-only log can have, with all that a third party needs to agree. */
export class SplitViewError extends IndelibleError {
  override readonly name = 'SplitViewError'
  readonly evidence: SplitView

  constructor(evidence: SplitView, message = 'log signed two checkpoints that are not consistent') {
    super('ERR_SPLIT_VIEW', message)
    this.evidence = evidence
  }
}

/** The store failed, and cannot say whether entries were kept. With their ids nobody records them twice. */
export class OutcomeUnknownError extends IndelibleError {
  override readonly name = 'OutcomeUnknownError'
  /**
   * Ids of the entries, in the order of the events; ids that the log made up are among them. Record the events again with
   * these: what was kept answers with its first receipt, or with `ERR_ID_CONFLICT` if the log had made the id up.
   */
  readonly ids: readonly string[]

  constructor(ids: readonly string[], options?: ErrorOptions) {
    const message = 'the store failed and cannot say whether the entries were kept: retry with the same ids'
    super('ERR_OUTCOME_UNKNOWN', message, options)
    this.ids = ids
  }
}

/** Whether `error` is an {@link IndelibleError}, of one of `codes` if any are given. */
export function isIndelibleError(error: unknown, ...codes: IndelibleErrorCode[]): error is IndelibleError {
  return error instanceof IndelibleError && (codes.length === 0 || codes.includes(error.code))
}
