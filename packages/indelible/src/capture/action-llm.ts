/** A call of a model, from the request to the last chunk of the answer. */
import { keep } from './action-tool.ts'
import { isAbort, type ModelInput } from './fit.ts'
import type { Run } from './run.ts'
import type { LlmStart } from './run-facts.ts'
import { joinChunks, tapStream } from './stream.ts'
import { readUsage, type Usage, usageOf } from './usage.ts'

export interface LlmOptions<T> {
  readonly signal?: AbortSignal
  /** Reads the amounts out of the answer, or out of a chunk of it. Default: its `usage`, in the names of many providers. */
  readonly usage?: (answer: T | unknown) => Usage | undefined
  /** What of the answer, or of all chunks of a stream, is kept as output. Default: all. */
  readonly output?: (answer: T | readonly unknown[]) => unknown
  /** The model that answered, where the answer says so. Default: its `model`, if that is a text. */
  readonly model?: (answer: T | unknown) => ModelInput | undefined
}

export interface LlmContext {
  readonly run: Run
  readonly call: string
  readonly signal: AbortSignal | undefined
}

export async function recordLlm<T>(
  run: Run,
  request: LlmStart,
  fn: (context: LlmContext) => T,
  options: LlmOptions<Awaited<T>> = {},
): Promise<Awaited<T>> {
  const { call = run.calls.nextId('llm'), onFailure = run.onFailure } = request
  const { signal = run.signal, usage: readFrom = usageOf, output = (answer: unknown) => answer } = options
  const started = run.llmRequest({ ...request, call })
  if (onFailure === 'block') await started
  const asked = request.model ?? run.model

  const fail = (error: unknown) =>
    run.llmError({
      call,
      error,
      ...(asked !== undefined && { model: asked }),
      ...(isAbort(error, signal) && { attributes: { aborted: true } }),
    })
  let answer: Awaited<T>
  try {
    answer = await run.within(() => fn({ run, call, signal }))
  } catch (error) {
    await keep(run, onFailure, fail(error))
    throw error
  }
  let usage: Usage | undefined
  let model: ModelInput | undefined
  const look = (part: unknown) => {
    usage = readUsage(readFrom(part)) ?? usage
    model = (options.model ?? modelOf)(part) ?? model
  }
  const respond = (kept: unknown, attributes?: Record<string, unknown>) => {
    const used = named(model, asked)
    return run.llmResponse({
      call,
      output: kept,
      ...(usage && { usage }),
      ...(used !== undefined && { model: used }),
      ...(attributes && { attributes }),
    })
  }
  const tapped = tapStream(
    answer,
    (end) => {
      if (end.how === 'failed') void fail(end.error)
      else {
        const attributes = { streamed: true, ...(end.how === 'left' && { left: true }), ...(end.isClipped && CLIPPED) }
        void respond(options.output ? output(end.chunks) : joinChunks(end.chunks), attributes)
      }
    },
    look,
  )
  if (tapped) return tapped.stream as Awaited<T>
  look(answer)
  await keep(run, onFailure, respond(output(answer)))
  return answer
}

const CLIPPED = { clipped: true }

function modelOf(answer: unknown): string | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  const { model } = answer as { model?: unknown }
  return typeof model === 'string' ? model : undefined
}

/** The name that the answer gives, with what is known of the model that was asked. */
function named(answered: ModelInput | undefined, asked: ModelInput | undefined): ModelInput | undefined {
  if (typeof answered !== 'string' || typeof asked !== 'object') return answered ?? asked
  return { ...asked, name: answered }
}
