/** Options by which entries are chosen, the same for every command that asks the log something. */
import type { Command } from 'commander'
import type { EntryFilter } from '../query/filter.ts'

const several = (value: string, previous: string[] = []) => [...previous, value]

/** Adds the filter options; those that name values may be given several times, which means: one of these. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--since <time>', 'from this event time on: a date, or an RFC 3339 time')
    .option('--until <time>', 'before this event time')
    .option('--type <type>', 'event type, or its beginning: tool.*', several)
    .option('--actor <id>', 'who did it', several)
    .option('--on-behalf-of <id>', 'for whom it was done', several)
    .option('--tenant <id>', 'tenant', several)
    .option('--session <id>', 'session', several)
    .option('--run <id>', 'run', several)
    .option('--tool <name>', 'tool', several)
    .option('--model <name>', 'model', several)
    .option('--outcome <outcome>', 'success, failure, denied, approved, rejected, pending or unknown', several)
    .option('--decision <decision>', 'decision of a policy', several)
    .option('--assurance <assurance>', 'enforced, observed, reported or imported', several)
    .option('--text <words>', 'words that all occur in attributes or in disclosed parts')
}

export interface FilterOptions {
  readonly since?: string
  readonly until?: string
  readonly type?: string[]
  readonly actor?: string[]
  readonly onBehalfOf?: string[]
  readonly tenant?: string[]
  readonly session?: string[]
  readonly run?: string[]
  readonly tool?: string[]
  readonly model?: string[]
  readonly outcome?: string[]
  readonly decision?: string[]
  readonly assurance?: string[]
  readonly text?: string
}

export function filterOf(options: FilterOptions): EntryFilter {
  const {
    onBehalfOf,
    since,
    until,
    type,
    actor,
    tenant,
    session,
    run,
    tool,
    model,
    outcome,
    decision,
    assurance,
    text,
  } = options
  const given = { since, until, type, actor, tenant, session, run, tool, model, outcome, decision, assurance, text }
  const filter: Record<string, unknown> = { ...given, on_behalf_of: onBehalfOf }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as EntryFilter
}
