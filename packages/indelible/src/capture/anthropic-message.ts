/** What the events of a streamed message add up to. They come from a server: shapes are looked at, never trusted. */
import { type Fields, fields } from './fields.ts'
import type { ModelAnswer } from './model-call.ts'

/** Most blocks, and characters in all of them, that are kept. */
const MAX_BLOCKS = 1000
const MAX_TEXT = 1024 * 1024

/** Of a kind of delta: where its text stands, and to which member of the block it belongs. */
const DELTAS = new Map<unknown, readonly [from: string, to: string]>([
  ['text_delta', ['text', 'text']],
  ['input_json_delta', ['partial_json', 'input']],
  ['thinking_delta', ['thinking', 'thinking']],
])

export class MessageParts {
  readonly #blocks = new Map<number, Record<string, unknown>>()
  readonly #usage: Record<string, unknown> = {}
  #model: string | undefined
  #stopReason: unknown = null
  #length = 0
  isComplete = false
  isClipped = false
  /** What the provider broke the stream off with, as an error that can be recorded. */
  error: { readonly name: unknown; readonly message: unknown } | null = null

  add(event: unknown): void {
    const { type, message, index, content_block: block, delta, usage, error, completion, stop_reason } = fields(event)
    if (type === 'message_start') {
      const { model, usage: first } = fields(message)
      if (typeof model === 'string') this.#model = model
      Object.assign(this.#usage, fields(first))
    } else if (type === 'content_block_start') this.#begin(Number(index), fields(block))
    else if (type === 'content_block_delta') this.#grow(Number(index), fields(delta))
    else if (type === 'message_delta') {
      this.#stopReason = fields(delta).stop_reason ?? this.#stopReason
      Object.assign(this.#usage, fields(usage))
    } else if (type === 'message_stop') this.isComplete = true
    else if (type === 'error') this.error = { name: fields(error).type ?? 'APIError', message: fields(error).message }
    else if (type === 'completion') {
      if (!this.#blocks.has(0)) this.#begin(0, { type: 'text', text: '' })
      this.#grow(0, { type: 'text_delta', text: completion })
      this.#stopReason = stop_reason ?? this.#stopReason
    }
  }

  answer(): ModelAnswer {
    const content = [...this.#blocks.values()].map((block) =>
      typeof block.input === 'string' ? { ...block, input: parsed(block.input) } : block,
    )
    return { output: { content, stop_reason: this.#stopReason }, usage: this.#usage, model: this.#model }
  }

  #begin(index: number, block: Fields): void {
    if (this.#blocks.size >= MAX_BLOCKS) this.isClipped = true
    else this.#blocks.set(index, { ...block })
  }

  #grow(index: number, delta: Fields): void {
    const block = this.#blocks.get(index)
    const [from, to] = DELTAS.get(delta.type) ?? []
    const text = from === undefined ? undefined : delta[from]
    if (!block || to === undefined || typeof text !== 'string') return
    if (this.#length + text.length > MAX_TEXT) {
      this.isClipped = true
      return
    }
    this.#length += text.length
    // The beginning of a tool call has an empty object for its input.
    const before = block[to]
    block[to] = (typeof before === 'string' ? before : '') + text
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
