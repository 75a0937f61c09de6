/** Reads evidence by index. What lies outside the range asked for is left aside; of two for one place the last counts. */
import { isIndelibleError } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from '../note/checkpoint.ts'
import { parseNote } from '../note/signed-note.ts'
import type { EvidenceEntry, EvidenceHead, LogEvidence } from './evidence.ts'

/** Of a log without entries. */
export const EMPTY_HEAD: EvidenceHead = {
  size: 0,
  frontier: [],
  mac: new Uint8Array(32),
  epoch: 0,
  observed: '',
  checkpoint: '',
  minIndex: 0,
}

export async function readRows(evidence: LogEvidence, start: number, end: number): Promise<Map<number, EvidenceEntry>> {
  const rows = new Map<number, EvidenceEntry>()
  for await (const chunk of evidence.entries(start, end)) for (const row of chunk) rows.set(row.index, row)
  return rows
}

export async function readRow(evidence: LogEvidence, index: number): Promise<EvidenceEntry | null> {
  return (await readRows(evidence, index, index + 1)).get(index) ?? null
}

/** Disclosures by index and part name. */
export async function readDisclosures(
  evidence: LogEvidence,
  start: number,
  end: number,
): Promise<Map<number, ReadonlyMap<string, string>>> {
  const disclosures = new Map<number, Map<string, string>>()
  for await (const chunk of evidence.payloads(start, end)) {
    for (const { index, name, disclosure } of chunk) {
      const parts = disclosures.get(index) ?? new Map<string, string>()
      disclosures.set(index, parts.set(name, disclosure))
    }
  }
  return disclosures
}

/** What a note says, before it is known whether its key counts; `null` if it is no checkpoint. */
export function claimedCheckpoint(note: string): Checkpoint | null {
  try {
    return parseCheckpoint(parseNote(note).text)
  } catch (error) {
    if (!isIndelibleError(error)) throw error
    return null // whoever opens it says so
  }
}
