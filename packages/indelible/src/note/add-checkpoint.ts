/**
 * What a log sends to a witness (C2SP tlog-witness v1.0.0, `POST <prefix>/add-checkpoint`):
 *
 *     old 20852014
 *     <base64 hash>                 (0 to 63, the consistency proof)
 *
 *     <checkpoint, a signed note, verbatim>
 */
import { toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { DECIMAL, MAX_NOTE_BYTES, parseDecimal, parseHash } from './text.ts'

export interface AddCheckpoint {
  /** Size of the checkpoint that the witness has cosigned last, as the log knows it; 0 if none. */
  readonly old: number
  /** Consistency proof from `old` to the checkpoint; empty from 0, and if nothing has grown. */
  readonly proof: readonly Uint8Array[]
  /** Signed note, verbatim; unverified. */
  readonly checkpoint: string
}

const MAX_HASHES = 63

/** In bytes: the checkpoint, and what can stand before it. More need not be read. */
export const MAX_ADD_CHECKPOINT_BYTES = MAX_NOTE_BYTES + 2 ** 13

/** Type of the body of a 409: a decimal size and LF. */
export const SIZE_MEDIA_TYPE = 'text/x.tlog.size'

const invalid = (message: string) => new IndelibleError('ERR_NOTE_INVALID', `add-checkpoint: ${message}`)

/** The body of the request. Throws `ERR_NOTE_INVALID` if {@link parseAddCheckpoint} would not read it. */
export function formatAddCheckpoint({ old, proof, checkpoint }: AddCheckpoint): string {
  const text = `${[`old ${old}`, ...proof.map(toBase64)].join('\n')}\n\n${checkpoint}`
  parseAddCheckpoint(text)
  return text
}

/**
 * Takes a request apart; the checkpoint is for `openCheckpoint` to judge.
 *
 * @throws IndelibleError `ERR_NOTE_INVALID` if the lines before the checkpoint are not exactly those of a request
 */
export function parseAddCheckpoint(text: string): AddCheckpoint {
  if (text.length > MAX_ADD_CHECKPOINT_BYTES) throw invalid(`over ${MAX_ADD_CHECKPOINT_BYTES} characters`)
  const blank = text.indexOf('\n\n')
  if (blank === -1 || blank + 2 === text.length) throw invalid('no empty line before a checkpoint')
  const [first = '', ...lines] = text.slice(0, blank).split('\n', MAX_HASHES + 2)
  const old = first.startsWith('old ') ? parseDecimal(first.slice('old '.length)) : undefined
  if (old === undefined) throw invalid(`no old size that is ${DECIMAL}`)
  if (lines.length > MAX_HASHES) throw invalid(`over ${MAX_HASHES} hashes`)
  const proof = lines.map((line, i) => {
    const hash = parseHash(line)
    if (hash === undefined) throw invalid(`hash ${i} is not 32 bytes of padded base64`)
    return hash
  })
  return { old, proof, checkpoint: text.slice(blank + 2) }
}
