/** Messages of a session of the Claude Agent SDK: what the model gave, and what the session adds up to. */
import { type Fields, fields, text } from './fields.ts'
import type { Run } from './run.ts'
import type { EndOptions } from './run-facts.ts'
import { readUsage } from './usage.ts'

/** What is known at the end. */
export interface SessionEnd {
  /** Whether the session said how it went. */
  readonly isKnown: boolean
  readonly end: EndOptions
  readonly denials: readonly { readonly id: string; readonly name: string }[]
}

interface Answer {
  readonly id: string
  readonly model: string | undefined
  readonly content: unknown[]
  usage: unknown
}

export class ClaudeMessages {
  readonly #run: Run
  #answer: Answer | null = null
  #result: Fields | null = null

  constructor(run: Run) {
    this.#run = run
  }

  see(message: Fields): void {
    if (message.type === 'result') this.#result = message
    if (message.type !== 'assistant') {
      // Parts of a stream come between those of an answer.
      if (message.type !== 'stream_event') this.#responded()
      return
    }
    const { id, model, content, usage } = fields(message.message)
    const name = text(id) ?? this.#run.calls.nextId('llm')
    // One answer comes in several messages, each with some of its content.
    if (this.#answer?.id !== name) {
      this.#responded()
      this.#answer = { id: name, model: text(model), content: [], usage: undefined }
    }
    this.#answer!.content.push(...(Array.isArray(content) ? content : [content]))
    this.#answer!.usage = usage ?? this.#answer!.usage
  }

  end(): SessionEnd {
    this.#responded()
    const {
      usage,
      total_cost_usd: cost,
      num_turns,
      is_error,
      subtype,
      result,
      permission_denials,
    } = fields(this.#result)
    const cost_usd = typeof cost === 'number' ? { cost_usd: cost } : {}
    const counts = readUsage({ ...fields(usage), ...cost_usd })
    const kind = text(subtype)
    return {
      isKnown: this.#result !== null,
      end: {
        outcome: this.#result === null ? 'unknown' : is_error === true ? 'failure' : 'success',
        ...(counts && { usage: counts }),
        ...(typeof num_turns === 'number' && { iterations: num_turns }),
        ...(kind !== undefined && { attributes: { result: kind } }),
        ...(result !== undefined && { output: result }),
      },
      denials: (Array.isArray(permission_denials) ? permission_denials : []).map(fields).flatMap((denial) => {
        const id = text(denial.tool_use_id)
        return id === undefined ? [] : [{ id, name: text(denial.tool_name) ?? 'unknown' }]
      }),
    }
  }

  /** When the model was asked, nobody says: the answer stands alone. */
  #responded(): void {
    const answer = this.#answer
    if (!answer) return
    this.#answer = null
    const { id, model, content } = answer
    const usage = readUsage(answer.usage)
    this.#run.calls.modelCalls++
    void this.#run.llmResponse({
      call: id,
      output: content,
      ...(model !== undefined && { model: { name: model, provider: 'anthropic' } }),
      ...(usage && { usage }),
    })
  }
}
