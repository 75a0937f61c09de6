/** An agent of Mastra whose model answers by a script. */
import { Mastra } from '@mastra/core'
import { Agent } from '@mastra/core/agent'
import { createTool } from '@mastra/core/tools'
import { Observability } from '@mastra/observability'
import { simulateReadableStream } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import { MODEL, TURN_USAGE } from 'indelible/testing'
import { z } from 'zod'

const usage = {
  inputTokens: {
    total: TURN_USAGE.input_tokens,
    noCache: TURN_USAGE.input_tokens,
    cacheRead: undefined,
    cacheWrite: undefined,
  },
  outputTokens: { total: TURN_USAGE.output_tokens, text: TURN_USAGE.output_tokens, reasoning: undefined },
}

export function scriptedModel(turns) {
  let next = 0
  const doStream = async () => {
    const turn = turns[next++]
    const calls = (turn.calls ?? []).map(({ id, tool, args }) => ({
      type: 'tool-call',
      toolCallId: id,
      toolName: tool,
      input: JSON.stringify(args),
    }))
    const deltas = (turn.chunks ?? []).map((delta) => ({ type: 'text-delta', id: '1', delta }))
    const text = deltas.length > 0 ? [{ type: 'text-start', id: '1' }, ...deltas, { type: 'text-end', id: '1' }] : []
    const finishReason = { unified: calls.length > 0 ? 'tool-calls' : 'stop', raw: undefined }
    const chunks = [{ type: 'stream-start', warnings: [] }, ...calls, ...text, { type: 'finish', finishReason, usage }]
    return { stream: simulateReadableStream({ chunks, initialDelayInMs: null, chunkDelayInMs: null }) }
  }
  return new MockLanguageModelV4({ modelId: MODEL, provider: 'scripted', doStream })
}

export function tool(id, run) {
  const execute = (args, { abortSignal }) => run(args, abortSignal)
  return createTool({ id, description: id, inputSchema: z.looseObject({}), execute })
}

/** @param audit what `recordMastra` gives */
export function agentWith(audit, { name, model, tools }) {
  const agent = new Agent({ id: name, name, instructions: 'do as you are told', model, tools: audit.tools(tools) })
  const observability = new Observability({
    configs: { default: { serviceName: 'test', exporters: [audit.exporter] } },
  })
  return new Mastra({ agents: { [name]: agent }, logger: false, observability }).getAgent(name)
}
