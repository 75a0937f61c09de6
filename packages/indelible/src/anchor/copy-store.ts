/**
 * A place for write-once copies: names that are written once and never again. What is there is in the layout of C2SP
 * tlog-tiles, but for checkpoints, which are kept, one object a size.
 */
import { IndelibleError } from '../errors.ts'
import { quote } from '../note/text.ts'

/** A checkpoint that a copy holds, or a version of one. */
export interface CopiedCheckpoint {
  readonly name: string
  /** By its name. */
  readonly size: number
  /** When it was stored, POSIX seconds, by the store's clock; `null` if that says nothing. */
  readonly time: number | null
  /** Where a store keeps versions. */
  readonly version?: string
  /** Whether somebody tried to hide it. */
  readonly isHidden?: boolean
}

/**
 * All methods throw IndelibleError `ERR_ANCHOR_FAILED` if the place cannot be reached now, and `ERR_ANCHOR_REFUSED` if a person
 * has to look into it.
 */
export interface CopyStore {
  /** For people, and in receipts. No secrets. */
  readonly where: string
  /** Whether a crash may leave the beginning of an object. */
  readonly mayTear?: boolean
  /** Checkpoints of `from` entries or more, ascending by size. */
  checkpoints(from: number, signal: AbortSignal): Promise<CopiedCheckpoint[]>
  readCheckpoint(checkpoint: CopiedCheckpoint, signal: AbortSignal): Promise<Uint8Array | null>
  read(name: string, signal: AbortSignal): Promise<Uint8Array | null>
  has(name: string, signal: AbortSignal): Promise<boolean>
  /**
   * Writes what is not there yet, durably.
   * @returns `unknown` if it may have been written or not: read it
   */
  create(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<'created' | 'exists' | 'unknown'>
  /** Whether the place keeps what it has to promise. */
  probe?(signal: AbortSignal): Promise<void>
}

const DIGITS = 16

/**
 * Name of the checkpoint of `size` entries: padded, so that names are in the order of sizes.
 * @param time if it is stored again, to say that the log still stood there; ms since 1970
 */
export function checkpointName(size: number, time?: number): string {
  const again = time === undefined ? '' : `-${new Date(time).toISOString().replace(/[-:]|\.[0-9]+/g, '')}`
  return `checkpoint/${String(size).padStart(DIGITS, '0')}${again}`
}

/** Size of the checkpoint of that name; `null` if it is no such name. */
export function sizeInName(name: string): number | null {
  const digits = /^checkpoint\/([0-9]{16})(?:-[0-9]{8}T[0-9]{6}Z)?$/.exec(name)?.[1]
  return digits !== undefined && Number.isSafeInteger(Number(digits)) ? Number(digits) : null
}

/** Longest object that is read, bytes: a full bundle of the longest entries. */
export const MAX_OBJECT = 2 ** 24 + 512

/** Runs `work` for all items, some at a time, in order of their start. The first error ends it. */
export async function forEachOf<T>(
  items: AsyncIterable<T> | Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  for await (const item of items) {
    const one = work(item).finally(() => running.delete(one))
    running.add(one)
    one.catch(() => {})
    if (running.size >= width) await Promise.race(running)
  }
  await Promise.all(running)
}

export const copyFailed = (where: string, what: string, cause?: unknown) =>
  new IndelibleError('ERR_ANCHOR_FAILED', `copy in ${quote(where)} ${what}`, { cause })
export const copyRefused = (where: string, what: string, cause?: unknown) =>
  new IndelibleError('ERR_ANCHOR_REFUSED', `copy in ${quote(where)} ${what}`, { cause })
