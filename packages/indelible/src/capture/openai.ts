/**
 * Adapter for the `openai` package (4 to 7): records what a client asks models, and what they answer. Tools are run by the
 * caller's own code, which records them with `run.tool`.
 *
 * The client's own methods are replaced, so that its helpers (`parse`, `stream`) go the same way. Nothing is imported from
 * the package.
 */
import { joinDeltas } from './chat-chunks.ts'
import { currentRun } from './context.ts'
import type { ModelInput } from './fit.ts'
import type { RunOptions } from './members.ts'
import type { Recorder } from './recorder.ts'
import type { Run } from './run.ts'
import type { FailureMode } from './sink.ts'
import { joinChunks, tapStream } from './stream.ts'
import { checkVersion } from './support.ts'
import { readUsage, type Usage, usageOf } from './usage.ts'

export interface OpenAiOptions {
  /** Of a log: `log.recorder`. */
  readonly recorder: Recorder
  /** The run of calls that are made outside of any. Default: an agent `openai-client`. */
  readonly run?: RunOptions
  /** Default: the run's. In mode `block`, no request leaves before its entry is durable. */
  readonly onFailure?: FailureMode
  /** Default: what the client says of itself. */
  readonly version?: string
}

type Method = (body: Body, ...rest: unknown[]) => ApiPromise
type Body = Readonly<Record<string, unknown>>

/** The package's promise: it can also give the raw response. */
interface ApiPromise extends PromiseLike<unknown> {
  withResponse(): Promise<{ data: unknown; response: unknown }>
  asResponse(): Promise<unknown>
  _thenUnwrap?(transform: (data: unknown, props: unknown) => unknown): ApiPromise
}

const MAJORS = [4, 5, 6, 7]

/** Resources and the part of the request that holds what is asked. */
const METHODS: readonly (readonly [readonly string[], string])[] = [
  [['chat', 'completions'], 'messages'],
  [['responses'], 'input'],
  [['embeddings'], 'input'],
]

/**
 * Has a client's calls recorded from now on. Returns the client.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know
 */
export function recordOpenAi<Client extends object>(client: Client, options: OpenAiOptions): Client {
  const version = options.version ?? versionOf(client)
  checkVersion('openai', version, MAJORS)
  for (const [path, input] of METHODS) {
    let resource = client as Record<string, unknown>
    for (const name of path) resource = (resource?.[name] ?? {}) as Record<string, unknown>
    const create = resource.create
    if (typeof create !== 'function' || RECORDED in create) continue
    const original = create.bind(resource) as Method
    const recorded = (body: Body, ...rest: unknown[]) => {
      const call = new RecordedCall(options, version, body, input, () => original(body, ...rest))
      return new RecordedPromise(call, (value) => value)
    }
    resource.create = Object.assign(recorded, { [RECORDED]: true })
  }
  return client
}

const RECORDED = Symbol('recorded')

/** `OpenAI/JS 7.55.0`. */
function versionOf(client: object): string | undefined {
  const { getUserAgent } = client as { getUserAgent?: () => unknown }
  const agent = typeof getUserAgent === 'function' ? getUserAgent.call(client) : undefined
  return typeof agent === 'string' ? /\/JS (\S+)/.exec(agent)?.[1] : undefined
}

/** One request, from the entry that says that it is made to the one that says what came of it. */
class RecordedCall {
  readonly #run: Run
  readonly #isOwnRun: boolean
  readonly #call: string
  readonly #model: ModelInput
  /** Not the promise itself, which a promise would wait for. */
  readonly started: Promise<{ readonly promise: ApiPromise }>
  #value: Promise<unknown> | null = null

  constructor(
    options: OpenAiOptions,
    version: string | undefined,
    body: Body,
    input: string,
    create: () => ApiPromise,
  ) {
    const current = currentRun()
    const source = { adapter: 'openai', ...(version !== undefined && { sdk: `openai/${version}` }) }
    this.#run = current ?? options.recorder.run({ agent: 'openai-client', source, ...options.run })
    this.#isOwnRun = current === undefined
    this.#call = this.#run.calls.nextId('llm')
    this.#model = modelOf(body)
    const onFailure = options.onFailure ?? this.#run.onFailure
    const { [input]: asked, model: _model, ...settings } = body
    const request = { call: this.#call, model: this.#model, input: { [input]: asked, ...settings }, onFailure }
    const recorded = this.#run.llmRequest(request)
    // In mode continue the request leaves at once.
    this.started = onFailure === 'block' ? recorded.then(() => ({ promise: create() })) : begin(create)
    this.started.catch((error) => this.#end(error))
  }

  /** What the call gives, recorded on its way to the caller. */
  value(): Promise<unknown> {
    this.#value ??= this.#answer()
    return this.#value
  }

  async #answer(): Promise<unknown> {
    const { promise } = await this.started
    let answer: unknown
    try {
      answer = await promise
    } catch (error) {
      void this.#run.llmError({ call: this.#call, model: this.#model, error })
      this.#end(error)
      throw error
    }
    let usage: Usage | undefined
    let model: string | undefined
    const look = (part: unknown) => {
      usage = usageOf(part) ?? usageOf((part as { response?: unknown } | null)?.response) ?? usage
      const name = (part as { model?: unknown } | null)?.model
      if (typeof name === 'string') model = name
    }
    const tapped = tapStream(
      answer,
      (end) => {
        if (end.how === 'failed') {
          void this.#run.llmError({ call: this.#call, model: this.#model, error: end.error })
          this.#end(end.error)
        } else
          this.#responded(streamed(end.chunks), usage, model, {
            streamed: true,
            ...(end.how === 'left' && { left: true }),
          })
      },
      look,
    )
    if (tapped) return tapped.stream
    look(answer)
    this.#responded(outputOf(answer), usage, model)
    return answer
  }

  /** The caller took the raw response, whose body is theirs alone. */
  tookRaw(status: unknown): void {
    const attributes = { raw: true, ...(typeof status === 'number' && { status }) }
    this.#responded(undefined, undefined, undefined, attributes)
  }

  #responded(
    output: unknown,
    usage: Usage | undefined,
    model: string | undefined,
    attributes?: Record<string, unknown>,
  ) {
    const asked = this.#model as { readonly name: string }
    void this.#run.llmResponse({
      call: this.#call,
      model: { ...asked, ...(model !== undefined && { name: model }) },
      ...(output !== undefined && { output }),
      ...(usage && { usage: readUsage(usage)! }),
      ...(attributes && { attributes }),
    })
    this.#end()
  }

  #end(error?: unknown): void {
    if (!this.#isOwnRun) return
    if (error === undefined) void this.#run.end()
    else void this.#run.fail(error)
  }
}

/** A call that throws at once rejects, as it would have. */
async function begin(create: () => ApiPromise): Promise<{ promise: ApiPromise }> {
  return { promise: create() }
}

/** Stands in for the package's promise, all of whose methods give promises. */
class RecordedPromise implements PromiseLike<unknown> {
  readonly #call: RecordedCall
  readonly #transform: (value: unknown) => unknown
  #value: Promise<unknown> | null = null

  constructor(call: RecordedCall, transform: (value: unknown) => unknown) {
    this.#call = call
    this.#transform = transform
  }

  #settle(): Promise<unknown> {
    this.#value ??= this.#call.value().then(this.#transform)
    return this.#value
  }

  // biome-ignore lint/suspicious/noThenProperty: it stands in for a promise
  then<A, B>(
    resolved?: ((value: unknown) => A | PromiseLike<A>) | null,
    rejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ) {
    return this.#settle().then(resolved, rejected)
  }

  catch<B>(rejected?: ((error: unknown) => B | PromiseLike<B>) | null) {
    return this.#settle().catch(rejected)
  }

  finally(done?: (() => void) | null) {
    return this.#settle().finally(done)
  }

  async withResponse() {
    const { promise } = await this.#call.started
    const data = await this.#settle()
    return { ...(await promise.withResponse()), data }
  }

  async asResponse() {
    const { promise } = await this.#call.started
    const response = await promise.asResponse()
    this.#call.tookRaw((response as { status?: unknown } | null)?.status)
    return response
  }

  /** What the package's own helpers build on. */
  _thenUnwrap(transform: (value: unknown, props: unknown) => unknown): RecordedPromise {
    const before = this.#transform
    return new RecordedPromise(this.#call, async (value) => {
      const { promise } = await this.#call.started
      // The second argument belongs to the package: it is asked for it, and the answer is not parsed again.
      let props: unknown
      await promise._thenUnwrap?.((data, given) => {
        props = given
        return data
      })
      return transform(await before(value), props)
    })
  }

  get [Symbol.toStringTag](): string {
    return 'Promise'
  }
}

function modelOf(body: Body): ModelInput {
  const effort = body?.reasoning_effort ?? (body?.reasoning as { effort?: unknown } | undefined)?.effort
  return {
    name: typeof body?.model === 'string' ? body.model : 'unknown',
    provider: 'openai',
    ...(typeof effort === 'string' && { reasoning_effort: effort }),
  }
}

function outputOf(answer: unknown): unknown {
  const { choices, output } = (answer ?? {}) as { choices?: unknown; output?: unknown }
  // Vectors say nothing to a reader; that they were made, the entry says.
  if ((answer as { object?: unknown } | null)?.object === 'list') return undefined
  return choices ?? output ?? answer
}

/** What the chunks of a stream add up to: the last event of the responses API has it all; chat has to be put together. */
function streamed(chunks: readonly unknown[]): unknown {
  const completed = chunks.findLast((chunk) => (chunk as { type?: unknown } | null)?.type === 'response.completed')
  if (completed) return outputOf((completed as { response?: unknown }).response)
  return joinDeltas(chunks) ?? joinChunks(chunks)
}
