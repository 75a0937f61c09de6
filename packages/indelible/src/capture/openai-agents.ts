/**
 * Adapter for the OpenAI Agents SDK (`@openai/agents` 0.20). The SDK's tracing swallows errors, is off in tests, and sees no
 * model of one's own. So the adapter sits where the SDK waits: tools get an input guardrail, which lets them run or not, and
 * models are asked through it. Agents, tools and models stay the objects that they are; outside of a recorded run they do
 * what they did. Nothing is imported from the package.
 */

import { IndelibleError } from '../errors.ts'
import { currentRun } from './context.ts'
import { type Fields, fields, list, text } from './fields.ts'
import { installedVersion } from './installed.ts'
import type { RunOptions } from './members.ts'
import { AgentsRun, type ApprovalAnswer } from './openai-agents-run.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { watchIterator } from './stream.ts'
import { checkVersion } from './support.ts'

export interface OpenAiAgentsOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** Of the package. Default: of the one that is installed; the SDK does not tell. */
  readonly version?: string
  /** Of runs that are not part of a run of yours. Default agent: the first agent's name. */
  readonly run?: Partial<RunOptions>
  /** Default: the run's. */
  readonly onFailure?: FailureMode
  /** Who gave an answer to the SDK's own request for approval: it does not ask. Default `unknown`. */
  readonly approver?: (answer: ApprovalAnswer) => string
}

interface Runner {
  readonly config: { readonly modelProvider?: unknown; readonly model?: unknown }
  run(agent: unknown, input: unknown, options?: unknown): Promise<unknown>
  on(event: string, listener: (...args: never[]) => void): unknown
}

type Agent = {
  readonly name?: unknown
  readonly handoffs?: readonly unknown[]
  readonly model?: unknown
  getAllTools?(...args: unknown[]): Promise<unknown[]>
}

type Model = {
  getResponse(request: unknown): Promise<unknown>
  getStreamedResponse(request: unknown): AsyncIterable<unknown>
}

const LINES = ['0.20']

/** Objects of the SDK that are recorded already. */
const known = new WeakSet<object>()
/** What is recorded of runs under way. */
const recorded = new WeakMap<Run, AgentsRun>()
/** Runs that wait for a person, by the state with which they go on. */
const waiting = new WeakMap<object, AgentsRun>()

/**
 * Has what a runner runs recorded from now on. Returns the runner.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordOpenAiAgents<R extends object>(runner: R, options: OpenAiAgentsOptions): R {
  const version = options.version ?? installedVersion('@openai/agents')
  checkVersion('@openai/agents', version, LINES)
  const target = runner as unknown as Runner
  if (typeof target.run !== 'function' || typeof target.on !== 'function' || !target.config) {
    throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', 'what was given is no Runner of @openai/agents')
  }
  if (known.has(runner)) return runner
  known.add(runner)
  recordProvider(target.config.modelProvider)
  recordModel(target.config.model)
  const plain = target.run.bind(target)
  const versioned = { ...options, version: version! }
  target.run = (agent, input, given) => recordRun(plain, versioned, agent as Agent, input, given)
  target.on('agent_handoff', (_context: unknown, _from: unknown, to: Agent) => {
    here()?.handoff(text(to?.name) ?? 'unknown')
    recordAgent(to)
  })
  target.on('agent_tool_start', (_context: unknown, _agent: unknown, tool: unknown, details: unknown) =>
    here()?.otherToolStart(fields(tool), fields(fields(details).toolCall)),
  )
  target.on('agent_tool_end', (_context: unknown, _agent: unknown, tool: unknown, output: unknown, details: unknown) =>
    here()?.otherToolEnd(fields(tool), output, fields(fields(details).toolCall)),
  )
  return runner
}

/**
 * Options of the SDK's `tool()`, whose tool tells of its errors: `tool(recordedTool({ … }))`. Otherwise the SDK makes an answer
 * to the model of what the tool throws, and the failure is recorded as that answer.
 */
export function recordedTool<Options extends object>(options: Options): Options {
  const { execute } = options as { execute?: (...args: unknown[]) => unknown }
  if (typeof execute !== 'function') return options
  const recordedExecute = async (...args: unknown[]) => {
    try {
      return await execute(...args)
    } catch (error) {
      here()?.threw(callOf(args[2]), error)
      throw error
    }
  }
  const { name = execute.name } = options as { name?: string }
  return { ...options, name, execute: recordedExecute }
}

function here(): AgentsRun | undefined {
  const run = currentRun()
  return run && recorded.get(run)
}

async function recordRun(
  plain: Runner['run'],
  options: OpenAiAgentsOptions,
  agent: Agent,
  input: unknown,
  given: unknown,
): Promise<unknown> {
  recordAgent(agent)
  const resumed = typeof input === 'object' && input !== null ? waiting.get(input) : undefined
  const state = resumed ?? begin(options, agent, input)
  const signal = fields(given).signal as AbortSignal | undefined
  return state.run.within(async () => {
    let result: unknown
    try {
      result = await plain(agent, input, given)
    } catch (error) {
      await state.fail(error, signal)
      throw error
    }
    const { completed } = fields(result)
    if (completed instanceof Promise) {
      completed.then(
        () => finish(state, result, signal),
        (error) => state.fail(error, signal),
      )
    } else await finish(state, result, signal)
    return result
  })
}

/** Part of your run, if there is one, however often that runs agents; a run of its own if there is none, or where a tool of a recorded run runs agents. */
function begin(options: OpenAiAgentsOptions, agent: Agent, input: unknown): AgentsRun {
  const current = currentRun()
  const { recorder, version, onFailure } = options
  const around = current && recorded.get(current)
  if (around && !around.isOwnRun) return around
  if (current && !around) {
    const state = new AgentsRun(current, false, options)
    recorded.set(current, state)
    return state
  }
  const prompt = (agent as { instructions?: unknown }).instructions
  const run = recorder.run({
    agent: text(agent?.name) ?? 'openai-agents',
    source: { adapter: 'openai-agents', sdk: `@openai/agents/${version}` },
    ...(typeof prompt === 'string' && { prompt }),
    ...((typeof input === 'string' || Array.isArray(input)) && { input }),
    ...(onFailure !== undefined && { onFailure }),
    ...options.run,
  })
  const state = new AgentsRun(run, true, options)
  recorded.set(run, state)
  return state
}

async function finish(state: AgentsRun, result: unknown, signal: AbortSignal | undefined): Promise<void> {
  const { interruptions, state: kept, error } = fields(result)
  const asked = list(interruptions)
  if (error) await state.fail(error, signal)
  else if (asked.length > 0 && typeof kept === 'object' && kept !== null) {
    for (const item of asked) state.asked(fields(item))
    waiting.set(kept, state)
    recordAnswers(kept, state)
  } else if (signal?.aborted) await state.fail(signal.reason, signal)
  else await state.end(fields(result).finalOutput)
}

/** People answer through `state.approve` and `state.reject`; the SDK tells nobody. */
function recordAnswers(kept: object, state: AgentsRun): void {
  if (known.has(kept)) return
  known.add(kept)
  for (const [name, approved] of [
    ['approve', true],
    ['reject', false],
  ] as const) {
    const plain = (kept as Fields)[name]
    if (typeof plain !== 'function') continue
    const value = (item: unknown, options?: unknown) => {
      const answer = plain.call(kept, item, options)
      state.answered(fields(item), approved, fields(options))
      return answer
    }
    Object.defineProperty(kept, name, { value, configurable: true, writable: true })
  }
}

/** An agent, and those that it may hand over to. */
function recordAgent(agent: Agent | undefined): void {
  if (typeof agent !== 'object' || agent === null || known.has(agent)) return
  known.add(agent)
  recordModel(agent.model)
  const { getAllTools } = agent
  if (typeof getAllTools !== 'function') {
    throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', 'an agent of @openai/agents does not tell its tools')
  }
  agent.getAllTools = async (...args) => {
    const tools = await getAllTools.apply(agent, args)
    const state = here()
    if (state) for (const tool of tools) recordTool(fields(tool), state)
    return tools
  }
  for (const to of list(agent.handoffs)) recordAgent((fields(to).agent ?? to) as Agent)
}

/** Tools that run in this process and take no guardrail. */
const UNGUARDED = new Set(['computer', 'shell', 'apply_patch'])

function recordTool(tool: Fields, state: AgentsRun): void {
  const isRemote = fields(tool.environment).type !== undefined && fields(tool.environment).type !== 'local'
  if (UNGUARDED.has(String(tool.type)) && !isRemote && state.onFailure === 'block') {
    throw new IndelibleError('ERR_CAPTURE_UNSUPPORTED', 'in mode block, only function tools can be held back')
  }
  if (tool.type !== 'function' || typeof tool.invoke !== 'function' || known.has(tool)) return
  known.add(tool)
  const invoke = tool.invoke as (...args: unknown[]) => Promise<unknown>
  const name = String(tool.name)
  const guardrail = {
    type: 'tool_input',
    name: 'indelible',
    // Last of all: what another guardrail rejects has not begun.
    run: async ({ toolCall }: { toolCall: Fields }) => {
      const refusal = await here()?.toolStart(String(toolCall.callId), name, toolCall.arguments)
      return { behavior: refusal === undefined ? { type: 'allow' } : { type: 'rejectContent', message: refusal } }
    },
  }
  const invokeRecorded = async (context: unknown, input: unknown, details: unknown) => {
    const run = here()
    if (!run) return invoke.call(tool, context, input, details)
    const call = callOf(details)
    // Should somebody take the guardrail away, the tool is held back here.
    const refusal = await run.toolStart(call, name, input)
    if (refusal !== undefined) throw new IndelibleError('ERR_ACTION_DENIED', refusal)
    return run.invoked(call, () => invoke.call(tool, context, input, details))
  }
  const inputGuardrails = [...list(tool.inputGuardrails), guardrail]
  Object.assign(tool, { inputGuardrails, invoke: invokeRecorded })
}

function callOf(details: unknown): string {
  return text(fields(fields(details).toolCall).callId) ?? 'unknown'
}

function recordProvider(provider: unknown): void {
  if (typeof provider !== 'object' || provider === null || known.has(provider)) return
  const target = provider as { getModel?: (name?: string) => unknown }
  const { getModel } = target
  if (typeof getModel !== 'function') return
  known.add(provider)
  target.getModel = async (name) => {
    const model = await getModel.call(target, name)
    recordModel(model, name)
    return model
  }
}

/** @param name under which a provider gave it */
function recordModel(model: unknown, name?: string): void {
  if (typeof model !== 'object' || model === null || known.has(model)) return
  const target = model as Model
  const { getResponse, getStreamedResponse } = target
  if (typeof getResponse !== 'function' || typeof getStreamedResponse !== 'function') return
  known.add(model)
  const called = name ?? text(fields(model).model) ?? text(fields(model)._model) ?? model.constructor.name
  target.getResponse = async (request) => {
    const call = await here()?.modelCallStart(called, fields(request))
    try {
      const response = await getResponse.call(target, request)
      await call?.answered(response)
      return response
    } catch (error) {
      call?.failed(error)
      throw error
    }
  }
  target.getStreamedResponse = async function* (request) {
    const call = await here()?.modelCallStart(called, fields(request))
    const source = getStreamedResponse.call(target, request)
    if (!call) {
      yield* source
      return
    }
    yield* watchIterator(source, {
      chunk(event) {
        if (fields(event).type === 'response_done') void call.answered(fields(event).response, true)
      },
      done: () => void call.answered(undefined, true),
      left: () => void call.answered(undefined, true),
      failed: (error) => call.failed(error),
    })
  }
}
