/** A store that fails on demand, so that what is built on stores can be tested against each call failing in each way. */
import { IndelibleError } from '../errors.ts'
import type {
  Batch,
  Head,
  Locked,
  LogStore,
  PartAddress,
  PublishedCheckpoint,
  StoredEntry,
  StoredId,
  StoredPayload,
  StoredSubject,
} from '../store/store.ts'

export type StoreMethod = keyof LogStore

/**
 * How a call goes wrong:
 * - `refused`: fails before anything is done; `append` does not call `seal`
 * - `lost`: fails and is not done; `append` calls `seal` and drops the batch, as if the commit had failed
 * - `kept`: is done, yet reported as failed
 * - `held`: is done once `until` settles, and answered then
 * - `late`: is done at once, and answered once `until` settles
 *
 * A method that yields chunks fails before the first (`refused`, `lost`) or after the last (`kept`).
 */
export type FaultKind = 'refused' | 'lost' | 'kept' | 'held' | 'late'

export interface Fault {
  readonly method: StoreMethod
  readonly kind: FaultKind
  /** Which call of the method, from 1. Default: every one. */
  readonly call?: number
  /** What is thrown. Default: `ERR_STORE_FAILED`. */
  readonly error?: unknown
  /** For `held` and `late`. Default: never, which hangs. */
  readonly until?: Promise<unknown>
}

export interface FaultyStore extends LogStore {
  /** The methods called so far, in order: run once without faults to learn which calls there are to fail. */
  readonly calls: readonly StoreMethod[]
  /** Adds a fault; its `call` counts from here. Returns what takes it away again. */
  fail(fault: Fault): () => void
}

/** `store`, with faults. Of several that meet in one call the first counts. */
export function faultyStore(store: LogStore, plan: readonly Fault[] = []): FaultyStore {
  return new Faulty(store, plan)
}

class Faulty implements FaultyStore {
  readonly #store: LogStore
  readonly #faults: Set<{ readonly fault: Fault; calls: number }>
  readonly calls: StoreMethod[] = []

  readonly appendAfter?: NonNullable<LogStore['appendAfter']>

  constructor(store: LogStore, plan: readonly Fault[]) {
    this.#store = store
    this.#faults = new Set(plan.map((fault) => ({ fault, calls: 0 })))
    if (store.appendAfter) {
      this.appendAfter = (head, batch) => this.#call('appendAfter', () => store.appendAfter!(head, batch))
    }
  }

  fail(fault: Fault): () => void {
    const added = { fault, calls: 0 }
    this.#faults.add(added)
    return () => {
      this.#faults.delete(added)
    }
  }

  async append(ids: readonly string[], seal: (locked: Locked) => Batch | null | Promise<Batch | null>): Promise<void> {
    const fault = this.#enter('append')
    if (fault?.kind !== 'lost') return during(fault, () => this.#store.append(ids, seal))
    await this.#store.append(ids, async (locked) => {
      await seal(locked)
      return null
    })
    throw failure(fault)
  }

  head(): Promise<Head | null> {
    return this.#call('head', () => this.#store.head())
  }

  entries(start: number, end: number): AsyncIterable<readonly StoredEntry[]> {
    return this.#chunks('entries', () => this.#store.entries(start, end))
  }

  tile(level: number, index: number): Promise<Uint8Array | null> {
    return this.#call('tile', () => this.#store.tile(level, index))
  }

  tileRoots(level: number, start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#call('tileRoots', () => this.#store.tileRoots(level, start, end))
  }

  leaves(start: number, end: number): Promise<readonly Uint8Array[]> {
    return this.#call('leaves', () => this.#store.leaves(start, end))
  }

  findIds(ids: readonly string[]): Promise<ReadonlyMap<string, StoredId>> {
    return this.#call('findIds', () => this.#store.findIds(ids))
  }

  ids(start: number, end: number): AsyncIterable<readonly StoredId[]> {
    return this.#chunks('ids', () => this.#store.ids(start, end))
  }

  repaired(tell: Parameters<NonNullable<LogStore['repaired']>>[0]): Promise<void> {
    return this.#call('repaired', async () => this.#store.repaired?.(tell))
  }

  checkpoints(above: number, upTo: number): AsyncIterable<readonly PublishedCheckpoint[]> {
    return this.#chunks('checkpoints', () => this.#store.checkpoints(above, upTo))
  }

  publish(checkpoint: PublishedCheckpoint): Promise<void> {
    return this.#call('publish', () => this.#store.publish(checkpoint))
  }

  purge(below: number): Promise<void> {
    return this.#call('purge', () => this.#store.purge(below))
  }

  payload(index: number, name: string): Promise<string | null> {
    return this.#call('payload', () => this.#store.payload(index, name))
  }

  payloads(start: number, end: number): AsyncIterable<readonly StoredPayload[]> {
    return this.#chunks('payloads', () => this.#store.payloads(start, end))
  }

  erase(parts: readonly PartAddress[]): Promise<number> {
    return this.#call('erase', () => this.#store.erase(parts))
  }

  subjectEntries(subject: Uint8Array): AsyncIterable<readonly number[]> {
    return this.#chunks('subjectEntries', () => this.#store.subjectEntries(subject))
  }

  concerns(start: number, end: number): AsyncIterable<readonly StoredSubject[]> {
    return this.#chunks('concerns', () => this.#store.concerns(start, end))
  }

  forgetSubject(subject: Uint8Array, below: number): Promise<void> {
    return this.#call('forgetSubject', () => this.#store.forgetSubject(subject, below))
  }

  scrub(): Promise<readonly string[]> {
    return this.#call('scrub', () => this.#store.scrub())
  }

  close(): Promise<void> {
    return this.#call('close', () => this.#store.close())
  }

  #call<T>(method: StoreMethod, work: () => Promise<T>): Promise<T> {
    return during(this.#enter(method), work)
  }

  #chunks<T>(method: StoreMethod, work: () => AsyncIterable<T>): AsyncIterable<T> {
    return chunksDuring(this.#enter(method), work)
  }

  /** Counts a call, and gives the fault that it meets. */
  #enter(method: StoreMethod): Fault | undefined {
    this.calls.push(method)
    let met: Fault | undefined
    for (const counted of this.#faults) {
      const { fault } = counted
      if (fault.method !== method) continue
      counted.calls++
      if (fault.call === undefined || fault.call === counted.calls) met ??= fault
    }
    return met
  }
}

async function during<T>(fault: Fault | undefined, work: () => Promise<T>): Promise<T> {
  if (fault?.kind === 'held') await waited(fault)
  if (fault?.kind === 'refused' || fault?.kind === 'lost') throw failure(fault)
  const result = await work()
  if (fault?.kind === 'late') await waited(fault)
  if (fault?.kind === 'kept') throw failure(fault)
  return result
}

async function* chunksDuring<T>(fault: Fault | undefined, work: () => AsyncIterable<T>): AsyncIterable<T> {
  if (fault?.kind === 'held' || fault?.kind === 'late') await waited(fault)
  if (fault?.kind === 'refused' || fault?.kind === 'lost') throw failure(fault)
  yield* work()
  if (fault?.kind === 'kept') throw failure(fault)
}

function waited({ until }: Fault): Promise<unknown> {
  return until ? until.catch(() => {}) : new Promise(() => {})
}

function failure({ method, kind, error }: Fault): unknown {
  return error ?? new IndelibleError('ERR_STORE_FAILED', `${method} was made to fail: ${kind}`)
}
