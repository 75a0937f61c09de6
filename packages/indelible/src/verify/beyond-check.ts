/** What stands behind the end of a log, where no signature covers it. */
import { fullTiles } from '../tree/tile.ts'
import type { LogEvidence } from './evidence.ts'
import { readPublished } from './published-check.ts'
import type { FindingList } from './report.ts'

/** How far beyond the end rows are looked for that should not be there. */
const BEYOND = 65_536

export interface BeyondOptions {
  readonly evidence: LogEvidence
  readonly findings: FindingList
  readonly size: number
  /** Whether a key that counts signed a checkpoint. */
  isSigned(note: string): boolean
  /** The size to which the log has grown meanwhile, by a signed checkpoint that continues what was checked. */
  grownTo(): Promise<number>
}

/** Reports what the log cannot have grown by while it was verified. */
export async function checkBeyond({ evidence, findings, size, isSigned, grownTo }: BeyondOptions): Promise<void> {
  const end = Math.min(size + BEYOND, Number.MAX_SAFE_INTEGER)
  const beyond: { readonly index: number; readonly report: () => void }[] = []
  for await (const rows of evidence.entries(size, end)) {
    for (const { index } of rows) {
      const message = `entry ${index} is beyond the checkpoint`
      beyond.push({ index, report: () => findings.add('entry_unexpected', message, { index }) })
    }
  }
  for await (const parts of evidence.payloads(size, end)) {
    for (const { index } of parts) {
      const message = `there is no entry ${index} to which a disclosure could belong`
      beyond.push({ index, report: () => findings.add('disclosure_unexpected', message, { index }) })
    }
  }
  for await (const published of readPublished(evidence, size, Number.MAX_SAFE_INTEGER)) {
    const report = () => reportPublished(published.size, size, isSigned(published.note), findings)
    beyond.push({ index: published.size - 1, report })
  }
  const tiles = await tilesBeyond(evidence, size)
  if (beyond.length === 0 && tiles.length === 0) return
  // After all of it was seen: what the log has grown by since then accounts for nothing here.
  const grown = await grownTo()
  for (const { index, report } of beyond) if (!(index < grown)) report()
  for (const { level, index } of tiles) {
    if (index < fullTiles(level, grown)) continue
    findings.add('tile_altered', `tile ${index} at level ${level} cannot be full yet, and readers would believe it`)
  }
}

async function tilesBeyond(evidence: LogEvidence, size: number): Promise<{ level: number; index: number }[]> {
  const tiles: { level: number; index: number }[] = []
  for (let level = 0; level === 0 || fullTiles(level - 1, size) > 0; level++) {
    const index = fullTiles(level, size)
    if ((await evidence.tile(level, index)) !== null) tiles.push({ level, index })
  }
  return tiles
}

/** A log that had more entries once is shown without them, and its own checkpoint says so. */
function reportPublished(published: number, size: number, isSigned: boolean, findings: FindingList): void {
  if (isSigned) {
    findings.add('rolled_back', `log has ${size} entries, a published checkpoint ${published}: its end is gone`, {
      expected: String(published),
      found: String(size),
    })
  } else {
    findings.add('checkpoint_unverified', `published checkpoint of size ${published} is beyond the log and not signed`)
  }
}
