/**
 * Copies a log from one store into another: the same entries, macs, tree, ids, disclosures and checkpoints. Nothing is
 * sealed anew and no key is needed. What arrives is hashed again, and held against the source once more at the end.
 *
 * While it is under way, the head of the copy has a mark instead of a checkpoint: nobody may go on with half a log.
 */
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { parseEntry } from '../record/entry.ts'
import type { Batch, Head, LogStore, StoredEntry, StoredPayload, StoredTile } from '../store/store.ts'
import { Frontier, frontierNodes } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { reconcile } from './copy-check.ts'
import { formatCopyMark, isCopyMark } from './copy-mark.ts'
import { RowsBefore } from './copy-rows.ts'
import { TileEdge } from './tile-edge.ts'

const DEFAULT_MAX_BATCH = 1000

/** Bytes of disclosures after which a batch is full: one can have megabytes. */
const FULL_BYTES = 16 * 1024 * 1024

export interface CopyOptions {
  readonly origin: string
  /** Most entries of a batch. Default 1000. */
  readonly maxBatch?: number
  /** Called now and then with how many entries are there, and of how many. */
  readonly onProgress?: (done: number, total: number) => void
  /** Stops after the batch at hand; the next call goes on from there. */
  readonly signal?: AbortSignal
}

export interface CopyOutcome {
  /** Entries of the log as it was when the copy began; it may have grown since. */
  readonly size: number
  readonly root: Uint8Array
  /** Entries that were not there before. */
  readonly copied: number
  /** Whether all of it is there; otherwise it was interrupted. */
  readonly isComplete: boolean
}

/**
 * Brings `target` up to where `source` stands now. A target that has a part of the log is gone on with.
 *
 * @throws IndelibleError `ERR_STORE_CONFLICT` if the target has another log, or more of this one; `ERR_STORE_CORRUPT` if an
 * entry of the source is missing or is not the one that was signed; `ERR_ENTRY_NOT_FOUND` for a log without entries
 */
export async function copyLog(source: LogStore, target: LogStore, options: CopyOptions): Promise<CopyOutcome> {
  const head = await source.head()
  if (!head) throw new IndelibleError('ERR_ENTRY_NOT_FOUND', 'there is nothing to copy: the log has no entries')
  const root = signedRoot(head, options.origin)
  const there = await target.head()
  await checkContinued(source, head, there)
  const start = there?.size ?? 0
  const copy = new Copy(source, target, head, root, options)
  const isComplete = (await copy.append(there)) && (await reconcile(source, target, { ...head, root }, options))
  const { size } = (await target.head())!
  return { size: head.size, root, copied: size - start, isComplete }
}

function signedRoot(head: Head, origin: string): Uint8Array {
  if (isCopyMark(head.checkpoint)) throw altered('it is itself an unfinished copy')
  const checkpoint = parseCheckpoint(parseNote(head.checkpoint).text)
  if (checkpoint.origin !== origin || checkpoint.size !== head.size) {
    throw altered(`its head is of ${head.size} entries, its checkpoint of ${checkpoint.size} of ${checkpoint.origin}`)
  }
  return checkpoint.root
}

/** What the target has must be the beginning of the source. */
async function checkContinued(source: LogStore, head: Head, there: Head | null): Promise<void> {
  if (!there) return
  if (there.size > head.size) throw conflict(`it has ${there.size} entries, the source ${head.size}`)
  const read = sourceNodeReader(source, head.size)
  const expected = await read(frontierNodes(there.size))
  const isSame =
    there.frontier.length === expected.length && expected.every((hash, i) => isEqual(hash, there.frontier[i]!))
  if (!isSame) throw conflict(`its first ${there.size} entries are not those of the source`)
}

class Copy {
  readonly #source: LogStore
  readonly #target: LogStore
  readonly #head: Head
  readonly #root: Uint8Array
  readonly #options: CopyOptions
  readonly #maxBatch: number

  constructor(source: LogStore, target: LogStore, head: Head, root: Uint8Array, options: CopyOptions) {
    this.#source = source
    this.#target = target
    this.#head = head
    this.#root = root
    this.#options = options
    this.#maxBatch = options.maxBatch ?? DEFAULT_MAX_BATCH
  }

  /** Appends what the target does not have. Returns whether it came to the end. */
  async append(there: Head | null): Promise<boolean> {
    const { size, minIndex } = this.#head
    const from = there?.size ?? 0
    if (from === size && there && !isCopyMark(there.checkpoint)) return true
    const frontier = there ? new Frontier(from, there.frontier) : Frontier.empty()
    const edge = there ? await TileEdge.load(this.#target, frontier) : new TileEdge()
    await using ids = new RowsBefore(this.#source.ids(from, size))
    await using concerns = new RowsBefore(this.#source.concerns(from, size))
    let at = from
    let observed = there?.observed ?? ''
    for (; at < size; this.#options.onProgress?.(at, size)) {
      if (this.#options.signal?.aborted) return false
      const rows = at < minIndex ? await this.#purgedRows(at) : await this.#rows(at)
      // Entries that are gone have no time any more; they stand before the first that is there.
      const times = rows.map((row) => (row.index < minIndex ? '' : timeOf(row)))
      let count = sameDay(times)
      const payloads = at < minIndex ? [] : await this.#payloads(at, at + count)
      count = payloads.length > 0 && payloads.at(-1)!.isCut ? payloads.at(-1)!.index + 1 - at : count
      const next = at + count
      const chosen = rows.slice(0, count)
      const tiles: StoredTile[] = []
      const leaves: Uint8Array[] = []
      for (const row of chosen) {
        const leaf = row.index < minIndex ? row.leaf : leafHash(row.entry)
        if (!isEqual(leaf, row.leaf)) throw altered(`entry ${row.index} does not have the leaf hash stored with it`)
        leaves.push(leaf)
        frontier.append(leaf, (level, index, hash) => edge.add(level, index, hash, (tile) => tiles.push(tile)))
      }
      observed = times[count - 1] || observed || (await this.#firstTime())
      const last = chosen.at(-1)!
      const isLast = next === size
      if (isLast) {
        if (!isEqual(frontier.root(), this.#root)) throw altered('its entries do not make the root that was signed')
        await this.#publish()
      }
      const batch: Batch = {
        from: at,
        entries: chosen.map(({ entry }) => entry),
        leaves,
        macs: chosen.map(({ mac }) => mac),
        epochs: chosen.map(({ epoch }) => epoch),
        payloads: payloads.map(({ index, name, disclosure }) => ({ index, name, disclosure })),
        concerns: await concerns.before(next),
        ids: await ids.before(next),
        tiles,
        head: isLast
          ? this.#head
          : {
              size: next,
              frontier: frontier.hashes,
              mac: last.mac,
              epoch: last.epoch,
              observed,
              checkpoint: formatCopyMark(this.#options.origin, size, this.#root),
              published: '',
              minIndex: 0,
            },
        publish: false,
      }
      await this.#target.append([], ({ head: found }) => {
        if ((found?.size ?? 0) !== batch.from) throw conflict('somebody else writes to it')
        return batch
      })
      at = next
    }
    return true
  }

  async #rows(from: number): Promise<StoredEntry[]> {
    const to = Math.min(this.#head.size, from + this.#maxBatch)
    const rows: StoredEntry[] = []
    for await (const chunk of this.#source.entries(from, to)) rows.push(...chunk)
    const missing = rows.findIndex(({ index }, i) => index !== from + i)
    if (rows.length !== to - from) throw altered(`entry ${from + (missing === -1 ? rows.length : missing)} is missing`)
    return rows
  }

  /** Stands for entries that were purged: their leaf hashes are all that is left. They are purged again at the end. */
  async #purgedRows(from: number): Promise<StoredEntry[]> {
    const leaves = await this.#source.leaves(from, Math.min(this.#head.minIndex, from + this.#maxBatch))
    const [entry, mac] = [new Uint8Array(0), new Uint8Array(32)]
    return leaves.map((leaf, i) => ({ index: from + i, entry, leaf, mac, epoch: 0 }))
  }

  /** When the first entry that is there was accepted: a day's file of those that are gone is named so. */
  async #firstTime(): Promise<string> {
    const { minIndex, observed, size } = this.#head
    if (minIndex === size) return observed
    return timeOf((await this.#rows(minIndex))[0]!)
  }

  /** Disclosures of entries from `from` on, of as many entries as fit; the last one says if there are more. */
  async #payloads(from: number, to: number): Promise<(StoredPayload & { isCut?: boolean })[]> {
    const rows: (StoredPayload & { isCut?: boolean })[] = []
    let bytes = 0
    for await (const chunk of this.#source.payloads(from, to)) {
      for (const row of chunk) {
        const last = rows.at(-1)
        if (bytes > FULL_BYTES && last && row.index > last.index) {
          rows[rows.length - 1] = { ...last, isCut: true }
          return rows
        }
        rows.push(row)
        bytes += row.disclosure.length
      }
    }
    return rows
  }

  async #publish(): Promise<void> {
    for await (const rows of this.#source.checkpoints(0, this.#head.size)) {
      for (const row of rows) await this.#target.publish(row)
    }
  }
}

/** How many of the first share a day: a store that keeps days apart is given them apart. */
function sameDay(times: readonly string[]): number {
  const day = times[0]!.slice(0, 10)
  const other = times.findIndex((time) => time.slice(0, 10) !== day)
  return other === -1 ? times.length : other
}

function timeOf({ index, entry }: StoredEntry): string {
  try {
    return parseEntry(entry).observed
  } catch (cause) {
    throw altered(`entry ${index} cannot be read`, { cause })
  }
}

function altered(why: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError('ERR_STORE_CORRUPT', `the log cannot be copied: ${why}. Run indelible verify`, options)
}

function conflict(why: string): IndelibleError {
  return new IndelibleError('ERR_STORE_CONFLICT', `the target is not a beginning of this log: ${why}`)
}
