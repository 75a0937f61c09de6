/** A request of a session, from its arrival to the answer, and what is known of those under way. */
import { McpAnswerError, type McpMessage, type McpSide } from './mcp-message.ts'

/** How a session is told what to do with a message. */
export interface McpVia {
  /** Hands it on as it came. */
  pass(): void
  /** Answers whoever sent it. */
  reply(message: McpMessage): void
  /** Hands something else on in its place. */
  replace(message: McpMessage): void
  /** It goes nowhere, and nobody is told. */
  drop(): void
}

export class Exchange {
  readonly id: unknown
  readonly method: string
  readonly startedAt = performance.now()
  /** Set once the other end has been given it. */
  isPassed = false
  /** Told the answer, or that there will be none. Ungated exchanges record with it. */
  onEnd: ((answer: McpMessage | null, error: Error | undefined) => void) | undefined
  /** Resolves once the outcome is recorded, to the reason why the answer must not be handed on. Unset: there is no such reason. */
  recorded: Promise<Error | null> | undefined
  readonly #abort = new AbortController()

  constructor(id: unknown, method: string) {
    this.id = id
    this.method = method
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isCancelled(): boolean {
    return this.#abort.signal.aborted
  }

  end(answer: McpMessage | null, error: Error | undefined): void {
    const tell = this.onEnd
    this.onEnd = undefined
    tell?.(answer, error)
  }

  /** Whoever asked wants no answer any more. */
  cancel(reason: unknown): void {
    const error = new McpAnswerError('AbortError', typeof reason === 'string' ? reason : 'cancelled')
    this.#abort.abort(error)
    this.end(null, error)
  }
}

/** Cancelled requests whose late answer is known for what it is. */
const MAX_CANCELLED = 1024

/**
 * Requests under way, by who asked and by id. Ids that are used twice at the same time are an error of the sender; they are
 * answered in the order in which they were asked.
 */
export class Exchanges {
  readonly #open = new Map<string, Exchange[]>()
  readonly #cancelled = new Set<string>()

  add(from: McpSide, exchange: Exchange): void {
    const key = keyOf(from, exchange.id)
    const others = this.#open.get(key)
    if (others) others.push(exchange)
    else this.#open.set(key, [exchange])
    this.#cancelled.delete(key)
  }

  find(from: McpSide, id: unknown): Exchange | undefined {
    return this.#open.get(keyOf(from, id))?.[0]
  }

  remove(from: McpSide, exchange: Exchange): void {
    const key = keyOf(from, exchange.id)
    const left = (this.#open.get(key) ?? []).filter((one) => one !== exchange)
    if (left.length > 0) this.#open.set(key, left)
    else this.#open.delete(key)
    if (!exchange.isCancelled) return
    if (this.#cancelled.size >= MAX_CANCELLED) this.#cancelled.delete(this.#cancelled.values().next().value!)
    this.#cancelled.add(key)
  }

  /** Whether an answer to something cancelled has come. */
  wasCancelled(from: McpSide, id: unknown): boolean {
    return this.#cancelled.delete(keyOf(from, id))
  }

  all(): Exchange[] {
    return [...this.#open.values()].flat()
  }

  clear(): void {
    this.#open.clear()
  }
}

/** `1` and `"1"` are two ids. */
function keyOf(from: McpSide, id: unknown): string {
  return `${from} ${JSON.stringify(id)}`
}
