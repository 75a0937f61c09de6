/**
 * Key rotations in an evidence bundle: they lead from the key that an auditor was given once to the one that signed. A
 * statement counts because both keys signed it; that it stands in the log where it says is proven like any entry.
 */
import { fromBase64, fromUtf8, utf8 } from '../bytes.ts'
import { IndelibleError, isIndelibleError } from '../errors.ts'
import type { Checkpoint } from '../note/checkpoint.ts'
import { parseEntry } from '../record/entry.ts'
import { parseJson } from '../record/jcs.ts'
import { leafHash } from '../tree/hash.ts'
import { checkInclusion } from '../tree/proof.ts'
import { ROTATIONS } from './bundle-format.ts'
import type { BundleFindings } from './bundle-report.ts'
import type { KeyHistory } from './key-history.ts'

/** More than one a day for ten years. */
const MAX_ROTATIONS = 4096

/** Longest inclusion proof. */
const MAX_PROOF = 64

/** A line of `rotations.jsonl`. */
export interface BundledRotation {
  readonly index: number
  /** The `audit.key.rotated` entry, verbatim. */
  readonly entry: string
  /** Its inclusion proof under the bundle's checkpoint. */
  readonly proof: readonly Uint8Array[]
}

/**
 * Has `keys` learn of the rotations, in the order of the log. Where they stand is to be checked once the checkpoint is accepted.
 * @param bytes of `rotations.jsonl`, `null` if the bundle has none
 */
export function readBundledRotations(
  bytes: Uint8Array | null,
  keys: KeyHistory,
  findings: BundleFindings,
): BundledRotation[] {
  const rotations: BundledRotation[] = []
  for (const line of bytes === null ? [] : linesOf(bytes)) {
    try {
      const rotation = parseLine(line, rotations.at(-1)?.index ?? -1)
      const { type, audit } = parseEntry(utf8(rotation.entry))
      if (type !== 'audit.key.rotated' || rotations.length >= MAX_ROTATIONS) throw malformed()
      keys.rotate(rotation.index, String(audit?.statement))
      rotations.push(rotation)
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      findings.add('rotation_invalid', `${ROTATIONS}: ${error.message}`, { file: ROTATIONS })
      break
    }
  }
  return rotations
}

/** Holds the places of the rotations, and whose keys they are of, against what was accepted. */
export function checkBundledRotations(
  rotations: readonly BundledRotation[],
  { size, root }: Checkpoint,
  keys: KeyHistory,
  findings: BundleFindings,
): void {
  for (const { index, entry, proof } of rotations) {
    try {
      checkInclusion({ leaf: leafHash(utf8(entry)), index, size, root, proof })
    } catch (error) {
      if (!isIndelibleError(error)) throw error
      const message = `rotation is not entry ${index} of the log that the checkpoint signs`
      findings.add('rotation_invalid', message, { index, file: ROTATIONS })
    }
  }
  for (const index of keys.unresolved) {
    const message = `rotation of entry ${index} is between keys that the policy does not lead to`
    findings.add('rotation_invalid', message, { index, file: ROTATIONS })
  }
}

function linesOf(bytes: Uint8Array): string[] {
  try {
    return fromUtf8(bytes)
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return ['']
  }
}

function parseLine(line: string, after: number): BundledRotation {
  const value = parseJson(line) as unknown as Partial<Record<'index' | 'entry' | 'proof', unknown>> | null
  const { index, entry, proof } = value ?? {}
  const isWhole =
    Number.isSafeInteger(index) &&
    (index as number) > after &&
    typeof entry === 'string' &&
    Array.isArray(proof) &&
    proof.length <= MAX_PROOF &&
    proof.every((hash) => typeof hash === 'string')
  if (!isWhole) throw malformed()
  return { index: index as number, entry: entry as string, proof: (proof as string[]).map(hashOf) }
}

function hashOf(text: string): Uint8Array {
  try {
    return fromBase64(text)
  } catch {
    throw malformed()
  }
}

function malformed(): IndelibleError {
  return new IndelibleError('ERR_ENTRY_INVALID', 'a line is no rotation, or stands in the wrong place')
}
