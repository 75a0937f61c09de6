/** Token counts and cost, in the names of the record, from the names that providers and frameworks use. */

/** Amounts by name: `input_tokens`, `output_tokens`, `cost_usd`, … */
export type Usage = Readonly<Record<string, number>>

/** Price of a model, US dollars for a million tokens. */
export interface Price {
  readonly input: number
  readonly output: number
  /** Of input tokens that were read from a cache. Default: as `input`. */
  readonly cached_input?: number
}

/** Our names, and the ones that they are known under elsewhere, the most specific first. */
const NAMES: readonly (readonly [string, readonly string[]])[] = [
  ['input_tokens', ['input_tokens', 'inputTokens', 'prompt_tokens', 'promptTokens']],
  ['output_tokens', ['output_tokens', 'outputTokens', 'completion_tokens', 'completionTokens']],
  ['cached_input_tokens', ['cached_input_tokens', 'cachedInputTokens', 'cache_read_input_tokens']],
  ['cache_write_tokens', ['cache_write_tokens', 'cache_creation_input_tokens']],
  ['reasoning_tokens', ['reasoning_tokens', 'reasoningTokens']],
  ['total_tokens', ['total_tokens', 'totalTokens']],
  ['cost_usd', ['cost_usd', 'costUsd', 'total_cost_usd']],
]

/** Where some providers keep the finer counts. */
const DETAILS: readonly (readonly [string, string, string])[] = [
  ['cached_input_tokens', 'prompt_tokens_details', 'cached_tokens'],
  ['cached_input_tokens', 'input_tokens_details', 'cached_tokens'],
  ['cached_input_tokens', 'input_token_details', 'cache_read'],
  ['cached_input_tokens', 'inputTokenDetails', 'cacheReadTokens'],
  ['cache_write_tokens', 'inputTokenDetails', 'cacheWriteTokens'],
  ['reasoning_tokens', 'completion_tokens_details', 'reasoning_tokens'],
  ['reasoning_tokens', 'outputTokenDetails', 'reasoningTokens'],
  ['reasoning_tokens', 'output_tokens_details', 'reasoning_tokens'],
  ['reasoning_tokens', 'output_token_details', 'reasoning'],
]

/**
 * Usage from an object that holds counts, such as a provider's `usage`; what is no amount is left out. Also reads AI SDK's
 * `{total}` objects. `undefined` if there is no amount. Never throws.
 */
export function readUsage(source: unknown): Usage | undefined {
  if (typeof source !== 'object' || source === null) return undefined
  const found: Record<string, number> = {}
  try {
    const counts = source as Record<string, unknown>
    for (const [name, aliases] of NAMES) {
      for (const alias of aliases) {
        const amount = amountOf(counts[alias])
        if (amount === undefined) continue
        found[name] = amount
        break
      }
    }
    for (const [name, group, key] of DETAILS) {
      const inner = counts[group]
      if (found[name] !== undefined || typeof inner !== 'object' || inner === null) continue
      const amount = amountOf((inner as Record<string, unknown>)[key])
      if (amount !== undefined) found[name] = amount
    }
  } catch {
    return undefined
  }
  return Object.keys(found).length > 0 ? found : undefined
}

/** Usage of what a model call answered: of its `usage`, `usageMetadata` or `usage_metadata`. */
export function usageOf(answer: unknown): Usage | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  try {
    const { usage, usage_metadata, usageMetadata } = answer as Record<string, unknown>
    return readUsage(usage) ?? readUsage(usage_metadata) ?? readUsage(usageMetadata)
  } catch {
    return undefined
  }
}

/** `usage` with `cost_usd`, if it has none and the price of `model` is known. */
export function withCost(usage: Usage | undefined, price: Price | undefined): Usage | undefined {
  if (!usage || !price || usage.cost_usd !== undefined) return usage
  const { input_tokens = 0, output_tokens = 0, cached_input_tokens: cached = 0 } = usage
  const fresh = Math.max(0, input_tokens - cached)
  const cost = (fresh * price.input + cached * (price.cached_input ?? price.input) + output_tokens * price.output) / 1e6
  // Twelve digits: sums of prices should not show how floating point adds.
  return { ...usage, cost_usd: Number(cost.toFixed(12)) }
}

/** Adds amounts by name. */
export function addUsage(sums: Map<string, number>, usage: Usage | undefined): void {
  for (const [name, amount] of Object.entries(usage ?? {})) sums.set(name, (sums.get(name) ?? 0) + amount)
}

function amountOf(value: unknown): number | undefined {
  const amount = typeof value === 'object' && value !== null ? (value as { total?: unknown }).total : value
  if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0) return undefined
  return Number.isInteger(amount) && !Number.isSafeInteger(amount) ? undefined : amount
}
