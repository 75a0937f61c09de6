/** Governance decisions: what people approve, waive and attest, recorded with who says so and for how long. */
import { z } from 'zod'
import { IndelibleError } from '../errors.ts'
import type { Receipt, RecordOptions } from '../log/log.ts'
import type { SyncNoteSigner } from '../note/signed-note.ts'
import { once } from '../once.ts'
import type { AgentEvent } from '../record/schema.ts'
import { normalizeTime } from '../record/time.ts'

/** What takes decisions: a log, or a client of one. */
export interface DecisionSink {
  record(event: AgentEvent, options?: RecordOptions): Promise<Receipt>
}

const MISSING = 'missing or blank'

/** A text that says something. */
export function requiredText(max: number): z.ZodString {
  return z
    .string(MISSING)
    .max(max)
    .refine((given) => given.trim() !== '', MISSING)
}

/** What the schemas share. Made when one is asked for: whoever only records runs needs none of them. */
const members = once(() => {
  const said = requiredText(65_536)
  const name = requiredText(256)

  const scope = {
    /** Who decides: a name that the organisation knows, never invented. */
    owner: name,
    modelId: name.optional(),
    modelVersion: name.optional(),
    deploymentId: name.optional(),
    datasetId: name.optional(),
    datasetVersion: name.optional(),
    runId: name.optional(),
    tenant: name.optional(),
    /** Digest of what was decided, such as `sha256:…` of a model's weights. */
    subjectDigest: z
      .string()
      .regex(/^(sha256|sha384|sha512|hmac-sha256):[0-9A-Za-z_-]{43,128}$/)
      .optional(),
    references: z.array(z.unknown()).max(256).optional(),
    /** What the signature means. Default says what kind of decision it is. */
    meaning: name.optional(),
    /** Name as printed beside a signature (21 CFR 11.50). */
    printedName: name.optional(),
    id: z.string().optional(),
  }

  const bounded = { timeBoundUntil: z.string().optional() }
  return { said, name, scope, bounded }
})

export const approvalInput = once(() => {
  const { bounded, said, scope } = members()
  return z.strictObject({
    ...scope,
    ...bounded,
    rationale: said,
    constraints: z.unknown().optional(),
    decision: z.enum(['approved', 'rejected']).default('approved'),
  })
})
export const waiverInput = once(() => {
  const { bounded, name, said, scope } = members()
  return z.strictObject({
    ...scope,
    ...bounded,
    rationale: said,
    waivedControls: z.array(name).min(1).max(32),
    constraints: z.unknown().optional(),
    /** Says on purpose that it has no end. */
    noEnd: z.literal(true).optional(),
  })
})
export const attestationInput = once(() => {
  const { bounded, said, scope } = members()
  return z.strictObject({
    ...scope,
    ...bounded,
    statement: said,
    constraints: z.unknown().optional(),
  })
})
export type ApprovalInput = z.input<ReturnType<typeof approvalInput>>
export type WaiverInput = z.input<ReturnType<typeof waiverInput>>
export type AttestationInput = z.input<ReturnType<typeof attestationInput>>

export interface DecisionOptions {
  /** The owner's own key: signs name, time, meaning and the digest of what was decided. Its name must be the owner's. */
  readonly signer?: SyncNoteSigner
}

/**
 * Records that somebody approved, or rejected, a model, deployment, dataset or run.
 * @throws IndelibleError `ERR_DECISION_INVALID` naming the member, and as `Log.record`; nothing was written
 */
export function recordApproval(log: DecisionSink, input: ApprovalInput, options?: DecisionOptions): Promise<Receipt> {
  const parsed = parseInput(approvalInput(), input)
  const { rationale, decision } = parsed
  return recordDecision(log, 'decision.approval', { ...parsed, outcome: decision }, { rationale }, options)
}

/**
 * Records that somebody sets controls aside, until a time; or, said on purpose, for good.
 * @throws IndelibleError `ERR_DECISION_INVALID`, and as `Log.record`; nothing was written
 */
export function recordWaiver(log: DecisionSink, input: WaiverInput, options?: DecisionOptions): Promise<Receipt> {
  const parsed = parseInput(waiverInput(), input)
  const { rationale, timeBoundUntil, noEnd } = parsed
  if (timeBoundUntil === undefined && !noEnd) throw invalid('a waiver ends: give the time, or say that it has no end')
  if (timeBoundUntil !== undefined && noEnd) throw invalid('the waiver has an end, and is said to have none')
  return recordDecision(log, 'decision.waiver', { ...parsed, outcome: 'approved' }, { rationale }, options)
}

/**
 * Records what somebody vouches for.
 * @throws IndelibleError `ERR_DECISION_INVALID`, and as `Log.record`; nothing was written
 */
export function recordAttestation(
  log: DecisionSink,
  input: AttestationInput,
  options?: DecisionOptions,
): Promise<Receipt> {
  const parsed = parseInput(attestationInput(), input)
  const { statement } = parsed
  return recordDecision(log, 'decision.attestation', { ...parsed, outcome: 'success' }, { statement }, options)
}

const MEANINGS = {
  'decision.approval': 'approval',
  'decision.waiver': 'acceptance of risk',
  'decision.attestation': 'attestation',
} as const

interface Decided extends Partial<z.output<ReturnType<typeof waiverInput>>> {
  readonly owner: string
  readonly outcome: 'approved' | 'rejected' | 'success'
}

function recordDecision(
  log: DecisionSink,
  type: keyof typeof MEANINGS,
  input: Decided,
  texts: Readonly<Record<string, string>>,
  { signer }: DecisionOptions = {},
): Promise<Receipt> {
  const { owner, modelId, deploymentId, datasetId, datasetVersion, runId } = input
  if (signer && signer.key.name !== owner) throw invalid('the key is not that of the owner')
  const until = input.timeBoundUntil === undefined ? undefined : timeOf(input.timeBoundUntil)
  const parts: Record<string, unknown> = { ...texts }
  if (input.constraints !== undefined) parts.constraints = input.constraints
  if (input.references !== undefined) parts.references = input.references
  if (input.printedName !== undefined) parts.printed_name = input.printedName
  const event: AgentEvent = {
    type,
    actor: { type: 'user', id: owner },
    outcome: input.outcome,
    ...(input.id !== undefined && { id: input.id }),
    ...(input.tenant !== undefined && { tenant: input.tenant }),
    ...(modelId !== undefined && {
      model: { name: modelId, ...(input.modelVersion && { version: input.modelVersion }) },
    }),
    ...(deploymentId !== undefined && { deployment: { id: deploymentId } }),
    ...(datasetId !== undefined && { dataset: { id: datasetId, ...(datasetVersion && { version: datasetVersion }) } }),
    ...(runId !== undefined && { run: { id: runId } }),
    ...(input.subjectDigest !== undefined && { subject_digest: input.subjectDigest }),
    decision: {
      meaning: input.meaning ?? MEANINGS[type],
      ...(input.waivedControls && { controls: input.waivedControls }),
      ...(until !== undefined && { until }),
      ...(input.noEnd && { open_ended: true as const }),
    },
    parts: Object.fromEntries(Object.entries(parts).map(([key, value]) => [key, { value }])),
  }
  return log.record(event, signer ? { sign: signer } : {})
}

/** A date alone ends with its last moment, in UTC: a waiver until the 3rd holds on the 3rd. */
function timeOf(text: string): string {
  const time = normalizeTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:59.999Z` : text)
  if (time === null) throw invalid('time_bound_until: expected a date, or a time such as 2026-11-21T09:00:00Z')
  return time
}

/** @throws IndelibleError `ERR_DECISION_INVALID` with path and expectation, never what was given */
export function parseInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  // The path and what was expected: a message of zod's own could quote what was given.
  const where = issue!.path.map(String).join('.')
  const what =
    issue!.code === 'unrecognized_keys' ? `unknown member ${issue!.keys.join(', ')}` : `${where}: ${issue!.message}`
  throw invalid(what)
}

function invalid(message: string): IndelibleError {
  return new IndelibleError('ERR_DECISION_INVALID', message)
}
