/** What has to be remembered from line to line of a Claude Code session: its runs, their open calls, what was counted. */
import type { AgentEvent } from '../record/schema.ts'
import type { ImportedEvent } from './importer.ts'
import { asName, compact, type Members } from './values.ts'

/** Open calls and counted messages of a run that are remembered: files that never close a call must not fill the memory. */
const MOST_REMEMBERED = 10_000

type Tool = NonNullable<AgentEvent['tool']>

/** One run: a session, or what a subagent did in it. */
export class RunState {
  readonly ref: { readonly id: string; readonly parent?: string }
  readonly session: string
  readonly agent: AgentEvent['actor']
  /** Time of its latest line. */
  time: string | undefined
  readonly #open = new Map<unknown, Tool>()
  readonly #counted = new Map<unknown, true>()
  #context: string | null = null

  constructor(session: string, agentId: string | undefined, version: string | undefined) {
    this.session = session
    this.ref = agentId === undefined ? { id: session } : { id: `${session}/${agentId}`, parent: session }
    this.agent = compact({ type: 'agent' as const, id: 'claude-code', name: agentId, version }) as AgentEvent['actor']
  }

  open(id: unknown, tool: Tool): void {
    remember(this.#open, id, tool)
  }

  /** The tool of the latest open call with this id. */
  close(id: unknown): Tool | undefined {
    const tool = this.#open.get(id)
    this.#open.delete(id)
    return tool
  }

  get openCalls(): number {
    return this.#open.size
  }

  /** Whether the usage of the message with this id is yet to be counted. */
  counts(id: unknown): boolean {
    if (id === undefined) return true
    const isNew = !this.#counted.has(id)
    remember(this.#counted, id, true)
    return isNew
  }

  /** What surrounds a line, such as folder and branch, if it is not what surrounded the last. */
  contextOf(context: Members | undefined): Members | undefined {
    const text = textOf(context)
    if (text !== null && text === this.#context) return undefined
    this.#context = text
    return context
  }
}

export class ClaudeRuns {
  readonly #runs = new Map<string, RunState>()
  #time: string | undefined

  /**
   * The run that a line belongs to, and its `run.start` if it is the first. Lines without a time get that of the line before.
   */
  enter(
    value: Members,
    given: string | undefined,
  ): { run: RunState | undefined; time: string | undefined; first: ImportedEvent | undefined } {
    const time = given ?? this.#time
    this.#time = time
    const session = asName(value.sessionId)
    if (session === undefined || session.length > 128) return { run: undefined, time, first: undefined }
    const agentId = asName(value.agentId)?.slice(0, 64) ?? (value.isSidechain === true ? 'sidechain' : undefined)
    const key = JSON.stringify([session, agentId])
    const known = this.#runs.get(key)
    const run = known ?? new RunState(session, agentId, asName(value.version))
    run.time = time
    if (known) return { run, time, first: undefined }
    this.#runs.set(key, run)
    return { run, time, first: { at: `start:${key}`, event: { ...frameOf(run), type: 'run.start' } } }
  }

  *ends(): Generator<ImportedEvent, void> {
    for (const [key, run] of this.#runs) {
      const attributes = { open_calls: run.openCalls || undefined }
      yield { at: `end:${key}`, event: { ...frameOf(run), type: 'run.end', attributes } }
    }
  }
}

function frameOf({ ref: run, session, agent: actor, time }: RunState) {
  return compact({ run, session, actor, time }) as Pick<AgentEvent, 'run' | 'session' | 'actor' | 'time'>
}

function remember<T>(map: Map<unknown, T>, key: unknown, value: T): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > MOST_REMEMBERED) map.delete(map.keys().next().value)
}

function textOf(context: Members | undefined): string | null {
  try {
    return JSON.stringify(context ?? {}, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
  } catch {
    // Nested too deeply to compare.
    return null
  }
}
