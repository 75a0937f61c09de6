/**
 * Signed notes and verifier keys (C2SP signed-note v1.0.0): a text, a blank line, and signature lines.
 *
 *     — <key name> base64(key id[4] || signature)
 *
 * A signature covers the text with its final LF, not the blank line. Text and signatures part at the last empty line.
 * This module verifies Ed25519, ECDSA P-256 and Ed25519 cosignatures; it ignores every other signature, as it must.
 */
import { isEcdsaP256Signature, isEd25519Signature, sha256 } from '#crypto'
import { concat, fromHex, isEqual, toBase64, toHex, utf8 } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { cosignatureMessage, parseCosignature } from './cosignature.ts'
import { decodeBase64, faultInLines, quote } from './text.ts'

export const SIGNATURE_ED25519 = 0x01
export const SIGNATURE_ECDSA_P256 = 0x02
/** Ed25519 cosignature of a checkpoint (C2SP tlog-cosignature v1). */
export const SIGNATURE_COSIGNATURE = 0x04

/** Most signature lines that a note may have. C2SP asks for at least 16; Go's reader stops at 100. */
const MAX_SIGNATURES = 100

/** A public key under a name. Signature lines point at it by name and id together. */
export interface VerifierKey {
  readonly name: string
  /** 4 bytes, derived from the other members: a short hand, not a fingerprint. */
  readonly id: Uint8Array
  readonly type: number
  /** 32 bytes for Ed25519 and its cosignatures; SPKI DER for ECDSA. */
  readonly publicKey: Uint8Array
}

/** Signs note texts under one key; the private half may be anywhere. */
export interface NoteSigner {
  readonly key: VerifierKey
  /**
   * What follows the key id in a signature line. A cosigner wraps `message` and prefixes the time itself.
   *
   * @param message note text, UTF-8, with its final LF
   */
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/** A {@link NoteSigner} that answers at once. */
export interface SyncNoteSigner extends NoteSigner {
  sign(message: Uint8Array): Uint8Array
}

/** One signature line, taken apart. Proves nothing by itself. */
export interface NoteSignature {
  readonly name: string
  /** 4 bytes. */
  readonly id: Uint8Array
  readonly signature: Uint8Array
}

export interface OpenedNote {
  /** With its final LF. */
  readonly text: string
  /** At least one; each key at most once; in the order of the note. */
  readonly verified: { readonly key: VerifierKey; readonly signature: Uint8Array }[]
  /** Signatures of keys that were not given. Anyone can have put them there. */
  readonly unverified: NoteSignature[]
}

const invalidKey = (message: string) => new IndelibleError('ERR_KEY_INVALID', message)
const invalidNote = (message: string) => new IndelibleError('ERR_NOTE_INVALID', message)

/**
 * The key with its id, as C2SP signed-note derives it: SHA-256(name || LF || type || public key)[:4], or for ECDSA
 * SHA-256(public key)[:4].
 *
 * @throws IndelibleError `ERR_KEY_INVALID` if the name is empty, over 1024 characters, or has a Unicode space, plus sign or
 * control character, the type is none of the three, or the public key is not of its type (ECDSA: P-256, point uncompressed)
 */
export function verifierKey(key: Omit<VerifierKey, 'id'>): VerifierKey {
  const { name, type } = key
  const publicKey = new Uint8Array(key.publicKey)
  if (!isKeyName(name)) throw invalidKey('key name is empty or has a space, plus sign or control character')
  if (name.length > 1024) throw invalidKey(`key name of ${name.length} characters, expected at most 1024`)
  if (type === SIGNATURE_ECDSA_P256) {
    if (!isP256Spki(publicKey)) throw invalidKey(`key ${quote(name)}: public key is not P-256 in SPKI form`)
  } else if (type === SIGNATURE_ED25519 || type === SIGNATURE_COSIGNATURE) {
    if (publicKey.length !== 32) throw invalidKey(`key ${quote(name)}: ${publicKey.length} bytes, expected 32`)
  } else {
    throw invalidKey(`key ${quote(name)}: signature type ${type} is not supported`)
  }
  const identity = type === SIGNATURE_ECDSA_P256 ? publicKey : concat(utf8(`${name}\n`), Uint8Array.of(type), publicKey)
  return { name, id: new Uint8Array(sha256(identity).subarray(0, 4)), type, publicKey }
}

/** The key as a line of text: `name+hex(id)+base64(type || public key)`. Throws as {@link verifierKey} does. */
export function formatVkey(key: Omit<VerifierKey, 'id'>): string {
  const { name, id, type, publicKey } = verifierKey(key)
  return `${name}+${toHex(id)}+${toBase64(concat(Uint8Array.of(type), publicKey))}`
}

/**
 * Reads what {@link formatVkey} gives, and nothing else.
 *
 * @throws IndelibleError `ERR_KEY_INVALID`; the message has at most the key's name and type
 */
export function parseVkey(text: string): VerifierKey {
  // The wrong half of the pair, pasted by mistake: say so, and nothing of what it holds.
  if (text.startsWith('PRIVATE+KEY+')) throw invalidKey('this is a signer key (secret); expected a verifier key')
  if (text.length > 4096) throw invalidKey(`verifier key of ${text.length} characters, expected at most 4096`)
  // The first two plus signs only: base64 has them too.
  const [, name, id, encoded] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? []
  if (name === undefined || id === undefined || encoded === undefined) {
    throw invalidKey('verifier key is not <name>+<id, 8 hex digits>+<base64>')
  }
  const bytes = decodeBase64(encoded)
  const type = bytes?.[0]
  if (bytes === undefined || type === undefined) throw invalidKey('verifier key does not end in padded base64')
  const key = verifierKey({ name, type, publicKey: bytes.subarray(1) })
  if (!isEqual(key.id, fromHex(id))) throw invalidKey(`key ${quote(name)}: id is not that of the name, type and key`)
  return key
}

/** `— name base64(id || signature)` with its final LF. Throws `ERR_NOTE_INVALID` if no signature of that type is so long. */
export function formatSignatureLine(key: VerifierKey, signature: Uint8Array): string {
  const { length } = signature
  const fits =
    key.type === SIGNATURE_ED25519 ? length === 64 : key.type === SIGNATURE_COSIGNATURE ? length === 72 : length > 0
  if (!fits) throw invalidNote(`signature of ${length} bytes by ${quote(key.name)}, whose type is ${key.type}`)
  return `\u2014 ${key.name} ${toBase64(concat(key.id, signature))}\n`
}

/**
 * Signs `text`, asking one signer after the other. Does not verify what they answer.
 *
 * @param text ends in LF; no other ASCII control characters; the note must stay within 1 MiB
 * @param signers 1 to 100
 * @throws IndelibleError `ERR_NOTE_INVALID` if the text or a signature does not fit the format
 */
export async function signNote(text: string, signers: readonly NoteSigner[]): Promise<string> {
  const message = encodeText(text)
  const lines: string[] = []
  for (const signer of signers) lines.push(formatSignatureLine(signer.key, await signer.sign(message)))
  return assemble(text, lines)
}

/** {@link signNote} for signers that answer at once. */
export function signNoteSync(text: string, signers: readonly SyncNoteSigner[]): string {
  const message = encodeText(text)
  return assemble(
    text,
    signers.map((signer) => formatSignatureLine(signer.key, signer.sign(message))),
  )
}

/**
 * Takes a note apart. **Verifies nothing**: anyone can write such a text. For trust, {@link openNote}.
 *
 * @throws IndelibleError `ERR_NOTE_INVALID` if it is not exactly a note, is over 1 MiB or has over 100 signature lines
 */
export function parseNote(note: string): { text: string; signatures: NoteSignature[] } {
  const fault = faultInLines(note)
  if (fault !== undefined) throw invalidNote(`malformed note: ${fault}`)
  const blank = note.lastIndexOf('\n\n')
  if (blank === -1 || blank + 2 === note.length) throw invalidNote('malformed note: no blank line before signatures')
  const lines = note.slice(blank + 2, -1).split('\n', MAX_SIGNATURES + 1)
  if (lines.length > MAX_SIGNATURES) throw invalidNote(`malformed note: over ${MAX_SIGNATURES} signature lines`)
  return { text: note.slice(0, blank + 1), signatures: lines.map(parseSignatureLine) }
}

/**
 * The text of a note, given back only after a signature by one of `keys`.
 *
 * Signatures of other keys are set aside, even where name or id (not both) is that of a given key. One signature counts for
 * each key, the first; an identical line of an unknown key is dropped, as Go's `note.Open` does.
 *
 * @param keys whom the caller trusts with this text
 * @throws IndelibleError `ERR_NOTE_INVALID` if the note is malformed or a given key's signature does not verify;
 * `ERR_NOTE_UNVERIFIED` if no given key signed it; `ERR_KEY_INVALID` if two given keys share the name and id of a signature
 */
export function openNote(note: string, keys: readonly VerifierKey[]): OpenedNote {
  const { text, signatures } = parseNote(note)
  const opened: OpenedNote = { text, verified: [], unverified: [] }
  const seen = new Set<string>()
  for (const line of signatures) {
    const [key, other] = keys.filter((key) => key.name === line.name && isEqual(key.id, line.id))
    if (other !== undefined) throw invalidKey(`two given keys are ${quote(other.name)} with id ${toHex(other.id)}`)
    const owner = `${line.name}+${toHex(line.id)}`
    const mark = key === undefined ? `${owner}+${toHex(line.signature)}` : owner
    if (seen.has(mark)) continue
    seen.add(mark)
    if (key === undefined) {
      opened.unverified.push(line)
    } else if (isSignatureBy(key, text, line.signature)) {
      opened.verified.push({ key, signature: line.signature })
    } else {
      throw invalidNote(`signature by ${quote(key.name)} with id ${toHex(key.id)} is not valid`)
    }
  }
  if (opened.verified.length > 0) return opened
  const counts = `signatures ${signatures.length}, keys given ${keys.length}`
  throw new IndelibleError('ERR_NOTE_UNVERIFIED', `note is signed by no given key (${counts})`)
}

function isSignatureBy(key: VerifierKey, text: string, signature: Uint8Array): boolean {
  switch (key.type) {
    case SIGNATURE_ED25519:
      return isEd25519Signature(key.publicKey, utf8(text), signature)
    case SIGNATURE_ECDSA_P256:
      return isEcdsaP256Signature(key.publicKey, utf8(text), signature)
    case SIGNATURE_COSIGNATURE: {
      const cosignature = parseCosignature(signature)
      return isEd25519Signature(key.publicKey, cosignatureMessage(text, cosignature.timestamp), cosignature.signature)
    }
    default:
      throw invalidKey(`key ${quote(key.name)}: signature type ${key.type} is not supported`)
  }
}

function parseSignatureLine(line: string, index: number): NoteSignature {
  const space = line.indexOf(' ', 2)
  const name = line.slice(2, space)
  const bytes = decodeBase64(line.slice(space + 1))
  if (!line.startsWith('\u2014 ') || space === -1 || !isKeyName(name) || bytes === undefined || bytes.length < 5) {
    throw invalidNote(`malformed note: signature line ${index + 1}`)
  }
  return { name, id: bytes.slice(0, 4), signature: bytes.slice(4) }
}

function encodeText(text: string): Uint8Array {
  const fault = faultInLines(text)
  if (fault !== undefined) throw invalidNote(`text is not fit for a note: ${fault}`)
  return utf8(text)
}

function assemble(text: string, lines: readonly string[]): string {
  if (lines.length < 1 || lines.length > MAX_SIGNATURES)
    throw invalidNote(`${lines.length} signatures, expected 1 to 100`)
  const note = `${text}\n${lines.join('')}`
  const fault = faultInLines(note)
  if (fault !== undefined) throw invalidNote(`note: ${fault}`)
  return note
}

/** C2SP signed-note: non-empty, no Unicode spaces (the White_Space property, as Go has it), no plus sign. */
function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[\x00-\x1f+\p{White_Space}]/u.test(name)
}

function isP256Spki(der: Uint8Array): boolean {
  return der.length === 91 && isEqual(der.subarray(0, P256_SPKI_HEADER.length), P256_SPKI_HEADER)
}

/** SubjectPublicKeyInfo of id-ecPublicKey and prime256v1, up to the mark of an uncompressed point (RFC 5480). */
const P256_SPKI_HEADER = fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')
