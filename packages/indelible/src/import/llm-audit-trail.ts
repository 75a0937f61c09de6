/**
 * Ledgers of `llm-audit-trail`, JSON Lines, of both generations: 0.1.0 of October 2025, and that with `seq` and `hash_alg` (schema
 * 0.2.0, which PyPI also calls 0.1.0). A ledger becomes one run, so that what came out of verifying its chain has a place: the
 * `run.start`.
 *
 * Whatever people or programs wrote into `details` goes to a part. Numbers of the training life cycle are attributes as well.
 */
import type { AgentEvent } from '../record/schema.ts'
import { attempt, type ImportedEvent, type Importer, type ImportSource, readRecords } from './importer.ts'
import { verifyLlmAuditTrail } from './llm-audit-trail-chain.ts'
import { parsePython, plainOf } from './python-json.ts'
import {
  asAmount,
  asLabel,
  asName,
  asTime,
  compact,
  isMembers,
  Malformed,
  type Members,
  othersOf,
  partsOf,
} from './values.ts'

/** What an event of `llm-audit-trail` is to us. */
export interface LlmAuditTrailMapping {
  readonly type: AgentEvent['type']
  readonly outcome: NonNullable<AgentEvent['outcome']>
  /** What its `actor` is: a person who answers for a decision, or a program. */
  readonly actor: 'user' | 'service'
}

/** Event names of `llm-audit-trail`. Any other becomes `x.llm_audit_trail.<name>`: names are free there. */
export const LLM_AUDIT_TRAIL_EVENTS: Readonly<Record<string, LlmAuditTrailMapping>> = {
  Approval: { type: 'decision.approval', outcome: 'approved', actor: 'user' },
  RiskWaiver: { type: 'decision.waiver', outcome: 'approved', actor: 'user' },
  Attestation: { type: 'decision.attestation', outcome: 'success', actor: 'user' },
  DatasetRegistered: { type: 'dataset.registered', outcome: 'success', actor: 'user' },
  DatasetAttestation: { type: 'dataset.attested', outcome: 'success', actor: 'user' },
  FineTuneStart: { type: 'train.start', outcome: 'pending', actor: 'service' },
  EpochEnd: { type: 'train.epoch', outcome: 'success', actor: 'service' },
  Evaluation: { type: 'eval.result', outcome: 'success', actor: 'service' },
  Checkpoint: { type: 'train.checkpoint', outcome: 'success', actor: 'service' },
  FineTuneEnd: { type: 'train.end', outcome: 'success', actor: 'service' },
  InferenceRequest: { type: 'inference', outcome: 'pending', actor: 'service' },
  InferenceResponse: { type: 'inference', outcome: 'success', actor: 'service' },
}

/** The mapping for any event name. */
export function mappingOf(eventType: string): LlmAuditTrailMapping {
  if (Object.hasOwn(LLM_AUDIT_TRAIL_EVENTS, eventType)) return LLM_AUDIT_TRAIL_EVENTS[eventType]!
  return { type: `x.llm_audit_trail.${asLabel(eventType)}`, outcome: 'unknown', actor: 'service' }
}

/** Name under which the package itself acts, where a record names nobody. */
const SERVICE = 'llm-audit-trail'

/**
 * One record of the package as an event, its chain left out.
 * @throws Malformed
 */
export function fromLlmAuditTrail(record: Members): AgentEvent {
  const { event_type: eventType, timestamp, actor, system, model_id, dataset_id, deployment_id, details } = record
  if (typeof eventType !== 'string' || eventType === '') throw new Malformed('event_type: expected a name')
  const mapping = mappingOf(eventType)
  const facts = isMembers(details) ? details : {}
  const name = asName(actor)
  // Text that does not fit a structured member goes to a part, like members that no generation has.
  const scope = { actor, system, model_id, dataset_id, deployment_id }
  const unfit = Object.entries(scope).filter(([, value]) => value !== null && value !== undefined && !asName(value))
  return compact({
    type: mapping.type,
    actor: name === undefined ? { type: 'service', id: asName(system) ?? SERVICE } : { type: mapping.actor, id: name },
    time: asTime(timestamp, 'timestamp'),
    outcome: outcomeOf(mapping, facts),
    model: asName(model_id) && { name: asName(model_id)! },
    dataset: asName(dataset_id) && compact({ id: asName(dataset_id)!, ...versionOf(mapping, facts) }),
    deployment: asName(deployment_id) && { id: asName(deployment_id)! },
    call: asName(facts.request_id),
    duration_ms: asAmount(facts.latency_ms),
    attributes: {
      event_type: eventType,
      system: asName(system),
      phase: { InferenceRequest: 'request', InferenceResponse: 'response' }[eventType],
      time_bound_until: dateOf(facts.time_bound_until),
      ...numbersOf(mapping, facts),
    },
    ...partsOf({
      details,
      scope: unfit.length > 0 ? Object.fromEntries(unfit) : undefined,
      record: othersOf(record, KNOWN),
    }),
  }) as AgentEvent
}

const KNOWN = new Set([
  ...['schema_version', 'event_id', 'timestamp', 'event_type', 'actor', 'system', 'details'],
  ...['model_id', 'dataset_id', 'deployment_id', 'seq', 'hash_alg', 'prev_hash', 'curr_hash'],
])

function outcomeOf(
  { type, outcome }: LlmAuditTrailMapping,
  { decision, status_code: status }: Members,
): AgentEvent['outcome'] {
  if (type === 'inference' && typeof status === 'number') return status < 400 ? 'success' : 'failure'
  return decision === 'rejected' || decision === 'denied' ? 'rejected' : outcome
}

/** A date, and no remark beside it: attributes are kept whatever the privacy policy says. */
function dateOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\d([Tt ][0-9:.+-]{5,20}[Zz]?)?$/.test(value) ? value : undefined
}

function versionOf({ type }: LlmAuditTrailMapping, { version, content_hash: hash }: Members): Members {
  if (type !== 'dataset.registered') return {}
  const isDigest = typeof hash === 'string' && /^sha(256|384|512):[0-9A-Za-z_-]{43,128}$/.test(hash)
  return { version: asName(version), digest: isDigest ? hash : undefined }
}

/** Of training and evaluation: measurements, which say nothing of persons. */
function numbersOf({ type }: LlmAuditTrailMapping, facts: Members): Members {
  if (!type.startsWith('train.') && type !== 'eval.result') return {}
  return Object.fromEntries(
    Object.entries(facts).filter(([, value]) => typeof value === 'number' && Number.isFinite(value)),
  )
}

async function* events(source: ImportSource): AsyncGenerator<ImportedEvent, void> {
  const run = { id: `${SERVICE}-${source.sha256.slice(0, 16)}` }
  const service = { type: 'service', id: SERVICE } as const
  let time: string | undefined
  let records = 0
  for await (const { line, value } of readRecords(source, (text) => plainOf(parsePython(text)))) {
    const event = attempt(source, { line }, () => fromLlmAuditTrail(value))
    if (event === null) continue
    const { event_id, seq, curr_hash } = value
    const chained = { source_id: asName(event_id), source_seq: asAmount(seq), source_hash: asName(curr_hash) }
    time = event.time ?? time
    if (records++ === 0) yield chainStart(source, compact({ run, actor: service, time }))
    yield { line, event: { ...event, run, attributes: { ...chained, ...event.attributes } } }
  }
  if (records === 0) return
  yield { at: 'end', event: compact({ type: 'run.end', run, actor: service, time, attributes: { records } }) }
}

/** Says what came out of verifying the chain. Another finding (say, with a key) is another statement, with an id of its own. */
function chainStart({ chain }: ImportSource, frame: Pick<AgentEvent, 'run' | 'actor' | 'time'>): ImportedEvent {
  const attributes = Object.fromEntries(Object.entries(chain ?? {}).map(([name, value]) => [`chain_${name}`, value]))
  const outcome = chain?.verified ? 'success' : 'failure'
  return { at: `start:${JSON.stringify(chain)}`, event: { ...frame, type: 'run.start', outcome, attributes } }
}

export const llmAuditTrail: Importer = {
  name: 'llm-audit-trail',
  describe: 'ledgers of llm-audit-trail, both generations; their hash chain is verified first (key: $AUDIT_HMAC_KEY)',
  events,
  verifyChain: verifyLlmAuditTrail,
}
