/**
 * The AI SDK's middleware for models: records calls of a model that telemetry does not see, because it is switched off, set
 * to other integrations, or not there, as for `generateObject`. What telemetry sees passes by.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type Fields, fields, list, text } from './fields.ts'
import { type ClientOptions, ModelCall } from './model-call.ts'
import { tapStream } from './stream.ts'

/** As `wrapLanguageModel` of the SDK wants it. */
export interface AiSdkMiddleware {
  readonly specificationVersion: 'v4'
  wrapGenerate<T>(call: { doGenerate(): PromiseLike<T>; params: object; model: object }): Promise<T>
  wrapStream<T>(call: { doStream(): PromiseLike<T>; params: object; model: object }): Promise<T>
}

const seen = new AsyncLocalStorage<true>()

/** Calls `work`, in which a model is asked that telemetry records. */
export function withinModelCall<T>(work: () => T): T {
  return seen.run(true, work)
}

export function aiSdkMiddleware(options: Pick<ClientOptions, 'recorder' | 'onFailure'> & { readonly run?: object }) {
  const client: ClientOptions = {
    recorder: options.recorder,
    ...(options.onFailure !== undefined && { onFailure: options.onFailure }),
    ...(options.run && { run: { agent: 'ai-sdk', ...options.run } }),
  }
  const middleware: AiSdkMiddleware = {
    specificationVersion: 'v4',
    async wrapGenerate({ doGenerate, params, model }) {
      if (seen.getStore()) return doGenerate()
      const call = await begin(client, model as Fields, params as Fields)
      return settled(call, doGenerate, async (result) => {
        const { content, finishReason, usage } = fields(result)
        const output = { content, finish_reason: fields(finishReason).unified ?? finishReason }
        await call.answered({ output, usage, model: text(fields(fields(result).response).modelId) })
        return result
      })
    },
    async wrapStream({ doStream, params, model }) {
      if (seen.getStore()) return doStream()
      const call = await begin(client, model as Fields, params as Fields)
      return settled(call, doStream, async (result) => recordParts(result, call))
    },
  }
  return middleware
}

function begin(options: ClientOptions, model: Fields, { prompt }: Fields): Promise<ModelCall> {
  const provider = text(model.provider)
  return ModelCall.begin(options, {
    adapter: 'ai-sdk',
    sdk: 'ai/middleware-v4',
    model: { name: text(model.modelId) ?? 'unknown', ...(provider !== undefined && { provider }) },
    input: { messages: prompt },
  })
}

async function settled<T>(call: ModelCall, ask: () => PromiseLike<T>, answered: (result: T) => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await ask()
  } catch (error) {
    call.failed(error)
    throw error
  }
  return answered(result)
}

/** A result whose stream is recorded as it is read. */
function recordParts<T>(result: T, call: ModelCall): T {
  let usage: unknown
  let model: string | undefined
  let finish: unknown = null
  const tapped = tapStream(
    fields(result).stream,
    (end) => {
      if (end.how === 'failed') call.failed(end.error)
      else {
        const attributes = {
          streamed: true,
          ...(end.isClipped && { clipped: true }),
          ...(end.how === 'left' && { left: true }),
        }
        const output = { content: joined(end.chunks), finish_reason: finish }
        // What has gone by cannot be taken back, whatever becomes of the entry.
        void call.answered({ output, usage, model, attributes }).catch(() => {})
      }
    },
    (chunk) => {
      const part = fields(chunk)
      if (part.type === 'response-metadata') model = text(part.modelId) ?? model
      if (part.type !== 'finish') return
      usage = part.usage
      finish = fields(part.finishReason).unified ?? part.finishReason
    },
  )
  return tapped ? ({ ...result, stream: tapped.stream } as T) : result
}

/** Pieces of one text, or of one reasoning, put together; other parts that say something as they are. */
function joined(chunks: readonly unknown[]): unknown[] {
  const parts: { type: string; text?: string }[] = []
  const open = new Map<string, { type: string; text: string }>()
  for (const chunk of list(chunks).map(fields)) {
    const found = /^(text|reasoning)-delta$/.exec(String(chunk.type))
    if (found) {
      const id = `${found[1]} ${chunk.id}`
      let part = open.get(id)
      if (!part) {
        part = { type: found[1]!, text: '' }
        open.set(id, part)
        parts.push(part)
      }
      part.text += typeof chunk.delta === 'string' ? chunk.delta : ''
    } else if (/^(tool-call|tool-result|file|source)$/.test(String(chunk.type))) parts.push(chunk as { type: string })
  }
  return parts
}
