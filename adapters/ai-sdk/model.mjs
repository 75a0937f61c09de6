/** A model of the AI SDK that answers by a script. */
import { MockLanguageModelV4, simulateReadableStream } from 'ai/test'
import { MODEL, TURN_USAGE } from 'indelible/testing'

const usage = {
  inputTokens: { total: TURN_USAGE.input_tokens, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: TURN_USAGE.output_tokens, text: undefined, reasoning: undefined },
}

function finishOf(turn) {
  return { unified: 'text' in turn ? 'stop' : 'tool-calls', raw: undefined }
}

function contentOf(turn) {
  if ('text' in turn) return [{ type: 'text', text: turn.text }]
  return turn.calls.map(({ id, tool, args }) => ({
    type: 'tool-call',
    toolCallId: id,
    toolName: tool,
    input: JSON.stringify(args),
  }))
}

function partsOf(turn) {
  if (!('text' in turn)) return contentOf(turn)
  const deltas = turn.chunks.map((delta) => ({ type: 'text-delta', id: '1', delta }))
  return [{ type: 'text-start', id: '1' }, ...deltas, { type: 'text-end', id: '1' }]
}

/** A model that gives `turns`, one after the other; as a real one does, it does not answer to who has aborted. */
export function scriptedModel(turns) {
  let next = 0
  return new MockLanguageModelV4({
    provider: 'scripted',
    modelId: MODEL,
    doGenerate: async ({ abortSignal }) => {
      abortSignal?.throwIfAborted()
      const turn = turns[next++]
      return { content: contentOf(turn), finishReason: finishOf(turn), usage, warnings: [] }
    },
    doStream: async ({ abortSignal }) => {
      abortSignal?.throwIfAborted()
      const turn = turns[next++]
      const start = { type: 'stream-start', warnings: [] }
      const chunks = [start, ...partsOf(turn), { type: 'finish', finishReason: finishOf(turn), usage }]
      return { stream: simulateReadableStream({ chunks, initialDelayInMs: null, chunkDelayInMs: null }) }
    },
  })
}
