/** Waivers as they stand: open, open-ended, expiring, expired; and what was done under them after they had ended. */
import type { QueryEngine } from '../query/query.ts'
import type { ReadRecord } from '../record/entry.ts'
import { parseTime } from '../record/time.ts'

export type WaiverState = 'open' | 'open_ended' | 'expiring' | 'expired'

export interface WaiverUse {
  readonly index: number
  readonly time: string
  readonly type: string
  /** Whether the entry names the waiver, or only falls under its scope. */
  readonly cites: boolean
}

export interface Waiver {
  readonly index: number
  readonly id: string
  readonly owner: string
  readonly controls: readonly string[]
  readonly scope: Readonly<Record<string, string>>
  readonly until: string | null
  readonly state: WaiverState
  readonly uses_after_expiry: number
  /** The first of them. */
  readonly first_uses_after_expiry: readonly WaiverUse[]
}

export interface WaiverOptions {
  /** Default now. */
  readonly atMs?: number
  /** From how long before its end a waiver counts as expiring, ms. Default 14 days. */
  readonly soonMs?: number
}

const DAY_MS = 86_400_000
const MAX_USES_LISTED = 10

/** What is done with a model, a deployment or a dataset: entries of these types within a waiver's scope are uses of it. */
const USES = ['run.start', 'inference', 'train.start', 'model.deployed', 'model.promoted', 'llm.request']

/**
 * Every waiver of the log, the one that ends first before the others.
 *
 * A use after expiry is an entry later than the end that names the waiver (`decision.waiver`); or one of its scope (same model,
 * deployment, dataset or run) for which no other waiver of all the same controls held at that time.
 */
export async function listWaivers(query: QueryEngine, options: WaiverOptions = {}): Promise<Waiver[]> {
  const { atMs = Date.now(), soonMs = 14 * DAY_MS } = options
  const drafts: Draft[] = []
  for await (const { index, record } of query.all({ type: 'decision.waiver' })) drafts.push(draftOf(index, record))
  const expired = drafts.filter(({ endMs }) => endMs <= atMs)
  if (expired.length > 0) await addUses(query, drafts, expired)
  const order = (draft: Draft) => draft.endMs
  return drafts.sort((a, b) => order(a) - order(b) || a.index - b.index).map((draft) => finish(draft, atMs, soonMs))
}

interface Draft {
  readonly index: number
  readonly record: ReadRecord
  readonly scope: Readonly<Record<string, string>>
  readonly startMs: number
  /** Infinity for one without end. */
  readonly endMs: number
  readonly uses: WaiverUse[]
  count: number
}

function draftOf(index: number, record: ReadRecord): Draft {
  const until = record.decision?.until
  return {
    index,
    record,
    scope: scopeOf(record),
    startMs: parseTime(record.time),
    endMs: until === undefined ? Number.POSITIVE_INFINITY : parseTime(until),
    uses: [],
    count: 0,
  }
}

async function addUses(query: QueryEngine, all: readonly Draft[], expired: readonly Draft[]): Promise<void> {
  const since = new Date(Math.min(...expired.map(({ endMs }) => endMs))).toISOString()
  const byId = new Map(expired.map((draft) => [draft.record.id, draft]))
  const add = (draft: Draft, index: number, { time, type }: ReadRecord, cites: boolean) => {
    draft.count++
    if (draft.uses.length < MAX_USES_LISTED) draft.uses.push({ index, time, type, cites })
  }
  for await (const { index, record } of query.all({ type: [...USES, 'policy.evaluated'], since })) {
    const atMs = parseTime(record.time)
    const cited = record.decision?.waiver
    if (cited !== undefined) {
      const draft = byId.get(cited)
      if (draft && atMs > draft.endMs) add(draft, index, record, true)
      continue
    }
    if (record.type === 'policy.evaluated') continue
    for (const draft of expired) {
      if (atMs <= draft.endMs || !isWithin(draft, record)) continue
      const isCovered = all.some((other) => other !== draft && covers(other, draft, record, atMs))
      if (!isCovered) add(draft, index, record, false)
    }
  }
}

function isWithin({ scope }: Draft, record: ReadRecord): boolean {
  const own = scopeOf(record)
  const keys = Object.keys(scope)
  return keys.length > 0 && keys.every((key) => own[key] === scope[key])
}

function covers(other: Draft, draft: Draft, record: ReadRecord, atMs: number): boolean {
  const controls = new Set(other.record.decision?.controls)
  return (
    other.startMs <= atMs &&
    atMs <= other.endMs &&
    isWithin(other, record) &&
    (draft.record.decision?.controls ?? []).every((control) => controls.has(control))
  )
}

function scopeOf({ model, deployment, dataset, run, tenant }: ReadRecord): Record<string, string> {
  return {
    ...(model && { model: model.name }),
    ...(deployment && { deployment: deployment.id }),
    ...(dataset && { dataset: dataset.id }),
    ...(run && { run: run.id }),
    ...(tenant !== undefined && { tenant }),
  }
}

function finish({ index, record, scope, endMs, uses, count }: Draft, atMs: number, soonMs: number): Waiver {
  const state =
    endMs === Number.POSITIVE_INFINITY
      ? 'open_ended'
      : endMs <= atMs
        ? 'expired'
        : endMs - atMs <= soonMs
          ? 'expiring'
          : 'open'
  return {
    index,
    id: record.id,
    owner: record.actor.id,
    controls: record.decision?.controls ?? [],
    scope,
    until: record.decision?.until ?? null,
    state,
    uses_after_expiry: count,
    first_uses_after_expiry: uses,
  }
}
