/**
 * Before it builds on a head that it did not write itself, an honest writer checks it. Otherwise it would launder a
 * tampered store: sign, with the true key, over whatever somebody put there.
 */

import { isEqual } from '../bytes.ts'
import { entryMac, GENESIS_MAC, MAC_BYTES } from '../chain/chain.ts'
import { epochAt } from '../chain/epoch.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { LogKeys, Remembered } from '../keys/log-keys.ts'
import { type Checkpoint, openCheckpoint } from '../note/checkpoint.ts'
import { parseEntry } from '../record/entry.ts'
import type { Head, LogStore, StoredEntry } from '../store/store.ts'
import { Frontier } from '../tree/frontier.ts'
import { type Hash, leafHash } from '../tree/hash.ts'
import { checkConsistency, checkInclusion, proveConsistency, proveInclusion } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import { isCopyMark, sizeOfCopy } from './copy-mark.ts'
import { TileEdge } from './tile-edge.ts'

/** Where the next batch goes on: a head, and the tree's right edge. */
export interface Position {
  readonly head: Head
  readonly root: Hash
  readonly frontier: Frontier
  readonly edge: TileEdge
}

/** Whether `head` is the one that `position` was left at. */
export function isOwnHead(position: Position | null, head: Head): boolean {
  const own = position?.head
  return (
    own !== undefined &&
    own.size === head.size &&
    own.checkpoint === head.checkpoint &&
    own.epoch === head.epoch &&
    own.observed === head.observed &&
    isEqual(own.mac, head.mac) &&
    own.frontier.length === head.frontier.length &&
    own.frontier.every((hash, i) => isEqual(hash, head.frontier[i]!))
  )
}

/**
 * @throws IndelibleError `ERR_HEAD_FORGED` if the checkpoint does not verify under this log's key, if the frontier does not
 * fold to its root, if the last row is not the one that the head describes and the checkpoint covers, or if the tree is no
 * continuation of the one that this signer remembers; `ERR_ROLLED_BACK` if it is smaller; `ERR_STORE_CORRUPT` if the tiles
 * contradict the frontier
 */
export async function checkHead(head: Head, store: LogStore, keys: LogKeys): Promise<Position> {
  const checkpoint = openHeadCheckpoint(head, keys)
  let frontier: Frontier
  try {
    frontier = new Frontier(head.size, head.frontier)
  } catch (cause) {
    throw forged(head, 'its frontier has the wrong shape', { cause })
  }
  if (!isEqual(frontier.root(), checkpoint.root)) throw forged(head, 'its frontier does not fold to the signed root')
  // It tells when the next checkpoint is due: from the future, none would be published again.
  if (head.published > head.observed) throw forged(head, 'a checkpoint was published after its last entry')
  const remembered = keys.remembered()
  if (remembered) await checkContinues(remembered, checkpoint, store)
  const edge = await TileEdge.load(store, frontier)
  await checkLastRow(head, checkpoint, store, keys)
  return { head, root: checkpoint.root, frontier, edge }
}

function openHeadCheckpoint(head: Head, { origin, signer }: LogKeys): Checkpoint {
  if (isCopyMark(head.checkpoint)) {
    const all = sizeOfCopy(head.checkpoint) ?? 'all'
    const message = `store is an unfinished copy: it has ${head.size} of ${all} entries. Run indelible copy again`
    throw new IndelibleError('ERR_COPY_UNFINISHED', message)
  }
  let checkpoint: Checkpoint
  try {
    // Not the key before: it may have been replaced because it was stolen, and both sign the checkpoint of a rotation.
    checkpoint = openCheckpoint(head.checkpoint, { origin, keys: [signer.key] }).checkpoint
  } catch (cause) {
    if (!isIndelibleError(cause)) throw cause
    throw forged(head, `its checkpoint does not verify (${cause.code})`, { cause })
  }
  if (checkpoint.size !== head.size) throw forged(head, `its checkpoint is of size ${checkpoint.size}`)
  return checkpoint
}

async function checkContinues(remembered: Remembered, checkpoint: Checkpoint, store: LogStore): Promise<void> {
  const { size, root } = checkpoint
  if (size < remembered.size) {
    throw new IndelibleError(
      'ERR_ROLLED_BACK',
      `log has ${size} entries, this signer has signed ${remembered.size}: the database was rolled back or cut off`,
    )
  }
  try {
    const proof = await proveConsistency(remembered.size, size, sourceNodeReader(store, size))
    checkConsistency({ size1: remembered.size, root1: remembered.root, size2: size, root2: root, proof })
  } catch (cause) {
    if (!isIndelibleError(cause, 'ERR_PROOF_INVALID', 'ERR_TILE_INVALID') && !(cause instanceof RangeError)) throw cause
    const message = `tree of ${size} entries does not continue the one of ${remembered.size} that this signer has signed`
    throw new IndelibleError('ERR_HEAD_FORGED', message, { cause })
  }
}

/** The chain, the epoch and the time go on from the head's, which no signature covers: they must be those of the last row. */
async function checkLastRow(head: Head, { size, root }: Checkpoint, store: LogStore, keys: LogKeys): Promise<void> {
  const rows: StoredEntry[] = []
  const last = size - 1
  for await (const chunk of store.entries(Math.max(0, last - 1), size)) rows.push(...chunk)
  const row = rows.find(({ index }) => index === last)
  if (!row) {
    // The newest entries are never purged: see Store.purge and the checkpoint that it asks for.
    throw forged(head, `entry ${last} is missing`)
  }
  if (row.epoch !== head.epoch || !isEqual(row.mac, head.mac)) throw forged(head, `entry ${last} has another mac`)
  const leaf = leafHash(row.entry)
  if (!isEqual(leaf, row.leaf)) throw forged(head, `entry ${last} does not have the leaf hash stored with it`)
  await checkInTree(head, leaf, root, store)
  let observed: string
  let epoch: number
  try {
    observed = parseEntry(row.entry).observed
    epoch = epochAt(keys.clock, observed)
  } catch (cause) {
    throw forged(head, `entry ${last} cannot be read`, { cause })
  }
  if (observed !== head.observed) throw forged(head, `entry ${last} was observed at another time`)
  if (epoch !== head.epoch) throw forged(head, `entry ${last} was observed in epoch ${epoch}, not in ${head.epoch}`)
  checkLastMac(head, row, rows, keys)
}

/** The row is under the signature: leaf hashes and tiles are stored beside it, and may have been rewritten with it. */
async function checkInTree(head: Head, leaf: Hash, root: Hash, store: LogStore): Promise<void> {
  const { size } = head
  try {
    const proof = await proveInclusion(size - 1, size, sourceNodeReader(store, size))
    checkInclusion({ leaf, index: size - 1, size, root, proof })
  } catch (cause) {
    if (!isIndelibleError(cause, 'ERR_PROOF_INVALID', 'ERR_TILE_INVALID') && !(cause instanceof RangeError)) throw cause
    throw forged(head, `entry ${size - 1} is not the one that was signed`, { cause })
  }
}

function checkLastMac(head: Head, row: StoredEntry, rows: readonly StoredEntry[], keys: LogKeys): void {
  const before = row.index === 0 ? GENESIS_MAC : rows.find(({ index }) => index === row.index - 1)?.mac
  if (!before && row.index - 1 >= head.minIndex) throw forged(head, `entry ${row.index - 1} is missing`)
  const ratchet = keys.ratchet()
  // Keys of earlier epochs are gone: then only the holder of K_0 can check this mac.
  if (!before || ratchet.epoch > head.epoch) return
  ratchet.advance(head.epoch)
  const mac =
    before.length === MAC_BYTES && entryMac(ratchet.macKey(keys.origin), head.epoch, row.index, before, row.leaf)
  if (!mac || !isEqual(mac, row.mac)) {
    throw forged(head, `entry ${row.index} has a mac that this deployment did not make`)
  }
}

function forged(head: Head, why: string, options?: ErrorOptions): IndelibleError {
  return new IndelibleError(
    'ERR_HEAD_FORGED',
    `head of size ${head.size} is not one that this log wrote: ${why}. Nothing was signed; run indelible verify`,
    options,
  )
}
