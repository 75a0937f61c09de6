/**
 * Sessions of Claude Code: `~/.claude/projects/<project>/<session>.jsonl`, and the files of its subagents. The format is not
 * documented by its makers; what is not known here is kept whole, as `x.claude_code.<type>` with the line in the part `record`.
 *
 * A session is a run, a subagent's stretch of it a run below it. A message of the model may fill several lines that repeat its
 * usage: it counts once, with the last of those that follow each other, which has the final figures.
 */
import type { AgentEvent } from '../record/schema.ts'
import { ClaudeRuns, type RunState } from './claude-code-runs.ts'
import { attempt, type ImportedEvent, type Importer, type ImportSource, readRecords } from './importer.ts'
import {
  asLabel,
  asName,
  asTime,
  compact,
  isMembers,
  Malformed,
  type Members,
  othersOf,
  partsOf,
  usageOf,
} from './values.ts'

type Draft = Omit<AgentEvent, 'run' | 'session' | 'time'>

const SYSTEM = { type: 'system', id: 'claude-code' } as const
const USER = { type: 'user', id: 'user' } as const

/** One line, once it is known to be one. */
interface Line {
  readonly line: number
  readonly value: Members
  readonly type: string
  readonly time: string | undefined
}

async function* events(source: ImportSource): AsyncGenerator<ImportedEvent, void> {
  const runs = new ClaudeRuns()
  let held: Line | null = null
  for await (const { line, value } of readRecords(source)) {
    const next = attempt(source, { line }, () => lineOf(line, value))
    if (next === null) continue
    if (held) yield* eventsOf(runs, held, next)
    held = next
  }
  if (held) yield* eventsOf(runs, held, null)
  yield* runs.ends()
}

/** @throws Malformed */
function lineOf(line: number, value: Members): Line {
  const { type, timestamp, message } = value
  if (typeof type !== 'string') throw new Malformed('type: expected a name')
  if ((type === 'user' || type === 'assistant') && !isMembers(message))
    throw new Malformed('message: expected an object')
  return { line, value, type, time: asTime(timestamp, 'timestamp') }
}

function* eventsOf(runs: ClaudeRuns, held: Line, next: Line | null): Generator<ImportedEvent, void> {
  const { line, value, type } = held
  const { run, time, first } = runs.enter(value, held.time)
  if (first) yield first
  const frame = compact({ run: run?.ref, session: asName(value.sessionId), time })
  const drafts = draftsOf(run, held, next)
  // Any other line is kept whole.
  const isSpoken = type === 'user' || type === 'assistant'
  for (const [i, draft] of drafts.entries()) {
    const context = i === 0 && isSpoken ? run?.contextOf(othersOf(value, KNOWN)) : undefined
    const attributes = {
      source_id: asName(value.uuid),
      source_parent: asName(value.parentUuid),
      sidechain: value.isSidechain === true || undefined,
      ...draft.attributes,
    }
    const parts = { ...draft.parts, ...partsOf({ context }).parts }
    yield { line, event: { ...draft, ...frame, attributes, ...(Object.keys(parts).length > 0 && { parts }) } }
  }
}

const KNOWN = new Set([
  ...['type', 'uuid', 'parentUuid', 'sessionId', 'timestamp', 'isSidechain', 'agentId', 'requestId', 'message'],
  ...['toolUseResult', 'isMeta'],
])

function draftsOf(run: RunState | undefined, { value, type }: Line, next: Line | null): Draft[] {
  const message = value.message as Members
  if (run && type === 'assistant') return assistantDrafts(run, value, message, next)
  if (run && type === 'user') return userDrafts(run, value, message)
  const { subtype, level } = value
  const attributes = { subtype: asName(subtype), level: asName(level) }
  return [{ type: `x.claude_code.${asLabel(type)}`, actor: SYSTEM, attributes, ...partsOf({ record: value }) }]
}

function assistantDrafts(run: RunState, value: Members, message: Members, next: Line | null): Draft[] {
  const { content, id, model, usage, stop_reason } = message
  const blocks = blocksOf(content)
  const calls = blocks.filter(({ type }) => typeof type === 'string' && type.endsWith('tool_use'))
  const results = blocks.filter(({ type }) => typeof type === 'string' && type.endsWith('tool_result'))
  const thinking = blocks.filter(({ type }) => type === 'thinking' || type === 'redacted_thinking')
  const spoken = blocks.filter((block) => ![...calls, ...results, ...thinking].includes(block))
  const isLast = next?.type !== 'assistant' || (next.value.message as Members).id !== id || id === undefined
  const counted = isLast && isMembers(usage) && run.counts(id) ? usageOf(usage) : {}
  const hasModel = asName(model) !== undefined && model !== '<synthetic>'
  const isError = value.isApiErrorMessage === true
  const response: Draft = compact({
    type: isError ? 'llm.error' : 'llm.response',
    actor: run.agent,
    outcome: isError ? 'failure' : 'success',
    model: hasModel ? { provider: 'anthropic', name: model as string } : undefined,
    ...counted,
    attributes: { message_id: asName(id), request_id: asName(value.requestId), stop_reason: asName(stop_reason) },
    ...(isError ? { error: { type: 'ApiError', message: textOf(spoken) } } : {}),
    ...partsOf({
      output: isError ? undefined : textOf(spoken),
      thinking: thinking.length > 0 ? thinking : undefined,
      extra: othersOf(message, KNOWN_OF_MESSAGE),
    }),
  })
  const isSilent = spoken.length + thinking.length === 0 && calls.length + results.length > 0 && !counted.usage
  return [
    ...(isSilent ? [] : [response]),
    ...calls.map((call) => startOf(run, call)),
    ...results.map((result) => endOf(run, result, undefined)),
  ]
}

const KNOWN_OF_MESSAGE = new Set(['id', 'type', 'role', 'model', 'content', 'usage', 'stop_reason', 'stop_sequence'])

function userDrafts(run: RunState, value: Members, message: Members): Draft[] {
  const blocks = blocksOf(message.content)
  const results = blocks.filter(({ type }) => type === 'tool_result')
  const said = blocks.filter((block) => !results.includes(block))
  // What the program wrote in the user's place, and what an agent told its subagent, no user said.
  const actor = value.isMeta === true ? SYSTEM : value.isSidechain === true ? run.agent : USER
  const extra = othersOf(message, KNOWN_OF_MESSAGE)
  const request: Draft = {
    type: 'llm.request',
    actor,
    outcome: 'success',
    ...partsOf({ input: textOf(said), extra, result: results.length === 0 ? value.toolUseResult : undefined }),
  }
  return [
    ...results.map((result, i) => endOf(run, result, i === 0 ? value.toolUseResult : undefined)),
    ...(said.length > 0 || results.length === 0 ? [request] : []),
  ]
}

function startOf(run: RunState, { id, name, input }: Members): Draft {
  const tool = toolOf(name)
  run.open(id, tool)
  return compact({
    type: 'tool.start',
    actor: run.agent,
    outcome: 'pending',
    call: (id ?? undefined) as string | undefined,
    tool,
    ...partsOf({ input }),
  })
}

/** @param result what the program itself knows of it, in the form of the tool */
function endOf(run: RunState, block: Members, result: unknown): Draft {
  const { tool_use_id: id, content, is_error } = block
  const tool = run.close(id)
  const isError = is_error === true
  return compact({
    type: isError ? 'tool.error' : 'tool.end',
    actor: run.agent,
    outcome: isError ? 'failure' : 'success',
    call: (id ?? undefined) as string | undefined,
    tool,
    attributes: { unpaired: tool ? undefined : true },
    error: isError ? { type: 'ToolError', message: content } : undefined,
    ...partsOf({ output: isError ? undefined : content, result }),
  })
}

/** Tools of MCP servers are named `mcp__server__tool`. */
function toolOf(name: unknown): { name: string; server?: string } {
  const server = typeof name === 'string' ? /^mcp__(.+?)__./.exec(name)?.[1] : undefined
  return compact({ name: (name ?? '') as string, server: asName(server) }) as { name: string; server?: string }
}

function blocksOf(content: unknown): Members[] {
  if (Array.isArray(content)) return content.map((block) => (isMembers(block) ? block : { type: 'text', text: block }))
  return content === undefined || content === null ? [] : [{ type: 'text', text: content }]
}

/** One text as it is; anything else as the blocks that it is. */
function textOf(blocks: readonly Members[]): unknown {
  const [first] = blocks
  if (blocks.length === 1 && first!.type === 'text' && Object.keys(first!).length === 2) return first!.text
  return blocks.length === 0 ? undefined : blocks
}

export const claudeCode: Importer = {
  name: 'claude-code',
  describe: 'sessions of Claude Code (~/.claude/projects/**/*.jsonl)',
  events,
}
