/** Stands in for the network: answers messages by a script. */
import { MODEL, TURN_USAGE } from 'indelible/testing'
import { callsOf } from '../loop.mjs'

function contentOf(turn) {
  if ('text' in turn) return [{ type: 'text', text: turn.text }]
  return callsOf(turn).map(({ id, tool, args }) => ({ type: 'tool_use', id, name: tool, input: args }))
}

/** A `fetch` whose model gives `turns`, one after the other. */
export function fakeFetch(turns) {
  let next = 0
  return async (_url, init) => {
    const { stream } = JSON.parse(init.body)
    const turn = turns[next++]
    const message = { id: `msg_${next}`, type: 'message', role: 'assistant', model: MODEL, stop_sequence: null }
    const stop_reason = 'text' in turn ? 'end_turn' : 'tool_use'
    if (!stream) return Response.json({ ...message, content: contentOf(turn), stop_reason, usage: TURN_USAGE })
    const { input_tokens, output_tokens } = TURN_USAGE
    const events = [
      { type: 'message_start', message: { ...message, content: [], stop_reason: null, usage: { input_tokens } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      ...turn.chunks.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason }, usage: { output_tokens } },
      { type: 'message_stop' },
    ]
    const lines = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    return new Response(lines.join(''), { headers: { 'content-type': 'text/event-stream' } })
  }
}
