/**
 * Adapter for `@huggingface/inference` 4: records what a client asks models, whatever the task, and what they answer. Tools
 * are run by the caller's own code, which records them with `run.tool`.
 *
 * The package's client says nothing of its version, but its requests do: they pass through a `fetch` of ours, which lets none
 * leave from a version that this adapter does not know. Nothing is imported from the package.
 */
import { joinDeltas } from './chat-chunks.ts'
import { currentRun } from './context.ts'
import { type ClientOptions, ModelCall } from './model-call.ts'
import type { Run } from './run.ts'
import { joinChunks, watchIterator } from './stream.ts'
import { checkVersion } from './support.ts'
import { type Usage, usageOf } from './usage.ts'

export interface HuggingFaceOptions extends ClientOptions {
  /** Default: what the client's requests say. */
  readonly version?: string
}

type Params = Readonly<Record<string, unknown>>
type Fetch = (input: unknown, init?: { readonly method?: string; readonly headers?: unknown }) => Promise<Response>
type TaskOptions = Readonly<Record<string, unknown>> & { readonly fetch?: Fetch }
type Task = (params?: Params, options?: TaskOptions) => unknown

const MAJORS = [4]
const PACKAGE = '@huggingface/inference'

/** Most chunks of a stream that are kept. */
const MAX_CHUNKS = 10_000

/** Members of a task's parameters that say where it goes, and the one that nobody may see. */
const ROUTE = new Set(['accessToken', 'endpointUrl', 'model', 'provider'])

/**
 * A client like the one given, whose calls are recorded; the one given stays as it is, because its methods cannot be
 * replaced. Also what `endpoint` gives is recorded.
 * @throws IndelibleError `ERR_CAPTURE_UNSUPPORTED` for a version that this adapter does not know. Where none is given, calls
 * reject with it, before anything has left.
 */
export function recordHuggingFace<Client extends object>(client: Client, options: HuggingFaceOptions): Client {
  if (options.version !== undefined) checkVersion(PACKAGE, options.version, MAJORS)
  const recorded = Object.create(client) as Client
  const { defaultOptions } = client as { defaultOptions?: { readonly fetch?: Fetch; readonly endpointUrl?: unknown } }
  for (const name of Object.getOwnPropertyNames(client)) {
    const task = (client as Record<string, unknown>)[name]
    if (typeof task !== 'function') continue
    const call = (params: Params = {}, given: TaskOptions = {}) => {
      const plain = given.fetch ?? defaultOptions?.fetch
      const fetch = options.version === undefined ? checkedFetch(plain) : plain
      const endpoint = params.endpointUrl ?? defaultOptions?.endpointUrl
      const work = () => (task as Task).call(client, params, { ...given, ...(fetch && { fetch }) })
      const asked = { name, params, endpoint, work }
      // The package's own tasks that stream are called so; they answer with a generator, not with the promise of one.
      return isStreaming(name) ? stream(asked, options, currentRun()) : answer(asked, options)
    }
    Object.defineProperty(recorded, name, { value: call })
  }
  const { endpoint } = client as { endpoint?: (url: string) => object }
  if (typeof endpoint === 'function') {
    const value = (url: string) => recordHuggingFace(endpoint.call(client, url), options)
    Object.defineProperty(recorded, 'endpoint', { value })
  }
  return recorded
}

interface Asked {
  readonly name: string
  readonly params: Params
  readonly endpoint: unknown
  readonly work: () => unknown
}

function isStreaming(name: string): boolean {
  return name.endsWith('Stream') || name === 'streamingRequest'
}

function begin({ name, params, endpoint }: Asked, options: HuggingFaceOptions): Promise<ModelCall> {
  const { model, provider } = params
  const where = endpoint === undefined ? undefined : hostOf(endpoint)
  return ModelCall.begin(options, {
    adapter: 'hugging-face',
    sdk: options.version === undefined ? PACKAGE : `${PACKAGE}/${options.version}`,
    model: {
      name: typeof model === 'string' ? model : 'unknown',
      provider: typeof provider === 'string' ? provider : 'hugging-face',
    },
    input: Object.fromEntries(Object.entries(params).filter(([key]) => !ROUTE.has(key))),
    attributes: { task: name, ...(where !== undefined && { endpoint: where }) },
  })
}

async function answer(asked: Asked, options: HuggingFaceOptions): Promise<unknown> {
  const call = await begin(asked, options)
  let result: unknown
  try {
    result = await asked.work()
  } catch (error) {
    call.failed(error)
    throw error
  }
  await call.answered({ output: outputOf(asked.name, result), usage: usageOf(result), model: modelOf(result) })
  return result
}

/** @param run at hand where the stream was asked for, which need not be where it is read */
async function* stream(asked: Asked, options: HuggingFaceOptions, run: Run | undefined): AsyncGenerator<unknown> {
  const call = await (run ? run.within(() => begin(asked, options)) : begin(asked, options))
  const chunks: unknown[] = []
  let usage: Usage | undefined
  let model: string | undefined
  let isClipped = false
  const answered = (more: object = {}) => {
    const attributes = { streamed: true, ...(isClipped && { clipped: true }), ...more }
    return call.answered({ output: joinDeltas(chunks) ?? joinChunks(chunks), usage, model, attributes })
  }
  let source: AsyncIterable<unknown>
  try {
    source = asked.work() as AsyncIterable<unknown>
  } catch (error) {
    call.failed(error)
    throw error
  }
  yield* watchIterator(source, {
    chunk(chunk) {
      usage = usageOf(chunk) ?? usage
      model = modelOf(chunk) ?? model
      if (chunks.length < MAX_CHUNKS) chunks.push(chunk)
      else isClipped = true
    },
    // What has gone by cannot be taken back, whatever becomes of the entry.
    done: () => void answered().catch(() => {}),
    left: () => void answered({ left: true }).catch(() => {}),
    failed: (error) => call.failed(error),
  })
}

/** What is not text or numbers to be read stands for itself by kind and size. */
function outputOf(task: string, result: unknown): unknown {
  if (task === 'featureExtraction') return undefined
  if (result instanceof Blob) return { type: result.type, bytes: result.size }
  return (result as { choices?: unknown } | null)?.choices ?? result
}

function modelOf(answer: unknown): string | undefined {
  const model = (answer as { model?: unknown } | null)?.model
  return typeof model === 'string' && model !== '' ? model : undefined
}

/** Of an address only the host: the rest may hold a key. */
function hostOf(url: unknown): string | undefined {
  return typeof url === 'string' && URL.canParse(url) ? new URL(url).host : undefined
}

/** What asks the Hub where a model is served is a GET, and says no version. */
function checkedFetch(fetch: Fetch | undefined): Fetch {
  return async (input, init) => {
    if (init?.method?.toUpperCase() === 'POST') {
      const agent = new Headers((init.headers ?? {}) as Headers).get('user-agent') ?? ''
      checkVersion(PACKAGE, /@huggingface\/inference\/(\S+)/.exec(agent)?.[1], MAJORS)
    }
    return (fetch ?? (globalThis.fetch as unknown as Fetch))(input, init)
  }
}
