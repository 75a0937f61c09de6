/**
 * Inclusion proofs as files (C2SP tlog-proof, draft of July 2026; suffix `.tlog-proof`).
 *
 *     c2sp.org/tlog-proof@v1
 *     extra <base64>                (optional)
 *     index <decimal>
 *     <base64 hash>                 (0 to 63, the leaf's sibling first)
 *
 *     <checkpoint, a signed note, verbatim>
 *
 * Reading one verifies nothing: that takes `openCheckpoint`, the leaf hash, and the inclusion check of `tree/`.
 */
import { toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { DECIMAL, decodeBase64, MAX_NOTE_BYTES, parseDecimal, parseHash } from './text.ts'

export interface TlogProof {
  /** 0-based position of the entry. */
  readonly index: number
  /** Inclusion proof, 32-byte hashes, the leaf's sibling first (RFC 6962 §2.1.1). */
  readonly proof: readonly Uint8Array[]
  /** Signed note, verbatim, with its cosignatures; unverified. */
  readonly checkpoint: string
  /** Opaque, and authenticated by nothing. */
  readonly extra?: Uint8Array
}

const HEADER = 'c2sp.org/tlog-proof@v1'
const MAX_HASHES = 63
/** In UTF-16 units, before anything is parsed: the checkpoint, the proof, and as much `extra` as a note may be long. */
const MAX_LENGTH = 2 * MAX_NOTE_BYTES + 2 ** 13

const invalid = (message: string) => new IndelibleError('ERR_PROOF_INVALID', message)

/** The proof as a file. Empty `extra` is left out. Throws `ERR_PROOF_INVALID` if {@link parseTlogProof} would not read it. */
export function formatTlogProof(proof: TlogProof): string {
  const extra = proof.extra === undefined || proof.extra.length === 0 ? [] : [`extra ${toBase64(proof.extra)}`]
  const text = `${[HEADER, ...extra, `index ${proof.index}`, ...proof.proof.map(toBase64)].join('\n')}\n\n${proof.checkpoint}`
  parseTlogProof(text)
  return text
}

/**
 * Reads a proof file. Everything after the first empty line is the checkpoint, whatever it holds: `openCheckpoint` is strict.
 *
 * @throws IndelibleError `ERR_PROOF_INVALID` if the lines before it are not exactly those of a proof, the index is beyond
 * 2^53-1, there are over 63 hashes or no checkpoint, or the file is over about 2 MiB
 */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAX_LENGTH) throw invalid(`proof file of ${text.length} characters, expected at most ${MAX_LENGTH}`)
  const blank = text.indexOf('\n\n')
  if (blank === -1) throw invalid('malformed proof: no empty line before a checkpoint')
  const checkpoint = text.slice(blank + 2)
  if (checkpoint === '') throw invalid('malformed proof: no checkpoint')
  const lines = text.slice(0, blank).split('\n', MAX_HASHES + 4)
  if (lines.shift() !== HEADER) throw invalid(`malformed proof: first line is not ${HEADER}`)
  const extra = lines[0]?.startsWith('extra ') ? parseExtra(lines.shift()!) : undefined
  const index = parseIndex(lines.shift() ?? '')
  if (lines.length > MAX_HASHES) throw invalid(`malformed proof: over ${MAX_HASHES} hashes`)
  const proof = lines.map((line, i) => {
    const hash = parseHash(line)
    if (hash === undefined) throw invalid(`malformed proof: hash ${i} is not 32 bytes of padded base64`)
    return hash
  })
  return extra === undefined ? { index, proof, checkpoint } : { index, proof, checkpoint, extra }
}

function parseExtra(line: string): Uint8Array {
  const extra = decodeBase64(line.slice('extra '.length))
  // The specification omits the line where there is nothing to say; an empty one would be a second spelling.
  if (extra === undefined || extra.length === 0) throw invalid('malformed proof: extra is not non-empty padded base64')
  return extra
}

function parseIndex(line: string): number {
  const index = line.startsWith('index ') ? parseDecimal(line.slice('index '.length)) : undefined
  if (index === undefined) throw invalid(`malformed proof: no index that is ${DECIMAL}`)
  return index
}
