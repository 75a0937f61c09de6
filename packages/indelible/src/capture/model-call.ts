/**
 * One request to a model, for adapters of clients: from the entry that says that it is made to the one that says what came of
 * it. Belongs to the run at hand; outside of any, it is a run of its own.
 */
import { keep } from './action-tool.ts'
import { currentRun } from './context.ts'
import { isAbort, type ModelFacts } from './fit.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { readUsage } from './usage.ts'

/** What adapters of clients are attached with. */
export interface ClientOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** The run of calls that are made outside of any. Default: an agent `<client>-client`. */
  readonly run?: RunOptions
  /** Default: the run's. In mode `block`, no request leaves before its entry is durable. */
  readonly onFailure?: FailureMode
}

export interface ModelAnswer {
  readonly output?: unknown
  /** As the provider names the amounts. */
  readonly usage?: unknown
  /** Name of the model that answered. */
  readonly model?: string | undefined
  readonly attributes?: Readonly<Record<string, unknown>>
}

export interface ModelAsked {
  /** Name of the adapter. */
  readonly adapter: string
  /** Package and version of the client. */
  readonly sdk: string
  readonly model: ModelFacts
  readonly input: unknown
  readonly attributes?: Readonly<Record<string, unknown>>
}

export class ModelCall {
  readonly run: Run
  readonly #call: string
  readonly #isOwnRun: boolean
  readonly #asked: ModelAsked
  readonly #onFailure: FailureMode
  #isOver = false

  private constructor(options: ClientOptions, asked: ModelAsked) {
    const current = currentRun()
    const source = { adapter: asked.adapter, sdk: asked.sdk }
    this.run = current ?? options.recorder.run({ agent: `${asked.adapter}-client`, source, ...options.run })
    this.#isOwnRun = current === undefined
    this.#call = this.run.calls.nextId('llm')
    this.#asked = asked
    this.#onFailure = options.onFailure ?? this.run.onFailure
  }

  /**
   * Says that a request is about to leave. It may once this resolves.
   * @throws IndelibleError `ERR_CAPTURE_BLOCKED`: then it must not
   */
  static async begin(options: ClientOptions, asked: ModelAsked): Promise<ModelCall> {
    const call = new ModelCall(options, asked)
    const { model, input, attributes } = asked
    const onFailure = call.#onFailure
    const request = { call: call.#call, model, input, onFailure, ...(attributes && { attributes }) }
    const recorded = call.run.llmRequest(request)
    if (onFailure !== 'block') return call
    try {
      await recorded
    } catch (error) {
      call.#end(error)
      throw error
    }
    return call
  }

  /** The model answered. Waits, in mode `block`, until that is durable somewhere; nobody has to wait for it. */
  async answered({ output, usage, model, attributes }: ModelAnswer): Promise<void> {
    if (this.#isOver) return
    const amounts = readUsage(usage)
    const ack = this.run.llmResponse({
      call: this.#call,
      model: { ...this.#asked.model, ...(model !== undefined && { name: model }) },
      ...(output !== undefined && { output }),
      ...(amounts && { usage: amounts }),
      ...(attributes && { attributes }),
    })
    this.#end()
    await keep(this.run, this.#onFailure, ack)
  }

  failed(error: unknown): void {
    if (this.#isOver) return
    const attributes = isAbort(error, this.run.signal) && { aborted: true }
    void this.run.llmError({
      call: this.#call,
      model: this.#asked.model,
      error,
      ...(attributes && { attributes }),
    })
    this.#end(error)
  }

  #end(error?: unknown): void {
    this.#isOver = true
    if (!this.#isOwnRun) return
    if (error === undefined) void this.run.end()
    else void this.run.fail(error)
  }
}
