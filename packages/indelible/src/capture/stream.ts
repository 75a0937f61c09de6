/**
 * Streams that pass through unchanged while what goes by is collected, within bounds: an answer of hours must not fill the
 * memory. What a consumer does not read is not recorded, and nothing is read on its behalf.
 */

/** How a stream ended: to its end, left by its consumer, or with an error. */
export type StreamEnd =
  | { readonly how: 'done' | 'left'; readonly chunks: readonly unknown[]; readonly isClipped: boolean }
  | {
      readonly how: 'failed'
      readonly error: unknown
      readonly chunks: readonly unknown[]
      readonly isClipped: boolean
    }

/** Most chunks, and characters of text chunks or bytes, that are collected. */
const MAX_CHUNKS = 10_000
const MAX_TEXT = 1024 * 1024

/** Runs within the context in which the stream is consumed; must not throw. */
type OnEnd = (end: StreamEnd) => void

interface ReadableLike {
  once(event: 'close', listener: () => void): unknown
  readonly errored?: unknown
  readonly readableEnded?: boolean
}

/**
 * `result` itself, or what stands in for it, if it is a stream: an async iterable, a web `ReadableStream`, a generator, or a
 * stream of Node, of which only the end is noted. `null` if it is none.
 */
export function tapStream(
  result: unknown,
  onEnd: OnEnd,
  onChunk?: (chunk: unknown) => void,
): { stream: unknown } | null {
  if (typeof result !== 'object' || result === null) return null
  try {
    if (result instanceof ReadableStream) return { stream: tapReadable(result, new Collector(onEnd, onChunk)) }
    if ('pipe' in result && typeof result.pipe === 'function' && 'once' in result) {
      tapNode(result as unknown as ReadableLike, new Collector(onEnd, onChunk))
      return { stream: result }
    }
    if (typeof (result as { [Symbol.asyncIterator]?: unknown })[Symbol.asyncIterator] === 'function') {
      const iterable = result as AsyncIterable<unknown>
      return { stream: standIn(result, Symbol.asyncIterator, () => tapAsync(iterable, onEnd, onChunk)) }
    }
    if (isGenerator(result)) {
      const iterable = result as Iterable<unknown>
      return { stream: standIn(result, Symbol.iterator, () => tapSync(iterable, onEnd, onChunk)) }
    }
  } catch {
    return null
  }
  return null
}

function isGenerator(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Generator]'
}

/** All that a framework put on its stream stays usable; only iterating goes past us. An iterator is its own stream. */
function standIn(target: object, symbol: symbol, iterate: () => object): object {
  let tapped: object | undefined
  const own = () => {
    tapped ??= iterate()
    return tapped
  }
  return new Proxy(target, {
    get(_, key) {
      if (key === symbol) return own
      const isStep = key === 'next' || key === 'return' || key === 'throw'
      const source = isStep && key in target ? own() : target
      const value = Reflect.get(source, key, source)
      // Private members are found on the stream itself, not on what stands in for it.
      return typeof value === 'function' ? value.bind(source) : value
    },
  })
}

class Collector {
  readonly #onEnd: OnEnd
  readonly #onChunk: ((chunk: unknown) => void) | undefined
  readonly #chunks: unknown[] = []
  #text = 0
  #isClipped = false
  #isOver = false

  constructor(onEnd: OnEnd, onChunk: ((chunk: unknown) => void) | undefined) {
    this.#onEnd = onEnd
    this.#onChunk = onChunk
  }

  add(chunk: unknown): void {
    this.#onChunk?.(chunk)
    if (typeof chunk === 'string') this.#text += chunk.length
    else if (chunk instanceof Uint8Array) this.#text += chunk.byteLength
    if (this.#chunks.length >= MAX_CHUNKS || this.#text > MAX_TEXT) this.#isClipped = true
    else this.#chunks.push(chunk)
  }

  end(how: 'done' | 'left'): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onEnd({ how, chunks: this.#chunks, isClipped: this.#isClipped })
  }

  fail(error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onEnd({ how: 'failed', error, chunks: this.#chunks, isClipped: this.#isClipped })
  }
}

function tapAsync(
  source: AsyncIterable<unknown>,
  onEnd: OnEnd,
  onChunk: ((chunk: unknown) => void) | undefined,
): AsyncIterableIterator<unknown> {
  const collector = new Collector(onEnd, onChunk)
  return watchIterator(source, {
    chunk: (chunk) => collector.add(chunk),
    done: () => collector.end('done'),
    left: () => collector.end('left'),
    failed: (error) => collector.fail(error),
  })
}

/** Told what goes by; must not throw. */
export interface StreamWatcher<T> {
  chunk(chunk: T): void
  done(): void
  left(): void
  failed(error: unknown): void
}

/** Iterates `source` as it is. No generator of ours: that would wait for chunks which are promises, and so change them. */
export function watchIterator<T>(source: AsyncIterable<T>, watcher: StreamWatcher<T>): AsyncIterableIterator<T> {
  const iterator = source[Symbol.asyncIterator]()
  const step = async (work: () => Promise<IteratorResult<T>>) => {
    let result: IteratorResult<T>
    try {
      result = await work()
    } catch (error) {
      watcher.failed(error)
      throw error
    }
    if (result.done) watcher.done()
    else watcher.chunk(result.value)
    return result
  }
  return {
    next: (...args: [] | [undefined]) => step(() => iterator.next(...args)),
    async return(value?: unknown) {
      watcher.left()
      return iterator.return ? iterator.return(value) : { done: true, value }
    },
    throw: (error: unknown) => step(() => (iterator.throw ? iterator.throw(error) : Promise.reject(error))),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

function* tapSync(source: Iterable<unknown>, onEnd: OnEnd, onChunk: ((chunk: unknown) => void) | undefined): Generator {
  const collector = new Collector(onEnd, onChunk)
  try {
    for (const chunk of source) {
      collector.add(chunk)
      yield chunk
    }
    collector.end('done')
  } catch (error) {
    collector.fail(error)
    throw error
  } finally {
    collector.end('left')
  }
}

function tapReadable(source: ReadableStream, collector: Collector): ReadableStream {
  const reader = source.getReader()
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            collector.end('done')
            controller.close()
            return
          }
          collector.add(value)
          controller.enqueue(value)
        } catch (error) {
          collector.fail(error)
          controller.error(error)
        }
      },
      async cancel(reason) {
        collector.end('left')
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}

/** To read it, or to listen for its errors, would change what it does. */
function tapNode(stream: ReadableLike, collector: Collector): void {
  stream.once('close', () => {
    if (stream.errored) collector.fail(stream.errored)
    else collector.end(stream.readableEnded === false ? 'left' : 'done')
  })
}

/** What a stream gave, as one value: text if all of it was text. */
export function joinChunks(chunks: readonly unknown[]): unknown {
  return chunks.length > 0 && chunks.every((chunk) => typeof chunk === 'string') ? chunks.join('') : [...chunks]
}
