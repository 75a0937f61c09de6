/**
 * Checkpoints (C2SP tlog-checkpoint v1.0.0): what a log signs about its tree.
 *
 *     example.com/log
 *     20852163
 *     CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 */
import { sha256 } from '#crypto'
import { isEqual, toBase64 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { type OpenedNote, openNote, SIGNATURE_COSIGNATURE, type VerifierKey } from './signed-note.ts'
import { DECIMAL, faultInLines, parseDecimal, parseHash, quote } from './text.ts'

export interface Checkpoint {
  /** First line: the identity of the log. Need not be the name of its key. */
  readonly origin: string
  /** Entries covered. */
  readonly size: number
  /** RFC 6962 root hash at that size, 32 bytes. */
  readonly root: Uint8Array
  /** Further lines, opaque. Read where another log has them, never written by ours: no monitor can audit them. */
  readonly extensions?: readonly string[]
}

const invalid = (message: string) => new IndelibleError('ERR_CHECKPOINT_INVALID', message)

/** The note text of a checkpoint, with its final LF. Throws `ERR_CHECKPOINT_INVALID` if {@link parseCheckpoint} would. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, root, extensions = [] } = checkpoint
  const lines = [origin, String(size), toBase64(root), ...extensions]
  if (lines.some((line) => line.includes('\n'))) throw invalid('checkpoint: a line has a newline in it')
  const text = `${lines.join('\n')}\n`
  parseCheckpoint(text)
  return text
}

/**
 * Reads a checkpoint's text. Says nothing about who signed it: {@link openCheckpoint} does.
 *
 * @param text with its final LF, without signatures
 * @throws IndelibleError `ERR_CHECKPOINT_INVALID` if it is not exactly one, its size is beyond 2^53-1, or its size is 0 and
 * its root not that of the empty tree
 */
export function parseCheckpoint(text: string): Checkpoint {
  const fault = faultInLines(text)
  if (fault !== undefined) throw invalid(`malformed checkpoint: ${fault}`)
  const [origin = '', decimal = '', hash = '', ...extensions] = text.slice(0, -1).split('\n')
  if (origin === '') throw invalid('malformed checkpoint: empty origin')
  const size = parseDecimal(decimal)
  if (size === undefined) throw invalid(`malformed checkpoint: size is not ${DECIMAL}`)
  const root = parseHash(hash)
  if (root === undefined) throw invalid('malformed checkpoint: root is not 32 bytes of padded base64')
  if (extensions.includes('')) throw invalid('malformed checkpoint: empty extension line')
  // RFC 6962 §2.1: the root of the empty tree is SHA-256 of nothing.
  if (size === 0 && !isEqual(root, sha256(''))) throw invalid('checkpoint of size 0 whose root is not the empty one')
  return extensions.length === 0 ? { origin, size, root } : { origin, size, root, extensions }
}

/**
 * The checkpoint in a signed note, given back only if the log signed it.
 *
 * @param options.origin the log's identity, as the caller knows it
 * @param options.keys the log's keys, and those of witnesses whose cosignatures are wanted. Any Ed25519 or ECDSA key among
 * them may speak for the log: hand in no key of another log
 * @throws IndelibleError `ERR_NOTE_UNVERIFIED` if none but witnesses signed; `ERR_CHECKPOINT_INVALID` if the text is no
 * checkpoint or of another origin; and as {@link openNote}
 */
export function openCheckpoint(
  note: string,
  options: { readonly origin: string; readonly keys: readonly VerifierKey[] },
): { checkpoint: Checkpoint; opened: OpenedNote } {
  const opened = openNote(note, options.keys)
  // A witness vouches for consistency. Only the log can say that this is its tree.
  if (opened.verified.every(({ key }) => key.type === SIGNATURE_COSIGNATURE)) {
    throw new IndelibleError('ERR_NOTE_UNVERIFIED', 'checkpoint has cosignatures only, none by a given key of the log')
  }
  const checkpoint = parseCheckpoint(opened.text)
  if (checkpoint.origin !== options.origin) {
    throw invalid(`checkpoint of ${quote(checkpoint.origin)}, expected ${quote(options.origin)}`)
  }
  return { checkpoint, opened }
}
