/** What LangChain hands to hooks, in plain values. It comes from models and tools: nothing in it is taken for granted. */
import type { ModelFacts } from './fit.ts'
import { loose, textOf } from './loose.ts'
import { readUsage, type Usage, usageOf } from './usage.ts'

/** A message without what LangChain needs it for. */
export function plainMessage(message: unknown): unknown {
  const { type, content, name, tool_calls, tool_call_id, status } = loose(message)
  if (content === undefined) return message
  return {
    ...(textOf(type) !== undefined && { role: type }),
    content,
    ...(textOf(name) !== undefined && { name }),
    ...(Array.isArray(tool_calls) && tool_calls.length > 0 && { tool_calls }),
    ...(textOf(tool_call_id) !== undefined && { tool_call_id }),
    ...(status === 'error' && { status }),
  }
}

export interface Answer {
  readonly output: unknown
  readonly usage: Usage | undefined
  readonly model: string | undefined
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly args: unknown }[]
}

/** What a model gave: an `AIMessage`. */
export function answerOf(message: unknown): Answer {
  const { tool_calls, response_metadata, content } = loose(message)
  const { model_name, model } = loose(response_metadata)
  const calls = (Array.isArray(tool_calls) ? tool_calls : []).map(loose)
  return {
    output: content === undefined ? message : plainMessage(message),
    usage: usageOf(message),
    model: textOf(model_name) ?? textOf(model),
    toolCalls: calls.flatMap(({ id, name, args }) => {
      const [call, tool] = [textOf(id), textOf(name)]
      return call !== undefined && tool !== undefined ? [{ id: call, name: tool, args }] : []
    }),
  }
}

/** The first answer of an `LLMResult`: agents ask for one. */
export function answerOfResult(result: unknown): Answer {
  const { generations, llmOutput } = loose(result)
  const first = loose(Array.isArray(generations) && Array.isArray(generations[0]) ? generations[0][0] : undefined)
  const answer = answerOf(first.message ?? first.text)
  const { tokenUsage, estimatedTokenUsage } = loose(llmOutput)
  return { ...answer, usage: answer.usage ?? readUsage(tokenUsage) ?? readUsage(estimatedTokenUsage) }
}

/** The model that is asked, by what LangChain says of the call. */
export function modelOfCall(extraParams: unknown, metadata: unknown): ModelFacts | undefined {
  const { invocation_params } = loose(extraParams)
  const params = loose(invocation_params)
  const { ls_model_name, ls_provider } = loose(metadata)
  const name = textOf(ls_model_name) ?? textOf(params.model) ?? textOf(params.model_name)
  const provider = textOf(ls_provider)
  const effort = textOf(params.reasoning_effort) ?? textOf(loose(params.reasoning).effort)
  if (name === undefined) return undefined
  return {
    name,
    ...(provider !== undefined && { provider }),
    ...(effort !== undefined && { reasoning_effort: effort }),
  }
}

/** Arguments of a tool come as JSON; a tool that takes a text gets that. */
export function argsOf(input: unknown): unknown {
  if (typeof input !== 'string') return input
  try {
    return JSON.parse(input)
  } catch {
    return input
  }
}

/** What a tool gave: the content of its message, or the value itself. */
export function toolOutputOf(output: unknown): unknown {
  const { tool_call_id, content } = loose(output)
  return textOf(tool_call_id) !== undefined ? content : output
}

/** The agent that a tool hands over to, by the names that LangGraph's supervisor and swarm give such tools. */
export function handoffByName(tool: string): string | null {
  return /^transfer_(?:back_)?to_(.+)$/.exec(tool)?.[1] ?? null
}
