/** What a log that is in use has grown by while it was verified. */
import { isEqual } from '../bytes.ts'
import { isIndelibleError } from '../errors.ts'
import { parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import { parseEntry, type ReadRecord } from '../record/entry.ts'
import type { Frontier } from '../tree/frontier.ts'
import { leafHash } from '../tree/hash.ts'
import type { EvidenceHead, LogEvidence } from './evidence.ts'
import type { KeyHistory } from './key-history.ts'

/** Most entries by which a log may grow meanwhile. */
const MAX_GROWTH = 1_000_000

export interface Growth {
  readonly size: number
  /** The log's statements about itself among the new entries. */
  readonly statements: readonly ReadRecord[]
}

/**
 * The entries that a signed checkpoint has added to the tree in `frontier`, `null` if there is none or they do not make its
 * root. `keys` learns of rotations among them.
 */
export async function readGrowth(
  evidence: LogEvidence,
  head: EvidenceHead | null,
  frontier: Frontier,
  keys: KeyHistory,
): Promise<Growth | null> {
  const { size } = frontier
  if (!head || !(head.size > size && head.size <= size + MAX_GROWTH)) return null
  const statements: ReadRecord[] = []
  try {
    const stated = parseCheckpoint(parseNote(head.checkpoint).text)
    if (stated.size !== head.size) return null
    for await (const rows of evidence.entries(size, stated.size)) {
      for (const { index, entry } of rows) {
        if (index !== frontier.size) return null
        frontier.append(leafHash(entry))
        const record = parseEntry(entry)
        if (!record.type.startsWith('audit.')) continue
        statements.push(record)
        if (record.type === 'audit.key.rotated') keys.rotate(index, String(record.audit?.statement))
      }
    }
    const { checkpoint } = keys.open(head.checkpoint)
    if (checkpoint.size !== frontier.size || !isEqual(checkpoint.root, frontier.root())) return null
    return { size: checkpoint.size, statements }
  } catch (error) {
    if (!isIndelibleError(error, ...UNPROVEN)) throw error
    return null
  }
}

/**
 * A range may lie apart from the rotations that lead to the key which signed the latest checkpoint. A statement counts by its
 * signatures, so the entries around it need not be checked. `keys` learns of all below `size`.
 */
export async function readRotations(evidence: LogEvidence, size: number, keys: KeyHistory): Promise<void> {
  for await (const rows of evidence.entries(0, size)) {
    for (const { index, entry } of rows) {
      try {
        const record = parseEntry(entry)
        if (record.type === 'audit.key.rotated') keys.rotate(index, String(record.audit?.statement))
      } catch (error) {
        // Within the range there is a finding already; outside nothing is claimed.
        if (!isIndelibleError(error)) throw error
      }
    }
  }
}

const UNPROVEN = [
  'ERR_NOTE_INVALID',
  'ERR_NOTE_UNVERIFIED',
  'ERR_CHECKPOINT_INVALID',
  'ERR_KEY_INVALID',
  'ERR_ENTRY_INVALID',
] as const
