/**
 * The calls of one run that have begun and not ended, and what the run adds up to. Frameworks call hooks twice, never, or in
 * another order than one expects: what does not pair is counted, not guessed at.
 */
import type { Ack } from './sink.ts'
import { addUsage, type Usage } from './usage.ts'

export type CallKind = 'tool' | 'llm' | 'step'

/** A call under way. */
export interface OpenCall {
  readonly kind: CallKind
  readonly name: string | undefined
  /** By the monotonic clock, ms. */
  readonly startedAt: number
  /** What became of the entry that says that it began. */
  readonly ack: Promise<Ack>
}

/** Ended calls that are remembered, to know a second end when it comes. */
const MAX_ENDED = 4096

export class Calls {
  readonly #open = new Map<string, OpenCall>()
  readonly #ended = new Set<string>()
  readonly #usage = new Map<string, number>()
  readonly #numbers = new Map<CallKind, number>()
  tools = 0
  modelCalls = 0
  steps = 0
  errors = 0
  denied = 0
  handoffs = 0
  /** Beginnings and ends that came a second time. */
  duplicates = 0

  /** A name for a call that its framework gave none. */
  nextId(kind: CallKind): string {
    const number = (this.#numbers.get(kind) ?? 0) + 1
    this.#numbers.set(kind, number)
    return `${kind}-${number}`
  }

  /** Calls that have begun and not ended, steps apart. */
  get openCount(): number {
    let count = 0
    for (const { kind } of this.#open.values()) if (kind !== 'step') count++
    return count
  }

  find(kind: CallKind, call: string): OpenCall | undefined {
    return this.#open.get(`${kind} ${call}`)
  }

  begin(kind: CallKind, call: string, begun: Omit<OpenCall, 'kind'>): void {
    const key = `${kind} ${call}`
    this.#open.set(key, { kind, ...begun })
    // Frameworks use ids again.
    this.#ended.delete(key)
    if (kind === 'tool') this.tools++
    else if (kind === 'llm') this.modelCalls++
    else this.steps++
  }

  /** Takes the call out; `undefined` if it never began, `ended` if it has ended before. */
  end(kind: CallKind, call: string): OpenCall | 'ended' | undefined {
    const key = `${kind} ${call}`
    const open = this.#open.get(key)
    if (!open) return this.#ended.has(key) ? 'ended' : undefined
    this.#open.delete(key)
    if (this.#ended.size >= MAX_ENDED) this.#ended.delete(this.#ended.values().next().value!)
    this.#ended.add(key)
    return open
  }

  /** A call whose beginning was refused has not happened. */
  forget(kind: CallKind, call: string): void {
    if (!this.#open.delete(`${kind} ${call}`)) return
    if (kind === 'tool') this.tools--
    else if (kind === 'llm') this.modelCalls--
    else this.steps--
  }

  addUsage(usage: Usage | undefined): void {
    addUsage(this.#usage, usage)
  }

  get usage(): Record<string, number> | undefined {
    return this.#usage.size > 0 ? Object.fromEntries([...this.#usage].slice(0, 16)) : undefined
  }

  /** The counts that the end of a run states. */
  summary(): Record<string, number> {
    return {
      actions: this.tools + this.modelCalls + this.denied + this.handoffs,
      tools: this.tools,
      model_calls: this.modelCalls,
      errors: this.errors,
      denied: this.denied,
      iterations: this.steps > 0 ? this.steps : this.modelCalls,
      ...(this.#open.size > 0 && { unfinished: this.#open.size }),
      ...(this.duplicates > 0 && { duplicates: this.duplicates }),
    }
  }
}
