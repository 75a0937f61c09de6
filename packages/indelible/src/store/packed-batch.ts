/**
 * A batch as one buffer of bytes and one text, for handing it to another thread: thousands of small arrays would be copied
 * one by one, and a view of a shared slab with the whole slab.
 */
import type { Batch, Head } from './store.ts'

/** What {@link packBatch} makes. `bytes` can be transferred. */
export interface PackedBatch {
  /** The head that the batch goes on from. */
  readonly after: Head
  readonly bytes: ArrayBuffer
  /** Of each array in `bytes`, in order; -1 for `null`. */
  readonly lengths: Int32Array
  readonly text: string
  readonly textLengths: Int32Array
  readonly numbers: Float64Array
  readonly from: number
  readonly counts: {
    readonly entries: number
    readonly payloads: number
    readonly ids: number
    readonly tiles: number
    readonly concerns: number
  }
  readonly head: Head
  readonly publish: boolean
}

/** Without `subjects`, which no store keeps as they are. */
export function packBatch(after: Head, batch: Batch): PackedBatch {
  const { entries, leaves, macs, epochs, payloads, ids, tiles, concerns = [] } = batch
  const arrays: (Uint8Array | null)[] = [...entries, ...leaves, ...macs]
  for (const { digest } of ids) arrays.push(digest)
  for (const { root, hashes } of tiles) arrays.push(root, hashes)
  for (const { subject } of concerns) arrays.push(subject)
  const lengths = new Int32Array(arrays.length)
  let total = 0
  for (let i = 0; i < arrays.length; i++) {
    const length = arrays[i]?.length ?? -1
    lengths[i] = length
    if (length > 0) total += length
  }
  const bytes = new Uint8Array(total)
  let at = 0
  for (const array of arrays) {
    if (array === null) continue
    bytes.set(array, at)
    at += array.length
  }

  const texts: string[] = []
  for (const { name, disclosure } of payloads) texts.push(name, disclosure)
  for (const { id } of ids) texts.push(id)
  const textLengths = Int32Array.from(texts, (text) => text.length)

  const numbers = new Float64Array(epochs.length + payloads.length + ids.length + 2 * tiles.length + concerns.length)
  let n = 0
  for (const epoch of epochs) numbers[n++] = epoch
  for (const { index } of payloads) numbers[n++] = index
  for (const { index } of ids) numbers[n++] = index
  for (const { level, index } of tiles) {
    numbers[n++] = level
    numbers[n++] = index
  }
  for (const { index } of concerns) numbers[n++] = index
  return {
    after: plainHead(after),
    bytes: bytes.buffer,
    lengths,
    text: texts.join(''),
    textLengths,
    numbers,
    from: batch.from,
    counts: {
      entries: entries.length,
      payloads: payloads.length,
      ids: ids.length,
      tiles: tiles.length,
      concerns: concerns.length,
    },
    head: plainHead(batch.head),
    publish: batch.publish,
  }
}

export function unpackBatch(packed: PackedBatch): Batch {
  const { counts, from, head, publish } = packed
  let array = 0
  let at = 0
  const nextBytes = (): Uint8Array | null => {
    const length = packed.lengths[array++]!
    if (length < 0) return null
    at += length
    return new Uint8Array(packed.bytes, at - length, length)
  }
  let text = 0
  let textAt = 0
  const nextText = (): string => {
    textAt += packed.textLengths[text]!
    return packed.text.slice(textAt - packed.textLengths[text++]!, textAt)
  }
  let number = 0
  const nextNumber = (): number => packed.numbers[number++]!
  const list = <T>(length: number, make: () => T): T[] => Array.from({ length }, make)
  // In the order in which they were packed.
  const entries = list(counts.entries, () => nextBytes()!)
  const leaves = list(counts.entries, () => nextBytes()!)
  const macs = list(counts.entries, () => nextBytes()!)
  const epochs = list(counts.entries, nextNumber)
  const payloads = list(counts.payloads, () => ({ index: nextNumber(), name: nextText(), disclosure: nextText() }))
  const ids = list(counts.ids, () => ({ id: nextText(), index: nextNumber(), digest: nextBytes() }))
  const tiles = list(counts.tiles, () => ({
    level: nextNumber(),
    index: nextNumber(),
    root: nextBytes()!,
    hashes: nextBytes()!,
  }))
  const concerns = list(counts.concerns, () => ({ subject: nextBytes()!, index: nextNumber() }))
  return { from, entries, leaves, macs, epochs, payloads, concerns, ids, tiles, head, publish }
}

/** Arrays of their own: a view would take its whole slab along. */
function plainHead(head: Head): Head {
  return { ...head, mac: copy(head.mac), frontier: head.frontier.map(copy) }
}

function copy(bytes: Uint8Array): Uint8Array {
  // Not slice(), which of a Buffer is another view.
  return new Uint8Array(bytes)
}
