/** Chunks of a streamed chat answer in the shape that `openai` made common, put together. */

interface Delta {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: unknown
      readonly tool_calls?: readonly {
        readonly index?: number
        readonly id?: string
        readonly function?: { readonly name?: string; readonly arguments?: string }
      }[]
    }
    readonly finish_reason?: unknown
  }[]
}

/** The message that the chunks add up to; `undefined` if they are no chat chunks. */
export function joinDeltas(chunks: readonly unknown[]): unknown {
  if (!chunks.some((chunk) => Array.isArray((chunk as Delta | null)?.choices))) return undefined
  let content = ''
  let finish: unknown = null
  const calls = new Map<number, { id: string; name: string; arguments: string }>()
  for (const chunk of chunks as readonly Delta[]) {
    const [choice] = chunk?.choices ?? []
    if (typeof choice?.delta?.content === 'string') content += choice.delta.content
    if (choice?.finish_reason) finish = choice.finish_reason
    for (const { index = 0, id, function: fn } of choice?.delta?.tool_calls ?? []) {
      const known = calls.get(index) ?? { id: '', name: '', arguments: '' }
      calls.set(index, {
        id: id ?? known.id,
        name: fn?.name ?? known.name,
        arguments: known.arguments + (fn?.arguments ?? ''),
      })
    }
  }
  return { content, finish_reason: finish, ...(calls.size > 0 && { tool_calls: [...calls.values()] }) }
}
