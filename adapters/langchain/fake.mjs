/** A chat model that answers by a script. */
import { BaseChatModel } from '@langchain/core/language_models/chat_models'
import { AIMessage, AIMessageChunk } from '@langchain/core/messages'
import { ChatGenerationChunk } from '@langchain/core/outputs'
import { MODEL, TURN_USAGE } from 'indelible/testing'

const usage_metadata = { ...TURN_USAGE, total_tokens: TURN_USAGE.input_tokens + TURN_USAGE.output_tokens }

export class ScriptedModel extends BaseChatModel {
  #turns

  /** @param turns what it gives, one after the other */
  constructor(turns) {
    super({})
    this.#turns = [...turns]
  }

  _llmType() {
    return 'scripted'
  }

  getLsParams() {
    return { ls_provider: 'scripted', ls_model_name: MODEL, ls_model_type: 'chat' }
  }

  bindTools() {
    return this
  }

  async _generate(_messages, options) {
    options?.signal?.throwIfAborted()
    const turn = this.#turns.shift()
    const fields = { usage_metadata, response_metadata: { model_name: MODEL } }
    const content = turn.text ?? ''
    const asked =
      turn.handoff === undefined
        ? (turn.calls ?? [])
        : [{ id: 'call_1', tool: `transfer_to_${turn.handoff}`, args: {} }]
    const tool_calls = asked.map(({ id, tool, args }) => ({ id, name: tool, args, type: 'tool_call' }))
    return { generations: [{ text: content, message: new AIMessage({ content, tool_calls, ...fields }) }] }
  }

  async *_streamResponseChunks(messages, options, manager) {
    const turn = this.#turns[0]
    if (!turn.chunks) {
      const { generations } = await this._generate(messages, options)
      const { content, tool_calls, response_metadata } = generations[0].message
      const tool_call_chunks = tool_calls.map(({ id, name, args }, index) => ({
        id,
        name,
        args: JSON.stringify(args),
        index,
        type: 'tool_call_chunk',
      }))
      const message = new AIMessageChunk({ content, tool_call_chunks, usage_metadata, response_metadata })
      yield new ChatGenerationChunk({ text: content, message })
      return
    }
    this.#turns.shift()
    for (const text of turn.chunks) {
      yield new ChatGenerationChunk({ text, message: new AIMessageChunk({ content: text }) })
      await manager?.handleLLMNewToken(text)
    }
    const message = new AIMessageChunk({ content: '', usage_metadata, response_metadata: { model_name: MODEL } })
    yield new ChatGenerationChunk({ text: '', message })
  }
}
