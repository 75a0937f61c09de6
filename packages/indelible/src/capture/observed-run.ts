/** What the chunks of known streams stand for. Shapes are looked at, never trusted: a chunk that is none of them is nothing. */

import type { AgentEvent } from '../record/schema.ts'
import { isAgentEventType } from '../record/schema.ts'
import type { Run } from './run.ts'
import type { RunEvent } from './run-facts.ts'
import { readUsage } from './usage.ts'

type Chunk = Readonly<Record<string, unknown>>
/** What a chunk stands for; `null` for nothing of importance. */
export type MappedEvents = Partial<AgentEvent> | readonly Partial<AgentEvent>[] | null

export class ObservedRun {
  readonly #run: Run
  readonly #isOwn: boolean
  #outcome: 'success' | 'failure' | 'unknown' = 'success'

  /** @param isOwn whether the run ends with the stream */
  constructor(run: Run, isOwn: boolean) {
    this.#run = run
    this.#isOwn = isOwn
  }

  /** Never throws: a stream must not break because of who watches it. */
  see(chunk: unknown, map?: (chunk: unknown) => MappedEvents): void {
    try {
      if (map) this.#mapped(map(chunk))
      else if (typeof chunk === 'object' && chunk !== null) this.#known(chunk as Chunk)
    } catch (error) {
      void this.#run.record({ type: 'x.observe.failed', outcome: 'failure', error: { type: nameOf(error) } })
    }
  }

  end(): void {
    if (this.#isOwn) void this.#run.end({ outcome: this.#outcome })
  }

  fail(error: unknown): void {
    if (this.#isOwn) void this.#run.fail(error)
  }

  /** The consumer went away. */
  leave(): void {
    if (this.#isOwn) void this.#run.abort('stream was not read to its end', { outcome: 'unknown' })
  }

  #mapped(mapped: MappedEvents): void {
    const events = mapped === null || mapped === undefined ? [] : Array.isArray(mapped) ? mapped : [mapped]
    for (const event of events as readonly Partial<AgentEvent>[]) void this.#run.record(event as RunEvent)
  }

  #known(chunk: Chunk): void {
    if (typeof chunk.event === 'string' && chunk.event.startsWith('on_')) this.#langChain(chunk)
    else if (isMessage(chunk)) this.#message(chunk)
    else if (typeof chunk.type === 'string' && AI_SDK.has(chunk.type)) this.#aiSdk(chunk)
    else if (typeof chunk.type === 'string' && isAgentEventType(chunk.type)) this.#mapped(ownEvent(chunk))
  }

  /** Parts of `fullStream` of AI SDK 5 to 7. */
  #aiSdk(part: Chunk): void {
    const call = text(part.toolCallId) ?? 'unknown'
    const name = text(part.toolName)
    switch (part.type) {
      case 'tool-call':
        void this.#run.toolStart({
          call,
          name: name ?? 'unknown',
          args: part.input ?? part.args,
          onFailure: 'continue',
        })
        break
      case 'tool-result':
        if (part.preliminary === true) break
        void this.#run.toolEnd({ call, output: part.output ?? part.result, ...(name !== undefined && { name }) })
        break
      case 'tool-error':
        void this.#run.toolError({ call, error: part.error, ...(name !== undefined && { name }) })
        break
      case 'finish-step': {
        const usage = readUsage(part.usage)
        const model = text((part.response as Chunk | undefined)?.modelId)
        void this.#run.llmResponse({
          call: text((part.response as Chunk | undefined)?.id) ?? this.#run.calls.nextId('llm'),
          ...(usage && { usage }),
          ...(model !== undefined && { model }),
        })
        break
      }
      case 'error':
        this.#outcome = 'failure'
        void this.#run.record({ type: 'llm.error', outcome: 'failure', error: { type: nameOf(part.error) } })
        break
      case 'abort':
        if (this.#isOwn) void this.#run.abort(part.reason)
        break
    }
  }

  /** Events of LangChain's `streamEvents`, version 2. */
  #langChain(event: Chunk): void {
    const call = text(event.run_id) ?? 'unknown'
    const name = text(event.name) ?? 'unknown'
    const data = (event.data ?? {}) as Chunk
    const onFailure = 'continue'
    if (event.event === 'on_tool_start') void this.#run.toolStart({ call, name, args: data.input, onFailure })
    else if (event.event === 'on_tool_end') void this.#run.toolEnd({ call, name, output: data.output })
    else if (event.event === 'on_tool_error') void this.#run.toolError({ call, name, error: data.error })
    else if (event.event === 'on_chat_model_start') {
      void this.#run.llmRequest({ call, model: name, input: data.input, onFailure })
    } else if (event.event === 'on_chat_model_end') {
      const usage = readUsage((data.output as Chunk | undefined)?.usage_metadata)
      void this.#run.llmResponse({ call, model: name, output: data.output, ...(usage && { usage }) })
    }
  }

  /** Messages of Claude (and of the Claude Agent SDK): content blocks that call tools, and results of those. */
  #message(chunk: Chunk): void {
    const message = chunk.message as { content: readonly unknown[]; model?: unknown; id?: unknown; usage?: unknown }
    if (chunk.type === 'assistant') {
      const usage = readUsage(message.usage)
      const model = text(message.model)
      void this.#run.llmResponse({
        call: text(message.id) ?? this.#run.calls.nextId('llm'),
        output: message.content,
        ...(usage && { usage }),
        ...(model !== undefined && { model }),
      })
    }
    for (const block of message.content as readonly Chunk[]) {
      if (block?.type === 'tool_use') {
        const [call, name] = [text(block.id) ?? 'unknown', text(block.name) ?? 'unknown']
        void this.#run.toolStart({ call, name, args: block.input, onFailure: 'continue' })
      } else if (block?.type === 'tool_result') {
        const call = text(block.tool_use_id) ?? 'unknown'
        if (block.is_error === true) void this.#run.toolError({ call, error: block.content })
        else void this.#run.toolEnd({ call, output: block.content })
      }
    }
  }
}

const AI_SDK = new Set(['tool-call', 'tool-result', 'tool-error', 'finish-step', 'error', 'abort'])

function isMessage(chunk: Chunk): boolean {
  if (chunk.type !== 'assistant' && chunk.type !== 'user') return false
  return Array.isArray((chunk.message as { content?: unknown } | undefined)?.content)
}

/** An event of ours; its run and actor are those of the run that is observed, unless it says others. */
function ownEvent(chunk: Chunk): Partial<AgentEvent> {
  const { run, ...event } = chunk
  return event as Partial<AgentEvent>
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
