/** Signing keys on this machine, through OpenSSL. A key service is another {@link NoteSigner}. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { isEqual } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import {
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ECDSA_P256,
  SIGNATURE_ED25519,
  type SyncNoteSigner,
  type VerifierKey,
  verifierKey,
} from '../note/signed-note.ts'
import { formatSkey, parseSkey } from '../note/skey.ts'

/** `default` signs with Ed25519, `fips` with ECDSA P-256 and with nothing that FIPS 140-3 does not approve. */
export type Profile = 'default' | 'fips'

// RFC 8410 §7: the PKCS#8 form of an Ed25519 seed is a fixed header and the seed.
const ED25519_PKCS8_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A fresh key of the log `name` for `profile`, as the text of its skey file. */
export function generateSkey(name: string, profile: Profile): string {
  if (profile === 'fips') {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = verifierKey({ name, type: SIGNATURE_ECDSA_P256, publicKey: spki(privateKey) })
    return formatSkey(key, privateKey.export({ format: 'der', type: 'pkcs8' }))
  }
  const { privateKey } = generateKeyPairSync('ed25519')
  const key = verifierKey({ name, type: SIGNATURE_ED25519, publicKey: spki(privateKey).subarray(-32) })
  return formatSkey(key, privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32))
}

/** A fresh key of the witness `name`, for Ed25519 cosignatures, as the text of its skey file. Throws `ERR_KEY_INVALID`. */
export function generateCosignerSkey(name: string): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  const key = verifierKey({ name, type: SIGNATURE_COSIGNATURE, publicKey: spki(privateKey).subarray(-32) })
  return formatSkey(key, privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32))
}

/**
 * The signer whose key stands in an skey file.
 * @throws IndelibleError `ERR_KEY_INVALID`
 */
export function signerFromSkey(skey: string): SyncNoteSigner {
  const { name, id, type, secret } = parseSkey(skey.trim())
  let privateKey: KeyObject
  try {
    const der = type === SIGNATURE_ECDSA_P256 ? Buffer.from(secret) : Buffer.concat([ED25519_PKCS8_HEADER, secret])
    privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } catch {
    // No cause: OpenSSL's message may quote its input.
    throw new IndelibleError('ERR_KEY_INVALID', `signer key of ${name} cannot be read`)
  }
  const der = spki(privateKey)
  const key: VerifierKey = verifierKey({
    name,
    type,
    publicKey: type === SIGNATURE_ECDSA_P256 ? der : der.subarray(-32),
  })
  if (!isEqual(key.id, id)) {
    throw new IndelibleError('ERR_KEY_INVALID', `signer key of ${name} has the id of another key`)
  }
  const digest = type === SIGNATURE_ECDSA_P256 ? 'sha256' : null
  return { key, sign: (message) => new Uint8Array(sign(digest, message, privateKey)) }
}

function spki(privateKey: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }))
}
