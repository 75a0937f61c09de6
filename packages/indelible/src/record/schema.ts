/**
 * The record's schema: one source for validation, types and the published JSON Schemas.
 *
 * Two strictnesses on purpose: writers refuse members that they do not know, readers keep them (the hash covers them), so
 * that a log written by a newer version still verifies.
 */
import { z } from 'zod'
import { isId } from './id.ts'
import { isTime } from './time.ts'

/** `schema` of every entry that this version writes. */
export const ENTRY_SCHEMA = 'indelible/entry@1'

/** Longest string of a structured member, in UTF-16 code units. Longer text belongs into a part. */
export const MAX_STRING = 256

export const OUTCOMES = ['success', 'failure', 'denied', 'approved', 'rejected', 'pending', 'unknown'] as const
/** From strongest to weakest: could the action have happened without this record? */
export const ASSURANCES = ['enforced', 'observed', 'reported', 'imported'] as const
/** From least to most kept. */
export const MODES = ['none', 'fingerprint', 'keys', 'preview', 'full'] as const

const EVENT_TYPES = [
  'run.start',
  'run.end',
  'run.error',
  'run.abort',
  'llm.request',
  'llm.response',
  'llm.error',
  'tool.start',
  'tool.end',
  'tool.error',
  'approval.requested',
  'approval.viewed',
  'approval.decided',
  'approval.used',
  'approval.expired',
  'policy.evaluated',
  'guardrail.evaluated',
  'handoff',
  'dataset.registered',
  'dataset.attested',
  'train.start',
  'train.epoch',
  'train.checkpoint',
  'train.end',
  'eval.result',
  'model.registered',
  'model.promoted',
  'model.deployed',
  'model.retired',
  'inference',
  'decision.approval',
  'decision.waiver',
  'decision.attestation',
] as const

/** Types of the log's own life. They come from the log alone. */
export const AUDIT_TYPES = [
  'audit.opened',
  'audit.epoch.sealed',
  'audit.key.rotated',
  'audit.config.changed',
  'audit.read',
  'audit.exported',
  'audit.gap',
  'audit.recovered',
  'audit.purge.carried',
  'audit.purge.intent',
  'audit.purge.done',
  'audit.erased',
  'audit.hold.placed',
  'audit.hold.released',
  'audit.identity.added',
  'audit.identity.revoked',
  'audit.verified',
  'audit.directory',
] as const
export type AuditType = (typeof AUDIT_TYPES)[number]

const known = new Set<string>([...EVENT_TYPES, ...AUDIT_TYPES])
const OPEN_TYPE = /^(step|memory|http|x)\.[a-z0-9_]+(\.[a-z0-9_]+){0,5}$/
/** Whether entries may be of this type, `audit.*` included. */
export const isType = (type: string) => known.has(type) || (type.length <= 128 && OPEN_TYPE.test(type))

/** Whether an event may have this type; `audit.*` comes from the log alone. */
export const isAgentEventType = (type: string) => isType(type) && !type.startsWith('audit.')

/** Whether a producer's event can have a type like `pattern`, in which `*` stands for any text. */
export function couldBeType(pattern: string): boolean {
  const [first, ...rest] = pattern.split('*')
  if (rest.length === 0) return isType(pattern) && !pattern.startsWith('audit.')
  const like = new RegExp(
    `^${pattern
      .split('*')
      .map((piece) => piece.replace(/[^a-z0-9_]/g, '\\$&'))
      .join('[a-z0-9_.]*')}$`,
  )
  if (EVENT_TYPES.some((type) => like.test(type))) return true
  const isOpen = (prefix: string) => first!.startsWith(prefix) || prefix.startsWith(first!)
  return ['step.', 'memory.', 'http.', 'x.'].some(isOpen) && /^[a-z0-9_.*]+$/.test(pattern)
}

const wellFormed = (text: string) => text.isWellFormed()
const string = z.string().min(1).max(MAX_STRING).refine(wellFormed, 'a lone surrogate')
const amount = z.number().nonnegative().refine(isCarriable, 'an integer beyond 2^53-1')
const commitment = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'expected 43 characters of base64url')
const digest = z
  .string()
  .regex(/^(sha256|sha384|sha512|hmac-sha256):[0-9A-Za-z_-]{43,128}$/, 'expected algorithm:digest')
const time = z.string().refine(isTime, 'expected a time of the form YYYY-MM-DDTHH:MM:SS.mmmZ')
const ATTRIBUTE_KEY = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/
export const PART_NAME = /^[a-z][a-z0-9_.-]{0,63}$/

/** Whether an I-JSON number can be `value`, if it is finite. */
export function isCarriable(value: number): boolean {
  return !Number.isInteger(value) || Number.isSafeInteger(value)
}

export const attributeValue = z.union([
  z.string().max(MAX_STRING).refine(wellFormed),
  z.number().refine(isCarriable),
  z.boolean(),
  z.null(),
])
/** Most attributes of one record. */
export const MAX_ATTRIBUTES = 32
const attributes = z
  .record(z.string().regex(ATTRIBUTE_KEY), attributeValue)
  .refine((value) => Object.keys(value).length <= MAX_ATTRIBUTES, `more than ${MAX_ATTRIBUTES} attributes`)

/** Most amounts of `usage`. */
export const MAX_AMOUNTS = 16
/** Most persons that one event concerns. */
export const MAX_SUBJECTS = 64

export const isAttributeKey = (key: string) => ATTRIBUTE_KEY.test(key)

const actor = z.strictObject({
  type: z.enum(['agent', 'user', 'service', 'system']),
  id: string,
  name: string.optional(),
  version: string.optional(),
  on_behalf_of: string.optional(),
})

/** What a person decided, and who says so. The texts (rationale, statement, constraints, references) are parts. */
const decision = z.strictObject({
  /** Controls that a waiver sets aside. */
  controls: z.array(string).min(1).max(32).optional(),
  /** When it ends. */
  until: time.optional(),
  /** It was meant to have no end: never the lack of one. */
  open_ended: z.literal(true).optional(),
  /** Entry id of the waiver that this event relies on. */
  waiver: z.string().refine(isId, 'expected the id of an entry').optional(),
  /** What the signer says that the signature means: approval, review, responsibility, authorship (21 CFR 11.50). */
  meaning: string.optional(),
  /** Who may decide what is asked for, and how many of them must approve it. */
  approvers: z.array(string).min(1).max(32).optional(),
  quorum: z.number().int().min(1).max(32).optional(),
  /** How the person was recognised. */
  method: z.enum(['key', 'token']).optional(),
  /** Signature line over the statement of `record/statement.ts`. */
  signature: z.string().max(1024).optional(),
})

/** The members that an event and a record have in common, with fixed meaning. */
const shared = {
  type: z.string().refine(isType, 'unknown event type; docs/format.md lists them, and types of your own begin with x.'),
  actor,
  outcome: z.enum(OUTCOMES),
  tenant: string.optional(),
  session: string.optional(),
  run: z.strictObject({ id: string, parent: string.optional() }).optional(),
  call: string.optional(),
  tool: z
    .strictObject({ name: string, version: string.optional(), server: string.optional(), kind: string.optional() })
    .optional(),
  model: z
    .strictObject({
      provider: string.optional(),
      name: string,
      version: string.optional(),
      digest: digest.optional(),
      reasoning_effort: string.optional(),
    })
    .optional(),
  usage: z
    .record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), amount)
    .refine((value) => Object.keys(value).length <= MAX_AMOUNTS, `more than ${MAX_AMOUNTS} amounts`)
    .optional(),
  duration_ms: amount.optional(),
  error: z.strictObject({ type: string, code: string.optional() }).optional(),
  resource: z.strictObject({ type: string, id: string }).optional(),
  dataset: z.strictObject({ id: string, version: string.optional(), digest: digest.optional() }).optional(),
  deployment: z.strictObject({ id: string }).optional(),
  policy: z
    .strictObject({ id: string, version: string.optional(), decision: string, rule: string.optional() })
    .optional(),
  guardrail: z.strictObject({ name: string, stage: string.optional(), action: string }).optional(),
  modes: z.strictObject({ agent: string.optional(), access: string.optional(), phi: string.optional() }).optional(),
  subject_digest: digest.optional(),
  decision: decision.optional(),
  source: z.strictObject({ adapter: string.optional(), sdk: string.optional(), host: string.optional() }).optional(),
  trace: z
    .strictObject({
      trace_id: z.string().regex(/^[0-9a-f]{32}$/),
      span_id: z
        .string()
        .regex(/^[0-9a-f]{16}$/)
        .optional(),
    })
    .optional(),
}

const id = z.string().refine(isId, 'expected a UUIDv7 in lower case')

export const recordSchema = z.strictObject({
  schema: z.literal(ENTRY_SCHEMA),
  id,
  time,
  observed: time,
  assurance: z.enum(ASSURANCES),
  ...shared,
  attributes: attributes.optional(),
  parts: z.record(z.string().regex(PART_NAME), z.strictObject({ commit: commitment, mode: z.enum(MODES) })).optional(),
  /** What an `audit.*` entry states; its members are fixed per type in `docs/format.md`. */
  audit: z.record(z.string(), z.json()).optional(),
})

/**
 * One thing that happened, as it stands in the log.
 * The type is that of a writer: an entry that is read may have further members.
 */
export type AuditRecord = z.infer<typeof recordSchema>

/** A part as handed in: a value that the privacy policy has yet to judge, or the outcome of a client's own policy. */
export const partInput = z.union([
  z.strictObject({ value: z.unknown() }),
  z.strictObject({ disclosure: z.string(), mode: z.enum(MODES) }),
])

export const eventSchema = z.strictObject({
  ...shared,
  id: id.optional(),
  time: z.string().optional(),
  outcome: shared.outcome.optional(),
  /** How a person was recognised, and what they signed, is for the one to say who recognised them. */
  decision: decision.omit({ method: true, signature: true }).optional(),
  assurance: z.enum(ASSURANCES).optional(),
  error: z
    .strictObject({ type: string, code: string.optional(), message: z.unknown(), stack: z.unknown() })
    .partial({ message: true, stack: true, code: true })
    .optional(),
  policy: shared.policy.unwrap().extend({ reason: z.unknown().optional() }).optional(),
  guardrail: shared.guardrail.unwrap().extend({ detail: z.unknown().optional() }).optional(),
  attributes: z.record(z.string(), z.unknown()).optional(),
  parts: z.record(z.string().regex(PART_NAME, 'expected a part name such as output'), partInput).optional(),
  subjects: z.array(string).max(MAX_SUBJECTS).optional(),
})

/**
 * What a caller hands in: a record without `schema`, `observed` and commitments. Parts are `{value}`; texts in
 * `error.message`, `error.stack`, `policy.reason` and `guardrail.detail` become parts.
 */
export type AgentEvent = z.input<typeof eventSchema>

/** The published JSON Schemas (2020-12), by file name. Patterns that JSON Schema cannot say are in `docs/format.md`. */
export function jsonSchemas(): Record<string, unknown> {
  const options = { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' } as const
  return {
    'entry.schema.json': { $id: 'indelible/entry@1', title: 'Entry', ...z.toJSONSchema(recordSchema, options) },
    'event.schema.json': { $id: 'indelible/event@1', title: 'AgentEvent', ...z.toJSONSchema(eventSchema, options) },
  }
}
