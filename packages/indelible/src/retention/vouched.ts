/** Up to where somebody other than the log's database vouches for the log: nothing beyond is purged. */

import { AnchorReceipts } from '../anchor/receipts.ts'
import { fromBase64, isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Pins } from '../keys/pins.ts'
import type { Log } from '../log/log.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { checkConsistency, proveConsistency } from '../tree/proof.ts'
import { sourceNodeReader } from '../tree/source.ts'
import type { PurgeIntent } from '../verify/purge-statement.ts'

/**
 * The largest checkpoint that the pin of this machine holds, or that an anchor gave a receipt for, and that the log continues.
 * @throws IndelibleError `ERR_PURGE_UNVOUCHED` if there is none, `ERR_SPLIT_VIEW` if the log does not continue it
 */
export async function findVouched(
  log: Log,
  from: { readonly pins: Pins } | { readonly anchors: string },
): Promise<PurgeIntent['vouched']> {
  const candidates = 'pins' in from ? pinned(log, from.pins) : anchored(log, from.anchors)
  const [best] = candidates.sort((a, b) => b.size - a.size)
  if (!best) {
    const how =
      'pins' in from
        ? 'no pin on this machine: run indelible verify'
        : 'no receipt of an anchor: run indelible anchor now'
    throw new IndelibleError('ERR_PURGE_UNVOUCHED', `nobody vouches for the log: ${how}`)
  }
  await checkContinues(log, best)
  const by = candidates.filter(({ size }) => size === best.size).map((one) => one.by)
  return { size: best.size, by: [...new Set(by)] }
}

interface Vouched {
  readonly size: number
  readonly root: Uint8Array
  readonly by: string
}

function pinned(log: Log, pins: Pins): Vouched[] {
  const pin = pins.read(log.origin)
  return pin ? [{ size: pin.size, root: pin.root, by: 'pin' }] : []
}

function anchored(log: Log, directory: string): Vouched[] {
  const receipts = new AnchorReceipts(directory)
  const found: Vouched[] = []
  for (const name of receipts.names()) {
    const receipt = receipts.last(name)
    if (receipt?.origin === log.origin) found.push({ size: receipt.size, root: fromBase64(receipt.root), by: name })
  }
  return found
}

async function checkContinues(log: Log, { size: size1, root: root1, by }: Vouched): Promise<void> {
  const note = await log.checkpoint()
  const { size: size2, root: root2 } = parseCheckpoint(parseNote(note!).text)
  const apart = (cause?: unknown) =>
    new IndelibleError('ERR_SPLIT_VIEW', `the log does not continue the checkpoint of size ${size1} that ${by} has`, {
      cause,
    })
  if (size1 > size2) throw apart()
  if (size1 === size2) {
    if (!isEqual(root1, root2)) throw apart()
    return
  }
  const proof = await proveConsistency(size1, size2, sourceNodeReader(log.store, size2))
  try {
    checkConsistency({ size1, root1, size2, root2, proof })
  } catch (error) {
    if (isIndelibleError(error)) throw apart(error)
    throw error
  }
}
