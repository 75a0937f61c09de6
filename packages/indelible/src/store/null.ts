/**
 * Counts and forgets: for an agent whose audit is switched off. What is recorded is checked as ever, and gone. Nothing is
 * signed, no key moves on, and no log grows, so the log that was kept before can be gone on with later.
 */
import { IndelibleError } from '../errors.ts'
import type { Batch, Head, Locked, LogStore, StoredEntry, StoredId, StoredPayload } from './store.ts'

export class NullStore implements LogStore {
  /** Entries that were handed in. */
  counted = 0

  async append(_ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    const batch = await seal({ head: null, known: new Map() })
    this.counted += batch?.entries.length ?? 0
  }

  async head(): Promise<Head | null> {
    return null
  }

  async *entries(): AsyncIterable<readonly StoredEntry[]> {}

  async tile(): Promise<Uint8Array | null> {
    return null
  }

  tileRoots(_level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return nothingFrom(start, end)
  }

  leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return nothingFrom(start, end)
  }

  async findIds(): Promise<ReadonlyMap<string, StoredId>> {
    return new Map()
  }

  async *ids(): AsyncIterable<readonly StoredId[]> {}

  async *checkpoints(): AsyncIterable<never[]> {}

  /** @throws IndelibleError `ERR_STORE_READONLY`: what is published is kept for good */
  async publish(): Promise<void> {
    throw new IndelibleError('ERR_STORE_READONLY', 'log.store is null: nothing is kept')
  }

  async purge(below: number): Promise<void> {
    if (below !== 0) throw new RangeError(`cannot purge below ${below}: nothing is kept`)
  }

  async payload(): Promise<string | null> {
    return null
  }

  async *payloads(): AsyncIterable<readonly StoredPayload[]> {}

  async erase(): Promise<number> {
    return 0
  }

  async *subjectEntries(): AsyncIterable<readonly number[]> {}

  async *concerns(): AsyncIterable<never[]> {}

  async forgetSubject(): Promise<void> {}

  async scrub(): Promise<readonly string[]> {
    return []
  }

  async close(): Promise<void> {}
}

async function nothingFrom(start: number, end: number): Promise<readonly Uint8Array[]> {
  if (end > start) throw new RangeError('nothing is kept')
  return []
}
