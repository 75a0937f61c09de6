/** What an `audit.erased` entry lists, read from an entry that nobody vouches for yet. */
import type { ReadRecord } from '../record/entry.ts'

export interface ErasureStatement {
  /** Which erasure it is of; `null` if it does not say. */
  readonly erasure: string | null
  readonly isDone: boolean
  /** Parts of entries before it. */
  readonly parts: readonly { readonly index: number; readonly name: string }[]
}

/**
 * `null` if it is no such entry. What is malformed in it is left out: it accounts for nothing.
 * @param at index of the entry: it speaks of earlier ones only
 */
export function readErasure({ type, audit }: Pick<ReadRecord, 'type' | 'audit'>, at: number): ErasureStatement | null {
  if (type !== 'audit.erased') return null
  const { parts: listed, erasure, state } = audit ?? {}
  const parts: { index: number; name: string }[] = []
  for (const one of Array.isArray(listed) ? (listed as unknown[]) : []) {
    if (!Array.isArray(one)) continue
    const [index, ...names] = one as unknown[]
    if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < 0 || index >= at) continue
    for (const name of names) if (typeof name === 'string') parts.push({ index, name })
  }
  const isNamed = typeof erasure === 'string'
  return { erasure: isNamed ? erasure : null, isDone: isNamed && state === 'done', parts }
}
