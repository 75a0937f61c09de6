/** A run as one JSON document (`indelible/trace@1`), and its JSON Schema. */
import { z } from 'zod'

export const TRACE_FORMAT = 'indelible/trace@1'

const text = z.string()
const index = z.number().int().nonnegative()
const amount = z.number()
const hash = z.string().describe('SHA-256, base64')

const part = z
  .object({
    index: index.describe('entry that commits to it'),
    name: text,
    mode: text.describe('how much of the value the log keeps'),
    commit: text,
    state: z.enum(['available', 'gone']).describe('gone: the log no longer has the disclosure, it was erased'),
    fingerprint: text
      .nullable()
      .describe('keyed digest of the value; the exporter’s word unless `disclosure` is given'),
    bytes: amount.nullable(),
    disclosure: text.optional().describe('verbatim, if asked for: its SHA-256 is the commitment'),
  })
  .describe('a part of an entry: what went in or came out')

const action = z
  .object({
    kind: z.enum(['tool', 'llm', 'policy', 'guardrail', 'approval', 'handoff', 'memory', 'step', 'other']),
    type: text.describe('event type of its first entry'),
    name: text.nullable(),
    call: text.nullable(),
    start_index: index.nullable().describe('null: the log has its end only'),
    end_index: index.nullable().describe('null: it never ended'),
    time: text,
    status: text,
    assurance: text,
    latency_ms: amount.nullable(),
    by: text.nullable().describe('the person who decided, of an approval'),
    decision: text.nullable(),
    input: part.nullable(),
    output: part.nullable(),
    error: z.object({ type: text, code: text.nullable(), detail: part.nullable() }).nullable(),
    usage: z.record(z.string(), amount).nullable(),
  })
  .describe('something the agent did, or was not allowed to do')

export const traceSchema = z.object({
  format: z.literal(TRACE_FORMAT),
  versions: z.object({
    software: text,
    entry: text,
    agent: text.nullable(),
    model: text.nullable(),
    sdk: text.nullable(),
  }),
  origin: text,
  run: z.object({ id: text, parent: text.nullable(), session: text.nullable(), tenant: text.nullable() }),
  trace_id: text.nullable().describe('W3C Trace Context, where the run was part of one'),
  status: text.nullable().describe('outcome of its last run.end, run.error or run.abort; null: it never ended'),
  complete: z.boolean().describe('whether the log has its beginning and its end'),
  time: z.object({ start: text, end: text, duration_ms: amount, first_observed: text, last_observed: text }),
  host: z.object({ fingerprint: text }).nullable(),
  agent: z
    .object({ id: text, name: text.nullable(), version: text.nullable(), on_behalf_of: text.nullable() })
    .nullable(),
  modes: z.object({ agent: text.nullable(), access: text.nullable(), phi: text.nullable() }),
  model: z
    .object({ provider: text.nullable(), name: text, version: text.nullable(), reasoning_effort: text.nullable() })
    .nullable(),
  models: z.array(text).describe('every model that the run’s entries name'),
  prompt: part.nullable(),
  actions: z.array(action),
  usage: z.record(z.string(), amount).describe('sums over the actions, or over the run’s end where that has its own'),
  summary: z.object({
    entries: index,
    actions: index,
    tools: index,
    model_calls: index,
    errors: index,
    denied: index,
    handoffs: index,
    unfinished: index,
    iterations: amount.nullable(),
  }),
  proof: z
    .object({
      checkpoint: text.describe('signed note; its origin, size and root are what every proof leads to'),
      entries: z.array(
        z.object({
          index,
          hashes: z.array(hash).describe('inclusion proof, the leaf’s sibling first'),
          entry: text.describe('the entry, byte for byte: what the trace says can be recomputed from these'),
        }),
      ),
    })
    .describe('that the entries this trace was made from are in the log; not that the run has no others'),
})
export type Trace = z.infer<typeof traceSchema>
export type TracePart = z.infer<typeof part>
export type TraceAction = z.infer<typeof action>

/** JSON Schema (2020-12) of a trace, as published in `schemas/trace.schema.json`. */
export function traceJsonSchema(): Record<string, unknown> {
  return {
    $id: TRACE_FORMAT,
    title: 'Trace of a run',
    ...z.toJSONSchema(traceSchema, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' }),
  }
}
