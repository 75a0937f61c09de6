/** The key rotations of a log, in an evidence bundle: for auditors who were given a key that has had successors since. */
import { fromUtf8, toBase64, utf8 } from '../bytes.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { readCarriedCopies } from '../query/statements.ts'
import { parseEntry } from '../record/entry.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion, type NodeReader, proveInclusion } from '../tree/proof.ts'
import type { ExportSource } from './exporter.ts'

const TYPE = 'audit.key.rotated'

/**
 * The text of `rotations.jsonl`: all rotations that the checkpoint covers, those included of which a purge has left a copy.
 * @throws IndelibleError `ERR_PROOF_INVALID` for one that is not in the log
 */
export async function formatBundleRotations(
  { store, engine, origin }: ExportSource,
  { size, root }: Checkpoint,
  read: NodeReader,
): Promise<string> {
  const found = new Map<number, string>()
  for (const [index, entry] of await readCarriedCopies(store, origin)) {
    if (index < size && parseEntry(utf8(entry)).type === TYPE) found.set(index, entry)
  }
  for await (const { index, entry } of engine.all({ type: TYPE })) {
    if (index < size) found.set(index, fromUtf8(entry))
  }
  const lines: string[] = []
  for (const [index, entry] of [...found].sort(([a], [b]) => a - b)) {
    const proof = await proveInclusion(index, size, read)
    checkInclusion({ leaf: leafHash(utf8(entry)), index, size, root, proof })
    lines.push(`${JSON.stringify({ index, entry, proof: proof.map(toBase64) })}\n`)
  }
  return lines.join('')
}
