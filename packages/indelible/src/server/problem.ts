/** Refusals of the server, and what an error of the library is over HTTP: RFC 9457 problem details with our stable code. */
import { type IndelibleErrorCode, isIndelibleError, OutcomeUnknownError } from '../errors.ts'

/** A refusal that has a status. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem'
  readonly status: number
  readonly code: string
  readonly retryAfterSeconds: number | undefined
  /** Of the entries of which it is not known whether they were kept: see {@link OutcomeUnknownError}. */
  readonly ids: readonly (string | null)[] | undefined

  constructor(
    status: number,
    code: string,
    message: string,
    retryAfterSeconds?: number,
    ids?: readonly (string | null)[],
  ) {
    super(message)
    this.status = status
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
    this.ids = ids
  }
}

export interface ProblemBody {
  readonly type: 'about:blank'
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly request_id: string
  /** With `ERR_OUTCOME_UNKNOWN`: for each event of the request the id to repeat it with, `null` for one that was refused. */
  readonly ids?: readonly (string | null)[]
}

/** Those that are not the caller's fault and pass: 503 and `Retry-After`. */
const UNAVAILABLE: ReadonlySet<IndelibleErrorCode> = new Set([
  'ERR_OVERLOADED',
  'ERR_STORE_BUSY',
  'ERR_STORE_FULL',
  'ERR_STORE_READONLY',
  'ERR_STORE_FAILED',
  'ERR_STORE_MISSING',
  'ERR_STORE_CONFLICT',
  'ERR_STORE_DENIED',
  'ERR_STORE_UNREACHABLE',
  'ERR_OUTCOME_UNKNOWN',
  'ERR_CLOSED',
])

const STATUS: { readonly [code in IndelibleErrorCode]?: number } = {
  ERR_ENTRY_NOT_FOUND: 404,
  ERR_LINEAGE_NOT_FOUND: 404,
  ERR_HOLD_NOT_FOUND: 404,
  ERR_APPROVAL_NOT_FOUND: 404,
  ERR_ID_CONFLICT: 409,
  ERR_APPROVAL_CONCLUDED: 409,
  ERR_APPROVAL_CHANGED: 409,
  ERR_APPROVAL_EXPIRED: 409,
  ERR_HELD: 409,
  ERR_APPROVAL_REFUSED: 403,
  ERR_IDENTITY_REVOKED: 403,
  ERR_IDENTITY_UNKNOWN: 403,
  ERR_SIGNATURE_INVALID: 403,
  ERR_PURGE_UNAPPROVED: 403,
  ERR_ENTRY_TOO_LARGE: 413,
  ERR_EVENT_INVALID: 422,
  ERR_DECISION_INVALID: 422,
  ERR_DISCLOSURE_INVALID: 422,
  ERR_FILTER_INVALID: 400,
  ERR_JSON_INVALID: 400,
  ERR_CONFIG_INVALID: 422,
  ERR_ERASURE_INVALID: 422,
  ERR_ERASURE_UNAPPROVED: 403,
  ERR_NOTHING_TO_ERASE: 404,
  ERR_HOLD_INVALID: 422,
  ERR_IDENTITY_INVALID: 422,
  ERR_EXPORT_INVALID: 422,
  ERR_EXPORT_TOO_LARGE: 422,
  ERR_PURGE_UNVOUCHED: 409,
  ERR_PURGE_TOO_LARGE: 422,
  ERR_RETENTION_CLOCK: 409,
}

/** The problem that `error` is; `null` for one that is a bug of ours. */
export function problemOf(error: unknown): HttpProblem | null {
  if (error instanceof HttpProblem) return error
  if (!isIndelibleError(error)) return null
  if (error instanceof OutcomeUnknownError) return new HttpProblem(503, error.code, error.message, 1, error.ids)
  if (UNAVAILABLE.has(error.code)) return new HttpProblem(503, error.code, error.message, 1)
  const status = STATUS[error.code]
  return status === undefined
    ? new HttpProblem(500, error.code, error.message)
    : new HttpProblem(status, error.code, error.message)
}

/** The answer that says so. */
export interface ProblemAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

export function answerOf(problem: HttpProblem, requestId: string): ProblemAnswer {
  const { status, code, message: detail, retryAfterSeconds, ids } = problem
  const body: ProblemBody = { type: 'about:blank', status, code, detail, request_id: requestId, ...(ids && { ids }) }
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' }
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds)
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  return { status, headers, text: JSON.stringify(body) }
}
