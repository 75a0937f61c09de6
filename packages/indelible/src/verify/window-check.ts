/**
 * What can be said of an entry by looking at nothing but its own row, disclosures and id. It takes two thirds of the time of
 * a verification, and any thread can do it: whoever verifies may hand it to one that he trusts as himself.
 *
 * Only ordinary entries at which everything is right are settled so. Whatever else there is (statements of the log, decisions,
 * what is missing, sealed, altered) is looked at where the whole is known.
 */
import { isEqual } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { checkCommitment } from '../record/disclosure.ts'
import { isSealed } from '../record/sealed.ts'
import { type Skimmed, skimEntry } from '../record/skim.ts'
import { HASH_BYTES, leafHash } from '../tree/hash.ts'
import type { EvidenceEntry, LogEvidence } from './evidence.ts'
import { readDisclosures, readRows } from './evidence-reader.ts'
import { ID_WORDS, writeId } from './id-set.ts'

/** Disclosures of so many entries are held in memory at a time: one part can have megabytes. */
export const PAYLOAD_WINDOW = 32

/** Entries that are settled, of a window, in buffers that can be handed from thread to thread. */
export interface CheckedWindow {
  /** Index of the first entry. */
  readonly start: number
  /** By entry: 1 if it is settled. What the other members hold of others means nothing. */
  readonly settled: Uint8Array
  /** Leaf hashes, recomputed, and the same as those stored. */
  readonly leaves: Uint8Array
  /** As stored. */
  readonly macs: Uint8Array
  /** As stored. */
  readonly epochs: Float64Array
  /** {@link ID_WORDS} words by entry. Each is known to the log, at this place. */
  readonly ids: Uint32Array
  /** When entries were accepted, each time once; and by entry, which of them. */
  readonly times: readonly string[]
  readonly timeOf: Uint16Array
}

/** Most entries of one window. */
export const MAX_WINDOW = 1024

/** Settles windows of the same evidence elsewhere. Believed as the verifier's own code is. */
export interface WindowChecker {
  /** @returns `null` if it cannot: then the verifier looks for himself. Never rejects. */
  check(start: number, end: number): Promise<CheckedWindow | null>
}

/** Rows of so many entries are held in memory at a time: few enough to be garbage before they count as old. */
const ROW_WINDOW = 64

type Filled = CheckedWindow & { readonly times: string[] }

/** @throws what the evidence's source throws */
export async function checkWindow(
  evidence: LogEvidence,
  origin: string,
  start: number,
  end: number,
): Promise<CheckedWindow> {
  const count = end - start
  const checked: Filled = {
    start,
    settled: new Uint8Array(count),
    leaves: new Uint8Array(count * HASH_BYTES),
    macs: new Uint8Array(count * HASH_BYTES),
    epochs: new Float64Array(count),
    ids: new Uint32Array(count * ID_WORDS),
    times: [],
    timeOf: new Uint16Array(count),
  }
  for (let from = start; from < end; from += ROW_WINDOW) {
    await settle(evidence, origin, checked, from, Math.min(end, from + ROW_WINDOW))
  }
  return checked
}

async function settle(
  evidence: LogEvidence,
  origin: string,
  checked: Filled,
  start: number,
  end: number,
): Promise<void> {
  const rows = await readRows(evidence, start, end)
  const ids: string[] = []
  const indexes: number[] = []
  for (let from = start; from < end; from += PAYLOAD_WINDOW) {
    const to = Math.min(end, from + PAYLOAD_WINDOW)
    const disclosures = await readDisclosures(evidence, from, to)
    for (let index = from; index < to; index++) {
      const row = rows.get(index)
      if (row?.mac.length !== HASH_BYTES || !Number.isSafeInteger(row.epoch) || row.epoch < 0) continue
      // The entry that opens the log is a statement, or wrong.
      const record = index === 0 ? null : skimEntry(row.entry)
      const leaf = record && settledLeaf(row, record, disclosures.get(index), origin)
      if (!record || !leaf) continue
      const i = index - checked.start
      checked.leaves.set(leaf, i * HASH_BYTES)
      checked.macs.set(row.mac, i * HASH_BYTES)
      checked.epochs[i] = row.epoch
      writeId(record.id, checked.ids, i * ID_WORDS)
      if (checked.times.at(-1) !== record.observed) checked.times.push(record.observed)
      checked.timeOf[i] = checked.times.length - 1
      checked.settled[i] = 1
      ids.push(record.id)
      indexes.push(index)
    }
  }
  const isRun = indexes.length > 0 && indexes.at(-1)! - indexes[0]! === indexes.length - 1
  if (isRun && (await evidence.areIdsAt?.(ids, indexes[0]!))) return
  const found = await evidence.findIds?.(ids)
  if (!found) return
  for (const [i, index] of indexes.entries()) {
    if (found.get(ids[i]!)?.index !== index) checked.settled[index - checked.start] = 0
  }
}

/** The leaf hash of an entry that its row and its disclosures agree with; `null` if they do not. */
function settledLeaf(
  row: EvidenceEntry,
  { id, parts }: Skimmed,
  disclosures: ReadonlyMap<string, string> | undefined,
  origin: string,
): Uint8Array | null {
  let committed = 0
  for (const name in parts) {
    const disclosure = disclosures?.get(name)
    if (disclosure === undefined || isSealed(disclosure)) return null
    committed++
    try {
      checkCommitment(disclosure, { commit: parts[name]!.commit, origin, id, name })
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      return null
    }
  }
  if ((disclosures?.size ?? 0) !== committed) return null
  const leaf = leafHash(row.entry)
  return isEqual(leaf, row.leaf) ? leaf : null
}
