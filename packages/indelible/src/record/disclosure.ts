/**
 * Disclosures and commitments: how an entry can hold a value without containing it.
 *
 * The disclosure is one text, `JCS(["indelible/part@1", origin, id, name, salt, value, meta])`, kept beside the log; the
 * entry holds `base64url(SHA-256(disclosure))`. Erasing deletes the text. Without the 256-bit salt in it the commitment
 * says nothing about the value, however few values are possible.
 */
import { randomBytes, sha256Base64Url } from '#crypto'
import { fromBase64Url, toBase64Url } from '../bytes.ts'
import { IndelibleError } from '../errors.ts'
import { type Json, parseCanonical } from './jcs.ts'

const TAG = 'indelible/part@1'
const SALT_BYTES = 32

/** Facts about a value that are erased with it: its length, its fingerprint, redaction counts. */
export interface PartMeta {
  /** `hmac-sha256:` and base64url, under the deployment's fingerprint key, over the canonical value. */
  readonly fingerprint?: string
  /** Length of the canonical value, in UTF-8 bytes. */
  readonly bytes?: number
  readonly [member: string]: Json | undefined
}

export interface PartDisclosure {
  readonly origin: string
  readonly id: string
  readonly name: string
  readonly salt: string
  readonly value: Json
  readonly meta: PartMeta
}

/** A disclosure with its commitment, and where in it that begins which the salt has no part in: `,value,meta]`. */
export interface Disclosed {
  readonly disclosure: string
  readonly commit: string
  readonly rest: number
}

/** @returns the disclosure and its commitment. The salt is fresh unless given, which only tests and vectors do. */
export function disclose(part: {
  readonly origin: string
  readonly id: string
  readonly name: string
  readonly salt?: string
  /** Canonical JSON of the value and of its meta: texts, because the caller has just hashed the former. */
  readonly value: string
  readonly meta: string
}): Disclosed {
  const { origin, id, name, value, meta, salt = newSalt() } = part
  const beginning = beginningOf(origin, id, name)
  const disclosure = `${beginning}${salt}",${value},${meta}]`
  return { disclosure, commit: commitTo(disclosure), rest: beginning.length + salt.length + 1 }
}

/** {@link Disclosed.rest} of part `name` of entry `id` in log `origin`; -1 if the text is not one of theirs. */
export function restOf(disclosure: string, origin: string, id: string, name: string): number {
  const beginning = beginningOf(origin, id, name)
  if (!disclosure.startsWith(beginning)) return -1
  const rest = disclosure.indexOf('",', beginning.length) + 1
  return rest === 0 ? -1 : rest
}

/** 256 fresh bits, base64url. */
export function newSalt(): string {
  if (used + SALT_BYTES > pool.length) {
    pool = randomBytes(SALT_BYTES * 128)
    used = 0
  }
  const salt = toBase64Url(pool, used, used + SALT_BYTES)
  // A salt that stays in memory after its disclosure was erased would undo the erasure.
  pool.fill(0, used, used + SALT_BYTES)
  used += SALT_BYTES
  return salt
}

let pool: Uint8Array = new Uint8Array(0)
let used = 0

/** The commitment to a disclosure. */
export function commitTo(disclosure: string): string {
  return sha256Base64Url(disclosure)
}

/**
 * Reads a stored or handed-over disclosure that belongs to part `name` of entry `id` in log `origin`.
 *
 * @throws IndelibleError `ERR_DISCLOSURE_INVALID` if its hash is not `commit`, if it belongs to another log, entry or part
 * (a transplant: the hash alone would not show it), or if it is not canonical
 */
export function checkDisclosure(
  disclosure: string,
  expected: { readonly commit: string; readonly origin: string; readonly id: string; readonly name: string },
): PartDisclosure {
  if (commitTo(disclosure) !== expected.commit) throw invalid('does not hash to the commitment in the entry')
  const part = parseDisclosure(disclosure)
  for (const member of ['origin', 'id', 'name'] as const) {
    if (part[member] !== expected[member]) throw invalid(`was made for another ${member === 'id' ? 'entry' : member}`)
  }
  return part
}

/**
 * Whether a stored disclosure is the one that the entry commits to, without reading its value: the hash covers every byte,
 * and its beginning names log, entry and part.
 *
 * @throws IndelibleError `ERR_DISCLOSURE_INVALID`
 */
export function checkCommitment(
  disclosure: string,
  expected: { readonly commit: string; readonly origin: string; readonly id: string; readonly name: string },
): void {
  // UTF-8 has one form for every lone surrogate: two texts would have one hash.
  if (commitTo(disclosure) !== expected.commit || !disclosure.isWellFormed()) {
    throw invalid('does not hash to the commitment in the entry')
  }
  const { origin, id, name } = expected
  if (!disclosure.startsWith(beginningOf(origin, id, name))) throw invalid('was made for another log, entry or part')
}

function beginningOf(origin: string, id: string, name: string): string {
  // One log, one origin.
  if (origin !== quoted.origin) quoted = { origin, text: JSON.stringify(origin) }
  // And few names.
  if (name !== quotedName.name) quotedName = { name, text: JSON.stringify(name) }
  return `["${TAG}",${quoted.text},${JSON.stringify(id)},${quotedName.text},"`
}
let quoted = { origin: '', text: '""' }
let quotedName = { name: '', text: '""' }

/**
 * The content of a disclosure whose commitment the caller computes himself.
 * @throws IndelibleError `ERR_DISCLOSURE_INVALID`
 */
export function parseDisclosure(disclosure: string): PartDisclosure {
  let parsed: Json
  try {
    parsed = parseCanonical(disclosure)
  } catch (cause) {
    throw new IndelibleError('ERR_DISCLOSURE_INVALID', 'disclosure is not canonical JSON', { cause })
  }
  if (!Array.isArray(parsed) || parsed.length !== 7 || parsed[0] !== TAG) throw invalid(`is no ${TAG} array of 7`)
  const [, origin, id, name, salt, value, meta] = parsed as readonly Json[]
  if (typeof origin !== 'string' || typeof id !== 'string' || typeof name !== 'string' || typeof salt !== 'string') {
    throw invalid('has a member of the wrong type')
  }
  if (saltBytes(salt) < SALT_BYTES) throw invalid(`has a salt shorter than ${SALT_BYTES} bytes`)
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) throw invalid('has no meta object')
  return { origin, id, name, salt, value: value!, meta: meta as PartMeta }
}

function saltBytes(salt: string): number {
  try {
    return fromBase64Url(salt).length
  } catch {
    return -1
  }
}

function invalid(why: string): IndelibleError {
  return new IndelibleError('ERR_DISCLOSURE_INVALID', `disclosure ${why}`)
}
