/**
 * A write-once copy as an anchor: checkpoints with the tiles that prove them, in a place where nothing is written twice. It
 * remembers, so it refuses a log that shrank or that has another past; and it lets anybody prove the log's old states.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fromUtf8, isEqual, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError, SplitViewError } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { quote } from '../note/text.ts'
import { proveOlderRoot, rootFromConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { formatTilePath, fullTiles, TILE_WIDTH } from '../tree/tile.ts'
import type { Anchor, AnchoredCheckpoint, AnchorResult, AnchorTask, AnchorTree } from './anchor.ts'
import { copyObjects } from './copy-objects.ts'
import {
  type CopiedCheckpoint,
  type CopyStore,
  checkpointName,
  copyFailed,
  copyRefused,
  forEachOf,
} from './copy-store.ts'

export interface CopyAnchorOptions {
  readonly name: string
  readonly kind: string
  readonly store: CopyStore
  /** Whether entry bundles are copied too. */
  readonly entries: boolean
  /** Whether a checkpoint that was stored before is stored again under another name, for the store's clock to date it. */
  readonly renew: boolean
  readonly clock: () => number
}

/** Objects under way at a time. */
const WIDTH = 8

/** A write whose outcome is unknown is looked at, and tried again so often, after these pauses, ms. */
const PAUSES_MS = [100, 400, 1600]

export class CopyAnchor implements Anchor {
  readonly name: string
  readonly kind: string
  readonly #options: CopyAnchorOptions
  readonly #store: CopyStore
  /** Level-0 tiles that an attempt before this one has written without coming to the checkpoint. */
  #leafTiles = 0

  constructor(options: CopyAnchorOptions) {
    this.name = options.name
    this.kind = options.kind
    this.#options = options
    this.#store = options.store
  }

  probe(signal: AbortSignal): Promise<void> {
    return this.#store.probe?.(signal) ?? Promise.resolve()
  }

  async anchor({ checkpoint, tree, minIndex, previous, signal }: AnchorTask): Promise<AnchorResult> {
    const { where } = this.#store
    const isOurs = previous?.proof.copy === where
    try {
      const held = await this.#held(isOurs ? previous.size : 0, signal)
      if (isOurs && (held.at(-1)?.size ?? -1) < previous.size) {
        throw copyRefused(where, `no longer has the checkpoint of ${previous.size} entries: it is not write-once`)
      }
      const last = await this.#compare(checkpoint, tree, held, signal)
      if (last < checkpoint.size) await this.#write(checkpoint, tree, minIndex, last, signal)
      else if (this.#options.renew) {
        await this.#create(checkpointName(checkpoint.size, this.#options.clock()), utf8(checkpoint.note), signal)
      }
      const warnings = held.some(({ isHidden }) => isHidden)
        ? [`somebody tried to delete from the copy in ${quote(where)}: its versions are still there`]
        : []
      return { proof: { copy: where }, warnings }
    } catch (error) {
      if (signal.aborted) throw copyFailed(where, 'did not come to its end in time', error)
      throw error
    }
  }

  async #held(from: number, signal: AbortSignal): Promise<CopiedCheckpoint[]> {
    const held = await this.#store.checkpoints(from, signal)
    return held.length === 0 && from > 0 ? this.#store.checkpoints(0, signal) : held
  }

  /** Size of the largest checkpoint that is there, -1 if there is none, once the log is known to continue it. */
  async #compare(
    checkpoint: AnchoredCheckpoint,
    tree: AnchorTree,
    held: readonly CopiedCheckpoint[],
    signal: AbortSignal,
  ): Promise<number> {
    const { where } = this.#store
    let last = -1
    for (const one of held.toReversed()) {
      if (one.size < last) break
      const found = await this.#stated(one, checkpoint.origin, signal)
      if (!found) continue
      last = found.stated.size
      if (last > checkpoint.size) {
        const message = `copy in ${quote(where)} has a checkpoint of ${last} entries, the log ${checkpoint.size}: its end is gone`
        throw new IndelibleError('ERR_ROLLED_BACK', message)
      }
      await this.#checkContinues(found, checkpoint, tree)
    }
    return last
  }

  /** `null` for the beginning of one that a crash left: it counts as not there, and may be completed. */
  async #stated(
    one: CopiedCheckpoint,
    origin: string,
    signal: AbortSignal,
  ): Promise<{ note: string; stated: Checkpoint } | null> {
    const bytes = await this.#store.readCheckpoint(one, signal)
    if (!bytes) throw copyFailed(this.#store.where, `lists ${one.name}, and does not have it`)
    const found = readCopied(bytes)
    if (!found && this.#store.mayTear) return null
    if (!found || found.stated.size !== one.size || found.stated.origin !== origin) {
      throw copyRefused(this.#store.where, `has in ${one.name} what is no checkpoint of this log`)
    }
    return found
  }

  async #checkContinues(
    { note, stated }: { note: string; stated: Checkpoint },
    { size, root, note: newer }: AnchoredCheckpoint,
    tree: AnchorTree,
  ): Promise<void> {
    if (stated.size === 0) return
    const proof = await proveOlderRoot(stated.size, size, sourceNodeReader(tree, size))
    let implied: Uint8Array
    try {
      implied = rootFromConsistency({ size1: stated.size, size2: size, root2: root, proof })
    } catch (cause) {
      if (!isIndelibleError(cause, 'ERR_PROOF_INVALID')) throw cause
      throw new IndelibleError('ERR_STORE_CORRUPT', 'tiles do not lead to the root: nothing was copied', { cause })
    }
    if (isEqual(implied, stated.root)) return
    const message = `copy in ${quote(this.#store.where)} has a checkpoint of ${stated.size} entries that this log does not continue`
    throw new SplitViewError({ older: note, newer, proof }, message)
  }

  async #write(
    checkpoint: AnchoredCheckpoint,
    tree: AnchorTree,
    minIndex: number,
    last: number,
    signal: AbortSignal,
  ): Promise<void> {
    const from = Math.max(last, 0)
    const leafTiles = await this.#resume(from, checkpoint.size, signal)
    const entriesFrom = this.#options.entries ? minIndex : null
    const objects = copyObjects({ checkpoint, tree, from, leafTiles, entriesFrom })
    await forEachOf(objects, WIDTH, ({ name, bytes }) => this.#create(name, bytes, signal))
    // Last: where a checkpoint is, what proves it is too.
    await this.#create(checkpointName(checkpoint.size), utf8(checkpoint.note), signal)
  }

  /**
   * How many level-0 tiles are there. A first copy of a large log may take longer than one turn has time; the next one goes on
   * where it was left. Tiles are written in order, some at a time.
   */
  async #resume(from: number, size: number, signal: AbortSignal): Promise<number> {
    const full = fullTiles(0, size)
    const known = Math.max(fullTiles(0, from), this.#leafTiles)
    if (full - known <= 4 * WIDTH) return known
    const has = (index: number) => this.#store.has(formatTilePath({ level: 0, index, width: TILE_WIDTH }), signal)
    let [there, missing] = [known - 1, full]
    for (let step = WIDTH; there + step < missing; step *= 2) {
      if (await has(there + step)) there += step
      else missing = there + step
    }
    while (missing - there > 1) {
      const middle = Math.floor((there + missing) / 2)
      if (await has(middle)) there = middle
      else missing = middle
    }
    this.#leafTiles = Math.max(known, there + 1 - 2 * WIDTH)
    return this.#leafTiles
  }

  async #create(name: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { where } = this.#store
    for (const pause of [...PAUSES_MS, null]) {
      signal.throwIfAborted()
      if ((await this.#store.create(name, bytes, signal)) === 'created') return
      // It may be ours, stored by an attempt that was told otherwise; or somebody else's.
      const found = await this.#store.read(name, signal)
      if (found && (isEqual(found, bytes) || isSameCheckpoint(found, bytes))) return
      if (found) throw this.#conflict(name, bytes, found)
      if (pause !== null) await sleep(pause, undefined, { signal })
    }
    throw copyFailed(where, `did not take ${name}`)
  }

  #conflict(name: string, wanted: Uint8Array, found: Uint8Array): IndelibleError {
    const { where } = this.#store
    const [ours, theirs] = [readCopied(wanted), readCopied(found)]
    if (ours && theirs && ours.stated.origin === theirs.stated.origin && ours.stated.size === theirs.stated.size) {
      const message = `copy in ${quote(where)} has another checkpoint of ${ours.stated.size} entries`
      const evidence = { older: theirs.note, newer: ours.note, proof: [] }
      if (!isEqual(ours.stated.root, theirs.stated.root)) return new SplitViewError(evidence, message)
    }
    return copyRefused(where, `has other bytes in ${name} than this log`)
  }
}

/** A signature may be another one each time. */
function isSameCheckpoint(a: Uint8Array, b: Uint8Array): boolean {
  const [one, other] = [readCopied(a), readCopied(b)]
  return one !== null && other !== null && parseNote(one.note).text === parseNote(other.note).text
}

/** A copied checkpoint as it was read; `null` if it is none. Nobody's signature was checked. */
export function readCopied(bytes: Uint8Array): { note: string; stated: Checkpoint } | null {
  try {
    const note = fromUtf8(bytes)
    return { note, stated: parseCheckpoint(parseNote(note).text) }
  } catch (error) {
    if (isIndelibleError(error) || error instanceof RangeError || error instanceof TypeError) return null
    throw error
  }
}
