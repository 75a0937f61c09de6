/**
 * Ed25519 cosignatures, signature type 0x04 (C2SP tlog-cosignature v1): a witness states that, at some time, this was the
 * largest consistent checkpoint of the log that it had seen. What a witness checks before it says so is not decided here.
 */
import { concat, u64be, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'

export interface Cosignature {
  /** POSIX seconds, by the cosigner's clock. */
  readonly timestamp: number
  /** Ed25519, 64 bytes, over {@link cosignatureMessage}. */
  readonly signature: Uint8Array
}

const SIGNATURE_BYTES = 64

/**
 * What a cosigner signs: two header lines and the whole note text, extension lines and final LF included.
 * It does not commit to the cosigner's name, so two cosigners must never share a public key.
 *
 * @param timestamp POSIX seconds. Throws `RangeError` outside 0 … 2^53-1
 */
export function cosignatureMessage(text: string, timestamp: number): Uint8Array {
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) throw new RangeError(`not a POSIX timestamp: ${timestamp}`)
  return utf8(`cosignature/v1\ntime ${timestamp}\n${text}`)
}

/** The signature of a note's signature line: the time as 8 bytes, big-endian, then the 64 of Ed25519. Throws `RangeError`. */
export function formatCosignature(cosignature: Cosignature): Uint8Array {
  const { timestamp, signature } = cosignature
  if (signature.length !== SIGNATURE_BYTES) throw new RangeError(`Ed25519 signature of ${signature.length} bytes`)
  return concat(u64be(timestamp), signature)
}

/**
 * Takes apart what {@link formatCosignature} gives; verifies nothing.
 *
 * @param signature what follows the key id in a signature line
 * @throws IndelibleError `ERR_NOTE_INVALID` if it is not 72 bytes, or the time is beyond 2^53-1
 */
export function parseCosignature(signature: Uint8Array): Cosignature {
  if (signature.length !== 8 + SIGNATURE_BYTES) {
    throw new IndelibleError('ERR_NOTE_INVALID', `cosignature of ${signature.length} bytes, expected 72`)
  }
  let timestamp = 0
  for (const byte of signature.subarray(0, 8)) timestamp = timestamp * 256 + byte
  if (!Number.isSafeInteger(timestamp)) throw new IndelibleError('ERR_NOTE_INVALID', 'cosignature time beyond 2^53-1')
  return { timestamp, signature: new Uint8Array(signature.subarray(8)) }
}
