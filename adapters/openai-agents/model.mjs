/** A model of the OpenAI Agents SDK that answers by a script. */
import { Usage } from '@openai/agents'
import { assistantMessage, functionCall, ScriptedModel } from '@openai/agents/testing'
import { TURN_USAGE } from 'indelible/testing'

function outputOf(turn, at) {
  if ('text' in turn) return [assistantMessage(turn.text)]
  if ('handoff' in turn) return [functionCall(`transfer_to_${turn.handoff}`, {}, { callId: `handoff_${at}` })]
  return turn.calls.map(({ id, tool, args }) => functionCall(tool, args, { callId: id }))
}

/** A model that gives `turns`, one after the other. */
export function scriptedModel(turns) {
  const { input_tokens: inputTokens, output_tokens: outputTokens } = TURN_USAGE
  return new ScriptedModel(
    turns.map((turn, at) => ({
      output: outputOf(turn, at),
      usage: new Usage({ requests: 1, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens }),
    })),
  )
}
