/** What a run's entries add up to. Kept by indexes, and recomputed for entries that no index has seen. */
import type { ReadRecord } from '../record/entry.ts'
import type { RunSummary } from './query.ts'

/** Adds an entry to what is known of its run; `summary` is `null` for the first. */
export function addToRun(summary: RunSummary | null, index: number, record: ReadRecord): RunSummary {
  const { type, time, outcome, actor, model, run } = record
  const known = summary ?? {
    run: run!.id,
    parent: null,
    agent: null,
    model: null,
    start: time,
    end: time,
    first: index,
    last: index,
    entries: 0,
    tools: 0,
    errors: 0,
    denied: 0,
    outcome: null,
  }
  return {
    run: known.run,
    parent: known.parent ?? run?.parent ?? null,
    agent: known.agent ?? (actor.type === 'agent' ? actor.id : null),
    model: known.model ?? model?.name ?? null,
    start: earlierOf(time, known.start),
    end: laterOf(time, known.end),
    first: Math.min(known.first, index),
    last: Math.max(known.last, index),
    entries: known.entries + 1,
    tools: known.tools + (type === 'tool.start' ? 1 : 0),
    errors: known.errors + (type.endsWith('.error') ? 1 : 0),
    denied: known.denied + (outcome === 'denied' ? 1 : 0),
    outcome: type === 'run.end' || type === 'run.abort' || type === 'run.error' ? outcome : known.outcome,
  }
}

/** One summary of two stretches of the same run. */
export function mergeRuns(earlier: RunSummary, later: RunSummary): RunSummary {
  return {
    run: earlier.run,
    parent: earlier.parent ?? later.parent,
    agent: earlier.agent ?? later.agent,
    model: earlier.model ?? later.model,
    start: earlierOf(earlier.start, later.start),
    end: laterOf(earlier.end, later.end),
    first: earlier.first,
    last: later.last,
    entries: earlier.entries + later.entries,
    tools: earlier.tools + later.tools,
    errors: earlier.errors + later.errors,
    denied: earlier.denied + later.denied,
    outcome: later.outcome ?? earlier.outcome,
  }
}

/** The earlier of two times, as texts. */
export function earlierOf(a: string, b: string): string {
  return a < b ? a : b
}

/** The later of two times, as texts. */
export function laterOf(a: string, b: string): string {
  return a < b ? b : a
}
