/** Which erasure took a part: asked of the log's own statements. */
import type { HomeQuery } from '../query/home-query.ts'

/** What the log says of a part that is gone. */
export interface ErasedPart {
  /** Index of the `audit.erased` entry that lists it. */
  readonly entry: number
  readonly time: string
  readonly by: string
  readonly reason: string
  readonly approved_by?: readonly string[]
  readonly state: 'pending' | 'done'
}

/** Of the parts of entry `index` that an erasure lists, the first that did. */
export async function findErased(query: HomeQuery, index: number): Promise<Map<string, ErasedPart>> {
  const found = new Map<string, ErasedPart & { readonly erasure: unknown }>()
  const done = new Set<unknown>()
  for await (const { index: entry, record } of query.all({ type: 'audit.erased' }, index + 1)) {
    const { erasure, state, parts, by, reason, approved_by: approved } = record.audit ?? {}
    if (state === 'done') done.add(erasure)
    if (!Array.isArray(parts)) continue
    for (const listed of parts as unknown[]) {
      if (!Array.isArray(listed) || listed[0] !== index) continue
      for (const name of listed.slice(1) as unknown[]) {
        if (typeof name !== 'string' || found.has(name)) continue
        const approvals = Array.isArray(approved) ? { approved_by: approved.map(String) } : {}
        const said = { by: String(by ?? ''), reason: String(reason ?? ''), ...approvals }
        found.set(name, { erasure, entry, time: record.time, ...said, state: 'pending' })
      }
    }
  }
  return new Map(
    Array.from(found, ([name, { erasure, ...part }]) => [
      name,
      { ...part, state: erasure === undefined || done.has(erasure) ? 'done' : 'pending' },
    ]),
  )
}
