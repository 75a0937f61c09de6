/** A run as one JSON document, with the proof that the entries it was made from are in the log. */
import { createHash } from 'node:crypto'
import { fromUtf8, toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { openCheckpoint } from '../note/checkpoint.ts'
import { parseVkey } from '../note/signed-note.ts'
import { parseDisclosure } from '../record/disclosure.ts'
import type { ReadRecord } from '../record/entry.ts'
import { ENTRY_SCHEMA } from '../record/schema.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, proveInclusion } from '../tree/proof.ts'
import { VERSION } from '../version.ts'
import { ExportedEntries, type Exporter, type ExportSource, readDisclosure } from './exporter.ts'
import { pairActions } from './trace-actions.ts'
import { TRACE_FORMAT, type Trace, type TracePart } from './trace-schema.ts'
import { cachedNodeReader } from './tree-reader.ts'

/** A trace is one document, read and written whole. */
const MAX_ENTRIES = 100_000

/** An entry of the run, and its parts as far as a trace tells of them. */
export interface TraceEntry {
  readonly index: number
  readonly record: ReadRecord
  readonly parts: ReadonlyMap<string, TracePart>
}

export const trace: Exporter = {
  name: 'trace',
  extension: '.trace.json',
  async write(source, sink) {
    const { store, origin, vkey, run } = source
    if (run === undefined) throw new IndelibleError('ERR_EXPORT_INVALID', 'a trace is of one run: name it with --run')
    if (Object.keys(source.filter).some((key) => key !== 'run')) {
      throw new IndelibleError('ERR_EXPORT_INVALID', 'a trace is of a whole run: it takes no other filter')
    }
    const head = await store.head()
    if (!head) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', 'log has no entries')
    const { checkpoint } = openCheckpoint(head.checkpoint, { origin, keys: [parseVkey(vkey)] })
    const { size, root } = checkpoint

    const found = new ExportedEntries(source, size)
    const read = cachedNodeReader(store, size)
    const entries: TraceEntry[] = []
    const proofs: Trace['proof']['entries'] = []
    for await (const { index, entry, record, disclosures } of found) {
      if (entries.length >= MAX_ENTRIES) {
        const message = `run has over ${MAX_ENTRIES} entries: export it as evidence or jsonl`
        throw new IndelibleError('ERR_EXPORT_TOO_LARGE', message)
      }
      const proof = await proveInclusion(index, size, read)
      checkInclusion({ leaf: leafHash(entry), index, size, root, proof })
      proofs.push({ index, hashes: proof.map(toBase64), entry: fromUtf8(entry) })
      entries.push({ index, record, parts: await traceParts(source, index, record, disclosures) })
    }
    if (entries.length === 0) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', 'log has no entry of that run')
    const document = describeRun(origin, run, entries, { checkpoint: head.checkpoint, entries: proofs })
    await sink(`${JSON.stringify(document, null, 2)}\n`)
    return found.summary(size)
  },
}

async function traceParts(
  source: ExportSource,
  index: number,
  record: ReadRecord,
  disclosures: ReadonlyMap<string, string | null>,
): Promise<ReadonlyMap<string, TracePart>> {
  const parts = new Map<string, TracePart>()
  for (const [name, { commit, mode }] of Object.entries(record.parts ?? {})) {
    const asked = disclosures.get(name)
    const disclosure = asked === undefined ? await readDisclosure(source, index, record, name) : asked
    const meta = disclosure === null ? {} : parseDisclosure(disclosure).meta
    parts.set(name, {
      index,
      name,
      mode,
      commit,
      state: disclosure === null ? 'gone' : 'available',
      fingerprint: typeof meta.fingerprint === 'string' ? meta.fingerprint : null,
      bytes: typeof meta.bytes === 'number' ? meta.bytes : null,
      ...(asked && { disclosure: asked }),
    })
  }
  return parts
}

const ENDS = new Set(['run.end', 'run.error', 'run.abort'])

function describeRun(origin: string, run: string, entries: readonly TraceEntry[], proof: Trace['proof']): Trace {
  const records = entries.map(({ record }) => record)
  const first = <T>(pick: (record: ReadRecord) => T | undefined): T | null => {
    for (const record of records) {
      const value = pick(record)
      if (value !== undefined && value !== null) return value
    }
    return null
  }
  const times = records.map(({ time }) => time).sort()
  const [start, end] = [times[0]!, times.at(-1)!]
  const ended = records.findLast(({ type }) => ENDS.has(type))
  const actions = pairActions(entries)
  const agent = first(({ actor }) => (actor.type === 'agent' ? actor : undefined))
  const model = first((record) => record.model)
  const host = first(({ source }) => source?.host)
  const models = new Set(records.flatMap(({ model }) => (model ? [model.name] : [])))
  return {
    format: TRACE_FORMAT,
    versions: {
      software: `indelible/${VERSION}`,
      entry: ENTRY_SCHEMA,
      agent: agent?.version ?? null,
      model: model?.version ?? null,
      sdk: first(({ source }) => source?.sdk),
    },
    origin,
    run: {
      id: run,
      parent: first((record) => record.run?.parent),
      session: first(({ session }) => session),
      tenant: first(({ tenant }) => tenant),
    },
    trace_id: first((record) => record.trace?.trace_id),
    status: ended?.outcome ?? null,
    complete: ended !== undefined && records.some(({ type }) => type === 'run.start'),
    time: {
      start,
      end,
      duration_ms: ended?.duration_ms ?? Date.parse(end) - Date.parse(start),
      first_observed: records[0]!.observed,
      last_observed: records.at(-1)!.observed,
    },
    host: host === null ? null : { fingerprint: fingerprintOf(host) },
    agent: agent && {
      id: agent.id,
      name: agent.name ?? null,
      version: agent.version ?? null,
      on_behalf_of: agent.on_behalf_of ?? null,
    },
    modes: {
      agent: first(({ modes }) => modes?.agent),
      access: first(({ modes }) => modes?.access),
      phi: first(({ modes }) => modes?.phi),
    },
    model: model && {
      provider: model.provider ?? null,
      name: model.name,
      version: model.version ?? null,
      reasoning_effort: first((record) => record.model?.reasoning_effort),
    },
    models: [...models],
    prompt: promptOf(entries),
    actions,
    usage: { ...sumUsage(actions), ...ended?.usage },
    summary: {
      entries: entries.length,
      actions: actions.length,
      tools: actions.filter(({ kind }) => kind === 'tool').length,
      model_calls: actions.filter(({ kind }) => kind === 'llm').length,
      errors: records.filter(({ type }) => type.endsWith('.error')).length,
      denied: records.filter(({ outcome }) => outcome === 'denied').length,
      handoffs: actions.filter(({ kind }) => kind === 'handoff').length,
      unfinished: actions.filter(({ start_index, end_index }) => start_index !== null && end_index === null).length,
      iterations: iterationsOf(ended),
    },
    proof,
  }
}

/** The part `prompt` where there is one, else what went into the run or its first model call. */
function promptOf(entries: readonly TraceEntry[]): TracePart | null {
  for (const { parts } of entries) {
    const prompt = parts.get('prompt')
    if (prompt) return prompt
  }
  const opening = entries.find(
    ({ record, parts }) => (record.type === 'run.start' || record.type === 'llm.request') && parts.has('input'),
  )
  return opening?.parts.get('input') ?? null
}

function iterationsOf(ended: ReadRecord | undefined): number | null {
  const iterations = ended?.attributes?.iterations
  return typeof iterations === 'number' ? iterations : null
}

function sumUsage(actions: Trace['actions']): Record<string, number> {
  const sums = new Map<string, number>()
  for (const { usage } of actions) {
    for (const [name, amount] of Object.entries(usage ?? {})) sums.set(name, (sums.get(name) ?? 0) + amount)
  }
  return Object.fromEntries(sums)
}

/** A digest stays one; a name becomes one, so that traces can be compared by host without naming it. */
function fingerprintOf(host: string): string {
  if (/^[a-z0-9-]+:[0-9A-Za-z_-]{43,}$/.test(host)) return host
  return `sha256:${createHash('sha256').update(host).digest('base64url')}`
}
