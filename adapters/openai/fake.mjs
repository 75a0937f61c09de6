/** Stands in for the network: answers chat completions by a script. */
import { MODEL, TURN_USAGE } from 'indelible/testing'

const USAGE = {
  prompt_tokens: TURN_USAGE.input_tokens,
  completion_tokens: TURN_USAGE.output_tokens,
  total_tokens: TURN_USAGE.input_tokens + TURN_USAGE.output_tokens,
}

function message(turn) {
  if ('text' in turn) return { content: turn.text, finish_reason: 'stop' }
  const calls = 'calls' in turn ? turn.calls : [{ id: 'call_1', tool: `transfer_to_${turn.handoff}`, args: {} }]
  const tool_calls = calls.map(({ id, tool, args }) => ({
    id,
    type: 'function',
    function: { name: tool, arguments: JSON.stringify(args) },
  }))
  return { content: null, tool_calls, finish_reason: 'tool_calls' }
}

/** A `fetch` whose model gives `turns`, one after the other. */
export function fakeFetch(turns) {
  let next = 0
  return async (_url, init) => {
    const { stream } = JSON.parse(init.body)
    const turn = turns[next++]
    const { finish_reason, ...rest } = message(turn)
    const head = { id: `chatcmpl-${next}`, created: 0, model: MODEL }
    if (!stream) {
      const choices = [{ index: 0, message: { role: 'assistant', ...rest }, finish_reason }]
      return Response.json({ ...head, object: 'chat.completion', choices, usage: USAGE })
    }
    const chunk = (choices, more) =>
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...more })}\n\n`
    const lines = turn.chunks.map((content) => chunk([{ index: 0, delta: { content } }]))
    lines.push(chunk([{ index: 0, delta: {}, finish_reason }]), chunk([], { usage: USAGE }), 'data: [DONE]\n\n')
    return new Response(lines.join(''), { headers: { 'content-type': 'text/event-stream' } })
  }
}
