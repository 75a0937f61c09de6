/** Encrypts the mac verification key to somebody who keeps it elsewhere, so that it is never shown on the host. */
import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto'
import { utf8 } from '../bytes.ts'
import { DEFAULT_EPOCH_SECONDS } from '../chain/epoch.ts'
import { formatMacVerificationKey } from '../chain/verification-key.ts'
import { IndelibleError } from '../errors.ts'
import { readKeyText } from './files.ts'

/** SP 800-131A. */
const MIN_MODULUS_BITS = 2048

/** RFC 8017 §7.1.1: two SHA-256 hashes and two bytes. */
const OAEP_OVERHEAD_BYTES = 2 * 32 + 2

/** No shorter than the origin that `createLog` makes up. */
const SOME_ORIGIN = 'x'.repeat(64)

/**
 * The RSA public key in a PEM file, if it can take the verification key of such a log.
 * @throws IndelibleError `ERR_KEY_INVALID`
 */
export function readRecipient(path: string, log: { origin?: string; epochSeconds?: number }): KeyObject {
  const pem = readKeyText(path)
  if (pem.includes('PRIVATE KEY'))
    throw invalid(path, 'is a private key: pass its public half, and keep it off this host')
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw invalid(path, 'is not a public key in PEM')
  }
  if (key.asymmetricKeyType !== 'rsa') throw invalid(path, `is a key of type ${key.asymmetricKeyType}, expected rsa`)
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  const { origin = SOME_ORIGIN, epochSeconds = DEFAULT_EPOCH_SECONDS } = log
  const text = formatMacVerificationKey({
    origin,
    clock: { startMs: Date.now(), seconds: epochSeconds },
    key: new Uint8Array(32),
  })
  const needed = Math.max(MIN_MODULUS_BITS, 8 * (utf8(text).length + OAEP_OVERHEAD_BYTES))
  if (bits < needed) throw invalid(path, `has a modulus of ${bits} bits, this log needs ${needed}`)
  return key
}

/** Base64 of RSA-OAEP with SHA-256, in lines as `openssl base64 -d` wants them. */
export function encryptTo(recipient: KeyObject, text: string): string {
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const bytes = publicEncrypt({ key: recipient, padding, oaepHash: 'sha256' }, utf8(text))
  return bytes.toString('base64').replace(/.{1,64}/g, '$&\n')
}

/** How the holder of the private key reads `file`. */
export function decryptCommand(file: string): string {
  return (
    `openssl base64 -d -in ${file} | ` +
    'openssl pkeyutl -decrypt -inkey PRIVATE.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256'
  )
}

function invalid(path: string, why: string): IndelibleError {
  return new IndelibleError('ERR_KEY_INVALID', `recipient ${path} ${why}`)
}
