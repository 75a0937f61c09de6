/** What LangChain hands to hooks, in plain values. It comes from models and tools: nothing in it is taken for granted. */

import { fields, text } from './fields.ts'
import type { ModelFacts } from './fit.ts'
import { readUsage, type Usage, usageOf } from './usage.ts'

/** A message without what LangChain needs it for. */
export function plainMessage(message: unknown): unknown {
  const { type, content, name, tool_calls, tool_call_id, status } = fields(message)
  if (content === undefined) return message
  return {
    ...(text(type) !== undefined && { role: type }),
    content,
    ...(text(name) !== undefined && { name }),
    ...(Array.isArray(tool_calls) && tool_calls.length > 0 && { tool_calls }),
    ...(text(tool_call_id) !== undefined && { tool_call_id }),
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
  const { tool_calls, response_metadata, content } = fields(message)
  const { model_name, model } = fields(response_metadata)
  const calls = (Array.isArray(tool_calls) ? tool_calls : []).map(fields)
  return {
    output: content === undefined ? message : plainMessage(message),
    usage: usageOf(message),
    model: text(model_name) ?? text(model),
    toolCalls: calls.flatMap(({ id, name, args }) => {
      const [call, tool] = [text(id), text(name)]
      return call !== undefined && tool !== undefined ? [{ id: call, name: tool, args }] : []
    }),
  }
}

/** The first answer of an `LLMResult`: agents ask for one. */
export function answerOfResult(result: unknown): Answer {
  const { generations, llmOutput } = fields(result)
  const first = fields(Array.isArray(generations) && Array.isArray(generations[0]) ? generations[0][0] : undefined)
  const answer = answerOf(first.message ?? first.text)
  const { tokenUsage, estimatedTokenUsage } = fields(llmOutput)
  return { ...answer, usage: answer.usage ?? readUsage(tokenUsage) ?? readUsage(estimatedTokenUsage) }
}

/** The model that is asked, by what LangChain says of the call. */
export function modelOfCall(extraParams: unknown, metadata: unknown): ModelFacts | undefined {
  const { invocation_params } = fields(extraParams)
  const params = fields(invocation_params)
  const { ls_model_name, ls_provider } = fields(metadata)
  const name = text(ls_model_name) ?? text(params.model) ?? text(params.model_name)
  const provider = text(ls_provider)
  const effort = text(params.reasoning_effort) ?? text(fields(params.reasoning).effort)
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
  const { tool_call_id, content } = fields(output)
  return text(tool_call_id) !== undefined ? content : output
}

/** The agent that a tool hands over to, by the names that LangGraph's supervisor and swarm give such tools. */
export function handoffByName(tool: string): string | null {
  return /^transfer_(?:back_)?to_(.+)$/.exec(tool)?.[1] ?? null
}
