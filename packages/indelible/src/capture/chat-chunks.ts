/** Chunks of a streamed chat answer in the shape that `openai` made common, put together. Looked at, never trusted. */
import { fields, list, text } from './fields.ts'

/** The message that the chunks add up to; `undefined` if they are no chat chunks. */
export function joinDeltas(chunks: readonly unknown[]): unknown {
  if (!chunks.some((chunk) => Array.isArray(fields(chunk).choices))) return undefined
  let content = ''
  let finish: unknown = null
  const calls = new Map<unknown, { id: string; name: string; arguments: string }>()
  for (const chunk of chunks) {
    const { delta, finish_reason: reason } = fields(list(fields(chunk).choices)[0])
    content += text(fields(delta).content) ?? ''
    if (reason) finish = reason
    for (const { index = 0, id, function: fn } of list(fields(delta).tool_calls).map(fields)) {
      const known = calls.get(index) ?? { id: '', name: '', arguments: '' }
      const { name, arguments: piece } = fields(fn)
      calls.set(index, {
        id: text(id) ?? known.id,
        name: text(name) ?? known.name,
        arguments: known.arguments + (text(piece) ?? ''),
      })
    }
  }
  return { content, finish_reason: finish, ...(calls.size > 0 && { tool_calls: [...calls.values()] }) }
}
