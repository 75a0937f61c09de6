/**
 * Signer keys as Go's `sumdb/note` writes them: `PRIVATE+KEY+<name>+<hex id>+<base64(type || secret)>`.
 * Errors carry nothing of the text, which may be a secret in the wrong place.
 */
import { concat, fromHex, toBase64, toHex } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { SIGNATURE_COSIGNATURE, SIGNATURE_ECDSA_P256, SIGNATURE_ED25519, type VerifierKey } from './signed-note.ts'
import { decodeBase64 } from './text.ts'

export interface SignerKey {
  readonly name: string
  /** 4 bytes, as the text claims it: only the public key can tell whether that is so. */
  readonly id: Uint8Array
  readonly type: number
  /** Ed25519 and its cosignatures: the 32-byte seed (RFC 8032). ECDSA: PKCS#8 DER. */
  readonly secret: Uint8Array
}

const invalid = (message: string) => new IndelibleError('ERR_KEY_INVALID', message)

/**
 * Reads a signer key. Derive the public key and compare the id of its {@link VerifierKey} with `id` before use.
 *
 * @throws IndelibleError `ERR_KEY_INVALID`
 */
export function parseSkey(text: string): SignerKey {
  if (text.length > 4096) throw invalid('signer key of over 4096 characters')
  // The first four plus signs only: base64 has them too.
  const [, name, id, encoded] =
    /^PRIVATE\+KEY\+([^+\x00-\x1f\p{White_Space}]+)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? []
  if (name === undefined || id === undefined || encoded === undefined) {
    throw invalid('signer key is not PRIVATE+KEY+<name>+<id, 8 hex digits>+<base64>')
  }
  const bytes = decodeBase64(encoded)
  const type = bytes?.[0]
  if (bytes === undefined || type === undefined) throw invalid('signer key does not end in padded base64')
  const secret = bytes.slice(1)
  checkSecret(type, secret)
  return { name, id: fromHex(id), type, secret }
}

/** Writes the signer key of `key`; as secret as `secret`. Throws `ERR_KEY_INVALID` if {@link parseSkey} would not read it. */
export function formatSkey(key: VerifierKey, secret: Uint8Array): string {
  const text = `PRIVATE+KEY+${key.name}+${toHex(key.id)}+${toBase64(concat(Uint8Array.of(key.type), secret))}`
  parseSkey(text)
  return text
}

function checkSecret(type: number, secret: Uint8Array): void {
  if (type === SIGNATURE_ECDSA_P256) {
    // PKCS#8 is a DER SEQUENCE; whoever imports the key parses the rest.
    if (secret[0] !== 0x30) throw invalid('signer key: secret is not PKCS#8 DER')
  } else if (type === SIGNATURE_ED25519 || type === SIGNATURE_COSIGNATURE) {
    if (secret.length !== 32) throw invalid(`signer key: seed of ${secret.length} bytes, expected 32`)
  } else {
    throw invalid(`signer key: signature type ${type} is not supported`)
  }
}
