/**
 * Receipts that callers kept, held against the log: `.tlog-proof` files, and the JSON that `record` answers with. What was
 * handed out speaks against a log that no longer has it, and nobody needs to have asked a third party.
 */
import { fromBase64Url, isEqual } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import { parseTlogProof } from '../note/tlog-proof.ts'
import { parseJson } from '../record/jcs.ts'
import { type Hash, leafHash } from '../tree/hash.ts'
import { rootFromInclusion } from '../tree/proof.ts'
import type { AnchorVerifier, Voucher } from './anchors.ts'
import type { LogEvidence } from './evidence.ts'
import { claimedCheckpoint, readRow } from './evidence-reader.ts'
import type { FindingList } from './report.ts'

/** A receipt as somebody kept it. */
export interface KeptReceipt {
  /** Where it was found, for people. */
  readonly where: string
  readonly index: number
  /** Signed note, verbatim. */
  readonly checkpoint: string
  /** Leaf hash that was promised, or the inclusion proof of it: one of the two. */
  readonly leaf?: Hash
  readonly proof?: readonly Hash[]
}

/**
 * The receipts in a file: one `.tlog-proof`, or one JSON receipt a line.
 * @throws IndelibleError `ERR_PROOF_INVALID` naming the line if there is something else in it
 */
export function parseKeptReceipts(text: string, where: string): KeptReceipt[] {
  if (text.startsWith('c2sp.org/tlog-proof@')) {
    const { index, proof, checkpoint } = parseTlogProof(text)
    return [{ where, index, proof, checkpoint }]
  }
  return text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [parseLine(line, `${where}, line ${i + 1}`)]))
}

function parseLine(line: string, where: string): KeptReceipt {
  try {
    const { index, leaf, checkpoint } = parseJson(line) as Record<string, unknown>
    if (!Number.isSafeInteger(index) || typeof leaf !== 'string' || typeof checkpoint !== 'string')
      throw new TypeError()
    const bytes = fromBase64Url(leaf)
    if (bytes.length !== 32) throw new TypeError()
    return { where, index: index as number, leaf: bytes, checkpoint }
  } catch (cause) {
    throw new IndelibleError('ERR_PROOF_INVALID', `${where} is no receipt`, { cause })
  }
}

/** Kept receipts as an anchor: each checkpoint handed out must be of this log's own past. */
export class ReceiptsVerifier implements AnchorVerifier {
  readonly name = 'receipts'
  readonly kind = 'receipts'
  readonly required = false
  readonly #receipts: readonly KeptReceipt[]

  constructor(receipts: readonly KeptReceipt[]) {
    this.#receipts = receipts
  }

  check(): null {
    return null
  }

  async ask(): Promise<Voucher[]> {
    const notes = new Set(this.#receipts.map(({ checkpoint }) => checkpoint))
    return [...notes].map((note) => ({ note, by: ['kept by callers'], time: null, counts: true }))
  }
}

/** Whether the entries promised are those that the log has at their places. */
export async function checkKeptReceipts(
  receipts: readonly KeptReceipt[],
  { evidence, size, origin, findings }: ReceiptsInput,
): Promise<void> {
  for (const { where, index, checkpoint: note, leaf, proof } of receipts) {
    const mismatch = (what: string) => findings.add('receipt_mismatch', `${where}: ${what}`, { index })
    const stated = claimedCheckpoint(note)
    if (stated === null || stated.origin !== origin || index >= stated.size) {
      findings.add('receipt_mismatch', `${where} is no receipt of this log`)
      continue
    }
    if (index >= size) {
      mismatch(`entry ${index} was promised, and the log has ${size} entries`)
      continue
    }
    const row = await readRow(evidence, index)
    const found = row ? leafHash(row.entry) : ((await leafAt(evidence, index)) ?? null)
    const fits =
      found !== null &&
      (leaf ? isEqual(found, leaf) : leadsTo({ leaf: found, index, size: stated.size, proof: proof! }, stated.root))
    if (!fits) mismatch(`the log has another entry ${index} than the one that was promised`)
  }
}

export interface ReceiptsInput {
  readonly evidence: LogEvidence
  readonly size: number
  readonly origin: string
  readonly findings: FindingList
}

/** Of an entry that was purged its leaf hash is left. */
async function leafAt(evidence: LogEvidence, index: number): Promise<Hash | undefined> {
  try {
    return (await evidence.leaves(index, index + 1))[0]
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return undefined
  }
}

function leadsTo(claim: Parameters<typeof rootFromInclusion>[0], root: Hash): boolean {
  try {
    return isEqual(rootFromInclusion(claim), root)
  } catch (error) {
    if (!isIndelibleError(error, 'ERR_PROOF_INVALID')) throw error
    return false
  }
}
